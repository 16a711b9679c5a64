"""What is told to many: some at a time, with a turn of the loop for everything else in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

from .clock import Clock, Timer

YIELD_AFTER = 0.005
"""Seconds of publishing or sending after which the loop gets a turn for everything else."""


class Sending:
    """A flush, or a count, that is on its way out.

    Args:
        steps: Yields after each who was told, and wherever else it may pause.
        on_end: Called once all were told, or a step has failed.
        on_failure: Called before that with what a step has raised.
    """

    __slots__ = (
        "_clock",
        "_on_end",
        "_on_failure",
        "_stopped",
        "_timer",
        "began",
        "failed",
        "last_slice",
        "rest_after",
        "spent",
        "steps",
        "worked",
    )

    def __init__(
        self,
        steps: Iterator[None],
        clock: Clock,
        on_end: Callable[[Sending], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self.steps = steps
        self._clock = clock
        self._on_end = on_end
        self._on_failure = on_failure
        self.rest_after: Callable[[float], float] | None = None
        """Returns the seconds of rest after a slice that took so many of the processor; None: a turn of the
        loop will do."""
        self._timer: Timer | None = None
        self._stopped = False
        self.began = clock.time()
        """By the hub's clock."""
        self.spent = 0.0
        """Seconds so far."""
        self.worked = 0.0
        """Seconds of the processor..."""
        self.last_slice = 0.0
        """...and how many of them the last slice took."""
        self.failed = False

    def go_on(self) -> None:
        """Tell some now, and go on with the others later. Does nothing once it is stopped."""
        if self._stopped:
            return
        self._timer = None
        began, worked = time.perf_counter(), time.thread_time()
        done = True
        try:
            for _ in self.steps:
                if time.perf_counter() - began > YIELD_AFTER:
                    done = False
                    break
        except Exception as error:
            self.failed = True
            self._on_failure(error)
        self.spent += time.perf_counter() - began
        self.last_slice = time.thread_time() - worked
        self.worked += self.last_slice
        if done:
            self._on_end(self)
        elif self.rest_after is not None and (rest := self.rest_after(self.last_slice)):
            self.wait(rest, self.go_on)
        else:
            self.go_on_soon()

    def go_on_soon(self) -> None:
        """Go on with the next turn of the loop."""
        asyncio.get_running_loop().call_soon(self.go_on)

    def wait(self, seconds: float, then: Callable[[], None]) -> None:
        """Call something after so many seconds, unless it is stopped before."""
        if not self._stopped:
            self._timer = self._clock.call_at(self._clock.time() + seconds, then)

    def stop(self) -> None:
        """Tell nobody more; what is left of the steps is the caller's."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
