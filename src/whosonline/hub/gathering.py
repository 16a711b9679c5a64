"""What comes often, taken together a few times a second.

A thing that is done by itself, among thousands of others, finds nothing of what it needs in the processor's
caches. Several in a row find what the first has brought there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..core.limits import TokenBucket
from .clock import Clock

OFTEN, BURST = 10, 20
"""Things a second that go on at once, in the long run and in a row. Those beyond are gathered."""

GATHER = 0.1
"""Seconds until those who are gathered go on: long enough for several, and too short for people to notice."""


class Gathering:
    """Lets what comes seldom go on at once, and what comes often together, in the order in which it came."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at_once = TokenBucket(OFTEN, BURST, 0.0)  # full, whatever the clock shows
        self._waiting: list[Callable[[], None]] = []

    def take_place(self) -> bool:
        """Let one go on now if few have come and nobody waits; return whether that was so."""
        return not self._waiting and self._at_once.take(self._clock.time())

    def wait(self, go_on: Callable[[], None]) -> None:
        """Call this together with the others."""
        if not self._waiting:
            self._clock.call_at(self._clock.time() + GATHER, self._go_on)
        self._waiting.append(go_on)

    def _go_on(self) -> None:
        waiting, self._waiting = self._waiting, []
        for go_on in waiting:
            # Each by itself: what goes wrong with one is nothing to the others.
            asyncio.get_running_loop().call_soon(go_on)
