"""What the rest of Django tells: log-ins, log-outs, and changes of users and sessions."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

from django.contrib.auth import SESSION_KEY, get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookies
from django.db import transaction
from django.db.models.signals import post_delete, post_save, pre_save
from django.utils import timezone

from . import directory, last_seen, words
from .conf import get_settings
from .core.entries import Change, Profile
from .models import Invisible
from .runtime import expel_here, miss_here, sync_store
from .sessions import TOUCH_KEY, forget_cached, session_engine, session_name
from .stores.errors import StoreUnavailable

logger = logging.getLogger(__name__)

_new_password: ContextVar[str | None] = ContextVar("whosonline_new_password", default=None)
_new_key: ContextVar[str | None] = ContextVar("whosonline_new_key", default=None)
"""Who has been given a new password just now, and for whom a session was made right after that.

Who changes the own password keeps the session, under another key: Django makes a session, deletes the old
one, and only then writes into the new one. Nothing else tells that the old one goes on."""

BY_LOGIN = frozenset({"last_login"})
"""What a log-in saves of a user; nothing follows from it."""


def _tell(what: str, tell: Callable[[], list[Change] | None]) -> bool:
    """Tell the store something, and write down who came or went by it; return whether it was told.

    A store that is away must not break the site.
    """
    try:
        changes = tell()
        if changes:
            last_seen.save({change.user: int(change.at) for change in changes})
    except StoreUnavailable as error:
        # Nodes that lost it too ask anew who may stay, and read the list of users anew, when it is back.
        miss_here()
        logger.warning("the store is away and was not told of %s: %s", what, error)
        return False
    return True


def _expel(session: str, user: str | None) -> None:
    """Close every socket of a session; while the store is away, those of this process."""
    if not _tell("the end of a session", lambda: sync_store().expel(session, user)):
        expel_here(session)


def on_logged_in(sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
    """Count the user as online until the page that comes next has opened its socket."""
    session = getattr(request, "session", None)
    if session is None or session.session_key is None:
        return
    if isinstance(session, SignedCookies):
        return  # its key is another one when it is saved: neither the socket nor a log-out could end this
    if Invisible.objects.filter(pk=user.pk).exists():
        return
    ttl = get_settings().policy.touch
    session[TOUCH_KEY] = time.time() + ttl
    name = session_name(session.session_key)
    _tell(
        "a log-in",
        lambda: sync_store().touch(str(user.pk), directory.profile(user), name, ttl),
    )


def on_session_saved(sender: Any, created: bool, **kwargs: Any) -> None:
    """Note that a session was made right after somebody was given a new password."""
    _new_key.set(_new_password.get() if created else None)
    _new_password.set(None)


def on_logged_out(sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
    """Close every socket of a session that is no row. (It is still there: Django tells of it too early.)"""
    session = getattr(request, "session", None)
    if user is None or session is None or session.session_key is None:
        return
    _expel(session_name(session.session_key), str(user.pk))


def on_session_deleted(sender: Any, instance: Any, using: str, **kwargs: Any) -> None:
    """Close every socket of the session, as a log-out does that deletes it.

    Not before the session is gone for good: a page that reloads when its socket is closed would find itself
    logged in still, and a socket that came in between would be let in.
    """
    if instance.expire_date < timezone.now():
        return  # cleared away: nothing is left to end, and decoding a hundred thousand of them takes long
    name = session_name(instance.session_key)
    user = instance.get_decoded().get(SESSION_KEY)
    tell: Callable[[], object]
    renewed = _new_key.get()
    _new_key.set(None)
    # Of an administrator who changes another's password Django renews the own session, not the other's.
    if user is not None and renewed is not None:
        tell = partial(_tell, "a session's new key", lambda: sync_store().renew(name, user))
    else:
        tell = partial(_expel, name, user)
    # A cache that is away must not keep the sockets open.
    transaction.on_commit(partial(forget_cached, instance.session_key), using=using, robust=True)
    transaction.on_commit(tell, using=using)


def before_user_saved(
    sender: Any, instance: Any, raw: bool, using: str, update_fields: Any, **kwargs: Any
) -> None:
    """Remember how the user was listed before."""
    if not _is_user(sender):
        return
    instance._whosonline_before = None
    if instance.pk is None or raw or _by_login(update_fields):
        return
    before = sender._base_manager.using(using).filter(pk=instance.pk).first()
    instance._whosonline_before = _listing(before) if before is not None else None
    if before is not None and before.password != instance.password:
        _new_password.set(str(instance.pk))


def on_user_saved(
    sender: Any, instance: Any, raw: bool, created: bool, using: str, update_fields: Any, **kwargs: Any
) -> None:
    """Tell of a new, renamed or deactivated user, and have the user's sockets checked again."""
    if not _is_user(sender) or raw or _by_login(update_fields):
        return
    user, before, now = str(instance.pk), instance._whosonline_before, _listing(instance)
    if now != before:
        words.write(instance.pk, now, using)
        _relist(user, now, before, using)
    if not created:
        recheck(user, using)


def on_user_deleted(sender: Any, instance: Any, using: str, **kwargs: Any) -> None:
    """Tell of a removed user, and have the user's sockets closed."""
    if _is_user(sender):
        user = str(instance.pk)
        _relist(user, None, directory.profile(instance), using)
        recheck(user, using)


def on_visibility_changed(sender: Any, instance: Any, using: str, **kwargs: Any) -> None:
    """Show a user as offline, or not any more, where the user has sockets; and end log-ins without one."""
    user = str(instance.pk)
    tell = partial(_tell, "a change of visibility", lambda: sync_store().withdraw(user))
    transaction.on_commit(tell, using=using)
    recheck(user, using)


def _is_user(model: Any) -> bool:
    """Return whether a model is the project's user model, or a proxy of it."""
    return model._meta.concrete_model is get_user_model()


def _by_login(update_fields: Any) -> bool:
    return update_fields is not None and BY_LOGIN.issuperset(update_fields)


def _listing(user: Any) -> Profile | None:
    return directory.profile(user) if directory.is_listed(user) else None


def _relist(user: str, now: Profile | None, before: Profile | None, using: str) -> None:
    was = before.key if before is not None else None
    tell = partial(_tell, "a change of users", lambda: sync_store().relist(user, now, was))
    # Once the row can be read by those who are told of it.
    transaction.on_commit(tell, using=using)


def recheck(user: str, using: str | None = None) -> None:
    """Have every node look up a user's sockets again, once the present transaction has been committed."""
    tell = partial(_tell, "a change of a user's rights", lambda: sync_store().recheck(user))
    transaction.on_commit(tell, using=using)


def connect() -> None:
    """Connect all of the above; called once, when the apps are ready."""
    user_logged_in.connect(on_logged_in)
    # Without a sender: a proxy of the user model is a sender of its own.
    pre_save.connect(before_user_saved)
    post_save.connect(on_user_saved)
    post_delete.connect(on_user_deleted)
    post_save.connect(on_visibility_changed, sender=Invisible)
    post_delete.connect(on_visibility_changed, sender=Invisible)
    engine = session_engine()
    if hasattr(engine, "get_model_class"):  # sessions that are rows
        post_save.connect(on_session_saved, sender=engine.get_model_class())
        post_delete.connect(on_session_deleted, sender=engine.get_model_class())
    else:
        user_logged_out.connect(on_logged_out)
