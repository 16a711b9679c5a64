"""System checks: what cannot work is said before anything runs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookies
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured

from .access import get_policy
from .conf import MEMORY, get_settings, read_settings, redis_address
from .stores.errors import StoreRefuses, StoreUnavailable


@register(Tags.compatibility)
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """E001: ``WHOSONLINE`` holds an unknown key or an impossible value."""
    try:
        read_settings(getattr(settings, "WHOSONLINE", {}))
    except ImproperlyConfigured as error:
        return [Error(str(error), id="whosonline.E001")]
    return []


@register(Tags.compatibility)
def check_requirements(**kwargs: Any) -> list[CheckMessage]:
    """E002: the app works with Django's own sessions and users, and these are not installed."""
    needed = ("django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions")
    missing = [name for name in needed if not apps.is_installed(name)]
    if not missing:
        return []
    return [
        Error(
            f"whosonline needs {', '.join(missing)} in INSTALLED_APPS",
            hint="It tells from the session who a socket belongs to.",
            id="whosonline.E002",
        )
    ]


@register(Tags.compatibility)
def check_access_policy(**kwargs: Any) -> list[CheckMessage]:
    """E003: the access policy cannot be imported, or is none."""
    try:
        path = get_settings().access_policy
    except ImproperlyConfigured:
        return []  # E001 says it
    try:
        get_policy()
    except Exception as error:  # whatever a project's module raises
        return [Error(f"{error} (of {path!r})", id="whosonline.E003")]
    return []


@register(Tags.compatibility)
def check_asgi(**kwargs: Any) -> list[CheckMessage]:
    """W001: no ASGI application is set, so sockets may not be served."""
    if getattr(settings, "ASGI_APPLICATION", None):
        return []
    return [
        Warning(
            "ASGI_APPLICATION is not set",
            hint="Name the module that calls whosonline.asgi.get_asgi_application().",
            id="whosonline.W001",
        )
    ]


@register(Tags.compatibility)
def check_runserver(**kwargs: Any) -> list[CheckMessage]:
    """W002: another app's runserver, which knows no sockets, comes before ours."""
    ours, theirs = "whosonline.runserver", "django.contrib.staticfiles"
    names = [config.name for config in apps.get_app_configs()]
    if ours not in names or theirs not in names or names.index(ours) < names.index(theirs):
        return []
    return [
        Warning(
            f"{ours} comes after {theirs} in INSTALLED_APPS, so runserver serves no sockets",
            hint=f"Put {ours} first.",
            id="whosonline.W002",
        )
    ]


@register(Tags.security, deploy=True)
def check_store(**kwargs: Any) -> list[CheckMessage]:
    """W003 to W006: what is unsafe about the store in production."""
    try:
        store = get_settings().store
    except ImproperlyConfigured:
        return []  # E001 says it
    if store == MEMORY:
        return [
            Warning(
                "the store is in memory: right for one server process only, with which it begins empty",
                hint="With several processes or machines, set WHOSONLINE['STORE'] to a Redis.",
                id="whosonline.W003",
            )
        ]
    return [*_check_transport(store), *_check_memory_policy(store)]


@register(Tags.security, deploy=True)
def check_sessions(**kwargs: Any) -> list[CheckMessage]:
    """W007: what the session engine cannot tell, so that sockets may outlive their sessions for a while."""
    engine = import_module(settings.SESSION_ENGINE).SessionStore
    if hasattr(engine, "get_model_class"):
        return []
    if issubclass(engine, SignedCookies):
        return [
            Warning(
                "sessions in signed cookies cannot be ended: a socket that was opened before the cookie last "
                "changed outlives the log-out",
                hint="Use another SESSION_ENGINE, such as the default.",
                id="whosonline.W007",
            )
        ]
    return [
        Warning(
            f"{settings.SESSION_ENGINE} tells of log-outs only: sockets of a session that ends otherwise "
            f"stay open for up to {get_settings().policy.recheck:g} s",
            hint="Use sessions that are rows (db, cached_db), or set a shorter WHOSONLINE['RECHECK'].",
            id="whosonline.W007",
        )
    ]


def _check_transport(store: str) -> list[CheckMessage]:
    address = redis_address(store)
    if address.secure:
        return []
    return [
        Warning(
            f"what goes to the store {address.shown} is not encrypted: names, and who is online",
            hint="Use rediss://, or a network that nobody else is in.",
            id="whosonline.W004",
        )
    ]


def _check_memory_policy(store: str) -> list[CheckMessage]:
    """Look whether Redis may throw away keys; a Redis that hides its configuration is taken to be right."""
    from .runtime import sync_store

    shown = redis_address(store).shown
    try:
        policy = sync_store().memory_policy()
    except StoreUnavailable as error:
        how = "refuses" if isinstance(error, StoreRefuses) else "cannot be reached"
        return [Warning(f"the store {shown} {how}: {error}", id="whosonline.W006")]
    if policy in (None, "noeviction"):
        return []
    return [
        Warning(
            f"the store {shown} throws keys away when its memory is full ({policy}): people would vanish",
            hint="Set its maxmemory-policy to noeviction.",
            id="whosonline.W005",
        )
    ]
