"""Whether the store answers a node, by what the node's loops meet; and how often that is worth a line.

A node talks with the store in several loops. The store is *away* from the first call that fails until every
loop that has failed since has had an answer of its own:

- Only an answer counts. A loop that is about to ask again knows nothing; one that has nothing to ask any more
  is as good as answered.
- An answer to one loop says nothing of another: a full Redis answers who reads, and refuses who writes.

A failure may be this process's own: where thousands of sockets come or go at once, answers lie unread until
they seem to be late. Who was held up, and had no answer in time, asks once more before that counts; otherwise
the resume tokens of those very sockets would not be believed.

So while nothing answers nobody is told that all is well, whenever the loops try. And it is not said before
what each of them asks for is there: for the one that follows the log its place in it, or else a snapshot.
"""

from __future__ import annotations

from enum import Enum, auto

REMIND_AFTER = 60.0
"""Seconds after which it is said again that the store is away."""


class News(Enum):
    """What a failure is worth saying."""

    AWAY = auto()
    """The store was there before."""
    STILL_AWAY = auto()
    """Nothing was said of it for a while."""


class Health:
    """What the loops of one node have met of late."""

    def __init__(self) -> None:
        # Loops whose last call failed, with how many in a row.
        self._failing: dict[str, int] = {}
        self._excused: set[str] = set()
        self._away_since = 0.0
        self._said_at = 0.0

    def excuses(self, loop: str, held_up: bool) -> bool:
        """Return whether a call that failed is to be made again before it counts, and note it if so."""
        if not held_up or self._failing or loop in self._excused:
            return False
        self._excused.add(loop)
        return True

    def failed(self, loop: str, now: float) -> News | None:
        """Note that a call failed; return what is to be said of it, if anything is."""
        before = self.away
        self._failing[loop] = self._failing.get(loop, 0) + 1
        if not before:
            self._away_since = self._said_at = now
            return News.AWAY
        if now - self._said_at >= REMIND_AFTER:
            self._said_at = now
            return News.STILL_AWAY
        return None

    def answered(self, loop: str, now: float) -> float | None:
        """Note that a call was answered; if the store is back by it, return for how long it was away."""
        self._excused.discard(loop)
        if self._failing.pop(loop, None) is None or self._failing:
            return None
        return self.lasted(now)

    @property
    def away(self) -> bool:
        """Whether the store is."""
        return bool(self._failing)

    def failures(self, loop: str) -> int:
        """Return how many calls of a loop have failed in a row."""
        return self._failing.get(loop, 0)

    def lasted(self, now: float) -> float:
        """Return for how many seconds the store has been away."""
        return now - self._away_since
