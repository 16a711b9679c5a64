"""Which user a session belongs to, and what a session is called outside it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib import auth
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

TOUCH_KEY = "_whosonline_touch"
"""In a session: until when, in seconds since 1970, a login touch of it may stand."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """A logged-in user, as a session tells."""

    user: Any
    session_key: str
    touched_until: float


def session_name(session_key: str) -> str:
    """Return a name for a session that gives nobody the session: it goes into logs and stores."""
    return salted_hmac("whosonline.session", session_key, algorithm="sha256").hexdigest()[:24]


@cache
def _read_only_session(engine: str) -> Any:
    """Return the engine's session class, made unable to end or to rename a session.

    Django's get_user does both: it ends a session whose password has changed, and gives one that was signed
    with an old SECRET_KEY a new key. A socket cannot set the cookie that would have to follow.
    """

    base = import_module(engine).SessionStore

    class ReadOnlySession(base):  # type: ignore[misc, valid-type]
        def flush(self) -> None:
            self.clear()

        def cycle_key(self) -> None:
            pass

    # Django signs a session with the name of its class.
    ReadOnlySession.__qualname__ = base.__qualname__
    return ReadOnlySession


def visitor_of(session_key: str | None) -> Visitor | None:
    """Return who a session key belongs to; None if nobody (any more).

    Reads the database, and writes nothing.
    """
    if not session_key:
        return None
    request = HttpRequest()
    request.session = _read_only_session(settings.SESSION_ENGINE)(session_key)
    # Also refuses a session from before a change of password.
    user = auth.get_user(request)
    if not user.is_authenticated or not user.is_active:
        return None
    return Visitor(user, session_key, request.session.get(TOUCH_KEY, 0.0))
