"""Who comes after whom: the name order of a room, kept while people come and go."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from typing import NamedTuple

Place = tuple[str, str]
"""(name key, user): what the name order goes by."""

AFTER_ALL_IDS = "\U0010ffff"
"""Sorts behind every user id, so that (key, AFTER_ALL_IDS) is the place just behind a key."""

LONGEST_PART = 1_000
"""Places. In one list of 100,000 each coming and going would move 400 KB on the average."""


def place_after(key: str | None) -> Place:
    """Return the place at which a page begins that holds what comes after this name key."""
    return ("", "") if key is None else (key, AFTER_ALL_IDS)


class _Parts(NamedTuple):
    """Lists of places in order. Which part a place belongs to is told without a look into any of them."""

    begins: list[Place]
    """Of each part a place that comes after all in the part before, and after none of its own. That of the
    first says nothing: there may be places before it."""
    places: list[list[Place]]

    def of(self, place: Place) -> int:
        """Return the number of the part that a place is in, or belongs to."""
        return max(0, bisect_right(self.begins, place) - 1)

    def replaced(self, number: int, *by: list[Place]) -> _Parts:
        """Return these with other parts, all of which hold something, instead of one."""
        begins, places = self.begins.copy(), self.places.copy()
        begins[number : number + 1] = [part[0] for part in by]
        places[number : number + 1] = by
        return _Parts(begins, places)


class Order:
    """Places in order, in parts of which none is empty. Parts that become short are not joined.

    Threads may read beside the one that changes it: parts are made and dropped by other lists of them that
    replace the old ones whole. What spans two parts may be of two moments: one place twice, under two keys.

    Args:
        places: In order.
    """

    __slots__ = ("_parts",)

    def __init__(self, places: Sequence[Place] = ()) -> None:
        size = LONGEST_PART // 2
        parts = [list(places[start : start + size]) for start in range(0, len(places), size)]
        self._parts = _Parts([part[0] for part in parts], parts)

    def add(self, place: Place) -> None:
        """Take in a place that is not there."""
        parts = self._parts
        if not parts.places:
            self._parts = _Parts([place], [[place]])
            return
        number = parts.of(place)
        part = parts.places[number]
        insort(part, place)
        if len(part) > LONGEST_PART:
            half = len(part) // 2
            self._parts = parts.replaced(number, part[:half], part[half:])

    def remove(self, place: Place) -> None:
        """Take out a place that is there."""
        parts = self._parts
        number = parts.of(place)
        part = parts.places[number]
        if len(part) > 1:
            del part[bisect_left(part, place)]
        else:
            self._parts = parts.replaced(number)

    def after(self, place: Place, limit: int) -> list[Place]:
        """Return up to `limit` places that come after one, which need not be there."""
        parts, found = self._parts, list[Place]()
        for part in parts.places[parts.of(place) :]:
            # In all but the first it is before all.
            start = bisect_right(part, place)
            found += part[start : start + limit - len(found)]
            if len(found) >= limit:
                break
        return found

    def before(self, place: Place, limit: int) -> list[Place]:
        """Return up to `limit` places, in order, that come just before one, which need not be there."""
        parts, found = self._parts, list[Place]()
        for part in reversed(parts.places[: parts.of(place) + 1]):
            # In all but the last it is behind all.
            end = bisect_left(part, place)
            found[:0] = part[max(0, end - (limit - len(found))) : end]
            if len(found) >= limit:
                break
        return found
