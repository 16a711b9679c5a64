"""What comes often, taken together a few times a second.

A thing that is done by itself, among thousands of others, finds nothing of what it needs in the processor's
caches. Several in a row find what the first has brought there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..core.limits import TokenBucket
from .clock import Clock

logger = logging.getLogger(__name__)

OFTEN = 10
"""Things a second that are not gathered yet, in the long run..."""

BURST = 20
"""...and how many of them may come at once."""

GATHER = 0.1
"""Seconds in which things are gathered: long enough for several, and too short for people to notice."""

SEVERAL = 2
"""Things that have to come while they are gathered; when fewer do, the next go on at once."""


class Gathering:
    """Lets what comes seldom go on at once, and what comes often together, in the order in which it came."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seldom = TokenBucket(OFTEN, BURST, 0.0)  # full, whatever the clock shows
        self._gathers = False
        self._waiting: list[Callable[[], None]] = []

    @property
    def crowded(self) -> bool:
        """Whether somebody waits."""
        return bool(self._waiting)

    def take_place(self) -> bool:
        """Let one go on now if few have come; return whether that was so."""
        return not self._gathers and self._seldom.take(self._clock.time())

    def wait(self, go_on: Callable[[], None]) -> None:
        """Call this together with the others."""
        self._waiting.append(go_on)
        if not self._gathers:
            self._gather()

    def _gather(self) -> None:
        self._gathers = True
        self._clock.call_at(self._clock.time() + GATHER, self._let_go_on)

    def _let_go_on(self) -> None:
        waiting, self._waiting = self._waiting, []
        for go_on in waiting:
            try:
                go_on()
            except Exception:  # what goes wrong with one is nothing to the others
                logger.exception("one of many could not go on")
        self._gathers = False
        if len(waiting) >= SEVERAL:
            self._gather()
