"""What nodes and threads hold of a :class:`MemoryBackend`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

from ...core.entries import Batch, Change, Cursor, Listing, Profile, Recheck, Renew, Report
from ...core.replica import Presence
from ..base import NO_INFO, Beat, NodeInfo, Snapshot, Store, StoreStatus, Swept, SyncStore
from .backend import MemoryBackend


class MemorySyncStore(SyncStore):
    """What any thread of the process may ask."""

    local = True

    def __init__(self, backend: MemoryBackend) -> None:
        self._backend = backend

    def touch(self, user: str, profile: Profile, session: str, ttl: float) -> list[Change]:
        return self._backend.touch(user, profile, session, ttl)

    def withdraw(self, user: str) -> list[Change]:
        return self._backend.withdraw(user)

    def expel(self, session: str, user: str | None = None) -> list[Change]:
        return self._backend.expel(session, user)

    def renew(self, session: str, user: str) -> None:
        self._backend.append(Renew(session))

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

    def online_before(self, room: str, before: str, limit: int) -> list[tuple[str, Presence]]:
        return self._backend.online_before(room, before, limit)

    def status(self) -> StoreStatus:
        return self._backend.status()


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

    async def beat(self, info: NodeInfo = NO_INFO) -> Beat:
        return self._backend.beat(self._node, self._lease, info)

    async def close(self, linger: float) -> None:
        self._backend.close(self._node, linger)

    async def report(self, reports: Sequence[Report]) -> list[Change]:
        return self._backend.report(self._node, reports)

    async def follow(self, cursor: Cursor) -> AsyncGenerator[Batch, None]:
        loop = asyncio.get_running_loop()
        first = True
        while True:
            waiter = loop.create_future()
            try:
                batch = self._backend.read(cursor, waiter)
                if not batch.entries and not first:
                    await waiter
                    continue
            finally:
                self._backend.give_back(waiter)
            cursor, first = batch.cursor, False
            yield batch

    async def snapshot(self) -> Snapshot:
        return self._backend.snapshot()

    async def sweep(self) -> Swept:
        return self._backend.sweep()
