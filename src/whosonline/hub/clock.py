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

    def late_within(self, seconds: float) -> bool:
        """Return whether this process was held up lately, so that what came in time may have seemed late."""
        ...


LATE = 0.5
"""Seconds after its time from which on a timer's callback tells that the loop was held up."""


class LoopClock:
    """The running event loop's own time."""

    def __init__(self) -> None:
        self._late_at = float("-inf")

    def time(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return time.time()

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        def run() -> None:
            self._note(when)
            callback()

        return asyncio.get_running_loop().call_at(when, run)

    async def sleep(self, seconds: float) -> None:
        due = self.time() + seconds
        await asyncio.sleep(seconds)
        self._note(due)

    def late_within(self, seconds: float) -> bool:
        return self.time() - self._late_at <= seconds

    def _note(self, due: float) -> None:
        now = self.time()
        if now - due > LATE:
            self._late_at = now
