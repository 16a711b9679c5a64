"""The two lists of people: everybody, and who is online now. Both are cut by name key, never by number."""

from __future__ import annotations

from abc import ABC, abstractmethod
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
    """Nobody comes between this key and the first of them; None: nobody comes before."""
    until: str | None
    """The last one's key; None if nobody comes after."""


class Source(ABC, Generic[Person]):
    """Where a list comes from."""

    def after(self, key: str | None, limit: int) -> Stretch:
        """Return up to `limit` people after a name key, or from the beginning."""
        people = self._after(key, limit + 1)
        until = self._key(people[limit - 1]) if len(people) > limit else None
        del people[limit:]
        after = key if key and people and self._holds_before(self._key(people[0])) else None
        return Stretch(people, after, until)

    def before(self, key: str, limit: int) -> Stretch:
        """Return the up to `limit` people who come just before a name key."""
        people = self._before(key, limit + 1)
        after = self._key(people[0]) if len(people) > limit else None
        del people[:-limit]
        last = self._key(people[-1]) if people else key
        return Stretch(people, after, last if self._holds_after(last) else None)

    @abstractmethod
    def _after(self, key: str | None, limit: int) -> list[Person]: ...

    @abstractmethod
    def _before(self, key: str, limit: int) -> list[Person]: ...

    @abstractmethod
    def _holds_before(self, key: str) -> bool: ...

    @abstractmethod
    def _holds_after(self, key: str) -> bool: ...

    @abstractmethod
    def _key(self, person: Person) -> str: ...


class Everyone(Source[Any]):
    """All users; with a query, those whom it finds.

    Args:
        viewer: The primary key of who looks.
    """

    def __init__(self, query: str, viewer: object) -> None:
        self._query = query
        self._viewer = viewer

    def _after(self, key: str | None, limit: int) -> list[Any]:
        return list(directory.page(key, limit=limit, query=self._query, viewer=self._viewer))

    def _before(self, key: str, limit: int) -> list[Any]:
        return list(directory.page_before(key, limit, self._query, viewer=self._viewer))

    def _holds_before(self, key: str) -> bool:
        return directory.holds_before(key, self._query, viewer=self._viewer)

    def _holds_after(self, key: str) -> bool:
        return directory.holds_after(key, self._query, viewer=self._viewer)

    def _key(self, person: Any) -> str:
        return directory.name_key(person)


class OnlineNow(Source[Online]):
    """Who is online or away, the visitor too: the socket of the page that is asked for opens in a moment.

    Args:
        visitor: None for somebody invisible.
        viewer: The primary key of who looks.
    """

    def __init__(self, query: str, visitor: Any, viewer: object) -> None:
        self._query = query
        self._viewer = viewer
        self._me: Online | None = None
        if visitor is not None and matches(directory.profile(visitor), query):
            self._me = Online(str(visitor.pk), directory.profile(visitor), Status.ONLINE)

    def _after(self, key: str | None, limit: int) -> list[Online]:
        people = presence.online(key, limit, self._query, viewer=self._viewer)
        return self._with_me(people, lambda mine: key is None or mine > key)[:limit]

    def _before(self, key: str, limit: int) -> list[Online]:
        people = presence.online_before(key, limit, self._query, viewer=self._viewer)
        return self._with_me(people, lambda mine: mine < key)[-limit:]

    def _holds_before(self, key: str) -> bool:
        return bool(self._before(key, 1))

    def _holds_after(self, key: str) -> bool:
        return bool(self._after(key, 1))

    def _key(self, person: Online) -> str:
        return person.profile.key

    def _with_me(self, people: list[Online], is_here: Callable[[str], bool]) -> list[Online]:
        if self._me is None:
            return people
        others = [person for person in people if person.user != self._me.user]
        mine = [self._me] if is_here(self._key(self._me)) else []
        return sorted(others + mine, key=lambda person: (person.profile.key, person.user))
