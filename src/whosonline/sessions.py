"""Which users sessions belong to, read in batches, and what a session is called outside itself."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.backends import ModelBackend
from django.contrib.sessions.backends import cache as cache_engine
from django.contrib.sessions.backends import cached_db, db
from django.core.cache import caches
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from . import access, directory
from .core.entries import Cursor, Profile
from .macs import salted_digest
from .models import Invisible

TOUCH_KEY = "_whosonline_touch"
"""In a session: until when, in seconds since 1970, a login touch of it may stand."""

BATCH = 200
"""Sessions, or users, that one query asks for; well below what any database allows as parameters."""

NEVER = float("inf")

CACHE_LAG = 1.0
"""Seconds that a cache may keep a session beyond the end that its row tells."""

# Some caches refuse a question for the sake of one bad key in it, and PostgreSQL one with a NUL.
_PLAIN_KEY = re.compile(r"[!-~]{8,200}")


@dataclass(frozen=True, slots=True)
class Visitor:
    """A logged-in user, as a session tells."""

    user: str
    profile: Profile
    touched_until: float = 0.0
    """Seconds since 1970."""
    expires: float = NEVER
    """When the session ends by itself, in seconds since 1970, as far as its engine says."""
    invisible: bool = False
    """Whether the user wants to appear offline."""
    allowed: bool | None = True
    """Whether the access policy lets the user connect; None if it could not say."""
    looked_up: float = field(default_factory=time.time)
    """When this was so, in seconds since 1970."""
    returns: Cursor | None = None
    """If a resume token said so, which a page has that was connected before: its place in the log."""


@dataclass(frozen=True, slots=True)
class _Session:
    data: Mapping[str, Any]
    expires: float = NEVER


def session_name(session_key: str) -> str:
    """Return a name for a session that gives nobody the session: it goes into logs and stores."""
    return salted_digest("whosonline.session", session_key, settings.SECRET_KEY).hex()[:24]


def visitors_of(session_keys: Iterable[str]) -> dict[str, Visitor]:
    """Return who session keys belong to; those that are nobody's (any more) are left out.

    Reads the database, and writes nothing: three queries for each 200 sessions, where the sessions and the
    users are kept as Django keeps them; four with the engine cached_db.

    Raises:
        Exception: whatever the database or the cache raises.
    """
    keys = list(dict.fromkeys(key for key in session_keys if key))
    visitors: dict[str, Visitor] = {}
    for start in range(0, len(keys), BATCH):
        visitors.update(_visitors(_sessions(keys[start : start + BATCH])))
    return visitors


def _visitors(sessions: Mapping[str, _Session]) -> Iterator[tuple[str, Visitor]]:
    accounts = {key: _account(session.data) for key, session in sessions.items()}
    users = _users(accounts.values())
    keys = [user.pk for user in users.values()]
    allowed = cache(access.may_connect)  # once for each, of however many sessions
    hidden = set(Invisible.objects.filter(user__in=keys).values_list("pk", flat=True)) if keys else set()
    for key, session in sessions.items():
        user = users.get(accounts[key])
        if user is not None and user.is_active and _is_of(session.data, user):
            touched = session.data.get(TOUCH_KEY, 0.0)
            invisible = user.pk in hidden
            yield (
                key,
                Visitor(
                    str(user.pk),
                    directory.profile(user),
                    touched,
                    session.expires,
                    invisible,
                    allowed(user),
                ),
            )


class SessionsNotListed(Exception):
    """The engine keeps no list of its sessions, so one user's cannot be found."""


def end_all_of(user: object) -> int:
    """End all sessions of a user, by primary key; return how many there were.

    Their sockets close at once. Looks at every session there is: for an administrator's hand, not for a page.

    Raises:
        SessionsNotListed: sessions are not rows of the database (cache, file or cookie engine).
    """
    engine = session_engine()
    if not hasattr(engine, "get_model_class"):
        raise SessionsNotListed(f"{settings.SESSION_ENGINE} keeps no list of its sessions")
    living = engine.get_model_class().objects.filter(expire_date__gt=timezone.now())
    theirs = [
        row.session_key
        for row in living.iterator(chunk_size=1000)
        if row.get_decoded().get(auth.SESSION_KEY) == str(user)
    ]
    for key in theirs:
        engine(key).delete()  # the engine's own way, which clears its cache too
    return len(theirs)


def session_engine() -> Any:
    """Return the class of the site's sessions."""
    return import_module(settings.SESSION_ENGINE).SessionStore


