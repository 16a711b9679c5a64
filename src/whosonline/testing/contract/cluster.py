"""What the suite needs of the store under test, and how it asks about it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable
from math import ceil

from ...core.entries import Change, Cursor, Entry, Profile, Report
from ...core.replica import Replica
from ...core.statuses import SITE, Status
from ...stores.base import Snapshot, Store

STEPS = 8
"""How often a living node beats and sweeps within a lease."""

PATIENCE = 10.0
"""Real seconds after which the suite takes it that an entry of the log will not come."""


class Cluster(ABC):
    """One backend and any number of handles on it, as the nodes of a site have them.

    Attributes:
        lease: Seconds; all that the suite waits for is measured by it. Where the store's clock cannot be
            set, a short lease makes for a short suite; about a second leaves room for slow machines.
        log_length: Entries that the backend keeps; when it was given twice as many, the first are gone.
        sweep_chunk: Users that one sweep takes from dead nodes at most.
    """

    lease = 10.0
    log_length = 2400
    sweep_chunk = 1000

    @abstractmethod
    def store(self) -> Store:
        """Return a new handle on the backend."""

    @abstractmethod
    async def wipe(self) -> None:
        """Have the backend lose all memory."""

    async def advance(self, seconds: float) -> None:
        """Let the store's time pass; a store whose clock can be set overrides this."""
        await asyncio.sleep(seconds)

    async def node(self, name: str) -> Store:
        """Return the handle of a new node."""
        store = self.store()
        await store.open(name, self.lease)
        return store

    async def live(self, leases: float, *alive: Store) -> list[Change]:
        """Let so many leases' time pass, in which these nodes beat and sweep; return what they swept."""
        swept = []
        for _ in range(ceil(leases * STEPS)):
            await self.advance(self.lease / STEPS)
            for store in alive:
                await store.beat()
                swept += (await store.sweep()).changes
        return swept


def seen(
    user: str,
    status: Status = Status.ONLINE,
    *,
    room: str = SITE,
    name: str | None = None,
    releases: tuple[str, ...] = (),
) -> Report:
    """Return a report of a user, whose name key is the id."""
    return Report(room, user, status, named(user, name), releases)


def named(user: str, name: str | None = None) -> Profile:
    """Return the names of a user, whose name key is the id."""
    return Profile(user, name if name is not None else user.title())


async def present(store: Store, room: str = SITE) -> dict[str, Status]:
    """Return who is present in a room. All ways to ask must agree."""
    held = dict((await store.snapshot()).state.get(room, {}))
    assert store.sync.count(room) == len(held)
    assert dict(store.sync.online(room, None, len(held) + 1)) == held
    assert store.sync.statuses(room, [*held, "somebody else"]) == held
    return {user: presence.status for user, presence in held.items()}


async def log_after(store: Store, cursor: Cursor) -> list[Entry]:
    """Return what was logged after a place, up to now."""
    end = (await store.snapshot()).cursor
    entries: list[Entry] = []
    if cursor == end:
        return entries
    async with asyncio.timeout(PATIENCE):
        async for batch in store.follow(cursor):
            entries += batch.entries
            if batch.cursor == end:
                break
    return entries


def told(entries: Iterable[Entry]) -> list[tuple[str, str, Status]]:
    """Return what changes say: (room, user, status). There must be nothing but changes."""
    changes = []
    for entry in entries:
        assert isinstance(entry, Change), entry
        changes.append((entry.room, entry.user, entry.status))
    return changes


def replay(snapshot: Snapshot, entries: Iterable[Entry]) -> Replica:
    """Return who is present after these entries. Each change among them must have changed something."""
    replica = Replica()
    replica.replace(snapshot.state)
    for entry in entries:
        if isinstance(entry, Change):
            before = replica.get(entry.room, entry.user)
            replica.apply(entry)
            assert replica.get(entry.room, entry.user) != before, f"{entry} changed nothing"
    return replica
