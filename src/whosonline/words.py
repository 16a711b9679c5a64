"""Keeping the words by which users are found: those of each user in the list, and of nobody else.

A word is the rest of a name from the beginning of one of its words on, as searches compare it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connections, models, router, transaction

from . import directory
from .core.entries import Profile
from .core.search import tails
from .models import LONGEST_KEY, SearchWord

BATCH = 500
"""Users whose words are written in one transaction."""


def write(user: Any, profile: Profile | None, using: str) -> None:
    """Replace the words of a user, by primary key; without a profile nothing finds the user any more."""
    write_all({user: profile}, using)


def reindex(using: str | None = None) -> Iterator[int]:
    """Write the words of all users anew; yield after each batch how many users it had.

    Searches go on meanwhile.
    """
    using = using or router.db_for_write(SearchWord)
    everybody = get_user_model()._base_manager.using(using).order_by("pk")
    users = _rewrite(everybody, using)
    while users:
        yield len(users)
        users = _rewrite(everybody.filter(pk__gt=users[-1].pk), using)


def _rewrite(users: models.QuerySet[Any], using: str) -> list[Any]:
    """Write the words of the first of some users anew, listed or not; return who they were."""
    features = connections[using].features
    locks = features.has_select_for_update and features.supports_select_for_update_with_limit
    # Who is being renamed is waited for, and who wants to be waits: no name that is gone gets words. Without
    # locks of rows it is read before the transaction: SQLite gives up one that reads, and then has to wait.
    # Rows that refer to them may come meanwhile, where the database can tell.
    no_key = features.has_select_for_no_key_update
    with transaction.atomic(using=using) if locks else nullcontext():
        batch = list((users.select_for_update(no_key=no_key) if locks else users)[:BATCH])
        write_all(
            {user.pk: directory.profile(user) if directory.is_listed(user) else None for user in batch}, using
        )
    return batch


def write_all(profiles: dict[Any, Profile | None], using: str) -> None:
    """Replace the words of many users, by primary key."""
    words = SearchWord.objects.using(using)
    with transaction.atomic(using=using):
        words.filter(user__in=list(profiles)).delete()
        words.bulk_create(_words_of(profiles), batch_size=BATCH)


def _words_of(profiles: dict[Any, Profile | None]) -> Iterable[SearchWord]:
    return [
        SearchWord(user_id=user, word=word, key=profile.key[:LONGEST_KEY])
        for user, profile in profiles.items()
        if profile is not None
        for word in sorted(tails(profile))
    ]
