"""The deadlines of thousands of things, kept by one timer: one for each costs more than what it is for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T")

STEPS_A_SECOND = 20
"""A deadline is noticed a step late at most, while the loop is not held up."""

AT_ONCE = 50
"""Things whose deadline passes in one turn of the loop."""


class Deadlines(Generic[T]):
    """Calls back for each thing of one loop when its time has come. A thing has one deadline at most.

    Args:
        passed: Is called with the thing; its deadline is forgotten by then, and it may get another.
    """

    def __init__(self, passed: Callable[[T], None]) -> None:
        self._passed = passed
        # By their step, of the loop's clock; and the steps as a heap.
        self._things: dict[int, set[T]] = {}
        self._steps: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_step = 0

    def __len__(self) -> int:
        return sum(map(len, self._things.values()))

    def set(self, thing: T, at: float) -> int:
        """Give a thing that has none a deadline, by the loop's clock. Returns the step, for :meth:`clear`."""
        step = int(at * STEPS_A_SECOND) + 1
        if (things := self._things.get(step)) is None:
            things = self._things[step] = set()
            heappush(self._steps, step)
        things.add(thing)
        if self._timer is None or step < self._timer_step:
            self._wait_until(step)
        return step

    def clear(self, thing: T, step: int) -> None:
        """Forget a thing's deadline, if it has one in this step."""
        if things := self._things.get(step):
            things.discard(thing)

    def _wait_until(self, step: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_step = step
        self._timer = asyncio.get_running_loop().call_at(_time(step), self._take_turn)

    def _take_turn(self) -> None:
        self._timer = None
        try:
            self._let_some_pass()
        finally:  # what went wrong with one is nothing to the others
            if self._steps:
                self._wait_until(self._steps[0])

    def _let_some_pass(self) -> None:
        now, room = asyncio.get_running_loop().time(), AT_ONCE
        while self._steps and room and _time(step := self._steps[0]) <= now:
            things = self._things[step]
            while things and room:
                room -= 1
                self._passed(things.pop())
            if not things and self._steps[0] == step:  # one that was called may have set an earlier deadline
                heappop(self._steps)
                del self._things[step]


def _time(step: int) -> float:
    """Return when a step has come. It is the very number that uvloop's clock shows, of whole milliseconds:
    with one that is larger by a rounding the timer would be early, and be set again and again."""
    return step / STEPS_A_SECOND
