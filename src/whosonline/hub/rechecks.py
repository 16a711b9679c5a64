"""Whether those who are in may still be.

What can be told is told through the log, and asked about at once. What nobody tells (a session that was
deleted by SQL, or that a cache has lost) is found because everybody is asked about again now and then, spread
over time; and what is known beforehand, the end of a session's time, is asked about when it comes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from heapq import heappop, heappush
from itertools import count, islice
from typing import Any, NamedTuple
from weakref import ref

from ..core.entries import Profile
from ..core.wire import CloseCode
from .clock import Clock, Timer
from .connection import Connection

logger = logging.getLogger(__name__)


class Standing(NamedTuple):
    """What the site says of a connection that may stay."""

    expires: float
    """When its session ends by itself, in seconds since 1970."""
    invisible: bool = False
    """Whether its user wants to appear offline."""
    allowed: bool = True
    """Whether its user may be connected at all."""
    profile: Profile | None = None
    """What its user is called now; None where the site does not say."""


Staying = Callable[[list[Connection]], Awaitable[Mapping[Connection, Standing]]]
"""Returns those of the connections that may stay, and how they stand."""

CHUNK = 200
"""Connections that the site is asked about at once."""

TOGETHER = 20
"""Connections that are seen to in one turn of the loop; each that stays gets a newly signed token."""

RETRY = 5.0
"""Seconds until the site is asked again when it could not answer."""

STEPS = 50
"""Parts of the period; in each somebody may be asked about."""

SOONEST = 5
"""At least so often in a period those are asked about whose turn it is, be they few."""


class Rechecks:
    """Asks the site again about the connections of a node.

    Args:
        staying: Asks the site.
        refuse: Closes connections that may not stay.
        stays: Told of each that may, how it stands, and when that was asked.
        period: Seconds in which everybody is asked about once.
        spawn: Runs a task beside everything else.
    """

    def __init__(
        self,
        staying: Staying,
        refuse: Callable[[Iterable[Connection], CloseCode], None],
        stays: Callable[[Connection, Standing, float], None],
        period: float,
        clock: Clock,
        spawn: Callable[[Awaitable[None]], object],
    ) -> None:
        self._staying = staying
        self._refuse = refuse
        self._stays = stays
        self._period = period
        self._clock = clock
        self._spawn = spawn
        # Who was asked about longest ago comes first.
        self._ring: OrderedDict[Connection, None] = OrderedDict()
        self._owed = 0.0
        self._asking = False
        self._asked_at = clock.time()
        self._step: Timer | None = None
        # Sessions that end before everybody was asked about once: (when, tie-breaker, connection). Nothing
        # else may keep a connection that was closed meanwhile.
        self._ending: list[tuple[float, int, ref[Connection]]] = []
        self._order = count()
        self._end: Timer | None = None

    def add(self, connection: Connection) -> None:
        """Ask about a connection from now on."""
        self._ring[connection] = None
        self._watch_end(connection)
        self._schedule_step()

    def forget(self, connection: Connection) -> None:
        """Ask about a connection no more."""
        self._ring.pop(connection, None)

    def stop(self) -> None:
        for timer in (self._step, self._end):
            if timer is not None:
                timer.cancel()
        self._ring.clear()
        self._ending.clear()

    async def ask(self, connections: list[Any]) -> None:
        """Close those of the connections that may not stay; ask until there is an answer."""
        for start in range(0, len(connections), CHUNK):
            chunk = connections[start : start + CHUNK]
            asked = self._clock.time()
            staying = await self._answer(chunk)
            gone = [connection for connection in chunk if connection not in staying]
            barred = [connection for connection, standing in staying.items() if not standing.allowed]
            self._refuse(gone, CloseCode.NOT_LOGGED_IN)
            self._refuse(barred, CloseCode.NOT_ALLOWED)
            for number, (connection, standing) in enumerate(staying.items(), 1):
                if number % TOGETHER == 0:
                    await asyncio.sleep(0)
                if not connection.closed:
                    connection.expires = standing.expires
                    self._watch_end(connection)
                # Of those that linger too: whether their people are shown is theirs to say.
                self._stays(connection, standing, asked)

    async def _answer(self, chunk: list[Connection]) -> Mapping[Connection, Standing]:
        while True:
            try:
                return await self._staying(chunk)
            except Exception:
                logger.exception("the site could not be asked who may stay; trying again soon")
                await self._clock.sleep(RETRY)

    # Everybody, now and then

    def _schedule_step(self) -> None:
        if self._step is None and self._ring:
            self._step = self._clock.call_at(self._clock.time() + self._period / STEPS, self._take_step)

    def _take_step(self) -> None:
        self._step = None
        now = self._clock.time()
        self._owed = min(self._owed + len(self._ring) / STEPS, len(self._ring))
        if self._asking:
            pass  # the site has not answered yet: further questions would only pile up
        elif self._owed >= CHUNK or (self._owed >= 1 and now - self._asked_at >= self._period / SOONEST):
            self._asked_at = now
            due = list(islice(self._ring, int(self._owed)))
            self._owed -= len(due)
            for connection in due:
                self._ring.move_to_end(connection)
            self._asking = True
            self._spawn(self._ask_in_turn(due))
        self._schedule_step()

    async def _ask_in_turn(self, due: list[Connection]) -> None:
        try:
            await self.ask(due)
        finally:
            self._asking = False

    # The ends of sessions

    def _watch_end(self, connection: Connection) -> None:
        # Later ends are seen to when the connection is asked about next.
        if connection.expires - self._clock.wall() <= 2 * self._period:
            heappush(self._ending, (connection.expires, next(self._order), ref(connection)))
            self._schedule_end()

    def _schedule_end(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None
        if self._ending:
            delay = max(self._ending[0][0] - self._clock.wall(), 0.0)
            self._end = self._clock.call_at(self._clock.time() + delay, self._see_ends)

    def _see_ends(self) -> None:
        self._end = None
        ended = []
        while self._ending and self._ending[0][0] <= self._clock.wall():
            connection = heappop(self._ending)[2]()
            if connection is not None and not connection.closed:
                ended.append(connection)
        if ended:
            self._spawn(self.ask(ended))
        self._schedule_end()
