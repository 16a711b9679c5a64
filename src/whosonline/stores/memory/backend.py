"""The memory store's facts, and the rules that keep them consistent."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from itertools import islice

from ...core.entries import Batch, Change, Cursor, Entry, Expel, Profile, Report
from ...core.replica import Presence, Replica
from ...core.statuses import SITE, Status, fold
from ..base import NO_INFO, Beat, NodeInfo, NodeStatus, Snapshot, StoreStatus, Swept
from ..errors import NodeExpelled
from .log import Log

Holding = tuple[str, str]
"""(room, user)"""

SWEEP_CHUNK = 1000
"""Users that one sweep takes from dead nodes at most, and touches that it ends at most."""


class _Node:
    """What the store knows of a node."""

    __slots__ = ("behind", "deadline", "holds", "info", "lease", "leaving")

    def __init__(self, lease: float, deadline: float) -> None:
        self.lease = lease
        self.deadline = deadline
        self.info = NO_INFO
        self.behind: int | None = None
        self.leaving = False
        # A dict for its order: who came first is taken first.
        self.holds: dict[Holding, None] = {}


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
        self._log = Log(log_length, clock)
        self._forget()

    def _forget(self) -> None:
        self._nodes: dict[str, _Node] = {}
        # Their leases ran out, and some of their users are still to be taken from them.
        self._dying: list[_Node] = []
        self._holders: dict[Holding, dict[_Node, Status]] = {}
        # user -> session -> when it runs out; and the same soonest first, with touches long replaced.
        self._touches: dict[str, dict[str, float]] = {}
        self._touch_ends: list[tuple[float, str, str]] = []
        self._folded = Replica()
        self._began = self._swept = self._clock()
        self._amnesty = float("-inf")

    def wipe(self) -> None:
        """Lose all memory, as a store does that is restarted empty."""
        with self._lock:
            self._forget()
            self._log.wipe()

    # Nodes

    def open(self, name: str, lease: float) -> None:
        with self._lock:
            deadline = self._clock() + lease
            node = self._nodes.setdefault(name, _Node(lease, deadline))
            node.lease, node.deadline, node.leaving = lease, deadline, False

    def beat(self, name: str, lease: float, info: NodeInfo) -> Beat:
        with self._lock:
            known = name in self._nodes
            self.open(name, lease)
            self._nodes[name].info = info
            self._nodes[name].behind = self._log.behind(info.cursor)
            if info.missed:
                self._log.miss()
            return Beat.RENEWED if known else Beat.EXPELLED

    def close(self, name: str, linger: float) -> None:
        with self._lock:
            node = self._nodes.get(name)
            if node is not None:
                node.deadline, node.leaving = self._clock() + linger, True
                node.info = node.info._replace(connections=0)

    def report(self, name: str, reports: Sequence[Report]) -> list[Change]:
        with self._lock:
            node = self._nodes.get(name)
            if node is None:
                raise NodeExpelled(f"node {name!r} has no lease")
            changes = []
            for report in reports:
                for session in report.releases:
                    self._drop_touch(report.user, session)
                changes += self._hold(node, report)
            return changes

    def sweep(self) -> Swept:
        with self._lock:
            now = self._clock()
            self._grant_amnesty(now)
            if now < self._amnesty:
                return Swept([], more=False)
            changes = [*self._sweep_touches(now), *self._sweep_nodes(now)]
            return Swept(changes, more=bool(self._dying) or self._touch_is_due(now))

    def _hold(self, node: _Node, report: Report) -> list[Change]:
        holding = (report.room, report.user)
        if report.status is Status.OFFLINE:
            return self._let_go(node, holding)
        node.holds[holding] = None
        self._holders.setdefault(holding, {})[node] = report.status
        return self._refold(holding, report.profile)

    def _let_go(self, node: _Node, holding: Holding) -> list[Change]:
        node.holds.pop(holding, None)
        holders = self._holders.get(holding, {})
        holders.pop(node, None)
        if not holders:
            self._holders.pop(holding, None)
        return self._refold(holding)

    def _grant_amnesty(self, now: float) -> None:
        """Judge no lease and no touch for a while if nobody swept for long: then nobody could beat either.

        Sweeps come from every node far more often than leases end. If they stopped, the store (here: the
        process) was away, and those who are late are late for that.
        """
        longest = max((node.lease for node in self._nodes.values()), default=0.0)
        if now - self._swept > longest / 2:
            self._amnesty = now + longest
        self._swept = now

    def _sweep_nodes(self, now: float) -> list[Change]:
        for name in [name for name, node in self._nodes.items() if node.deadline <= now]:
            self._dying.append(self._nodes.pop(name))
            if not self._dying[-1].leaving:
                self._log.miss()  # one that was cut off, and not only killed, can tell that no more
        changes: list[Change] = []
        chunk = SWEEP_CHUNK
        while self._dying and chunk:
            node = self._dying[0]
            for holding in list(islice(node.holds, chunk)):
                chunk -= 1
                changes += self._let_go(node, holding)
            if not node.holds:
                del self._dying[0]
        return changes

    # Touches

    def touch(self, user: str, profile: Profile, session: str, ttl: float) -> list[Change]:
        with self._lock:
            self._sweep_without_nodes()
            ends = self._clock() + ttl
            self._touches.setdefault(user, {})[session] = ends
            heappush(self._touch_ends, (ends, user, session))
            return self._refold((SITE, user), profile)

    def _sweep_without_nodes(self) -> None:
        """End what is due before it is read, where no node lives: nobody sweeps there."""
        now = self._clock()
        if all(node.deadline <= now for node in self._nodes.values()):
            while self._touch_is_due(now):
                self._sweep_touches(now)

    def _touch_is_due(self, now: float) -> bool:
        return bool(self._touch_ends) and self._touch_ends[0][0] <= now

    def _drop_touch(self, user: str, session: str) -> None:
        touches = self._touches.get(user, {})
        touches.pop(session, None)
        if not touches:
            self._touches.pop(user, None)

    def _sweep_touches(self, now: float) -> list[Change]:
        changes: list[Change] = []
        chunk = SWEEP_CHUNK
        while self._touch_is_due(now) and chunk:
            chunk -= 1
            ends, user, session = heappop(self._touch_ends)
            if self._touches.get(user, {}).get(session) == ends:
                self._drop_touch(user, session)
                changes += self._refold((SITE, user))
        return changes

    # The fold and the log

    def _refold(self, holding: Holding, profile: Profile | None = None) -> list[Change]:
        """Bring the folded status up to date; log and return the change, if it is one.

        Args:
            profile: The user's names, as just told; None: they are what they were.
        """
        room, user = holding
        touched = [Status.ONLINE] if room == SITE and user in self._touches else []
        status = fold([*self._holders.get(holding, {}).values(), *touched])
        old = self._folded.get(room, user)
        if profile is None:
            if old is None:
                return []  # nobody told of the user, so nobody holds the user
            profile = old.profile
        if Presence(status, profile) == old:
            return []
        change = Change(room, user, status, profile, self._wall())
        self._folded.apply(change)
        self._log.append(change)
        return [change]

    def append(self, entry: Entry) -> None:
        """Log a control entry."""
        with self._lock:
            self._log.append(entry)

    def withdraw(self, user: str) -> list[Change]:
        with self._lock:
            for session in list(self._touches.get(user, ())):
                self._drop_touch(user, session)
            return self._refold((SITE, user))

    def expel(self, session: str, user: str | None) -> list[Change]:
        with self._lock:
            changes: list[Change] = []
            if user is not None:
                self._drop_touch(user, session)
                changes = self._refold((SITE, user))
            self._log.append(Expel(session))
            return changes

    # Reading

    def read(self, cursor: Cursor, waiter: asyncio.Future[None]) -> Batch:
        with self._lock:
            return self._log.read(cursor, waiter)

    def give_back(self, waiter: asyncio.Future[None]) -> None:
        with self._lock:
            self._log.give_back(waiter)

    def snapshot(self) -> Snapshot:
        with self._lock:
            age = self._clock() - self._began
            return Snapshot(self._log.cursor(), self._folded.as_state(), age, self._log.revoked())

    def status(self) -> StoreStatus:
        with self._lock:
            now = self._clock()
            nodes = [
                NodeStatus(
                    name,
                    node.deadline - now,
                    node.info.label,
                    node.info.connections,
                    len(node.holds),
                    node.behind,
                    node.leaving,
                )
                for name, node in self._nodes.items()
            ]
            touches = sum(map(len, self._touches.values()))
            return StoreStatus(nodes, self._folded.count(SITE), touches, len(self._log))

    def statuses(self, room: str, users: Iterable[str]) -> dict[str, Presence]:
        with self._lock:
            self._sweep_without_nodes()
            return self._folded.statuses(room, users)

    def count(self, room: str) -> int:
        with self._lock:
            self._sweep_without_nodes()
            return self._folded.count(room)

    def online(self, room: str, after: str | None, limit: int) -> list[tuple[str, Presence]]:
        with self._lock:
            self._sweep_without_nodes()
            return self._folded.online(room, after, limit)

    def online_before(self, room: str, before: str, limit: int) -> list[tuple[str, Presence]]:
        with self._lock:
            self._sweep_without_nodes()
            return self._folded.online_before(room, before, limit)
