"""The list of all users: who is in it, and in which order."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from whosonline import directory
from whosonline.core.entries import Profile

pytestmark = pytest.mark.django_db


def names(users: list) -> list[str]:
    return [user.username for user in users]


@pytest.fixture
def _five():
    for name in ("b", "B", "é", "a", "😀"):
        User.objects.create(username=name)
    User.objects.create(username="aa", is_active=False)


@pytest.mark.usefixtures("_five")
def test_the_database_s_order_is_by_code_point_as_memory_s_is():
    assert names(directory.page()) == sorted(["b", "B", "é", "a", "😀"]) == ["B", "a", "b", "é", "😀"]


@pytest.mark.usefixtures("_five")
def test_a_page_is_what_comes_after_a_key_up_to_another_and_no_more_than_its_limit():
    assert names(directory.page(after="a")) == ["b", "é", "😀"]
    assert names(directory.page(after="aa", until="é")) == ["b", "é"]
    assert names(directory.page(limit=2)) == ["B", "a"]


@pytest.mark.usefixtures("_five")
def test_the_page_before_a_key_ends_just_before_it():
    assert names(directory.page_before("é", limit=2)) == ["a", "b"]
    assert names(directory.page_before("B")) == []


def test_the_full_name_is_shown_and_else_the_username():
    assert directory.profile(User(username="ann", first_name="Ann", last_name="Lee")) == Profile(
        "ann", "Ann Lee"
    )
    assert directory.profile(User(username="ann", first_name=" ")) == Profile("ann", "ann")
