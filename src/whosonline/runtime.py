"""What there is one of in a process: the store, and the hub of the running event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from threading import Lock
from typing import Any

from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async

from . import access, directory, last_seen, resume, sessions
from .conf import MEMORY, get_settings, redis_address
from .core.entries import Profile
from .core.policy import Policy
from .core.replica import Replica
from .core.wire import Range
from .database_threads import DatabaseThreads
from .hub import access as rooms
from .hub import sights
from .hub.connection import Connection
from .hub.hub import Hub, Site
from .hub.rechecks import Standing
from .stores.base import Store, SyncStore
from .stores.memory import MemoryBackend, MemoryStore, MemorySyncStore

LONGEST_ANSWER = 2.0
"""Seconds that a node waits for an answer of the store."""

FILES_BESIDE = 100
"""Files that a process needs beside its sockets: pages that are asked for, the database, Redis."""

KEPT = 600.0
"""Seconds without a question after which a thread ends, with its connection to the database. To begin one and
to connect takes longer than the rest of a look-up: who comes to a quiet site seldom waits for it."""

KEPT_UNTOLD = 0.25
"""The same where nobody says when the server ends, which may be a test's: its database is to go, too."""

POLICY_THREADS = sights.AT_ONCE + 2 * rooms.AT_ONCE
"""As many as questions are asked of an access policy at the same time."""

_making = Lock()


def _backend() -> MemoryBackend:
    # Threads that come first at the same time must get the same one.
    with _making:
        return _the_backend()


@cache
def _the_backend() -> MemoryBackend:
    return MemoryBackend(log_length=get_settings().policy.log_length)


@cache
def sync_store() -> SyncStore:
    """Return the store, for synchronous code."""
    if get_settings().store == MEMORY:
        return MemorySyncStore(_backend())
    from .stores.redis import RedisSyncStore

    return RedisSyncStore(redis_address(get_settings().store), _layout())


def new_store() -> Store:
    """Return a handle on the store for a node that is about to begin."""
    settings = get_settings()
    if settings.store == MEMORY:
        return MemoryStore(_backend())
    from .stores.redis import RedisStore

    # Less than a beat: one that is not answered must not hold up the next.
    timeout = min(LONGEST_ANSWER, settings.policy.beat)
    return RedisStore(redis_address(settings.store), _layout(), timeout)


def _layout() -> Any:
    from .stores.redis.layout import Layout

    settings = get_settings()
    return Layout(settings.key_prefix, settings.partitions, settings.policy.log_length)


def present() -> Replica | SyncStore:
    """Return whom to ask who is present: this process's own copy, or else the store.

    A process that serves sockets follows the log anyway; asking its copy costs nothing, works while the store
    is away, and says what the sockets say. A store within the process is asked itself.
    """
    store, hub = sync_store(), _Running.hub
    if store.local or hub is None or not hub.knows:
        return store
    return hub.replica


def as_last_known() -> bool:
    """Return whether :func:`present` answers from a copy that may be old, since the store is away."""
    return present() is not sync_store() and _Running.hub is not None and not _Running.hub.ready


class _Running:
    """The hub of this process, and the loop it runs in."""

    hub: Hub | None = None
    loop: asyncio.AbstractEventLoop | None = None
    threads: tuple[DatabaseThreads, ...] = ()


def get_hub(*, will_be_stopped: bool = False) -> Hub:
    """Return the hub of the running loop; the first call starts it.

    A server that speaks ASGI's lifespan calls this at its start, and :func:`stop_hub` at its end. Others have
    it started by the first socket; they cannot tell it of their end, and its lease runs out instead.
    """
    loop = asyncio.get_running_loop()
    if _Running.hub is None or _Running.loop is not loop:
        for each in _Running.threads:
            each.shutdown(wait=False)
        idle = KEPT if will_be_stopped else KEPT_UNTOLD
        # A write that waits for a lock holds up no page, and nothing holds up a handshake.
        _Running.threads = (
            DatabaseThreads("whosonline-hub", 2, idle),
            DatabaseThreads("whosonline-handshake", 1, idle),
        )
        _Running.hub = Hub(new_store(), _site(*_Running.threads), _fitting(get_settings().policy))
        _Running.loop = loop
        _Running.hub.start()
    return _Running.hub


