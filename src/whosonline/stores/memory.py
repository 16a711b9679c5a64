"""The store of one process: the embedded default, and the model the others are measured by."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from itertools import islice
from uuid import uuid4

from ..core.entries import (
    Batch,
    Change,
    Cursor,
    Entry,
    Expel,
    Listing,
    Position,
    Profile,
    Recheck,
    Report,
)
from ..core.replica import Presence, Replica
from ..core.statuses import SITE, Status, fold
from .base import Beat, Snapshot, Store, SyncStore
from .errors import NodeExpelled, PositionGone

Holding = tuple[str, str]
"""(room, user)"""

SWEEP_CHUNK = 1000
"""Users that one sweep takes from dead nodes at most."""

FOLLOW_CHUNK = 1000
"""Entries in one batch at most."""


class _Node:
    """What the store knows of a node."""

    __slots__ = ("deadline", "holds", "lease")

    def __init__(self, lease: float, deadline: float) -> None:
        self.lease = lease
        self.deadline = deadline
        self.holds: dict[Holding, Status] = {}


class MemoryBackend:
    """The facts, and the rules that keep them consistent.

    Several :class:`MemoryStore` handles on one backend are a cluster in one process. Views call in from
    worker threads, so each method is one step under a lock that is held for no I/O.

    Args:
        clock: Seconds that only ever go forward; leases and touches are measured by it.
        wall: Seconds since 1970; changes are dated by it.
        log_length: Entries kept.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        log_length: int = 10_000,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._lock = threading.RLock()
        self._log: deque[Entry] = deque(maxlen=log_length)
        # Followers that wait for the next entry, each in its own loop.
        self._waiting: set[asyncio.Future[None]] = set()
        self._forget()

    def _forget(self) -> None:
        self._epoch = uuid4().hex
        self._sequence = 0
        self._log.clear()
        self._nodes: dict[str, _Node] = {}
        self._dying: list[_Node] = []
        self._holders: dict[Holding, dict[_Node, Status]] = {}
        self._profiles: dict[str, Profile] = {}
        # user -> session -> when it runs out; and the same soonest first, with touches long replaced.
        self._touches: dict[str, dict[str, float]] = {}
        self._touch_ends: list[tuple[float, str, str]] = []
        self._folded = Replica()
        self._swept: float | None = None
        self._amnesty = float("-inf")

    def wipe(self) -> None:
        """Lose all memory, as a store does that is restarted empty."""
        with self._lock:
            self._forget()
            self._wake()

    # Nodes

    def open(self, name: str, lease: float) -> None:
        with self._lock:
            self._nodes[name] = _Node(lease, self._clock() + lease)

    def beat(self, name: str, lease: float) -> Beat:
        with self._lock:
            node = self._nodes.get(name)
            if node is None:
                self.open(name, lease)
                return Beat.EXPELLED
            node.deadline = self._clock() + lease
            return Beat.RENEWED

    def close(self, name: str, linger: float) -> None:
        with self._lock:
            if name in self._nodes:
                self._nodes[name].deadline = self._clock() + linger

    def report(self, name: str, reports: Sequence[Report]) -> list[Change]:
        with self._lock:
            node = self._nodes.get(name)
            if node is None:
                raise NodeExpelled(f"node {name!r} has no lease")
            changes = []
            for report in reports:
                self._hold(node, report)
                for session in report.releases:
                    self._drop_touch(report.user, session)
                changes += self._refold((report.room, report.user))
            return changes

    def sweep(self) -> list[Change]:
        with self._lock:
            now = self._clock()
            self._grant_amnesty(now)
            if now < self._amnesty:
                return []
            return [*self._sweep_touches(now), *self._sweep_nodes(now)]

    def _hold(self, node: _Node, report: Report) -> None:
        holding = (report.room, report.user)
        holders = self._holders.setdefault(holding, {})
        if report.status is Status.OFFLINE:
            node.holds.pop(holding, None)
            holders.pop(node, None)
        else:
            node.holds[holding] = holders[node] = report.status
            self._profiles[report.user] = report.profile

    def _grant_amnesty(self, now: float) -> None:
        """Judge no lease and no touch for a while if nobody has swept for long: then nobody could beat either.

        Sweeps come from every node far more often than leases end. If they stopped, the store (here: the
        process) was away, and those who are late are late for that.
        """
        longest = max((node.lease for node in self._nodes.values()), default=0.0)
        if self._swept is not None and now - self._swept > longest / 2:
            self._amnesty = now + longest
        self._swept = now

    def _sweep_nodes(self, now: float) -> list[Change]:
        for name in [name for name, node in self._nodes.items() if node.deadline <= now]:
            self._dying.append(self._nodes.pop(name))
        changes: list[Change] = []
        chunk = SWEEP_CHUNK
        while self._dying and chunk:
            node = self._dying[0]
            for holding in list(islice(node.holds, chunk)):
                chunk -= 1
                del node.holds[holding]
                self._holders[holding].pop(node)
                changes += self._refold(holding)
            if not node.holds:
                del self._dying[0]
        return changes

    # Touches

    def touch(self, user: str, profile: Profile, session: str, ttl: float) -> None:
        with self._lock:
            self._profiles[user] = profile
            ends = self._clock() + ttl
            self._touches.setdefault(user, {})[session] = ends
            heappush(self._touch_ends, (ends, user, session))
            self._refold((SITE, user))

    def _drop_touch(self, user: str, session: str) -> None:
        touches = self._touches.get(user, {})
        touches.pop(session, None)
        if not touches:
            self._touches.pop(user, None)

    def _sweep_touches(self, now: float) -> list[Change]:
        changes: list[Change] = []
        chunk = SWEEP_CHUNK
        while self._touch_ends and self._touch_ends[0][0] <= now and chunk:
            chunk -= 1
            ends, user, session = heappop(self._touch_ends)
            if self._touches.get(user, {}).get(session) == ends:
                self._drop_touch(user, session)
                changes += self._refold((SITE, user))
        return changes

    # The fold and the log

    def _refold(self, holding: Holding) -> list[Change]:
        """Bring the folded status up to date; log and return the change, if it is one."""
        room, user = holding
        holders = self._holders.get(holding, {})
        touched = [Status.ONLINE] if room == SITE and user in self._touches else []
        status = fold([*holders.values(), *touched])
        old = self._folded.get(room, user)
        profile = self._profiles.get(user, Profile(user, user))
        if status is Status.OFFLINE:
            profile = old.profile if old is not None else profile
            self._holders.pop(holding, None)
            if room == SITE:
                self._profiles.pop(user, None)
        present = Presence(status, profile) if status is not Status.OFFLINE else None
        if present == old:
            return []
        change = Change(room, user, status, profile, self._wall())
        self._folded.apply(change)
        self._append(change)
        return [change]

    def _append(self, entry: Entry) -> None:
        self._sequence += 1
        self._log.append(entry)
        self._wake()

    def append(self, entry: Entry) -> None:
        """Log a control entry."""
        with self._lock:
            self._append(entry)

    def expel(self, session: str, user: str | None) -> None:
        with self._lock:
            if user is not None:
                self._drop_touch(user, session)
                self._refold((SITE, user))
            self._append(Expel(session))

    # Reading

    def cursor(self) -> Cursor:
        with self._lock:
            return (Position(self._epoch, self._sequence),)

    def read(self, cursor: Cursor, waiter: asyncio.Future[None] | None = None) -> Batch:
        """Return the entries after a place; if there are none yet, complete the waiter when there are.

        Raises:
            PositionGone: the log does not reach back to there.
        """
        with self._lock:
            (position,) = cursor
            behind = self._sequence - position.sequence
            if position.epoch != self._epoch or not 0 <= behind <= len(self._log):
                raise PositionGone(f"{position} is not in the log any more")
            if behind == 0 and waiter is not None:
                self._waiting.add(waiter)
            start = len(self._log) - behind
            stop = min(start + FOLLOW_CHUNK, len(self._log))
            entries = tuple(self._log[index] for index in range(start, stop))
            return Batch(entries, (Position(self._epoch, position.sequence + len(entries)),))

    def give_back(self, waiter: asyncio.Future[None]) -> None:
        with self._lock:
            self._waiting.discard(waiter)

    def snapshot(self) -> Snapshot:
        with self._lock:
            return Snapshot(self.cursor(), self._folded.as_state())

    def statuses(self, room: str, users: Iterable[str]) -> dict[str, Presence]:
        with self._lock:
            found = ((user, self._folded.get(room, user)) for user in users)
            return {user: presence for user, presence in found if presence is not None}

    def count(self, room: str) -> int:
        with self._lock:
            return self._folded.count(room)

    def online(self, room: str, after: str | None, limit: int) -> list[tuple[str, Presence]]:
        with self._lock:
            place = self._folded.room(room)
            page = ((user, place.get(user)) for user in place.page(after, limit))
            return [(user, presence) for user, presence in page if presence is not None]

    def _wake(self) -> None:
        # Each waiter waits once: a burst of entries wakes its loop a single time.
        for waiter in self._waiting:
            if not waiter.get_loop().is_closed():
                waiter.get_loop().call_soon_threadsafe(_complete, waiter)
        self._waiting.clear()


