"""The list of all users: who is in it, under which names, in which order.

Name order is by code point of the name key (the username). That is how Python compares texts, how SQLite
does, and PostgreSQL under the collation "C"; so a page from here and a window in memory agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db import connections, models
from django.db.models.functions import Collate

from . import access, search
from .access import TRUSTED
from .core.entries import Profile
from .hub.sights import MOST_READS
from .models import CODE_POINT_COLLATION


def name_key(user: Any) -> str:
    """Return the user's name key: the username."""
    return str(user.get_username())


def display_name(user: Any) -> str:
    """Return what the user is called: the full name, or else the username."""
    full_name = getattr(user, "get_full_name", str)()
    return full_name.strip() or name_key(user)


def profile(user: Any) -> Profile:
    """Return the user's names, as they go with every status."""
    return Profile(name_key(user), display_name(user))


def is_listed(user: Any) -> bool:
    """Return whether a user is in the list: the active ones are."""
    return bool(user.is_active)


def listed() -> models.QuerySet[Any]:
    """Return the users in the list, in name order."""
    model = get_user_model()
    users = model._default_manager.all()
    if any(field.name == "is_active" for field in model._meta.get_fields()):
        users = users.filter(is_active=True)
    collation = CODE_POINT_COLLATION.get(connections[users.db].vendor)
    key: Any = models.F(model.USERNAME_FIELD)
    users = users.annotate(_name_key=Collate(key, collation) if collation else key)
    return users.order_by("_name_key", "pk")


READ = 200
"""Users that are read at the least for a viewer who may not see all of them."""


def page(
    after: str | None = None,
    until: str | None = None,
    limit: int = 100,
    query: str = "",
    *,
    viewer: object = TRUSTED,
) -> list[AbstractBaseUser]:
    """Return up to `limit` users of the list, in name order: after < name key <= until.

    With a query only those whom it finds; for a viewer only those whom that user may see.
    """

    def read(start: Any, size: int) -> list[AbstractBaseUser]:
        return _page(after if start is None else start, until, size, query)

    return _seen(viewer, limit, read)


def page_before(
    before: str, limit: int = 100, query: str = "", *, viewer: object = TRUSTED
) -> list[AbstractBaseUser]:
    """Return the up to `limit` users that come just before a name key, in name order; see :func:`page`."""

    def read(start: Any, size: int) -> list[AbstractBaseUser]:
        return _page_before(before if start is None else start, size, query)[::-1]

    return _seen(viewer, limit, read)[::-1]


def holds_before(key: str, query: str = "", *, viewer: object = TRUSTED) -> bool:
    """Return whether anybody in the list (found by a query, seen by a viewer) comes before a name key."""
    if access.limits_sight(viewer):
        return bool(page_before(key, 1, query, viewer=viewer))
    if query:
        return search.finds_before(query, key)
    return listed().filter(_name_key__lt=key).order_by().exists()


def holds_after(key: str, query: str = "", *, viewer: object = TRUSTED) -> bool:
    """Return whether anybody in the list (found by a query, seen by a viewer) comes after a name key."""
    if access.limits_sight(viewer):
        return bool(page(key, limit=1, query=query, viewer=viewer))
    if query:
        return search.finds_after(query, key)
    return listed().filter(_name_key__gt=key).order_by().exists()


def _seen(
    viewer: object, limit: int, read: Callable[[str | None, int], list[AbstractBaseUser]]
) -> list[AbstractBaseUser]:
    """Return up to `limit` users whom a viewer may see; read on until there are so many."""
    if not access.limits_sight(viewer):
        return read(None, limit)
    found: list[AbstractBaseUser] = []
    start, size = None, max(limit, READ)
    for _ in range(MOST_READS):
        users = read(start, size)
        seen = access.seen_by(viewer, (str(user.pk) for user in users))
        found += [user for user in users if str(user.pk) in seen]
        if len(users) < size or len(found) >= limit:
            break
        start = name_key(users[-1])
    return found[:limit]


def _page(after: str | None, until: str | None, limit: int, query: str) -> list[AbstractBaseUser]:
    if query:
        return _users(search.places(query, after, until, limit))
    users = listed()
    if after is not None:
        users = users.filter(_name_key__gt=after)
    if until is not None:
        users = users.filter(_name_key__lte=until)
    return list(users[:limit])


def _page_before(before: str, limit: int, query: str) -> list[AbstractBaseUser]:
    if query:
        return _users(search.places_before(query, before, limit))
    users = listed().filter(_name_key__lt=before).order_by("-_name_key", "-pk")
    return list(users[:limit])[::-1]


def _users(places: Sequence[tuple[str, Any]]) -> list[AbstractBaseUser]:
    # By their primary keys, and put in order here: the database has nothing to choose the wrong way.
    found = {user.pk: user for user in listed().filter(pk__in=[pk for _, pk in places]).order_by()}
    return [found[pk] for _, pk in places if pk in found]
