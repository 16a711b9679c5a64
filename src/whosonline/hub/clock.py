"""Time for the hub; tests put :class:`whosonline.testing.ManualClock` in its place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    """Seconds that only ever go forward, and ways to wait for them."""

    def time(self) -> float: ...

    def wall(self) -> float:
        """Return the seconds since 1970."""
        ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer: ...

    async def sleep(self, seconds: float) -> None: ...

    def watch(self) -> Timer:
        """Begin to note when the loop is held up, until what is returned is cancelled."""
        ...

    def late_within(self, seconds: float) -> bool:
        """Return whether this process was held up lately, so that what came in time may have seemed late."""
        ...


LATE = 0.5
"""Seconds between two looks at whether the loop is held up, and for how much longer it takes if it is."""


class LoopClock:
    """The time of the event loop in which it is asked first."""

    def __init__(self) -> None:
        self._late_at = float("-inf")
        self._time: Callable[[], float] | None = None

    def time(self) -> float:
        if self._time is None:
            self._time = asyncio.get_running_loop().time
        return self._time()

    def wall(self) -> float:
        return time.time()

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_at(when, callback)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def watch(self) -> Timer:
        return _Watch(self._note)

    def late_within(self, seconds: float) -> bool:
        return self.time() - self._late_at <= seconds

    def _note(self, now: float) -> None:
        self._late_at = now


class _Watch:
    """Looks again and again whether its own timer is late; a call's time-out rings in the same turn as it."""

    def __init__(self, note: Callable[[float], None]) -> None:
        self._note = note
        self._loop = asyncio.get_running_loop()
        self._look_later()

    def cancel(self) -> None:
        self._timer.cancel()

    def _look_later(self) -> None:
        self._due = self._loop.time() + LATE
        self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        if now - self._due > LATE:
            self._note(now)
        self._look_later()
