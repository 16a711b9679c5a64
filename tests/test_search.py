"""Searching the list of all users in the database, and the words that it goes by."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from whosonline import apps, directory, search
from whosonline.models import SearchWord

pytestmark = pytest.mark.django_db


def found(query: str, **bounds: object) -> list[str]:
    return [user.get_username() for user in directory.page(query=query, **bounds)]  # type: ignore[arg-type]


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann", first_name="Ann", last_name="Smith")


def test_who_signs_up_is_found_by_the_beginning_of_each_name_and_word(ann: User) -> None:
    assert [query for query in ("a", "ANN", "ann sm", "smi", "nn", "mith", "ann x") if found(query)] == [
        "a",
        "ANN",
        "ann sm",
        "smi",
    ]


def test_who_is_renamed_is_found_by_the_new_names_alone(ann: User) -> None:
    ann.username, ann.last_name = "zoe", "Jones"
    ann.save()
    assert (found("ann"), found("smith"), found("jones"), found("zo")) == (["zoe"], [], ["zoe"], ["zoe"])


def test_who_is_deactivated_or_deleted_is_not_found_and_who_comes_back_is(ann: User) -> None:
    ann.is_active = False
    ann.save()
    assert not SearchWord.objects.exists()
    ann.is_active = True
    ann.save()
    assert found("smith") == ["ann"]
    ann.delete()
    assert not SearchWord.objects.exists()


def test_what_is_rolled_back_leaves_the_words_as_they_were(ann: User) -> None:
    with transaction.atomic():
        ann.last_name = "Jones"
        ann.save()
        assert found("jones") == ["ann"]
        transaction.set_rollback(True)
    assert (found("smith"), found("jones")) == (["ann"], [])


def test_a_log_in_writes_no_words(ann: User) -> None:
    with CaptureQueriesContext(connection) as queries:
        ann.save(update_fields=["last_login"])
    assert "whosonline" not in str(queries.captured_queries)


def test_who_is_found_by_several_words_comes_once() -> None:
    User.objects.create_user("ann", first_name="Ann Anna", last_name="Annson")
    assert found("ann") == ["ann"]


def test_pages_of_what_is_found_are_in_name_order_and_leave_nobody_out() -> None:
    names = sorted(
        ["b ann", "Ann", "é ann", "ann", "zz-ann", "日ann", "😀 ann", *(f"ann{n}" for n in range(9))]
    )
    for name in names:
        User.objects.create_user(name)
    names.remove("日ann")  # one word
    forth = found("ann", limit=4)
    while page := found("ann", after=forth[-1], limit=4):
        forth += page
    assert forth == names
    back: list[str] = []
    while users := directory.page_before(back[0] if back else search.LAST, limit=4, query="ann"):
        back[:0] = [user.get_username() for user in users]
    assert back == names
    assert found("ann", after=names[2], until=names[5]) == names[3:6]


def test_a_blank_query_finds_everybody(ann: User) -> None:
    assert found("  ") == ["ann"]


@pytest.mark.parametrize(
    ("prefix", "behind"),
    [("ann", "ano"), ("\ud7ff", "\ue000"), ("a\U0010ffff", "b"), ("\U0010ffff", None), ("", None)],
)
def test_what_begins_with_a_text_ends_where_the_next_text_begins(prefix: str, behind: str | None) -> None:
    assert search.text_behind(prefix) == behind


def test_no_letter_breaks_a_search(ann: User) -> None:
    for query in ("\U0010ffff", "\ud7ff", "%", "_", "'", "\\", "\0", "x" * 5000):
        assert found(query) == (["ann"] if query == "\0" else [])


def test_names_too_long_to_search_are_listed_and_found_by_their_beginning() -> None:
    User.objects.create_user("x" * 150, first_name="y " * 75)
    assert found("x" * 140) == found("y y y") == ["x" * 150]


def test_reindex_finds_whoever_was_written_behind_django_s_back(capsys: pytest.CaptureFixture[str]) -> None:
    User.objects.bulk_create(User(username=f"user{number}") for number in range(1201))
    User.objects.create_user("gone")
    User.objects.filter(username="gone").update(is_active=False)
    assert found("user") == []
    call_command("whosonline", "reindex")
    assert len(found("user", limit=5000)) == 1201
    assert not SearchWord.objects.filter(word="gone").exists()
    assert "1202 users" in capsys.readouterr().out


def test_the_migration_that_brings_the_words_writes_them_for_those_who_are_there() -> None:
    User.objects.bulk_create([User(username="ann")])
    migration = import_module("whosonline.migrations.0002_search").Migration("0002_search", "whosonline")
    apps.write_words(sender=None, using="default", plan=[(migration, True)])
    assert found("ann") == []
    apps.write_words(sender=None, using="default", plan=[(migration, False)])
    assert found("ann") == ["ann"]
