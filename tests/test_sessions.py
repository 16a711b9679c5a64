"""Reading who a session belongs to, without doing anything to it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client

from whosonline.sessions import visitor_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann", password="pw")


def session_key_of(user: User) -> str:
    client = Client()
    client.force_login(user)
    return str(client.session.session_key)


def test_a_session_tells_its_user(ann):
    key = session_key_of(ann)
    visitor = visitor_of(key)
    assert visitor is not None
    assert (visitor.user, visitor.session_key) == (ann, key)


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


def test_a_session_of_somebody_inactive_or_deleted_and_no_session_are_nobody_s(ann):
    key = session_key_of(ann)
    ann.is_active = False
    ann.save()
    assert visitor_of(key) is None
    ann.delete()
    assert visitor_of(key) is None
    assert visitor_of("made-up") is None
    assert visitor_of("") is None
    assert visitor_of(None) is None
