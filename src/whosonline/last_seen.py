"""Reading and writing when users were last seen, in batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db import models

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
    keys = to_keys(times)
    for start in range(0, len(keys), BATCH):
        batch = keys[start : start + BATCH]
        # Users may have been deleted since; and what another process wrote may be later.
        # In one order everywhere: else two processes that write the same rows might each wait for the other.
        users = get_user_model()._default_manager.filter(pk__in=batch).order_by("pk")
        existing = list(users.values_list("pk", flat=True))
        known = load([str(key) for key in batch])
        rows = []
        for key in existing:
            at = datetime.fromtimestamp(times[str(key)], UTC)
            if str(key) not in known or known[str(key)] < at:
                rows.append(LastSeen(user_id=key, at=at))
        LastSeen.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["user"], update_fields=["at"]
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
