"""Server processes: a hub each, and the system around it that stops it, lets it go on, or kills it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from whosonline.core.policy import Policy
from whosonline.hub.hub import Hub, Site
from whosonline.stores.memory import MemoryBackend
from whosonline.testing.clock import ManualClock, ManualTimer

from .store import FaultyStore, complete

POLICY = Policy()

ANSWERS_TAKEN = 20
"""Turns of the loop after which a process has taken the answers that were waiting for it."""


class ProcessClock:
    """The time as one process sees it: while the process stands still, none of its timers rings."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._still = False
        self._late: list[ManualTimer] = []
        self._late_at = float("-inf")

    def time(self) -> float:
        return self._clock.time()

    def wall(self) -> float:
        return self._clock.wall()

    def call_at(self, when: float, callback: Callable[[], None]) -> ManualTimer:
        timer = ManualTimer(callback)
        self._clock.call_at(when, lambda: self._ring(timer))
        return timer

    async def sleep(self, seconds: float) -> None:
        over = asyncio.get_running_loop().create_future()
        self.call_at(self.time() + seconds, partial(complete, over))
        await over

    def watch(self) -> ManualTimer:
        return ManualTimer(lambda: None)

    def late_within(self, seconds: float) -> bool:
        return self.time() - self._late_at <= seconds

    def stop(self) -> None:
        self._still = True

    def go_on(self) -> None:
        self._still = False
        late, self._late = self._late, []
        if late:
            self._late_at = self.time()
        for timer in late:
            self._ring(timer)

    def _ring(self, timer: ManualTimer) -> None:
        if self._still:
            self._late.append(timer)
        elif timer.callback is not None:
            timer.callback()


class Process:
    """A server process: a hub, and the system around it that stops, continues or kills it."""

    def __init__(self, backend: MemoryBackend, clock: ManualClock, site: Site) -> None:
        self.clock = ProcessClock(clock)
        self.store = FaultyStore(backend, clock)
        self.hub = Hub(self.store, site, POLICY, self.clock)
        self.serves = True
        """Whether its sockets are open, and it would take another."""
        self.still = False
        self._inbox: list[Callable[[], None]] = []

    def hear(self, event: Callable[[], None]) -> None:
        """Let something happen at one of its sockets; a process that stands still finds it later."""
        if self.still:
            self._inbox.append(event)
        else:
            event()

    def stop(self) -> None:
        """Let it stand still, as SIGSTOP does."""
        self.still = True
        self.clock.stop()
        self.store.runs.clear()

    async def go_on(self, timers_first: bool) -> None:
        """Let it go on; what came meanwhile is there, and so are all timers that are due."""
        self.still = False
        if timers_first:
            self.clock.go_on()
        self.store.runs.set()
        inbox, self._inbox = self._inbox, []
        for event in inbox:
            event()
        for _ in range(ANSWERS_TAKEN):
            await asyncio.sleep(0)
        self.clock.go_on()

    def kill(self) -> None:
        """End it as SIGKILL does: it stands still for ever, and its sockets are gone."""
        self.stop()
        self.serves = False
