"""A node's handle on Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from itertools import count
from time import monotonic

from ...core.entries import Batch, Change, Cursor, Position, Report
from ..base import NO_INFO, Beat, NodeInfo, Snapshot, Store, Swept, SyncStore
from ..errors import NodeExpelled
from . import codec
from .addresses import Address
from .calls import Calls
from .layout import Layout, milliseconds
from .log import follow
from .snapshots import take_snapshot
from .sync import RedisSyncStore

CHUNK = 250
"""Reports in one call, and users that one sweep ends at most: each holds Redis for some 10 us."""

GATHER = 0.03
"""Seconds for each report in which a node gathers further ones for its next call: where much happens, many
take few calls..."""

LONGEST_GATHER = 0.1
"""...and for how many seconds at most."""

SILENCE = 5.0
"""Seconds after which a silent log is asked whether it is still the same one; a new one tells by itself."""

SWEPT_LATELY = 1 / 12
"""Every node sweeps; where one has done it within this part of a lease, that is enough."""

NOWHERE = Position("", 0)


class RedisStore(Store):
    """A node's handle. It is used in one event loop.

    Args:
        timeout: Seconds that an answer may take.
    """

    def __init__(self, address: Address, layout: Layout, timeout: float = 2.0) -> None:
        self._layout = layout
        self._calls = Calls(address, layout, timeout)
        self._sync = RedisSyncStore(address, layout)
        self.sync: SyncStore = self._sync
        self._node = ""
        self._lease = 0.0
        # Counts this node's reports, so that one that was held up on its way is known to be overtaken.
        self._serials = count(1)
        self._rests_until = 0.0

    async def open(self, node: str, lease: float) -> None:
        self._node, self._lease = node, lease
        await self.beat()

    async def beat(self, info: NodeInfo = NO_INFO) -> Beat:
        mine = self._node, milliseconds(self._lease), info.label, info.connections
        places = info.cursor or (NOWHERE,) * self._layout.partitions
        missed = int(info.missed)
        known = await self._calls.run_in_all("beat", *((*mine, *place, missed) for place in places))
        return Beat.RENEWED if all(known) else Beat.EXPELLED

    async def close(self, linger: float) -> None:
        try:
            await self._calls.run_in_all("close", (self._node, milliseconds(linger)))
        finally:
            await self._calls.close()
            self._sync.close()

    async def report(self, reports: Sequence[Report]) -> list[Change]:
        self._rests_until = monotonic() + min(GATHER * len(reports), LONGEST_GATHER)
        changes: list[Change] = []
        for partition, some in self._layout.chunks(reports, lambda report: report.user, CHUNK):
            packed, serial = codec.pack_reports(some), next(self._serials)
            caused = await self._calls.run("report", partition, self._node, serial, packed)
            if caused is None:
                raise NodeExpelled(f"node {self._node!r} has no lease")
            changes += codec.unpack_changes(caused)
        return changes

    async def rest(self) -> None:
        await asyncio.sleep(max(self._rests_until - monotonic(), 0))

    def follow(self, cursor: Cursor) -> AsyncGenerator[Batch, None]:
        return follow(self._calls, cursor, wait=SILENCE)

    async def snapshot(self) -> Snapshot:
        return await take_snapshot(self._calls)

    async def sweep(self) -> Swept:
        enough = milliseconds(self._lease * SWEPT_LATELY)
        answers = await self._calls.run_in_all("sweep", (CHUNK // self._layout.partitions or 1, enough))
        changes = codec.unpack_changes([change for _, *caused in answers for change in caused])
        changes.sort(key=lambda change: change.at)
        return Swept(changes, more=any(more for more, *_ in answers))
