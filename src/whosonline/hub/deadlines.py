"""The deadlines of thousands of things, kept by one timer: one for each costs more than what it is for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T")

STEP = 0.05
"""Seconds that a deadline is noticed late at most, while the loop is not held up."""

AT_ONCE = 50
"""Things whose deadline passes in one turn of the loop."""


class Deadlines(Generic[T]):
    """Calls back for each thing when its time has come. A thing has one deadline at most.

    Args:
        passed: Is called with the thing; its deadline is forgotten by then, and it may get another.
    """

    def __init__(self, passed: Callable[[T], None]) -> None:
        self._passed = passed
        # By time, in steps. Those who come first are called first, so a dict rather than a set.
        self._things: dict[int, dict[T, None]] = {}
        self._steps: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_step = 0

    def __len__(self) -> int:
        return sum(map(len, self._things.values()))

    def set(self, thing: T, at: float) -> int:
        """Give a thing that has none a deadline, by the loop's clock. Returns what :meth:`clear` needs."""
        step = int(at / STEP) + 1
        if (things := self._things.get(step)) is None:
            things = self._things[step] = {}
            heappush(self._steps, step)
        things[thing] = None
        if self._timer is None or step < self._timer_step:
            self._wait_until(step)
        return step

    def clear(self, thing: T, step: int) -> None:
        """Forget a thing's deadline, if it has one that was set with this result."""
        if things := self._things.get(step):
            things.pop(thing, None)

    def _wait_until(self, step: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_step = step
        self._timer = asyncio.get_running_loop().call_at(step * STEP, self._take_turn)

    def _take_turn(self) -> None:
        self._timer = None
        try:
            self._let_pass(AT_ONCE)
        finally:  # what went wrong with one is nothing to the others
            if self._steps:
                self._wait_until(self._steps[0])

    def _let_pass(self, most: int) -> None:
        now = asyncio.get_running_loop().time()
        while self._steps and most and (step := self._steps[0]) * STEP <= now:
            things = self._things[step]
            while things and most:
                most -= 1
                thing = next(iter(things))
                del things[thing]
                self._passed(thing)
            if not things and self._steps[0] == step:  # else one that was set meanwhile lies further back
                heappop(self._steps)
                del self._things[step]
