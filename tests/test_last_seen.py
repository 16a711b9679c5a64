"""Reading and writing when users were last seen."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import CharField, QuerySet

from whosonline import last_seen
from whosonline.models import LastSeen

pytestmark = pytest.mark.django_db

OF_A_SECOND = 4 if connection.features.has_select_for_update else 1
"""Statements that write one time into rows: where rows are locked, that too, in a transaction of its own."""


def make_users(count: int) -> list[str]:
    User.objects.bulk_create(User(username=f"u{number}") for number in range(count))
    return list(map(str, User.objects.values_list("pk", flat=True)))


def test_what_is_saved_is_loaded():
    ann = User.objects.create(username="ann")
    last_seen.save({str(ann.pk): 1_700_000_000})
    assert last_seen.load([str(ann.pk)]) == {str(ann.pk): datetime.fromtimestamp(1_700_000_000, UTC)}


def test_a_later_time_wins_whatever_the_order():
    ann = User.objects.create(username="ann")
    for at in (200, 300, 100):
        last_seen.save({str(ann.pk): at})
    assert last_seen.load([str(ann.pk)])[str(ann.pk)].timestamp() == 300


def test_who_has_a_row_is_written_down_with_one_statement_for_each_second(django_assert_num_queries):
    pks = make_users(100)
    last_seen.save(dict.fromkeys(pks, 100))
    with django_assert_num_queries(2 * OF_A_SECOND):
        last_seen.save({pk: 200 + number % 2 for number, pk in enumerate(pks)})
    assert {at.timestamp() for at in last_seen.load(pks).values()} == {200, 201}


def test_what_was_gathered_for_long_takes_few_statements_too(django_assert_max_num_queries):
    pks = make_users(1000)
    last_seen.save(dict.fromkeys(pks, 100))
    with django_assert_max_num_queries((50 + 1) * OF_A_SECOND):  # one second is in two batches at the most
        last_seen.save({pk: 200 + number % 50 for number, pk in enumerate(pks)})


def test_who_comes_for_the_first_time_is_written_down_beside_those_who_are_known():
    ann, bob = (User.objects.create(username=name) for name in ("ann", "bob"))
    last_seen.save({str(ann.pk): 100})
    last_seen.save({str(ann.pk): 50, str(bob.pk): 50})
    times = last_seen.load([str(ann.pk), str(bob.pk)])
    assert [times[str(user.pk)].timestamp() for user in (ann, bob)] == [100, 50]


@pytest.mark.parametrize("theirs", [50, 150])
@pytest.mark.parametrize("just_before", ["load", "insert"])
def test_of_two_processes_that_write_down_somebody_new_the_later_time_wins(monkeypatch, theirs, just_before):
    ann = User.objects.create(username="ann")
    add, create = last_seen._add, QuerySet.bulk_create

    def another_process_writes():
        LastSeen.objects.create(user=ann, at=datetime.fromtimestamp(theirs, UTC))

    def add_late(times):
        another_process_writes()
        add(times)

    def create_late(*rows, **options):
        another_process_writes()
        return create(*rows, **options)

    if just_before == "load":
        monkeypatch.setattr(last_seen, "_add", add_late)
    else:
        monkeypatch.setattr(QuerySet, "bulk_create", create_late)
    last_seen.save({str(ann.pk): 100})
    assert last_seen.load([str(ann.pk)])[str(ann.pk)].timestamp() == max(100, theirs)


def test_users_that_are_gone_are_left_out_and_do_no_harm():
    ann = User.objects.create(username="ann")
    last_seen.save({str(ann.pk): 100, str(ann.pk + 1): 100, "not an id": 100})
    assert list(last_seen.load([str(ann.pk), str(ann.pk + 1)])) == [str(ann.pk)]


@pytest.mark.parametrize("id", ["", "07", " 7", "7 ", "+7", "7.0", "abc", "9" * 30, "\0", "٧", "None"])
def test_only_the_plain_spelling_of_an_id_is_one(id):
    User.objects.create(username="ann", pk=7)
    assert last_seen.to_keys([id, "7"]) == [7]
    assert last_seen.load([id]) == {}


def test_a_text_that_postgresql_refuses_is_nobody_s_id(monkeypatch):
    monkeypatch.setattr(User._meta, "pk", CharField())
    assert last_seen.to_keys(["ann", "a\0"]) == ["ann"]


def test_many_new_users_are_saved_in_few_queries(django_assert_max_num_queries):
    pks = make_users(1200)
    with django_assert_max_num_queries(
        3 * (2 * OF_A_SECOND + 5)
    ):  # three batches; an insertion's transaction
        last_seen.save(dict.fromkeys(pks, 100))
    assert len(last_seen.load(pks)) == 1200
