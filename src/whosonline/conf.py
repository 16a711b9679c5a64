"""The settings: one ``WHOSONLINE`` dict, read once, into one :class:`Settings` value."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from .core.policy import Policy, PolicyError

MEMORY = "memory://"
"""The store of one process."""


@dataclass(frozen=True)
class Settings:
    """What a project may set; the names are the dict's keys in lower case."""

    policy: Policy = field(default_factory=Policy)
    store: str = MEMORY
    """Where the facts live."""
    partitions: int = 1
    """Parts of a Redis store, each with a log of its own."""
    key_prefix: str = "whosonline"
    """Begins every key of a Redis store."""
    path: str = "users/"
    """The socket's path, without a leading slash."""
    access_policy: str = "whosonline.access.AccessPolicy"
    """Where the class is that says who may see whom."""
    huge_pages: bool = True
    """Whether ``manage.py serve`` keeps what it holds in huge pages."""


POLICY_KEYS = frozenset(field.name.upper() for field in fields(Policy))
TEXT_KEYS = frozenset({"STORE", "KEY_PREFIX", "PATH", "ACCESS_POLICY"})
OWN_KEYS = TEXT_KEYS | {"PARTITIONS", "HUGE_PAGES"}
MOST_PARTITIONS = 64


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
    for key in TEXT_KEYS & values.keys():
        if not isinstance(values[key], str) or not values[key]:
            raise ImproperlyConfigured(f"WHOSONLINE[{key!r}] must be a text, not {values[key]!r}")
    if str(values.get("PATH", "")).startswith("/"):
        raise ImproperlyConfigured(
            f"WHOSONLINE['PATH'] must not begin with a slash, as no route does: {values['PATH']!r}"
        )
    partitions = values.get("PARTITIONS", 1)
    if not isinstance(partitions, int) or not 1 <= partitions <= MOST_PARTITIONS:
        raise ImproperlyConfigured(
            f"WHOSONLINE['PARTITIONS'] must be a whole number from 1 to {MOST_PARTITIONS}, not {partitions!r}"
        )
    if not isinstance(values.get("HUGE_PAGES", True), bool):
        raise ImproperlyConfigured(
            f"WHOSONLINE['HUGE_PAGES'] must be True or False, not {values['HUGE_PAGES']!r}"
        )
    if values.get("STORE", MEMORY) != MEMORY:
        redis_address(values["STORE"])
    try:
        policy = Policy(**{key.lower(): values[key] for key in POLICY_KEYS & values.keys()})
    except PolicyError as error:
        raise ImproperlyConfigured(f"WHOSONLINE: {error}") from None
    return Settings(policy, **{key.lower(): values[key] for key in OWN_KEYS & values.keys()})


def redis_address(store: str) -> Any:
    """Return where the Redis of a store's URL is.

    Raises:
        ImproperlyConfigured: it cannot be an address, or redis-py is not installed.
    """
    try:
        from .stores.redis import Address, BadAddress
    except ImportError:
        raise ImproperlyConfigured(
            "WHOSONLINE['STORE'] is a Redis, and redis-py is not installed: pip install 'redis[hiredis]>=6.2'"
        ) from None
    try:
        return Address.parse(store)
    except BadAddress as error:
        raise ImproperlyConfigured(f"WHOSONLINE['STORE']: {error}; or it is {MEMORY!r}") from None


def shown_store() -> str:
    """Return the store's address without its password."""
    store = get_settings().store
    return store if store == MEMORY else str(redis_address(store).shown)


@cache
def get_settings() -> Settings:
    """Return the project's settings. Raises ImproperlyConfigured."""
    return read_settings(getattr(django_settings, "WHOSONLINE", {}))


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "WHOSONLINE":
        get_settings.cache_clear()


setting_changed.connect(_forget)
