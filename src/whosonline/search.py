"""Searching the list of all users in the database, by the words that :mod:`whosonline.words` keeps there.

A query finds whoever has a word that begins with it, and all such words are one range of one index.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .core.search import fold
from .models import SearchWord

LAST = "\U0010ffff"
"""The last of all letters, by code point."""

FIRST_SURROGATE, BEHIND_SURROGATES = "\ud800", "\ue000"


def places(
    query: str, after: str | None = None, until: str | None = None, limit: int = 100
) -> list[tuple[str, Any]]:
    """Return name key and primary key of up to `limit` found users: after < name key <= until."""
    words = _range(query)
    if until is not None:
        words = words.filter(key__lte=until)
    words = words.order_by("key", "user_id")
    return _once_each(limit, after, lambda last: words if last is None else words.filter(key__gt=last))


def places_before(query: str, before: str, limit: int = 100) -> list[tuple[str, Any]]:
    """Return name key and primary key of the up to `limit` found users just before a name key."""
    words = _range(query).order_by("-key", "-user_id")
    return _once_each(limit, before, lambda last: words.filter(key__lt=last))[::-1]


def finds_before(query: str, key: str) -> bool:
    """Return whether a query finds anybody who comes before a name key."""
    return bool(_range(query).filter(key__lt=key).exists())


def finds_after(query: str, key: str) -> bool:
    """Return whether a query finds anybody who comes after a name key."""
    return bool(_range(query).filter(key__gt=key).exists())


def _once_each(
    limit: int, start: str | None, words_from: Callable[[str | None], Any]
) -> list[tuple[str, Any]]:
    """Return up to `limit` places, where a user may be found by several words.

    To leave out the repeats itself the database would have to remember all that it finds: maybe everybody.
    """
    found: dict[tuple[str, Any], None] = {}
    many = 2 * limit
    while True:
        rows = list(words_from(start).values_list("key", "user_id")[:many])
        found.update(dict.fromkeys(rows))
        if len(found) >= limit or len(rows) < many:
            return list(found)[:limit]
        start = rows[-1][0]


def _range(query: str) -> Any:
    first = fold(query)
    words = SearchWord.objects.filter(word__gte=first)
    behind = text_behind(first)
    return words if behind is None else words.filter(word__lt=behind)


def text_behind(prefix: str) -> str | None:
    """Return the first text, by code point, behind all that begin with a prefix; None if there is none."""
    prefix = prefix.rstrip(LAST)
    if not prefix:
        return None
    following = chr(ord(prefix[-1]) + 1)
    # Half a surrogate pair is no letter, and no database takes one.
    return prefix[:-1] + (BEHIND_SURROGATES if following == FIRST_SURROGATE else following)
