"""Time that stands still until a test moves it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

TURNS = 50
"""Turns of the loop after which everything that can go on without time or I/O has come to rest."""

EPOCH = 1_700_000_000.0
"""What the wall clock shows at the beginning, in seconds since 1970."""


class ManualTimer:
    """A callback that waits for its time."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class ManualClock:
    """A :class:`whosonline.hub.clock.Clock` that a test moves by hand; it begins at 0."""

    def __init__(self) -> None:
        self._now = 0.0
        self._timers: list[tuple[float, int, ManualTimer]] = []
        self._order = count()
        self.late_at = float("-inf")
        """When the process that a test pretends to be was held up last."""

    def time(self) -> float:
        """Return the seconds since the beginning."""
        return self._now

    def wall(self) -> float:
        """Return the seconds since 1970."""
        return EPOCH + self._now

    def call_at(self, when: float, callback: Callable[[], None]) -> ManualTimer:
        """Have a callback run once when it is that time; not before the clock is moved."""
        timer = ManualTimer(callback)
        heappush(self._timers, (when, next(self._order), timer))
        return timer

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock was moved by so much; for no time at all, a turn of the loop."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        done = asyncio.get_running_loop().create_future()
        self.call_at(self._now + seconds, lambda: None if done.done() else done.set_result(None))
        await done

    def watch(self) -> ManualTimer:
        """Note nothing: the test says when it is held up."""
        return ManualTimer(lambda: None)

    def late_within(self, seconds: float) -> bool:
        """Return whether that was so lately."""
        return self._now - self.late_at <= seconds

    async def advance(self, seconds: float) -> None:
        """Move time on: each timer in between runs at its own time, and what follows from it."""
        end = self._now + seconds
        await settle()
        while self._timers and self._timers[0][0] <= end:
            when, _, timer = heappop(self._timers)
            self._now = max(self._now, when)
            if timer.callback is not None:
                timer.callback()
                await settle()
        self._now = end
        await settle()

    def move(self, seconds: float) -> None:
        """Move time on for what only reads it, outside a loop; no timer runs."""
        self._now += seconds


async def settle() -> None:
    """Let every task go on as far as it can without time or I/O."""
    for _ in range(TURNS):
        await asyncio.sleep(0)