def _complete(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class MemorySyncStore(SyncStore):
    """What any thread of the process may ask."""

    def __init__(self, backend: MemoryBackend) -> None:
        self._backend = backend

    def touch(self, user: str, profile: Profile, session: str, ttl: float) -> None:
        self._backend.touch(user, profile, session, ttl)

    def expel(self, session: str, user: str | None = None) -> None:
        self._backend.expel(session, user)

    def recheck(self, user: str) -> None:
        self._backend.append(Recheck(user))

    def relist(self, user: str, profile: Profile | None, was: str | None) -> None:
        self._backend.append(Listing(user, profile, was))

    def statuses(self, room: str, users: Iterable[str]) -> Mapping[str, Presence]:
        return self._backend.statuses(room, users)

    def count(self, room: str) -> int:
        return self._backend.count(room)

    def online(self, room: str, after: str | None, limit: int) -> list[tuple[str, Presence]]:
        return self._backend.online(room, after, limit)


class MemoryStore(Store):
    """A node's handle on a backend in the same process."""

    def __init__(self, backend: MemoryBackend) -> None:
        self._backend = backend
        self._node = ""
        self._lease = 0.0
        self.sync: SyncStore = MemorySyncStore(backend)

    async def open(self, node: str, lease: float) -> None:
        self._node, self._lease = node, lease
        self._backend.open(node, lease)

    async def beat(self) -> Beat:
        return self._backend.beat(self._node, self._lease)

    async def close(self, linger: float) -> None:
        self._backend.close(self._node, linger)

    async def report(self, reports: Sequence[Report]) -> list[Change]:
        return self._backend.report(self._node, reports)

    async def follow(self, cursor: Cursor) -> AsyncIterator[Batch]:
        loop = asyncio.get_running_loop()
        while True:
            waiter = loop.create_future()
            try:
                batch = self._backend.read(cursor, waiter)
                if not batch.entries:
                    await waiter
                    continue
            finally:
                self._backend.give_back(waiter)
            cursor = batch.cursor
            yield batch

    async def snapshot(self) -> Snapshot:
        return self._backend.snapshot()

    async def sweep(self) -> list[Change]:
        return self._backend.sweep()
