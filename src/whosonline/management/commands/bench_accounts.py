"""``manage.py bench_accounts N FILE``: many users with live sessions, for a load generator.

Straight in the project's database: by the pages it would take hours.
"""

from __future__ import annotations

import os
import stat
from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import islice
from typing import Any, TypeVar

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import is_password_usable, make_password
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections, models, router, transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from ... import directory, words
from ...macs import salted_digest
from ...models import SearchWord

CHUNK = 500
"""Rows that one statement writes or names; SQLite allows few parameters."""

VANISHING = ("locmem", "dummy")
"""Cache backends whose sessions no other process would ever see."""

Thing = TypeVar("Thing")


class Command(BaseCommand):
    help = (
        "Makes users named bench-000000 and on, each with a live session, and writes one Cookie header value "
        "a line, for a load generator. Nobody can log in as one, but whoever has the file is logged in as "
        "all. A second run uses the same users; where sessions are kept in the database it renews theirs "
        "and writes the same cookies. Delete the users to be rid of them: their sessions end with them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", metavar="N", type=_number, help="how many users")
        parser.add_argument("file", metavar="FILE", help="where the cookies go; only its owner may read it")
        parser.add_argument("--force", action="store_true", help="also where DEBUG is off")

    def handle(self, *args: Any, number: int, file: str, force: bool, **options: Any) -> None:
        if not settings.DEBUG and not force:
            raise CommandError(
                "DEBUG is off, so this may be a site that people use, and these accounts would be in its "
                "list, logged in for whoever has the file. If that is what you want, say --force"
            )
        sessions = _Sessions()
        _check_tables()
        try:
            # Before the work, and what an earlier run wrote is kept until that is done.
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)  # no pipe, and not /dev/null
            if regular:
                os.fchmod(descriptor, 0o600)  # it may have been there before
        except OSError as error:
            raise CommandError(f"{file} cannot be written: {error.strerror}") from error
        with open(descriptor, "w", encoding="ascii") as cookies:
            keys = [key for numbers in _chunks(range(number)) for key in sessions.begin(_users(numbers))]
            if regular:
                cookies.truncate()
            cookies.writelines(f"{settings.SESSION_COOKIE_NAME}={key}\n" for key in keys)
        if options["verbosity"]:
            self.stdout.write(f"{number} users are logged in by the cookies in {file}")


def _number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise ArgumentTypeError(f"must be from 1 to 1000000, not {text!r}")
    return int(text)


def _chunks(things: Sequence[Thing]) -> Iterator[list[Thing]]:
    iterator = iter(things)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def _check_tables() -> None:
    try:
        auth.get_user_model()._base_manager.exists()
    except DatabaseError as error:
        raise CommandError(f"users cannot be read ({error}): has manage.py migrate been run?") from error


# Users


def _users(numbers: Sequence[int]) -> list[Any]:
    """Return the users with these numbers; those who are not there yet are made."""
    model = auth.get_user_model()
    field = model._meta.get_field(model.USERNAME_FIELD)
    keys = {number: _value(field, number) for number in numbers}
    found = {user.get_username(): user for user in _ours(model, keys.values())}
    new = [_new_user(model, number) for number, key in keys.items() if key not in found]
    if new:
        model._base_manager.bulk_create(new)  # ids are in the order of the names
        made = {user.get_username(): user for user in _ours(model, keys.values())}
        _make_known([user for key, user in made.items() if key not in found])
        found = made
    return [found[key] for key in keys.values()]


def _make_known(users: Sequence[Any]) -> None:
    """Do for new users what signals do for others: bulk_create sends none."""
    profiles: dict[Any, Any] = {user.pk: directory.profile(user) for user in users}
    words.write_all(profiles, router.db_for_write(SearchWord))


def _ours(model: Any, keys: Any) -> list[Any]:
    users = list(model._base_manager.filter(**{f"{model.USERNAME_FIELD}__in": list(keys)}))
    for user in users:
        if is_password_usable(user.password):
            raise CommandError(
                f"there is somebody named {user.get_username()!r} who can log in, and whom this command has "
                "not made: it does not log in as others"
            )
    return users