def expel_here(session: str) -> None:
    """Have this process's own hub, if there is one, close a session's sockets. Called from any thread."""
    _have_hub(lambda hub: hub.expel(session))


def miss_here() -> None:
    """Likewise, have it log that the store was not told of something."""
    _have_hub(Hub.miss)


def _have_hub(act: Callable[[Hub], None]) -> None:
    hub, loop = _Running.hub, _Running.loop
    if hub is not None and loop is not None and not loop.is_closed():
        loop.call_soon_threadsafe(act, hub)


def _own_hub() -> Hub | None:
    """Return the hub of the running loop, if there is one."""
    return _Running.hub if _Running.loop is asyncio.get_running_loop() else None


async def wait_until_known(most: float) -> None:
    """Wait until the running loop's hub, if there is one, knows who is present; so many seconds at most."""
    if (hub := _own_hub()) is not None:
        with suppress(TimeoutError):
            await asyncio.wait_for(hub.wait_until_known(), most)


async def send_away(a_second: float = float("inf")) -> None:
    """Have the sockets of the running loop's hub, if there is one, come back to another server.

    Args:
        a_second: So many of them in a second at most.
    """
    if (hub := _own_hub()) is not None:
        await hub.send_away(a_second)


async def stop_hub() -> None:
    """End the hub of the running loop, if there is one."""
    hub, _Running.hub = _Running.hub, None
    if hub is None or _Running.loop is not asyncio.get_running_loop():
        return
    threads, _Running.threads = _Running.threads, ()
    try:
        await hub.stop()
    finally:
        await asyncio.gather(*(asyncio.to_thread(each.shutdown) for each in threads))


def _site(for_lists: DatabaseThreads, for_handshakes: DatabaseThreads) -> Site:
    in_thread, at_the_door = _in_threads(for_lists), _in_threads(for_handshakes)
    # A policy may ask for many at once, and each connection that is kept is one that others cannot have.
    of_the_policy = ThreadPoolExecutor(POLICY_THREADS, "whosonline-access")
    return Site(
        load_directory=in_thread(_load_directory),
        load_last_seen=in_thread(_load_last_seen),
        save_last_seen=in_thread(last_seen.save),
        staying=in_thread(_staying),
        look_up=at_the_door(sessions.visitors_of),
        write_token=resume.write,
        access=access.questions(
            partial(database_sync_to_async, thread_sensitive=False, executor=of_the_policy)
        ),
    )


def _in_threads(threads: Executor) -> Any:
    # asgiref takes any executor, though it says that it wants a ThreadPoolExecutor.
    executor: Any = threads
    return partial(sync_to_async, thread_sensitive=False, executor=executor)


def _fitting(policy: Policy) -> Policy:
    """Return the policy with no more connections than this process may open files."""
    try:
        import resource
    except ImportError:  # Windows counts no files
        return policy
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return policy
    most = max(files - max(FILES_BESIDE, files // 20), 1)
    return replace(policy, connections_per_node=min(policy.connections_per_node, most))


def _load_directory(span: Range, limit: int) -> list[tuple[str, Profile]]:
    users = directory.page(span.after, span.until, limit, span.search or "")
    return [(str(user.pk), directory.profile(user)) for user in users]


def _load_last_seen(users: Iterable[str]) -> Mapping[str, int]:
    return {user: int(at.timestamp()) for user, at in last_seen.load(users).items()}


def _staying(connections: list[Connection]) -> dict[Connection, Standing]:
    """Return those whose session is theirs still, and how they stand."""
    visitors = sessions.visitors_of(connection.ticket for connection in connections)
    return {
        connection: _standing(visitor)
        for connection in connections
        if (visitor := visitors.get(connection.ticket)) is not None and visitor.user == connection.user
    }


def _standing(visitor: sessions.Visitor) -> Standing:
    # Where the policy could not say they stay, and are asked about again by and by.
    allowed = visitor.allowed is not False
    return Standing(visitor.expires, visitor.invisible, allowed, visitor.profile)
