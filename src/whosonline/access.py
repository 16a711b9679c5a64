"""Who may see whom: the site's own rule, where it has one. docs/access.md shows how to write it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache
from inspect import iscoroutinefunction
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model
from django.utils.module_loading import import_string

from .conf import get_settings
from .hub.access import Access
from .hub.sights import TOGETHER
from .last_seen import to_keys

logger = logging.getLogger(__name__)

TRUSTED: Any = object()
"""In place of a viewer: code that may know everything, and shows nobody what they may not see."""


class AccessPolicy:
    """What people may know of each other: all who are logged in and active see each other.

    A project derives its own and names it in ``WHOSONLINE["ACCESS_POLICY"]``. Each method may be ``def`` (it
    is called in a thread, and may use the database) or ``async def``. One that is not overridden is never
    called. One that raises is taken to say no, for now: that is logged, and it is asked again.

    An answer is used until the connection is looked up again (``WHOSONLINE["RECHECK"]``), or
    :func:`whosonline.presence.sight_changed` was called.
    """

    def may_connect(self, user: Any) -> bool:
        """Return whether a user, given as the model's instance, may have a socket at all.

        Asked at each handshake and look-up. Who may not is closed with 4403.
        """
        return True

    def visible(self, viewer: str, ids: Collection[str]) -> Collection[str]:
        """Return those of the users whom a viewer may see; all are primary keys as texts.

        At most 500 are asked about at once: answer with one query. Nobody asks about the viewer, who is seen.
        Who may not be seen is answered like an id that nobody has. With a rule of one's own nobody is told
        how many are online.
        """
        return ids

    def may_enter(self, user: str, room: str) -> bool:
        """Return whether a user, by primary key as a text, may enter a room; ``site`` is not asked about.

        Who may not is told the error ``not_allowed``.
        """
        return True

    def may_watch(self, user: str, room: str) -> bool:
        """Return whether a user, by primary key as a text, may look who is in a room.

        To whom may not, the room is an empty one. Who is looked at in it has to be visible besides.
        """
        return True


@cache
def _made(path: str) -> AccessPolicy:
    try:
        policy_class = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"WHOSONLINE['ACCESS_POLICY']: {error}") from None
    if not (isinstance(policy_class, type) and issubclass(policy_class, AccessPolicy)):
        raise ImproperlyConfigured(
            f"WHOSONLINE['ACCESS_POLICY'] must name a class derived from {AccessPolicy.__module__}."
            f"{AccessPolicy.__name__}; {path!r} is {policy_class!r}"
        )
    return policy_class()


def get_policy() -> AccessPolicy:
    """Return the project's policy. Raises ImproperlyConfigured."""
    return _made(get_settings().access_policy)


def restricts(method: str) -> bool:
    """Return whether the project's policy has a method of its own."""
    return getattr(type(get_policy()), method) is not getattr(AccessPolicy, method)


def questions(in_thread: Callable[[Any], Any]) -> Access:
    """Return what the hub has to ask.

    Args:
        in_thread: Makes a coroutine function of a synchronous one.
    """

    def ask(name: str) -> Any:
        if not restricts(name):
            return None
        method = getattr(get_policy(), name)
        if name == "visible":
            method = _keys_seen(method)
        return method if iscoroutinefunction(method) else in_thread(method)

    return Access(ask("visible"), ask("may_enter"), ask("may_watch"))


def may_connect(user: Any) -> bool | None:
    """Return whether a user may have a socket; None if the policy cannot say. Not called in a loop."""
    if not restricts("may_connect"):
        return True
    try:
        return bool(_at_once(get_policy().may_connect)(user))
    except Exception:
        logger.exception("the access policy could not say whether a user may connect")
        return None


def key_of(user: Any) -> Any:
    """Return the primary key of a user, who is given so or as the primary key in any type.

    None of somebody who is not logged in. Raises TypeError for an instance of another model.
    """
    if getattr(user, "is_anonymous", False):
        return None
    if not isinstance(user, Model):
        return user
    if not isinstance(user, get_user_model()):
        raise TypeError(f"{user!r} is no user, but a {type(user).__name__}")
    return user.pk


def id_of(user: object) -> str:
    """Return the primary key of a user as a text, given as for :func:`key_of`."""
    # As a text a user is the username, which may be another's key.
    return str(key_of(user))


def seen_by(viewer: object, ids: Iterable[str]) -> set[str]:
    """Return those of the users, by primary key as a text, whom a viewer may see.

    Args:
        viewer: A user, or a primary key in any type. None, as of somebody who is not logged in, sees nobody
            where the policy has a rule of its own.
    """
    ids = list(ids)
    if viewer is TRUSTED or not restricts("visible"):
        return set(ids)
    key = key_of(viewer)
    if key is None:
        return set()
    me = str(key)
    others = [id for id in ids if id != me]
    seen = {me}
    for start in range(0, len(others), TOGETHER):
        seen.update(_seen(me, others[start : start + TOGETHER]))
    return seen.intersection(ids)


def may_watch(viewer: object, room: str) -> bool:
    """Return whether a viewer, a user or a primary key in any type, may look who is in a room."""
    if viewer is TRUSTED or not restricts("may_watch"):
        return True
    key = key_of(viewer)
    if key is None:
        return False
    try:
        return bool(_at_once(get_policy().may_watch)(str(key), room))
    except Exception:
        logger.exception("the access policy could not say who may look into a room; nobody may for now")
        return False


def limits_sight(viewer: object) -> bool:
    """Return whether there may be somebody whom a viewer may not see."""
    return viewer is not TRUSTED and restricts("visible")


def _seen(viewer: str, ids: list[str]) -> Iterator[str]:
    try:
        yield from _at_once(_keys_seen(get_policy().visible))(viewer, ids)
    except Exception:
        logger.exception("the access policy could not say whom a user may see; nobody is shown")


def _keys_seen(visible: Any) -> Any:
    """Return a policy's method, made to answer with the keys themselves: where it runs a query may be put."""
    if iscoroutinefunction(visible):

        async def seen_async(viewer: str, ids: list[str]) -> set[str]:
            keys = _possible(ids)
            return _keys(await visible(viewer, keys)) if keys else set()

        return seen_async

    def seen(viewer: str, ids: list[str]) -> set[str]:
        keys = _possible(ids)
        return _keys(visible(viewer, keys)) if keys else set()

    return seen


def _possible(ids: Iterable[str]) -> list[str]:
    """Return the ids that can be somebody's: a client may send any text, and a query would fail on some."""
    return [str(key) for key in to_keys(ids)]


def _keys(answer: Any) -> set[str]:
    """Return the primary keys of a policy's answer as texts; it may be a query, not yet put."""
    answer = list(answer) if not isinstance(answer, str) else [answer]
    if any(isinstance(each, Model) for each in answer):
        # As a text a user is the username, which may be another's key.
        raise TypeError("visible() returns primary keys, not model instances")
    return {str(each) for each in answer}


def _at_once(method: Any) -> Any:
    return async_to_sync(method) if iscoroutinefunction(method) else method
