"""What log-ins, log-outs and changes of users make the store do."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial

import pytest
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import transaction
from django.http import HttpRequest
from django.test import Client

from whosonline import presence, runtime, signals
from whosonline.core.entries import Change, Cursor, Expel, Listing, Missed, Profile, Recheck, Renew
from whosonline.core.statuses import Status
from whosonline.models import LastSeen
from whosonline.sessions import TOUCH_KEY, session_name
from whosonline.stores.errors import StoreUnavailable


class Log:
    """What the store's log has gained since the last look."""

    def __init__(self) -> None:
        self._cursor = runtime._backend().snapshot().cursor

    def take(self) -> list:
        end = runtime._backend().snapshot().cursor
        return asyncio.run(self._read_to(end)) if end != self._cursor else []

    async def _read_to(self, end: Cursor) -> list:
        entries: list = []
        async for batch in runtime.new_store().follow(self._cursor):
            entries += batch.entries
            self._cursor = batch.cursor
            if self._cursor == end:
                break
        return entries


@pytest.fixture(autouse=True)
def _fresh_store():
    runtime._backend().wipe()


@pytest.fixture
def committed(django_capture_on_commit_callbacks):
    """A transaction that is committed at the end of the block."""
    return partial(django_capture_on_commit_callbacks, execute=True)


@pytest.fixture
def ann(db) -> User:
    return User.objects.create_user("ann", password="pw", first_name="Ann")


@pytest.fixture
def log(ann) -> Log:
    return Log()


def log_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_a_login_counts_as_online_before_its_page_has_come(ann, log):
    log_in(ann)
    (change,) = log.take()
    assert isinstance(change, Change)
    assert (change.user, change.status, change.profile) == (str(ann.pk), Status.ONLINE, Profile("ann", "Ann"))
    assert presence.status(ann.pk).status is Status.ONLINE


def test_a_login_of_somebody_invisible_counts_for_nothing(ann, log, committed):
    with committed():
        presence.set_invisible(ann.pk, True)
    log.take()
    invisible = log_in(ann)
    assert log.take() == []
    assert TOUCH_KEY not in invisible.session  # nothing that a socket would take over
    assert presence.status(ann.pk) == (Status.OFFLINE, None)
    assert presence.online_count() == 0
    with committed():
        presence.set_invisible(ann.pk, False)
    log.take()
    visible = log_in(ann)
    assert [entry.status for entry in log.take()] == [Status.ONLINE]
    assert TOUCH_KEY in visible.session


def test_a_log_out_expels_the_session_once_it_is_gone(ann, log, committed):
    client = log_in(ann)
    name = session_name(client.session.session_key)
    log.take()
    with committed():
        client.logout()
        assert log.take() == []
    offline, expel = log.take()
    assert offline.status is Status.OFFLINE
    assert expel == Expel(name)


def test_a_session_that_is_deleted_by_others_is_expelled(ann, log, committed):
    client = log_in(ann)
    name = session_name(client.session.session_key)
    log.take()
    with committed():
        Session.objects.get(pk=client.session.session_key).delete()
    offline, expel = log.take()
    assert offline.status is Status.OFFLINE
    assert expel == Expel(name)


def test_who_changes_the_own_password_keeps_the_session_under_another_key(ann, log, committed):
    here, elsewhere = log_in(ann), log_in(ann)
    request = HttpRequest()
    request.session, request.user = here.session, ann
    old = session_name(request.session.session_key)
    log.take()
    with committed():
        ann.set_password("another")
        ann.save()
        update_session_auth_hash(request, ann)
        request.session.save()
        Session.objects.get(pk=elsewhere.session.session_key).delete()
    recheck, renew, *_, expel = log.take()
    assert (recheck, renew) == (Recheck(str(ann.pk)), Renew(old))
    assert expel == Expel(session_name(elsewhere.session.session_key))


def test_a_session_that_ends_after_somebody_else_changed_the_password_ends_for_good(ann, log, committed):
    client = log_in(ann)
    key = client.session.session_key
    with committed():
        ann.set_password("another")
        ann.save()
        log_in(User.objects.create_user("bob", password="pw"))
        log.take()
        Session.objects.get(pk=key).delete()
    assert log.take()[-1] == Expel(session_name(key))


def test_the_name_of_a_session_is_not_its_key(ann):
    key = log_in(ann).session.session_key
    assert key not in session_name(key)


def test_a_login_s_own_save_says_nothing_of_the_user(ann, log, committed):
    with committed():
        log_in(ann)
    assert not any(isinstance(entry, Listing | Recheck) for entry in log.take())


def test_who_signs_up_is_listed_once_the_row_can_be_read(db, committed):
    log = Log()
    with committed():
        bob = User.objects.create_user("bob")
        assert log.take() == []
    assert log.take() == [Listing(str(bob.pk), Profile("bob", "bob"), None)]


