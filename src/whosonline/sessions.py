"""Which user a session belongs to, and what a session is called outside it."""

from __future__ import annotations

from dataclasses import dataclass
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


def visitor_of(session_key: str | None) -> Visitor | None:
    """Return who a session key belongs to; None if nobody (any more). Reads the database."""
    if not session_key:
        return None
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    # Also refuses a session from before a change of password.
    user = auth.get_user(request)
    if not user.is_authenticated or not user.is_active:
        return None
    return Visitor(user, session_key, request.session.get(TOUCH_KEY, 0.0))
