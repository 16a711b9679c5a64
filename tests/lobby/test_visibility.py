"""The switch by which one appears offline."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from whosonline import presence

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann(client: Client) -> User:
    user = User.objects.create_user("ann", password="pw")
    client.force_login(user)
    return user


def test_it_sets_what_the_page_says_however_often(ann: User, client: Client) -> None:
    for wanted, twice in (("1", True), ("1", True), ("0", False), ("0", False)):
        assert client.post("/visibility/", {"invisible": wanted}).status_code == 302
        assert presence.is_invisible(ann.pk) is twice


def test_a_page_offers_the_other_state(ann: User, client: Client) -> None:
    for invisible, offered in ((False, "1"), (True, "0")):
        presence.set_invisible(ann.pk, invisible)
        page = client.get("/").content.decode()
        assert f'name="invisible" value="{offered}"' in page
        assert f'aria-checked="{str(invisible).lower()}"' in page


def test_anything_else_is_refused_and_changes_nothing(ann: User, client: Client) -> None:
    for wanted in ({}, {"invisible": ""}, {"invisible": "yes"}):
        assert client.post("/visibility/", wanted).status_code == 400
    assert not presence.is_invisible(ann.pk)


def test_who_had_to_log_in_first_lands_at_the_list(ann: User, client: Client) -> None:
    assert client.get("/visibility/").headers["Location"] == "/"
