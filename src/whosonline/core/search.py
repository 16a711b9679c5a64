"""What a search finds: names that begin with the query, or have a word from which on they go on with it.

Every place that searches (the database's words, the live windows) goes by the functions here, so that a page
and what is told of it later agree.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from .entries import Profile

LONGEST = 100
"""Characters of a name, and of a query, that count. More would let one long name have very many words."""

# Folding leaves no control character in a text, so that these stand for nothing but themselves.
_WORD = "\n"
"""Stands before each word of a name."""
_END = "\t"
"""Stands between the names of a user."""

_ASCII_WORD = re.compile(r"(?<![a-z0-9])(?=[a-z0-9])|(?<= )(?=[^ ])|^")


def fold(text: str) -> str:
    """Return a text as it is compared: without case, of one spelling, and no longer than counts."""
    if text.isascii():
        text = text.lower()
    else:
        # Folding the case may undo the one spelling: twice is what Unicode's own definition does.
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    if not text.isprintable():
        text = "".join(" " if unicodedata.category(letter) == "Cc" else letter for letter in text)
    return " ".join(text.split())[:LONGEST]


def needle(query: str) -> str:
    """Return what :func:`haystack` holds of every user that a query finds."""
    return _mark(fold(query))


@lru_cache(maxsize=1024)
def haystack(profile: Profile) -> str:
    """Return a user's names as one text that holds the needle of every query which finds the user."""
    key = _mark(fold(profile.key))
    return key if profile.name == profile.key else f"{key}{_END}{_mark(fold(profile.name))}"


def matches(profile: Profile, query: str) -> bool:
    """Return whether a query finds a user.

    It does if a name of the user (the name key, the display name) begins with it, or goes on with it from
    the beginning of a word; case does not count. A blank query finds everybody.
    """
    return needle(query) in haystack(profile)


def tails(profile: Profile) -> set[str]:
    """Return the rest of a user's names from each word on.

    A query finds whoever has one that begins with it.
    """
    found: set[str] = set()
    for name in haystack(profile).split(_END):
        words = name.split(_WORD)[1:]
        found.update("".join(words[place:]) for place in range(len(words)))
    return found


def _mark(folded: str) -> str:
    """Put a sign before each word of a folded text.

    Whether a word begins at a place goes by the letters around it alone. So a query that is marked alike is
    found within a marked name exactly where the name goes on with it from the beginning of a word.
    """
    if folded.isascii():
        return _ASCII_WORD.sub(_WORD, folded)
    marked, before = [], ""
    for letter in folded:
        if _begins_word(before, letter):
            marked.append(_WORD)
        marked.append(letter)
        before = letter
    return "".join(marked)


def _begins_word(before: str, letter: str) -> bool:
    if before in ("", " "):
        return letter != " "
    return _is_of_word(letter) and not _is_of_word(before)


def _is_of_word(letter: str) -> bool:
    # Letters, the marks that belong to them, and digits.
    return unicodedata.category(letter)[0] in "LMN"
