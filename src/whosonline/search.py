"""Searching the list of all users in the database, by the words that :mod:`whosonline.words` keeps there.

A query finds whoever has a word that begins with it, and all such words are one range of one index.
"""

from __future__ import annotations

from typing import Any

from .core.search import fold
from .models import SearchWord

LAST = "\U0010ffff"
"""The last of all letters, by code point."""

FIRST_SURROGATE, BEHIND_SURROGATES = "\ud800", "\ue000"


def places(
    query: str, after: str | None = None, until: str | None = None, limit: int = 100
) -> list[tuple[str, Any]]:
    """Return name key and primary key of up to `limit` users whom a query finds: after < name key <= until."""
    words = _words(query)
    if after is not None:
        words = words.filter(key__gt=after)
    if until is not None:
        words = words.filter(key__lte=until)
    return list(words.order_by("key", "user_id")[:limit])


def places_before(query: str, before: str, limit: int = 100) -> list[tuple[str, Any]]:
    """Return name key and primary key of the up to `limit` found users that come just before a name key."""
    words = _words(query).filter(key__lt=before).order_by("-key", "-user_id")
    return list(words[:limit])[::-1]


def anybody(query: str, limit: int) -> list[Any]:
    """Return the primary keys of up to `limit` users whom a query finds, in no particular order."""
    return list(_range(query).values_list("user_id", flat=True).distinct()[:limit])


def _words(query: str) -> Any:
    # A user may be found by several words.
    return _range(query).values_list("key", "user_id").distinct()


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
