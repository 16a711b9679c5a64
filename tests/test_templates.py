"""The template tags, and the admin's page of last-seen times."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.template import Context, Template
from django.test import Client

from tests.connected import connected
from whosonline import presence, runtime
from whosonline.core.entries import Profile
from whosonline.models import LastSeen
from whosonline.stores.errors import StoreUnavailable

pytestmark = pytest.mark.django_db


def render(text: str, **context: object) -> str:
    return Template("{% load whosonline %}" + text).render(Context(context))


def test_the_script_says_where_the_socket_is_and_when_a_tab_is_idle(settings):
    settings.WHOSONLINE = {"PATH": "live/", "IDLE_AFTER": 90}
    html = render("{% presence_script %}")
    assert html == (
        '<script type="module" src="/static/whosonline/whosonline.js" '
        'data-presence data-socket="/live/" data-idle-after="90"></script>'
    )


def test_the_script_is_for_the_logged_in():
    assert render("{% presence_script %}", user=AnonymousUser()) == ""
    assert "whosonline.js" in render("{% presence_script %}", user=User(username="ann"))


def test_a_user_s_status_is_right_at_load_and_marked_for_the_script():
    ann = User.objects.create(username="ann")
    mark = f'<span class="presence" data-presence-user="{ann.pk}" data-status="%s">%s</span>'
    runtime._backend().wipe()
    assert render("{% presence user %}", user=ann) == mark % ("offline", "Offline")
    runtime.sync_store().touch(str(ann.pk), Profile("ann", "ann"), "s", 30)
    assert render("{% presence user %}", user=ann) == mark % ("online", "Online")


def test_a_user_who_is_connected_and_invisible_is_marked_as_offline():
    ann, bob = (User.objects.create(username=name) for name in ("ann", "bob"))
    presence.set_invisible(ann.pk, True)
    runtime._backend().wipe()
    with connected(bob, invisible=ann):
        for user, word in ((ann, "offline"), (bob, "online")):
            mark = render("{% presence user %}", user=user)
            assert f'data-presence-user="{user.pk}" data-status="{word}"' in mark


def test_no_user_has_no_mark():
    assert render("{% presence user %}", user=None) == ""
    assert render("{% presence missing %}") == ""


def test_while_the_store_is_away_the_page_says_that_nothing_is_known(monkeypatch):
    class Away:
        def statuses(self, room, users):
            raise StoreUnavailable("unplugged")

    monkeypatch.setattr("whosonline.presence.present", Away)
    ann = User.objects.create(username="ann")
    assert 'data-status="unknown">Unknown<' in render("{% presence user %}", user=ann)


def test_last_seen_times_can_be_read_and_erased_in_the_admin_but_not_made_up():
    admin = User.objects.create_superuser("root")
    client = Client()
    client.force_login(admin)
    LastSeen.objects.update(at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC))
    page = client.get("/admin/whosonline/lastseen/")
    assert "Jan. 2, 2026, 3:04 a.m." in page.content.decode()
    assert client.get("/admin/whosonline/lastseen/add/").status_code == 403
    assert client.post(f"/admin/whosonline/lastseen/{admin.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not LastSeen.objects.exists()
