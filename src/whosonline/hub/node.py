"""This process as a node of the store: its beat, its reports, the log, the sweep.

Each is a loop of its own. A loop never ends by an error: while the store is away it tries again with
jittered backoff, and the node counts as degraded until each has had its answer (:mod:`..core.health`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Protocol
from uuid import uuid4

from ..core.connections import Connections
from ..core.entries import Batch, Change, Cursor
from ..core.health import Health, News
from ..core.policy import Policy
from ..stores.base import Beat, NodeInfo, Snapshot, Store
from ..stores.errors import NodeExpelled, PositionGone, StoreSilent, StoreUnavailable
from .clock import Clock, Timer

logger = logging.getLogger(__name__)

FIRST_RETRY = 0.1
"""Seconds; doubled with each failure, up to a beat."""

HELD_UP = 10.0
"""Seconds before a failure within which a hold-up of this process may be why; longer than a call may take."""

REPORT_CHUNK = 1000
"""Users in one report; what it took is not reported again when a later one fails."""

LABEL = f"{socket.gethostname()}:{os.getpid()}"
"""What people know this process by."""


class NodeEvents(Protocol):
    """What the node tells its hub."""

    async def on_snapshot(self, snapshot: Snapshot) -> None: ...

    def on_batch(self, batch: Batch) -> None: ...

    def on_caused(self, changes: list[Change]) -> None: ...

    def on_degraded(self, degraded: bool) -> None: ...


class Node:
    """Keeps the store told about this node's connections, and the hub about everybody's."""

    def __init__(
        self,
        store: Store,
        connections: Connections,
        events: NodeEvents,
        policy: Policy,
        clock: Clock,
    ) -> None:
        self.name = uuid4().hex
        self._store = store
        self._connections = connections
        self._events = events
        self._policy = policy
        self._clock = clock
        self._to_report = asyncio.Event()
        self._opened = False
        # One at a time: an answer that comes late must not hide what a later one told, or would have told.
        self._asking = asyncio.Lock()
        self._beat_doubtful = False
        # Times that the store was away, or not told of something; and how many of them it was told of.
        self._outages = self._outages_told = 0
        self._health = Health()
        self._has_read = False
        self._tasks: list[asyncio.Task[None]] = []
        self._cursor: Cursor | None = None
        self._watch: Timer | None = None

    def start(self) -> None:
        """Begin all loops; returns at once, whether or not the store can be reached."""
        loops = {
            "beat": (self._beat, self._policy.beat),
            "report": (self._report, 0.0),
            "follow": (self._follow, 0.0),
            "sweep": (self._sweep, self._policy.sweep),
        }
        self._watch = self._clock.watch()
        self._tasks = [
            asyncio.create_task(self._repeat(name, step, interval), name=f"whosonline {name}")
            for name, (step, interval) in loops.items()
        ]

    async def stop(self) -> None:
        """End all loops and leave the store; the users have the grace period to come back elsewhere."""
        if self._watch is not None:
            self._watch.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        try:
            async with asyncio.timeout(self._policy.beat):
                try:
                    # The last time that anything can be told.
                    if self._opened:
                        await self._report_the_last()
                    if self._outages > self._outages_told:
                        await self._store.beat(self._info())
                finally:
                    await self._store.close(self._policy.grace)
        except (StoreUnavailable, TimeoutError):
            logger.warning("the store could not be told that this node goes; its lease runs out")

    def report_soon(self) -> None:
        """Have the store told what has changed."""
        self._to_report.set()

    def miss(self) -> None:
        """Have the store told that something was to be told in vain."""
        self._outages += 1

    async def _repeat(self, name: str, step: Callable[[], Awaitable[None]], interval: float) -> None:
        while True:
            try:
                await step()
                if interval:
                    await self._clock.sleep(interval)
                else:
                    await asyncio.sleep(0)  # a step that never waits must not hold up the process
                continue
            except StoreUnavailable as error:
                silent = isinstance(error, StoreSilent)
                if silent and self._health.excuses(name, held_up=self._clock.late_within(HELD_UP)):
                    logger.info("%s: this process was held up; asking the store again: %s", LABEL, error)
                    continue
                self._failed(name, str(error))
            except Exception as error:
                logger.exception("%s failed; trying again", name)
                self._failed(name, repr(error))
            longest = min(self._policy.beat, FIRST_RETRY * 2 ** min(self._health.failures(name) - 1, 10))
            await self._clock.sleep(random.uniform(longest / 2, longest))

    def _failed(self, name: str, reason: str) -> None:
        now = self._clock.time()
        match self._health.failed(name, now):
            case News.AWAY:
                self.miss()
                known = "statuses hold as last known" if self._has_read else "nobody's status is known yet"
                logger.warning("%s: the store is away, %s: %s", LABEL, known, reason)
                self._events.on_degraded(True)
            case News.STILL_AWAY:
                lasted = self._health.lasted(now)
                logger.warning("%s: the store is still away, for %.0f s: %s", LABEL, lasted, reason)

    def _answered(self, name: str) -> None:
        lasted = self._health.answered(name, self._clock.time())
        if lasted is not None:
            # A warning, as its beginning was: who saw the one is to see the other.
            logger.warning("%s: the store is back after %.1f s", LABEL, lasted)
            self._events.on_degraded(False)

    async def _open_once(self) -> None:
        async with self._asking:
            if not self._opened:
                await self._store.open(self.name, self._policy.lease)
                self._opened = True

    async def _beat(self) -> None:
        await self._open_once()
        async with self._asking:
            # An answer that is lost may have been the one that told.
            doubtful, self._beat_doubtful = self._beat_doubtful, True
            outages = self._outages
            expelled = await self._store.beat(self._info()) is Beat.EXPELLED
            self._beat_doubtful = False
        self._answered("beat")
        if not self._health.away:
            self._outages_told = outages
        if expelled:
            logger.warning("this node was expelled, or the store lost its memory; reporting everyone")
        if expelled or doubtful:
            self._connections.announce()
            self.report_soon()

    def _info(self) -> NodeInfo:
        missed = self._outages > self._outages_told
        return NodeInfo(LABEL, self._connections.count(), self._cursor, missed)

    async def _report(self) -> None:
        await self._to_report.wait()
        await self._open_once()
        # Before anything is taken: what comes meanwhile is told together, and what changes back is nothing.
        await self._store.rest()
        self._to_report.clear()
        reports = self._connections.take_reports()
        if not reports:
            self._answered("report")  # what it wanted to tell is so no more
        try:
            while reports:
                self._events.on_caused(await self._store.report(reports[:REPORT_CHUNK]))
                self._answered("report")
                del reports[:REPORT_CHUNK]
                await asyncio.sleep(0)
        except NodeExpelled:
            self._connections.put_back(reports)
            self.report_soon()
            await self._beat()
        except BaseException:
            self._connections.put_back(reports)
            self.report_soon()
            raise

    async def _report_the_last(self) -> None:
        reports = self._connections.take_reports()
        with suppress(NodeExpelled):  # then it holds nobody
            for start in range(0, len(reports), REPORT_CHUNK):
                self._events.on_caused(await self._store.report(reports[start : start + REPORT_CHUNK]))

    async def _follow(self) -> None:
        """Take what the log holds, without end; a snapshot where it does not reach back to what is known."""
        await self._open_once()
        while True:
            if self._cursor is None:
                snapshot = await self._store.snapshot()
                await self._events.on_snapshot(snapshot)
                self._cursor, self._has_read = snapshot.cursor, True
            try:
                async with aclosing(self._store.follow(self._cursor)) as batches:
                    async for batch in batches:
                        self._events.on_batch(batch)
                        self._cursor = batch.cursor
                        self._answered("follow")
            except PositionGone:
                self._cursor = None
            await asyncio.sleep(0)

    async def _sweep(self) -> None:
        # A large node's users leave in chunks: go on while there are some.
        await self._open_once()
        more = True
        while more:
            changes, more = await self._store.sweep()
            self._answered("sweep")
            self._events.on_caused(changes)
            await asyncio.sleep(0)