def _new_user(model: Any, number: int) -> Any:
    # A password that nobody has. One for all: to make it is slow with some hashers.
    user = model(password=_PASSWORD)
    for name in {model.USERNAME_FIELD, *model.REQUIRED_FIELDS}:
        setattr(user, name, _value(model._meta.get_field(name), number))
    return user


_PASSWORD = make_password(None)


def _value(field: Any, number: int) -> Any:
    """Return what a field of a user holds: told apart by the number, since it may have to be unique."""
    if field.has_default() and not field.unique:
        return field.get_default()
    name = f"bench-{number:06}"
    match field:
        case models.EmailField():
            return f"{name}@example.invalid"
        case models.CharField() | models.TextField() if not field.choices:
            if field.max_length is None or field.max_length >= len(name):
                return name
        case models.IntegerField() if not field.choices:
            return number + 1
        case models.DateTimeField():
            return timezone.now()
        case models.DateField():
            return timezone.now().date()
        case models.BooleanField():
            return False
    raise CommandError(
        f"the user model requires {field.name}, and this command does not know what to put there: "
        "give the field a default, or make the users yourself"
    )


# Sessions


class _Sessions:
    """Begins sessions, by the engine that the project has chosen.

    Raises:
        CommandError: its sessions would not outlive this process.
    """

    def __init__(self) -> None:
        self._store = import_module(settings.SESSION_ENGINE).SessionStore
        self._backend = _backend()
        self._expiry = self._store().get_expiry_date()
        cache = settings.CACHES.get(settings.SESSION_CACHE_ALIAS, {}).get("BACKEND", "")
        if settings.SESSION_ENGINE.endswith(".cache") and any(name in cache for name in VANISHING):
            raise CommandError(
                f"sessions are kept in the cache {cache}, which no other process shares: those made here "
                "would end with this command"
            )

    def begin(self, users: Sequence[Any]) -> list[str]:
        """Log in each of the users; return their session keys."""
        if hasattr(self._store, "get_model_class"):
            return self._begin_rows(users)
        return [self._begin_one(user) for user in users]

    def _begin_rows(self, users: Sequence[Any]) -> list[str]:
        model, encode = self._store.get_model_class(), self._store().encode
        keys = [_session_key(user) for user in users]
        rows = [
            model(session_key=key, session_data=encode(self._data(user)), expire_date=self._expiry)
            for key, user in zip(keys, users, strict=True)
        ]
        database = router.db_for_write(model)
        named = connections[database].features.supports_update_conflicts_with_target
        with transaction.atomic(using=database):
            # Over the rows of an earlier run: to delete them would log their sockets out first.
            model._base_manager.using(database).bulk_create(
                rows,
                update_conflicts=True,
                update_fields=["session_data", "expire_date"],
                unique_fields=["session_key"] if named else None,
            )
        self._forget_cached(keys)
        return keys

    def _forget_cached(self, keys: Sequence[str]) -> None:
        """Have sessions that were read before, and cached beside their rows, be read anew."""
        prefix = getattr(self._store, "cache_key_prefix", None)
        if prefix is not None:
            self._store()._cache.delete_many([prefix + key for key in keys])

    def _begin_one(self, user: Any) -> str:
        session = self._store()
        session.update(self._data(user))
        session.save()
        return str(session.session_key)

    def _data(self, user: Any) -> dict[str, str]:
        data = {auth.SESSION_KEY: str(user.pk), auth.BACKEND_SESSION_KEY: self._backend}
        if hasattr(user, "get_session_auth_hash"):
            data[auth.HASH_SESSION_KEY] = user.get_session_auth_hash()
        return data


def _session_key(user: Any) -> str:
    """Return the same key in each run, which only who knows SECRET_KEY could guess."""
    return salted_digest("whosonline.bench_accounts", str(user.pk), settings.SECRET_KEY).hex()[:32]


def _backend() -> str:
    """Return the backend that finds users in the database; others may only watch who logs in."""
    paths = list(settings.AUTHENTICATION_BACKENDS)
    return next((path for path in paths if issubclass(import_string(path), ModelBackend)), paths[0])
