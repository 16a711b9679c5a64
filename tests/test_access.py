"""The access policy of a project: what of it is asked, and what pages and the API make of it."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser, User
from django.core.checks import run_checks
from django.template import Context, Template
from django.test import Client

from whosonline import access, directory, presence, runtime
from whosonline.access import AccessPolicy
from whosonline.core.entries import Profile
from whosonline.core.statuses import Status
from whosonline.presence import Seen
from whosonline.sessions import visitors_of

pytestmark = pytest.mark.django_db(transaction=True)


class OwnInitialOnly(AccessPolicy):
    """People see those whose names begin as theirs do."""

    asked: list[int] = []

    def visible(self, viewer, ids):
        self.asked.append(len(ids))
        mine = User.objects.get(pk=viewer).username[0]
        # Of another type than what was asked about: a project may return what its query gives.
        return User.objects.filter(pk__in=ids, username__startswith=mine).values_list("pk", flat=True)


class OwnInitialOnlyAsync(OwnInitialOnly):
    async def visible(self, viewer, ids):
        mine = (await User.objects.aget(pk=viewer)).username[0]
        return [str(user.pk) async for user in User.objects.filter(pk__in=ids, username__startswith=mine)]


class Failing(AccessPolicy):
    def visible(self, viewer, ids):
        raise OSError("away")

    def may_connect(self, user):
        raise OSError("away")


class Choosy(AccessPolicy):
    def may_connect(self, user):
        return user.username != "bob"


class Instances(AccessPolicy):
    def visible(self, viewer, ids):
        return User.objects.all()


class NoLooking(AccessPolicy):
    async def may_watch(self, user, room):
        if user == "9999":
            raise OSError("away")
        return room != "site" or (await User.objects.aget(pk=user)).username != "a1"


class NotDerived:
    pass


@pytest.fixture
def policy(settings):
    """Return what sets the policy, by its class."""

    def set_policy(policy: type) -> None:
        settings.WHOSONLINE = {"ACCESS_POLICY": f"{policy.__module__}.{policy.__name__}"}

    OwnInitialOnly.asked.clear()
    return set_policy


@pytest.fixture
def people():
    runtime._backend().wipe()
    people = {name: User.objects.create(username=name) for name in ("a1", "a2", "b1", "b2")}
    for name, user in people.items():
        if name != "a2":
            runtime.sync_store().touch(str(user.pk), Profile(name, name), name, 30)
    return people


def names(found):
    return [getattr(each, "username", None) or each.profile.name for each in found]


@pytest.mark.parametrize("own", [OwnInitialOnly, OwnInitialOnlyAsync])
def test_for_a_viewer_everything_is_told_as_far_as_the_viewer_may_see_it(people, policy, own):
    policy(own)
    me = people["a1"].pk
    assert presence.statuses([people["b1"].pk, me, 9999], viewer=me) == {
        str(people["b1"].pk): Seen(Status.OFFLINE, None),
        str(me): Seen(Status.ONLINE, None),
        "9999": Seen(Status.OFFLINE, None),
    }
    assert names(presence.online(viewer=me)) == ["a1"]
    assert names(presence.online_before("z", viewer=me)) == ["a1"]
    assert names(presence.online(query="b1", viewer=me)) == []
    assert names(directory.page(viewer=me)) == ["a1", "a2"]
    assert names(directory.page_before("z", viewer=me)) == ["a1", "a2"]
    assert names(directory.page(query="b", viewer=me)) == []
    assert not directory.holds_after("a2", viewer=me)
    assert not directory.holds_before("b", "b", viewer=me)
    assert presence.count_for(me) is None


def test_code_that_shows_it_to_nobody_in_particular_is_told_everything(people, policy):
    policy(OwnInitialOnly)
    assert presence.status(people["b1"].pk).status is Status.ONLINE
    assert names(presence.online()) == ["a1", "b1", "b2"]
    assert names(directory.page()) == ["a1", "a2", "b1", "b2"]
    assert presence.online_count() == 3
    assert OwnInitialOnly.asked == []


async def test_the_hub_is_answered_in_texts_whatever_type_the_keys_have(policy):
    ann, abe, bob = [await User.objects.acreate(username=name) for name in ("ann", "abe", "bob")]
    for own in (OwnInitialOnly, OwnInitialOnlyAsync):
        policy(own)
        visible = access.questions(sync_to_async).visible
        assert visible is not None
        assert await visible(str(ann.pk), [str(abe.pk), str(bob.pk)]) == {str(abe.pk)}


def test_a_user_whose_name_is_another_s_key_is_not_taken_for_the_other(people, policy, caplog):
    policy(Instances)
    User.objects.create(username=str(people["b1"].pk))
    assert names(directory.page(viewer=people["a1"].pk)) == ["a1"]
    assert "returns primary keys, not model instances" in caplog.text


def test_a_policy_is_not_asked_about_ids_that_no_query_takes(people, policy, caplog):
    policy(OwnInitialOnly)
    me = people["a1"].pk
    bad = ["", "x", "\0", "1" * 90, "-1", "1.5", "\ud800"]
    assert access.seen_by(me, [*bad, str(people["a2"].pk)]) == {str(people["a2"].pk)}
    assert access.seen_by(me, bad) == set()
    assert not caplog.records


def test_who_may_not_look_into_the_site_sees_nobody_online_there(people, policy, caplog):
    policy(NoLooking)
    assert names(presence.online(viewer=people["b1"].pk)) == ["a1", "b1", "b2"]
    assert presence.online(viewer=people["a1"].pk) == presence.online(viewer=None) == []
    assert presence.online_before("z", viewer=9999) == []
    assert names(presence.online()) == ["a1", "b1", "b2"]
    assert "could not say who may look" in caplog.text


def test_who_is_not_logged_in_is_told_nothing_where_there_is_a_rule(people, policy):
    policy(OwnInitialOnly)
    assert presence.status(people["b1"].pk, viewer=None) == Seen(Status.OFFLINE, None)
    assert presence.online(viewer=None) == directory.page(viewer=None) == []


def test_gaps_that_the_hidden_leave_are_filled_in_few_questions(people, policy, monkeypatch):
    policy(OwnInitialOnly)
    User.objects.bulk_create(User(username=f"b{number:04}") for number in range(900))
    zoe = User.objects.create(username="zoe")
    zed = User.objects.create(username="zed")
    assert names(directory.page(limit=2, viewer=zoe.pk)) == ["zed", "zoe"]
    assert names(directory.page_before("zz", limit=1, viewer=zed.pk)) == ["zoe"]
    assert len(OwnInitialOnly.asked) < 10
    monkeypatch.setattr(directory, "MOST_READS", 2)
    assert names(directory.page(limit=2, viewer=zoe.pk)) == []


def test_by_default_nothing_is_asked_and_nothing_hidden(people):
    assert not any(map(access.restricts, ("may_connect", "visible", "may_enter", "may_watch")))
    asked = access.questions(lambda function: function)
    assert (asked.visible, asked.may_enter, asked.may_watch) == (None, None, None)
    me = people["a1"].pk
    assert names(presence.online(viewer=me)) == ["a1", "b1", "b2"]
    assert names(directory.page(viewer=me)) == ["a1", "a2", "b1", "b2"]
    assert presence.count_for(me) == 3
    assert presence.status(people["b1"].pk, viewer=None).status is Status.ONLINE


def test_a_policy_that_fails_shows_nobody_but_oneself_and_lets_nobody_in_for_now(people, policy, caplog):
    policy(Failing)
    me = people["a1"].pk
    assert names(presence.online(viewer=me)) == ["a1"]
    assert presence.status(people["b1"].pk, viewer=me) == Seen(Status.OFFLINE, None)
    assert caplog.text.count("nobody is shown") == 2
    assert access.may_connect(people["a1"]) is None


def test_the_template_tag_shows_what_the_visitor_may_see(people, policy):
    policy(OwnInitialOnly)

    def shown(visitor):
        request = SimpleNamespace(user=visitor)
        context = Context({"request": request, "them": people["b1"], "user": people["b1"]})
        return "online" in Template("{% load whosonline %}{% presence them %}").render(context)

    assert shown(people["b2"])
    assert not shown(people["a1"])
    assert not shown(AnonymousUser())
    no_request = Template("{% load whosonline %}{% presence them %}").render(Context({"them": people["b1"]}))
    assert 'data-status="offline"' in no_request


def test_the_lobby_shows_its_visitor_whom_the_visitor_may_see_and_no_count(people, policy):
    policy(OwnInitialOnly)
    client = Client()
    client.force_login(people["a1"])
    for address in ("/", "/?view=online", "/?q=b", "/?view=online&q=b", "/?before=z"):
        html = re.sub(r'csrfmiddlewaretoken" value="\w+"', "", client.get(address).content.decode())
        assert "b1" not in html
        assert "b2" not in html
        assert "data-presence-count" not in html
        assert "not known at the moment" not in html
    assert "a2" in client.get("/").content.decode()


def test_who_may_not_connect_is_told_so_by_the_look_up_of_the_session(people, policy):
    policy(Choosy)
    keys = {}
    for name in ("ann", "bob"):
        client = Client()
        client.force_login(User.objects.create(username=name))
        keys[name] = client.cookies["sessionid"].value
    visitors = visitors_of(keys.values())
    assert {name: visitors[key].allowed for name, key in keys.items()} == {"ann": True, "bob": False}
    policy(Failing)
    assert [visitor.allowed for visitor in visitors_of(keys.values()).values()] == [None, None]


def test_a_change_of_sight_is_told_to_all_nodes_once_it_is_committed(people, monkeypatch):
    told = []
    monkeypatch.setattr(type(runtime.sync_store()), "recheck", lambda store, user: told.append(user))
    presence.sight_changed(people["a1"].pk, people["b1"].pk)
    assert told == [str(people["a1"].pk), str(people["b1"].pk)]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("nowhere.Policy", "No module named 'nowhere'"),
        ("tests.test_access.Missing", 'does not define a "Missing"'),
        ("tests.test_access.NotDerived", "must name a class derived from whosonline.access.AccessPolicy"),
        ("tests.test_access.names", "must name a class derived from"),
    ],
)
def test_a_policy_that_is_none_is_named_by_a_check(settings, path, told):
    settings.WHOSONLINE = {"ACCESS_POLICY": path}
    found = [check for check in run_checks() if check.id == "whosonline.E003"]
    assert len(found) == 1
    assert told in found[0].msg
    assert path in found[0].msg
