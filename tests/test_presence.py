"""Asking who is online from Python, in a process that has no copy: when the store is there, and when not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.template import Context, Template

from tests.connected import connected
from tests.redis_servers import RedisServer
from whosonline import presence, runtime
from whosonline.access import AccessPolicy
from whosonline.core.entries import Profile
from whosonline.core.statuses import Status
from whosonline.presence import Seen

pytestmark = pytest.mark.django_db

INSTALL = (Path(__file__).parent.parent / "docs" / "install.md").read_text()


@pytest.fixture
def redis(tmp_path: Path, settings: Any) -> Iterator[RedisServer]:
    """A Redis that is the store of this process, which serves no sockets."""
    with RedisServer(tmp_path) as server:
        settings.WHOSONLINE = {"STORE": server.url}
        runtime.sync_store.cache_clear()
        yield server
        runtime.sync_store().close()  # type: ignore[attr-defined]
    runtime.sync_store.cache_clear()


def documented(language: str, about: str) -> str:
    """Return the one snippet of docs/install.md that holds this."""
    (found,) = [text for text in re.findall(rf"```{language}\n(.*?)```", INSTALL, re.DOTALL) if about in text]
    return str(found)


def test_without_a_copy_the_store_is_asked(redis: RedisServer):
    ann, bob = (User.objects.create(username=name) for name in ("ann", "bob"))
    runtime.sync_store().touch(str(ann.pk), Profile("ann", "Ann"), "session", 30)
    assert presence.statuses([ann.pk, bob.pk]) == {
        str(ann.pk): Seen(Status.ONLINE, None),
        str(bob.pk): Seen(Status.OFFLINE, None),
    }
    assert presence.online_count() == 1


def test_users_may_be_given_as_they_are_in_place_of_their_keys(redis: RedisServer, settings: Any):
    ann, bob = (User.objects.create(username=name) for name in ("ann", "bob"))
    runtime.sync_store().touch(str(ann.pk), Profile("ann", "Ann"), "session", 30)
    assert presence.statuses([ann, bob]) == presence.statuses([ann.pk, bob.pk])
    assert presence.status(ann).status is Status.ONLINE
    assert [presence.is_online(user) for user in (ann, bob)] == [True, False]
    settings.WHOSONLINE |= {"ACCESS_POLICY": "tests.test_presence.OnlyOneself"}
    assert presence.is_online(ann)
    assert presence.status(ann, viewer=ann).status is Status.ONLINE
    assert presence.status(ann, viewer=bob).status is Status.OFFLINE
    assert [person.user for person in presence.online(viewer=ann)] == [str(ann.pk)]
    presence.set_invisible(ann, True)
    assert presence.is_invisible(ann)
    assert presence.is_invisible(ann.pk)
    presence.set_invisible(ann, False)
    assert not presence.is_invisible(ann)


def test_a_user_may_be_given_whose_sight_has_changed(monkeypatch: pytest.MonkeyPatch):
    rechecked: list[str] = []
    monkeypatch.setattr(presence, "recheck", rechecked.append)
    ann = User.objects.create(username="ann")
    presence.sight_changed(ann, 7)
    assert rechecked == [str(ann.pk), "7"]


def test_who_is_not_logged_in_sees_nobody_and_no_other_model_is_taken_for_a_user(
    redis: RedisServer, settings: Any
):
    ann = User.objects.create(username="ann")
    runtime.sync_store().touch(str(ann.pk), Profile("ann", "Ann"), "session", 30)
    settings.WHOSONLINE |= {"ACCESS_POLICY": "tests.test_presence.AllSeeAll"}
    assert presence.status(ann, viewer=AnonymousUser()).status is Status.OFFLINE
    assert presence.online(viewer=AnonymousUser()) == []
    assert not presence.is_online(AnonymousUser())
    with pytest.raises(TypeError, match="is no user, but a Group"):
        presence.is_online(Group(pk=ann.pk))


class AllSeeAll(AccessPolicy):
    def visible(self, user: str, ids: list[str]) -> list[str]:
        return ids

    def may_watch(self, user: str, room: str) -> bool:
        return True


class OnlyOneself(AccessPolicy):
    def visible(self, user: str, ids: list[str]) -> list[str]:
        return []


@pytest.mark.parametrize("copy", [False, True], ids=["asks the store", "has a copy"])
def test_somebody_invisible_who_is_connected_is_offline_however_one_asks(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch, copy: bool
):
    ann, bob = (User.objects.create(username=name) for name in ("ann", "bob"))
    presence.set_invisible(ann.pk, True)
    with connected(bob, invisible=ann) as hub:
        monkeypatch.setattr(runtime._Running, "hub", hub if copy else None)
        assert (runtime.present() is hub.replica) is copy
        assert presence.statuses([ann.pk, bob.pk]) == {
            str(ann.pk): Seen(Status.OFFLINE, None),
            str(bob.pk): Seen(Status.ONLINE, None),
        }
        assert [presence.is_online(user.pk) for user in (ann, bob)] == [False, True]
        assert presence.online_count() == presence.count_for(bob.pk) == 1
        listed = [*presence.online(), *presence.online(query="a"), *presence.online_before("zoe")]
        assert {person.user for person in listed} == {str(bob.pk)}


def test_while_the_store_is_away_every_question_raises_one_error_that_is_documented(redis: RedisServer):
    redis.kill()
    for ask in (lambda: presence.status(1), lambda: presence.statuses([1, 2]), presence.online_count):
        with pytest.raises(presence.StoreUnavailable):
            ask()
    for question in (presence.status, presence.statuses, presence.online_count):
        assert "StoreUnavailable" in str(question.__doc__)
    assert "`presence.StoreUnavailable`" in INSTALL


@pytest.mark.parametrize("away", [False, True])
def test_the_documented_list_is_shown_with_and_without_the_store(redis: RedisServer, away: bool):
    ann, bob = (User.objects.create(username=name) for name in ("ann", "bob"))
    runtime.sync_store().touch(str(ann.pk), Profile("ann", "Ann"), "session", 30)
    if away:
        redis.kill()
    names: dict[str, Any] = {
        "render": lambda request, template, context: (template, context),
        "User": User,
    }
    exec(documented("python", "def people("), names)
    _, context = names["people"](SimpleNamespace())
    html = Template(documented("html", "in rows %}")).render(Context(context))
    words = ["unknown", "unknown"] if away else ["online", "offline"]
    assert re.findall(r'data-status="(\w+)"', html) == words
    assert re.findall(r">(\w+)</span>", html) == [word.capitalize() for word in words]
    assert re.findall(r'data-presence-user="(\d+)"', html) == [str(ann.pk), str(bob.pk)]
