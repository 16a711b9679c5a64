"""Reading who a session belongs to, without doing anything to it."""

from __future__ import annotations

import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from whosonline.checks import check_sessions
from whosonline.core.entries import Profile
from whosonline.management.commands import log_out_everywhere
from whosonline.sessions import BATCH, CACHE_LAG, NEVER, Visitor, visitors_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann", password="pw")


def session_key_of(user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value


def visitor_of(key: str) -> Visitor | None:
    return visitors_of([key]).get(key)


def deactivate(user: User) -> None:
    user.is_active = False


ENGINES = ["db", "cached_db", "cache", "file", "signed_cookies"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_session_tells_its_user(ann, settings, tmp_path, engine):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    key = session_key_of(ann)
    visitor = visitor_of(key)
    assert visitor is not None
    assert (visitor.user, visitor.profile) == (str(ann.pk), Profile("ann", "ann"))
    if engine in {"db", "cached_db"}:
        lag = 0 if engine == "db" else CACHE_LAG
        assert visitor.expires == Session.objects.get(pk=key).expire_date.timestamp() + lag
    else:
        assert visitor.expires == NEVER


@pytest.mark.parametrize("engine", ENGINES)
def test_keys_that_no_engine_takes_are_nobodys_and_disturb_no_other(ann, settings, tmp_path, engine):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    key = session_key_of(ann)
    odd = ["", "x", "made-up-key", "with space", "a\0b" * 4, "é" * 32, "../../../../etc/passwd", "x" * 4000]
    assert list(visitors_of([*odd, key])) == [key]


def test_a_cached_session_that_the_cache_has_lost_is_read_from_the_database(ann, settings):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
    key = session_key_of(ann)
    cache.clear()
    assert visitor_of(key) is not None


@pytest.mark.parametrize("change", ["deleted", "over"])
def test_a_session_that_the_cache_holds_longer_than_its_row_is_good_as_it_is_for_django(
    ann, settings, change
):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
    key = session_key_of(ann)
    rows = Session.objects.filter(pk=key)
    if change == "deleted":
        rows._raw_delete("default")
    else:
        rows.update(expire_date=timezone.now() - timedelta(seconds=1))
    visitor = visitor_of(key)
    assert visitor is not None
    # Not an end that is over: it would be asked about at once, again and again.
    assert visitor.expires == NEVER


def test_sessions_of_many_cost_three_queries_a_batch(django_assert_num_queries):
    users = User.objects.bulk_create(User(username=f"user{number}") for number in range(BATCH + 1))
    keys = [session_key_of(user) for user in users]
    with django_assert_num_queries(6):
        visitors = visitors_of(keys)
    assert [visitors[key].user for key in keys] == [str(user.pk) for user in users]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_session_whose_time_is_over_is_nobodys(ann, settings, tmp_path, engine):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    settings.SESSION_COOKIE_AGE = 2  # Django counts whole seconds
    key = session_key_of(ann)
    assert visitor_of(key) is not None
    deadline = time.monotonic() + 10
    while visitor_of(key) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("change", [lambda user: user.set_password("another"), deactivate])
def test_after_a_change_of_the_user_a_session_is_nobodys_with_any_engine(
    ann, settings, tmp_path, engine, change
):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    key = session_key_of(ann)
    assert visitor_of(key) is not None
    change(ann)
    ann.save()
    assert visitor_of(key) is None


def test_a_session_whose_row_is_deleted_lets_nobody_in_from_the_cache(
    ann, settings, django_capture_on_commit_callbacks
):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
    key = session_key_of(ann)
    assert visitor_of(key) is not None
    with django_capture_on_commit_callbacks(execute=True):
        Session.objects.get(pk=key).delete()
    assert visitor_of(key) is None


def test_all_sessions_of_a_user_can_be_ended_and_no_others(ann, capsys):
    bob = User.objects.create_user("bob")
    kept, ended = session_key_of(bob), [session_key_of(ann), session_key_of(ann)]
    call_command("log_out_everywhere", "ann")
    assert list(visitors_of([kept, *ended])) == [kept]
    told = capsys.readouterr()
    assert told.out == "2 sessions ended\n"
    assert "within 300 s (RECHECK)" in told.err  # a server with the store in memory hears of nothing


def test_with_a_store_that_servers_share_nobody_is_told_of_a_delay(ann, capsys, monkeypatch):
    monkeypatch.setattr(log_out_everywhere, "sync_store", lambda: SimpleNamespace(local=False))
    session_key_of(ann)
    call_command("log_out_everywhere", "ann")
    assert capsys.readouterr() == ("1 session ended\n", "")


def test_where_sessions_are_not_listed_they_cannot_be_ended_and_that_is_said(ann, settings):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    with pytest.raises(CommandError, match="deactivate the user"):
        call_command("log_out_everywhere", "ann")
    with pytest.raises(CommandError, match="no user called 'nobody'"):
        call_command("log_out_everywhere", "nobody")


@pytest.mark.parametrize(
    ("engine", "told"),
    [
        ("db", None),
        ("cached_db", None),
        ("cache", "log-outs only"),
        ("file", "log-outs only"),
        ("signed_cookies", "cannot be ended"),
    ],
)
def test_what_an_engine_cannot_tell_is_named_by_a_check(settings, engine, told):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    warnings = check_sessions()
    assert len(warnings) == (told is not None)
    assert all(told in warning.msg for warning in warnings)


class Guests(ModelBackend):
    """A backend with a way of its own to find users."""

    def get_user(self, user_id):
        return User.objects.filter(pk=user_id, username__startswith="a").first()


def test_a_project_s_own_backend_is_asked_for_its_users(ann, settings):
    path = f"{__name__}.Guests"
    settings.AUTHENTICATION_BACKENDS = [path]
    key = session_key_of(ann)
    assert visitor_of(key) is not None
    ann.username = "bob"
    ann.save()
    assert visitor_of(key) is None
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
    assert visitor_of(key) is None


def test_a_session_signed_with_an_old_secret_key_keeps_its_key(ann, settings):
    key = session_key_of(ann)
    old, settings.SECRET_KEY = settings.SECRET_KEY, "a new one"
    settings.SECRET_KEY_FALLBACKS = [old]
    visitor = visitor_of(key)
    assert visitor is not None
    assert list(Session.objects.values_list("session_key", flat=True)) == [key]


def test_a_session_from_before_a_new_password_is_nobody_s_and_is_left_alone(ann):
    key = session_key_of(ann)
    ann.set_password("another")
    ann.save()
    assert visitor_of(key) is None
    assert Session.objects.filter(pk=key).exists()


def test_a_session_of_somebody_inactive_or_deleted_is_nobody_s(ann):
    key = session_key_of(ann)
    ann.is_active = False
    ann.save()
    assert visitor_of(key) is None
    ann.delete()
    assert visitor_of(key) is None
