"""Who comes after whom: the name order of a room, kept while people come and go."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from threading import Lock

Place = tuple[str, str]
"""(name key, user): what the name order goes by."""

AFTER_ALL_IDS = "\U0010ffff"
"""Sorts behind every user id, so that (key, AFTER_ALL_IDS) is the place just behind a key."""

LONGEST_PART = 1_000
"""Places. In one list of 100,000 each coming and going would move 400 KB on the average."""

MOST_NOTES = 400
"""Comings and goings that are settled at once: some 2 ms of the loop where nothing is cached."""


def place_after(key: str | None) -> Place:
    """Return the place at which a page begins that holds what comes after this name key."""
    return ("", "") if key is None else (key, AFTER_ALL_IDS)


class Order:
    """Places in order. Who comes and goes is noted, and settled when somebody reads, or many are noted.

    To find a place among 100,000 is to compare strings that no processor cache holds. Of places that are
    settled together many comparisons are the same, and who came and went again costs none.

    Threads may read beside the one that changes it: what they get is of one moment, after they began. Only
    who holds the lock looks into the parts, or changes them. The notes are not guarded by it, so that who
    changes something never waits for who reads: each step with them is one that no thread can interrupt.

    To add a place that is there, or to remove one that is not, changes nothing. But the opposite, if it
    follows before that is settled, then changes nothing either.

    Args:
        places: In order.
    """

    __slots__ = ("_begins", "_lock", "_notes", "_parts")

    def __init__(self, places: Sequence[Place] = ()) -> None:
        self._notes: dict[Place, bool] = {}
        """What is not settled yet: whether a place is to be there."""
        self._lock = Lock()
        self._parts = _cut(places)
        """Lists of places in order: none is long, and none empty, unless it is the only one. Parts that
        become short are not joined."""
        self._begins = [part[0] for part in self._parts[1:]]
        """Of each part but the first a place that comes after all in the part before, and after none of its
        own: which part a place belongs to is told without a look into any of them."""

    def add(self, place: Place) -> None:
        """Take in a place that is not there."""
        self._note(place, True)

    def remove(self, place: Place) -> None:
        """Take out a place that is there."""
        self._note(place, False)

    def after(self, place: Place, limit: int) -> list[Place]:
        """Return up to `limit` places that come after one, which need not be there."""
        found = list[Place]()
        with self._lock:
            self._settle()
            for part in self._parts[bisect_right(self._begins, place) :]:
                # In all but the first it is before all.
                start = bisect_right(part, place)
                found += part[start : start + limit - len(found)]
                if len(found) >= limit:
                    break
        return found

    def before(self, place: Place, limit: int) -> list[Place]:
        """Return up to `limit` places, in order, that come just before one, which need not be there."""
        found = list[Place]()
        with self._lock:
            self._settle()
            for part in reversed(self._parts[: bisect_right(self._begins, place) + 1]):
                # In all but the last it is behind all.
                end = bisect_left(part, place)
                found[:0] = part[max(0, end - (limit - len(found))) : end]
                if len(found) >= limit:
                    break
        return found

    def _note(self, place: Place, there: bool) -> None:
        if self._notes.pop(place, there) is not there:
            return  # The opposite was noted, and is not settled: now neither need be.
        self._notes[place] = there
        # Beside one who reads: the next change tries again.
        if len(self._notes) > MOST_NOTES and self._lock.acquire(blocking=False):
            try:
                self._settle()
            finally:
                self._lock.release()

    def _settle(self) -> None:
        """Bring the parts up to date. The caller holds the lock."""
        notes = self._taken()
        places = sorted(notes)
        # From the last part to the first: what becomes of one does not change the numbers of those to come.
        while places:
            number = bisect_right(self._begins, places[-1])
            first = bisect_left(places, self._begins[number - 1]) if number else 0
            self._change(number, places[first:], notes)
            del places[first:]

    def _taken(self) -> dict[Place, bool]:
        """Take all notes away and return them."""
        taken: dict[Place, bool] = {}
        # Not as long as there are any: the last may be taken back just after that was asked.
        try:
            while True:
                place, there = self._notes.popitem()
                # Of a place that was noted anew meanwhile the note that is taken later is the newer one.
                taken[place] = there
        except KeyError:
            return taken

    def _change(self, number: int, places: list[Place], notes: dict[Place, bool]) -> None:
        """Settle the notes of places, in order, that belong to one part."""
        part, at = self._parts[number], 0
        for place in places:
            at = bisect_left(part, place, at)
            is_there = at < len(part) and part[at] == place
            if notes[place] and not is_there:
                part.insert(at, place)
            elif is_there and not notes[place]:
                del part[at]
        if len(part) > LONGEST_PART:
            pieces = _cut(part)
            self._parts[number : number + 1] = pieces
            self._begins[number:number] = [piece[0] for piece in pieces[1:]]
        elif not part and self._begins:
            del self._parts[number], self._begins[max(0, number - 1)]


def _cut(places: Sequence[Place]) -> list[list[Place]]:
    """Cut places into parts of about half the greatest length."""
    count = max(1, 2 * len(places) // LONGEST_PART)
    size = max(1, -(-len(places) // count))
    return [list(places[start : start + size]) for start in range(0, len(places), size)] or [[]]
