"""Reading and writing when users were last seen."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.db.models import CharField

from whosonline import last_seen
from whosonline.models import LastSeen

pytestmark = pytest.mark.django_db


def test_what_is_saved_is_loaded():
    ann = User.objects.create(username="ann")
    last_seen.save({str(ann.pk): 1_700_000_000})
    assert last_seen.load([str(ann.pk)]) == {str(ann.pk): datetime.fromtimestamp(1_700_000_000, UTC)}


def test_a_later_time_wins_whatever_the_order():
    ann = User.objects.create(username="ann")
    for at in (200, 300, 100):
        last_seen.save({str(ann.pk): at})
    assert last_seen.load([str(ann.pk)])[str(ann.pk)].timestamp() == 300


def test_who_has_a_row_is_written_down_with_one_statement_for_each_second(
    django_assert_max_num_queries,
):
    User.objects.bulk_create(User(username=f"u{number}") for number in range(100))
    pks = list(map(str, User.objects.values_list("pk", flat=True)))
    last_seen.save(dict.fromkeys(pks, 100))
    with django_assert_max_num_queries(
        2 * 4
    ):  # where rows are locked: them too, and the transaction around it
        last_seen.save({pk: 200 + number % 2 for number, pk in enumerate(pks)})
    assert {at.timestamp() for at in last_seen.load(pks).values()} == {200, 201}


def test_who_comes_for_the_first_time_is_written_down_beside_those_who_are_known():
    ann, bob = (User.objects.create(username=name) for name in ("ann", "bob"))
    last_seen.save({str(ann.pk): 100})
    last_seen.save({str(ann.pk): 50, str(bob.pk): 50})
    times = last_seen.load([str(ann.pk), str(bob.pk)])
    assert [times[str(user.pk)].timestamp() for user in (ann, bob)] == [100, 50]


@pytest.mark.parametrize("theirs", [50, 150])
def test_of_two_processes_that_write_down_somebody_new_the_later_time_wins(monkeypatch, theirs):
    ann = User.objects.create(username="ann")

    def and_then_another_process_writes(users, load=last_seen.load):
        known = load(users)
        LastSeen.objects.create(user=ann, at=datetime.fromtimestamp(theirs, UTC))
        return known

    with monkeypatch.context() as patch:
        patch.setattr(last_seen, "load", and_then_another_process_writes)
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


def test_many_users_are_saved_in_few_queries(django_assert_max_num_queries):
    User.objects.bulk_create(User(username=f"u{number}") for number in range(1200))
    times = {str(pk): 100 for pk in User.objects.values_list("pk", flat=True)}
    with django_assert_max_num_queries(3 * 9):  # three batches, each with two transactions of its own
        last_seen.save(times)
    assert len(last_seen.load(times)) == 1200
