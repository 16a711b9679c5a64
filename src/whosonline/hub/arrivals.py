"""Sockets that have just arrived: looked up together, in a queue that has an end.

Who comes while a look-up runs, or a moment after it, is in the next one: a single socket waits for nobody,
and a storm is asked for in a few large questions. Those who were looked up are let in some at a time, with
a turn of the loop in between, so that those who are connected already are not kept waiting.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)

Found = TypeVar("Found")

TOGETHER = 200
"""Sockets that are looked up in one question."""

GATHER = 0.03
"""Seconds for each who was looked up, in which further arrivals are gathered for the next question, unless as
many wait as one question takes: where several come, several are asked about together..."""

LONGEST_GATHER = 0.2
"""...and for how many seconds at most. For each of ten a question takes twice the time of a thread that it
takes for each of a hundred, and meanwhile all else in the process waits for Python's lock again and again;
who arrives in a crowd waits so much longer to be let in."""

LET_IN = 20
"""Sockets that are let in during one turn of the loop."""


class TryLater(Exception):
    """There are more arrivals than this process can take."""


class Arrivals(Generic[Found]):
    """Those who wait for the answer to who they are.

    Args:
        look_up: Asked with what they came with; returns who that is, for those it knows.
        most: So many may wait.
        timeout: Seconds that each may wait.
    """

    def __init__(
        self, look_up: Callable[[list[str]], Awaitable[Mapping[str, Found]]], most: int, timeout: float
    ) -> None:
        self._look_up = look_up
        self._most = most
        self._together = min(TOGETHER, most)
        self._timeout = timeout
        self._waiting: deque[tuple[str, asyncio.Future[Found | None]]] = deque()
        self._asking: asyncio.Task[None] | None = None
        self._many_wait = asyncio.Event()

    async def who(self, key: str) -> Found | None:
        """Return who comes with a key; None for nobody.

        Raises:
            TryLater: too many wait already, this took too long, or there was no answer.
        """
        if len(self._waiting) >= self._most:
            raise TryLater("too many are waiting")
        answer: asyncio.Future[Found | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, answer))
        if len(self._waiting) >= self._together:
            self._many_wait.set()
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        try:
            async with asyncio.timeout(self._timeout):
                return await answer
        except TimeoutError:
            raise TryLater(f"not looked up within {self._timeout:g} s") from None

    async def _ask(self) -> None:
        try:
            await self._ask_all()
        finally:
            # At once: who comes in the next moment must find that nobody asks.
            self._asking = None

    async def _ask_all(self) -> None:
        while self._waiting:
            some = [self._waiting.popleft() for _ in range(min(self._together, len(self._waiting)))]
            some = [(key, answer) for key, answer in some if not answer.done()]  # they gave up meanwhile
            if not some:
                continue
            try:
                found = await self._look_up([key for key, _ in some])
            except Exception:
                logger.exception("%d sockets could not be looked up; they are told to try later", len(some))
                await self._tell(some, None)
            else:
                await self._tell(some, found)
            if len(self._waiting) < self._together:
                await self._gather(min(GATHER * len(some), LONGEST_GATHER))

    async def _gather(self, seconds: float) -> None:
        """Wait so long for further arrivals, or until as many wait as one question takes."""
        self._many_wait.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._many_wait.wait()

    async def _tell(
        self, some: list[tuple[str, asyncio.Future[Found | None]]], found: Mapping[str, Found] | None
    ) -> None:
        for number, (key, answer) in enumerate(some):
            if number % LET_IN == 0:
                await asyncio.sleep(0)
            if answer.done():
                continue
            if found is None:
                answer.set_exception(TryLater("the look-up failed"))
            else:
                answer.set_result(found.get(key))
