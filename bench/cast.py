"""Who is in a measurement, and what each looks at: numbers of people, in name order."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import NamedTuple

from .accounts import Account
from .frames import masked
from .sights import View

ROWS = 50
"""Users on the page that a person looks at."""

WATCHED = 500
"""Users that an observer looks at: the most that a connection may."""

NEWCOMERS = 100
"""People who come one by one."""

OF_THE_PEOPLE = 13
"""One in so many only visits."""


class Cast(NamedTuple):
    residents: list[int]
    """Who is connected all the time."""
    visitors: list[int]
    """Who comes and goes: spread over the name order, between the residents."""
    observers: list[int]
    """Who, together, look at every resident."""
    newcomers: list[int]

    @property
    def total(self) -> int:
        return self.newcomers[-1] + 1


def make_cast(residents: int) -> Cast:
    people = residents + (residents - 1) // (OF_THE_PEOPLE - 1)
    visiting = range(OF_THE_PEOPLE - 1, people, OF_THE_PEOPLE)
    staying = [number for number in range(people) if number % OF_THE_PEOPLE != OF_THE_PEOPLE - 1]
    observers = range(people, people + math.ceil(len(staying) / WATCHED))
    newcomers = range(observers.stop, observers.stop + NEWCOMERS)
    return Cast(staying, list(visiting), list(observers), list(newcomers))


def name_key(number: int) -> str:
    return f"bench-{number:06}"


def list_view(accounts: Sequence[Account], numbers: Sequence[int], counted: Sequence[int] = ()) -> View:
    """Return what a page of the list looks at: its users, and its part of the list.

    Args:
        numbers: The people on the page, one after the other.
        counted: Those whose every change has to be seen.
    """
    users = [accounts[number].user for number in numbers]
    after = name_key(numbers[0] - 1) if numbers[0] else None
    part = {"after": after, "until": name_key(numbers[-1])}
    return View(
        greeting({"directory": part}, {"users": users}),
        {accounts[number].user: place for place, number in enumerate(counted)},
        list(counted),
    )


def users_view(accounts: Sequence[Account], numbers: Sequence[int]) -> View:
    """Return the view of somebody who looks at these people, and whose every sight counts."""
    places = {accounts[number].user: place for place, number in enumerate(numbers)}
    return View(greeting({"users": list(places)}), places, list(numbers))


def greeting(*watches: dict[str, object]) -> bytes:
    """Return what is said to watch all of these."""
    return b"".join(masked(json.dumps({"type": "watch"} | watch).encode()) for watch in watches)


def page_of(number: int, pages: int) -> int:
    """Return which page a person looks at: another than the one that the person is on.

    As many look at each page, and neighbours look at the same, so that they are on all servers.
    """
    return (number // ROWS + pages // 2) % pages