def test_who_is_renamed_is_listed_anew_and_checked_again(ann, log, committed):
    ann.username = "zoe"
    with committed():
        ann.save()
    assert log.take() == [
        Listing(str(ann.pk), Profile("zoe", "Ann"), "ann"),
        Recheck(str(ann.pk)),
    ]


def test_who_is_deactivated_leaves_the_list_and_returns_to_it(ann, log, committed):
    for active, listed, was in ((False, None, "ann"), (True, Profile("ann", "Ann"), None)):
        ann.is_active = active
        with committed():
            ann.save()
        assert log.take()[0] == Listing(str(ann.pk), listed, was)


def test_a_change_that_shows_nowhere_is_only_checked_again(ann, log, committed):
    ann.set_password("another")
    with committed():
        ann.save()
    assert log.take() == [Recheck(str(ann.pk))]


def test_who_is_deleted_leaves_the_list_and_is_checked_again(ann, log, committed):
    pk = str(ann.pk)
    with committed():
        User.objects.filter(pk=ann.pk).delete()
    assert log.take() == [Listing(pk, None, "ann"), Recheck(pk)]


def test_logging_in_and_out_without_a_socket_are_written_down(ann, committed):
    client = log_in(ann)
    (came,) = LastSeen.objects.filter(user=ann)
    LastSeen.objects.update(at=datetime(2026, 1, 1, tzinfo=UTC))
    with committed():
        client.logout()
    (left,) = LastSeen.objects.filter(user=ann)
    assert left.at >= came.at


def test_sessions_that_ran_out_are_cleared_away_without_a_word(ann, log, committed):
    log_in(ann)
    log.take()
    Session.objects.update(expire_date=datetime(2026, 1, 1, tzinfo=UTC))
    with committed():
        call_command("clearsessions")
    assert not Session.objects.exists()
    assert log.take() == []


def test_a_proxy_of_the_user_model_is_the_user_model(ann, log, committed):
    class Member(User):
        class Meta:
            proxy = True
            app_label = "tests"

    member = Member.objects.get(pk=ann.pk)
    member.username = "zoe"
    with committed():
        member.save()
    assert log.take()[0] == Listing(str(ann.pk), Profile("zoe", "Ann"), "ann")


def test_a_login_ends_by_itself_where_no_node_sweeps(ann, monkeypatch):
    log_in(ann)
    now = runtime._backend()._clock()
    monkeypatch.setattr(runtime._backend(), "_clock", lambda: now + 31)
    assert presence.online_count() == 0
    assert presence.status(ann.pk).status is Status.OFFLINE


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_is_not_told():
    log = Log()
    with transaction.atomic():
        User.objects.create_user("bob")
        transaction.set_rollback(True)
    assert log.take() == []


def test_users_are_made_and_changed_without_a_query_more_than_one(ann, django_assert_num_queries):
    with django_assert_num_queries(2):
        ann.save()


def test_the_site_goes_on_while_the_store_is_away(ann, monkeypatch, caplog, committed):
    class Away:
        def __getattr__(self, name):
            def call(*arguments):
                raise StoreUnavailable("unplugged")

            return call

    monkeypatch.setattr(signals, "sync_store", Away)
    with committed():
        client = log_in(ann)
        ann.first_name = "Anna"
        ann.save()
        client.logout()
        ann.delete()
    told = [record.getMessage() for record in caplog.records if record.name == "whosonline.signals"]
    assert {message.rsplit("told of ")[1] for message in told} == {
        "a log-in: unplugged",
        "the end of a session: unplugged",
        "a change of users: unplugged",
        "a change of a user's rights: unplugged",
    }


def test_statuses_are_read_with_one_query_however_many_users(db, django_assert_num_queries):
    users = [User.objects.create(username=f"u{number}") for number in range(30)]
    at = datetime(2026, 1, 1, tzinfo=UTC)
    LastSeen.objects.create(user=users[0], at=at)
    runtime.sync_store().touch(str(users[1].pk), Profile("u1", "u1"), "s", 30)
    with django_assert_num_queries(1):
        seen = presence.statuses(user.pk for user in users)
    assert seen[str(users[0].pk)] == (Status.OFFLINE, at)
    assert seen[str(users[1].pk)] == (Status.ONLINE, None)
    assert seen[str(users[2].pk)] == (Status.OFFLINE, None)
    assert presence.online_count() == 1


@pytest.mark.django_db(transaction=True)
def test_what_the_store_could_not_be_told_the_processs_own_hub_makes_known():
    def away() -> None:
        raise StoreUnavailable("unplugged")

    async def main() -> None:
        hub = runtime.get_hub(will_be_stopped=True)
        await hub.wait_until_known()
        await asyncio.to_thread(signals._tell, "something", away)
        await runtime.stop_hub()

    log = Log()
    asyncio.run(main())
    assert Missed() in log.take()
