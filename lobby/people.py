"""The two lists of people: everybody, and who is online now. Both are cut by name key, never by number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from whosonline import directory, presence
from whosonline.core.search import matches
from whosonline.core.statuses import Status
from whosonline.presence import Online

Person = TypeVar("Person")


class Stretch(NamedTuple):
    """A part of a list: who comes after one name key, up to another."""

    people: list[Any]
    after: str | None
    """The key just before the first of them, so that whoever comes anew is in exactly one part; None: there is none."""
    until: str | None
    """The last one's key; None if nobody comes after."""


class Source(Generic[Person]):
    """Where a list comes from."""

    def __init__(
        self,
        after: Callable[[str | None, int], list[Person]],
        before: Callable[[str, int], list[Person]],
        key: Callable[[Person], str],
    ) -> None:
        self._after = after
        self._before = before
        self._key = key

    def after(self, key: str | None, limit: int) -> Stretch:
        """Return up to `limit` people after a name key, or from the beginning."""
        people = self._after(key, limit + 1)
        more = len(people) > limit
        del people[limit:]
        before = self._before(self._key(people[0]), 1) if people and key else []
        return Stretch(people, self._only_key(before), self._key(people[-1]) if more else None)

    def before(self, key: str, limit: int) -> Stretch:
        """Return the up to `limit` people who come just before a name key."""
        people = self._before(key, limit + 1)
        first = people[:-limit]
        del people[:-limit]
        last = self._key(people[-1]) if people else key
        return Stretch(people, self._only_key(first), last if self._after(last, 1) else None)

    def _only_key(self, people: list[Person]) -> str | None:
        return self._key(people[0]) if people else None


def everyone(query: str) -> Source[Any]:
    """Return the list of all users whom a query finds; all, if it is empty."""
    return Source(
        lambda after, limit: list(directory.page(after, limit=limit, query=query)),
        lambda before, limit: list(directory.page_before(before, limit, query)),
        directory.name_key,
    )


def online_now(query: str, visitor: Any) -> Source[Online]:
    """Return who is online or away, the visitor too: the socket of the page that is asked for opens in a moment."""
    me = Online(str(visitor.pk), directory.profile(visitor), Status.ONLINE)
    found = matches(me.profile, query)

    def with_me(people: list[Online], here: bool) -> list[Online]:
        others = [person for person in people if person.user != me.user]
        return sorted([*others, me] if found and here else others, key=_place)

    def after(key: str | None, limit: int) -> list[Online]:
        people = presence.online(key, limit, query)
        return with_me(people, here=key is None or me.profile.key > key)[:limit]

    def before(key: str, limit: int) -> list[Online]:
        people = presence.online_before(key, limit, query)
        return with_me(people, here=me.profile.key < key)[-limit:]

    return Source(after, before, lambda person: person.profile.key)


def _place(person: Online) -> tuple[str, str]:
    return person.profile.key, person.user