def forget_cached(key: str) -> None:
    """Have the cache of the engine cached_db forget a session whose row is gone; it would let in still."""
    engine = session_engine()
    if issubclass(engine, cached_db.SessionStore):
        caches[settings.SESSION_CACHE_ALIAS].delete(engine.cache_key_prefix + key)


# Sessions


def _sessions(keys: list[str]) -> dict[str, _Session]:
    engine = session_engine()
    plain = [key for key in keys if _PLAIN_KEY.fullmatch(key)]
    # What a project's own engine does when it reads is its own affair: Django's ways alone are shortened.
    if engine.load is db.SessionStore.load:
        return _stored(engine, plain)
    if engine.load is cached_db.SessionStore.load:
        found = _ending(engine, _cached(engine, plain))
        return {**found, **_stored(engine, [key for key in plain if key not in found])}
    if engine.load is cache_engine.SessionStore.load:
        return _cached(engine, plain)
    return {key: _Session(dict(_read_only(settings.SESSION_ENGINE)(key).items())) for key in keys}


def _stored(engine: Any, keys: list[str]) -> dict[str, _Session]:
    if not keys:
        return {}
    rows = engine.get_model_class().objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
    decode = engine().decode
    return {row.session_key: _Session(decode(row.session_data), row.expire_date.timestamp()) for row in rows}


def _cached(engine: Any, keys: list[str]) -> dict[str, _Session]:
    session = engine()
    names = {f"{session.cache_key_prefix}{key}": key for key in keys}
    found = session._cache.get_many(names)
    return {names[name]: _Session(data) for name, data in found.items()}


def _ending(engine: Any, found: Mapping[str, _Session]) -> dict[str, _Session]:
    """Return sessions that a cache holds, with their ends, which only their rows tell.

    One that the cache holds beyond its row, or its row's end, is good: Django takes it too.
    """
    if not found:
        return {}
    rows = engine.get_model_class().objects.filter(session_key__in=found, expire_date__gt=timezone.now())
    ends = {key: end.timestamp() + CACHE_LAG for key, end in rows.values_list("session_key", "expire_date")}
    return {key: _Session(session.data, ends.get(key, NEVER)) for key, session in found.items()}


@cache
def _read_only(engine: str) -> Any:
    """Return the engine's session class, made unable to end a session, or to give it another key."""

    base = import_module(engine).SessionStore

    class ReadOnlySession(base):  # type: ignore[misc, valid-type]
        def flush(self) -> None:
            self.clear()

        def create(self) -> None:
            pass

        def cycle_key(self) -> None:
            pass

    # Django signs a session with the name of its class.
    ReadOnlySession.__qualname__ = base.__qualname__
    return ReadOnlySession


# Users. What follows is what django.contrib.auth.get_user does, for many sessions and without its writes.

Account = tuple[str, Any]
"""(path of the authentication backend, primary key)"""

NOBODY: Account = ("", None)


def _account(data: Mapping[str, Any]) -> Account:
    backend = data.get(auth.BACKEND_SESSION_KEY)
    if backend is None or backend not in settings.AUTHENTICATION_BACKENDS:
        return NOBODY
    try:
        return backend, auth.get_user_model()._meta.pk.to_python(data[auth.SESSION_KEY])
    except (KeyError, ValidationError):
        return NOBODY


def _users(accounts: Iterable[Account]) -> dict[Account, Any]:
    wanted = defaultdict(set)
    for backend, key in set(accounts) - {NOBODY}:
        wanted[backend].add(key)
    return {
        (path, key): user
        for path, keys in wanted.items()
        for key, user in _of_backend(auth.load_backend(path), keys).items()
        if user is not None
    }


def _of_backend(backend: Any, keys: set[Any]) -> dict[Any, Any]:
    if type(backend).get_user is ModelBackend.get_user:
        users = auth.get_user_model()._default_manager.in_bulk(keys)
        return {key: user for key, user in users.items() if backend.user_can_authenticate(user)}
    return {key: backend.get_user(key) for key in keys}


def _is_of(data: Mapping[str, Any], user: Any) -> bool:
    """Return whether a session is of the user's present password; a change of it ends all others."""
    if not hasattr(user, "get_session_auth_hash"):
        return True
    told = data.get(auth.HASH_SESSION_KEY, "")
    if not told:
        return False
    hashes = [user.get_session_auth_hash()]
    if settings.SECRET_KEY_FALLBACKS and hasattr(user, "get_session_auth_fallback_hash"):
        hashes += user.get_session_auth_fallback_hash()
    return any(constant_time_compare(told, each) for each in hashes)
