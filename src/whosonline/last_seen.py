"""Reading and writing when users were last seen, in batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connections, models, router, transaction

from .models import LastSeen

BATCH = 500
"""Users a query; well below what any database allows as parameters."""


def load(users: Iterable[str]) -> dict[str, datetime]:
    """Return when users were last seen; nothing for those who never were, or do not exist."""
    keys = to_keys(users)
    found = {}
    for start in range(0, len(keys), BATCH):
        rows = LastSeen.objects.filter(user__in=keys[start : start + BATCH])
        found.update({str(user): at for user, at in rows.values_list("user_id", "at")})
    return found


def save(times: Mapping[str, int]) -> None:
    """Write down when users were last seen, in seconds since 1970. A later time always wins."""
    # By time: however long they were gathered, each second is in few batches.
    keys = sorted(to_keys(times), key=lambda key: times[str(key)])
    for start in range(0, len(keys), BATCH):
        _save({key: times[str(key)] for key in keys[start : start + BATCH]})


def _save(times: Mapping[Any, int]) -> None:
    """Save those of a batch, by primary key."""
    # Nearly all have a row, and their times are few.
    if _renew(times) < len(times):
        _add(times)
        _renew(times)  # what another process has added meanwhile may be older


def _renew(times: Mapping[Any, int]) -> int:
    """Write times into the rows that are there and older; return how many those were.

    One statement for each second. Where the database locks rows that are asked for, they are locked first.
    """
    users_at: dict[int, list[Any]] = {}
    for key, at in times.items():
        users_at.setdefault(at, []).append(key)
    return sum(_renew_at(datetime.fromtimestamp(at, UTC), users) for at, users in users_at.items())


def _renew_at(at: datetime, users: list[Any]) -> int:
    using = router.db_for_write(LastSeen)
    everybody = LastSeen.objects.using(using)
    older = everybody.filter(user__in=users, at__lt=at)
    if not connections[using].features.has_select_for_update:
        return older.update(at=at)
    with transaction.atomic(using=using):
        # In one order everywhere: else two processes that write the same rows might each wait for the other.
        locked = list(older.select_for_update().order_by("pk").values_list("pk", flat=True))
        return everybody.filter(pk__in=locked).update(at=at)


def _add(times: Mapping[Any, int]) -> None:
    """Make the rows that are not there. Users may have been deleted since; others may make them meanwhile."""
    rows = LastSeen.objects.using(router.db_for_write(LastSeen))
    known = set(rows.filter(user__in=list(times)).values_list("user_id", flat=True))
    # In one order everywhere, so that two processes do not wait for each other.
    users = get_user_model()._default_manager.filter(pk__in=times.keys() - known).order_by("pk")
    missing = users.values_list("pk", flat=True)
    rows.bulk_create(
        [LastSeen(user_id=key, at=datetime.fromtimestamp(times[key], UTC)) for key in missing],
        ignore_conflicts=True,
    )


def to_keys(users: Iterable[str]) -> list[Any]:
    """Return the primary keys that these ids stand for; ids that can stand for none are left out."""
    field: models.Field = get_user_model()._meta.pk
    keys = []
    for user in users:
        try:
            key = field.to_python(user)
        except Exception:  # ValidationError, or whatever a custom field raises: it is nobody's id
            continue
        # Only the plain spelling is an id: "07" or " 7" must not stand for user 7.
        if str(key) == user and _storable(key):
            keys.append(key)
    return keys


def _storable(key: object) -> bool:
    """Return whether the database can compare with this: PostgreSQL refuses NUL, SQLite more than 64 bits."""
    if isinstance(key, str):
        return "\0" not in key
    return not isinstance(key, int) or -(2**63) <= key < 2**63
