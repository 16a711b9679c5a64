"""Reading who a session belongs to, without doing anything to it."""

from __future__ import annotations

import pytest
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from whosonline.core.entries import Profile
from whosonline.sessions import BATCH, Visitor, visitors_of

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


ENGINES = ["db", "cached_db", "cache", "file", "signed_cookies"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_session_tells_its_user(ann, settings, tmp_path, engine):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    key = session_key_of(ann)
    visitor = visitor_of(key)
    assert visitor is not None
    assert (visitor.user, visitor.profile) == (str(ann.pk), Profile("ann", "ann"))
    if engine == "db":
        assert visitor.expires == Session.objects.get(pk=key).expire_date.timestamp()


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


def test_sessions_of_many_cost_two_queries_a_batch(django_assert_num_queries):
    users = User.objects.bulk_create(User(username=f"user{number}") for number in range(BATCH + 1))
    keys = [session_key_of(user) for user in users]
    with django_assert_num_queries(4):
        visitors = visitors_of(keys)
    assert [visitors[key].user for key in keys] == [str(user.pk) for user in users]


def test_an_expired_session_is_nobodys(ann):
    key = session_key_of(ann)
    Session.objects.filter(pk=key).update(expire_date=timezone.now())
    assert visitor_of(key) is None


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
