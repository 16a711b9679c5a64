"""The settings: one ``WHOSONLINE`` dict, read once, into one :class:`Settings` value."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from .core.policy import Policy, PolicyError


@dataclass(frozen=True)
class Settings:
    """What a project may set; the names are the dict's keys in lower case."""

    policy: Policy = field(default_factory=Policy)
    store: str = "memory://"
    """Where the facts live."""
    path: str = "users/"
    """The socket's path, without a leading slash."""


POLICY_KEYS = frozenset(field.name.upper() for field in fields(Policy))
OWN_KEYS = frozenset({"STORE", "PATH"})


def read_settings(values: Any) -> Settings:
    """Return the settings that a ``WHOSONLINE`` dict holds; what is not in it has its default.

    Raises:
        ImproperlyConfigured: an unknown key, or a value that cannot work; the message says which.
    """
    if not isinstance(values, dict):
        raise ImproperlyConfigured(f"WHOSONLINE must be a dict, not {values!r}")
    unknown = sorted(str(key) for key in values.keys() - POLICY_KEYS - OWN_KEYS)
    if unknown:
        known = ", ".join(sorted(POLICY_KEYS | OWN_KEYS))
        raise ImproperlyConfigured(f"WHOSONLINE holds unknown keys: {', '.join(unknown)}. Known are: {known}")
    for key in OWN_KEYS & values.keys():
        if not isinstance(values[key], str) or not values[key]:
            raise ImproperlyConfigured(f"WHOSONLINE[{key!r}] must be a text, not {values[key]!r}")
    if str(values.get("PATH", "")).startswith("/"):
        raise ImproperlyConfigured(
            f"WHOSONLINE['PATH'] must not begin with a slash, as no route does: {values['PATH']!r}"
        )
    if values.get("STORE", "memory://") != "memory://":
        raise ImproperlyConfigured(
            f"WHOSONLINE['STORE'] is {values['STORE']!r}; the only store there is is 'memory://'"
        )
    try:
        policy = Policy(**{key.lower(): values[key] for key in POLICY_KEYS & values.keys()})
    except PolicyError as error:
        raise ImproperlyConfigured(f"WHOSONLINE: {error}") from None
    return Settings(policy, **{key.lower(): values[key] for key in OWN_KEYS & values.keys()})


@cache
def get_settings() -> Settings:
    """Return the project's settings. Raises ImproperlyConfigured."""
    return read_settings(getattr(django_settings, "WHOSONLINE", {}))


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "WHOSONLINE":
        get_settings.cache_clear()


setting_changed.connect(_forget)
