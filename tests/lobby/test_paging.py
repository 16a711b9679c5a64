"""The pages of the list, and the part of the list that each of them watches."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django.asserts import assertRedirects

from .markup import Element, get, rows


def links(page: Element) -> dict[str | None, str | None]:
    return {link["rel"]: link["href"] for nav in page.all("nav.pages") for link in nav.all("a")}


def make_users(number: int) -> None:
    User.objects.bulk_create(User(username=f"user{n:03}") for n in range(number))


@pytest.mark.parametrize("address", ["/", "/?after=user005", "/?before=user005"])
def test_the_number_of_queries_is_the_same_for_few_and_many_users(visitor: Client, address: str) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            get(visitor, address)
        return len(captured)

    make_users(10)
    few = queries()
    User.objects.exclude(username="ann").delete()
    make_users(150)

    assert queries() == few <= 8


def test_the_links_reach_every_user_exactly_once_in_both_directions(visitor: Client) -> None:
    make_users(230)
    User.objects.bulk_create(User(username=name) for name in ("A+b@c", "a&b=c", "émile", "日本"))
    everybody = sorted(User.objects.values_list("username", flat=True))

    forth, pages = list(rows(page := get(visitor))), 1
    while address := links(page).get("next"):
        page, pages = get(visitor, str(address)), pages + 1
        forth += rows(page)
    back = list(rows(page))
    while address := links(page).get("prev"):
        page = get(visitor, str(address))
        back = [*rows(page), *back]

    assert forth == back == everybody
    assert pages == 5


def test_the_parts_of_the_list_that_the_pages_watch_leave_no_gap(visitor: Client) -> None:
    make_users(230)

    ends = ["user048", "user098", "user148", "user198"]
    parts = []
    address: str | None = "/"
    while address:
        page = get(visitor, address)
        users = page.with_id("users")
        parts.append((users["data-after"], users["data-until"]))
        address = links(page).get("next")

    assert parts == list(zip([None, *ends], [*ends, None], strict=True))


def test_a_page_that_was_reached_backwards_watches_the_same_part(visitor: Client) -> None:
    make_users(230)

    users = get(visitor, "/?before=user199").with_id("users")

    assert (users["data-after"], users["data-until"]) == ("user148", "user198")


def test_a_page_is_found_by_a_key_that_is_nobodys_any_more(visitor: Client) -> None:
    make_users(110)
    User.objects.get(username="user098").delete()

    page = get(visitor, "/?after=user098")

    assert list(rows(page)) == [f"user{n:03}" for n in range(99, 110)]
    assert page.with_id("users")["data-after"] == "user098"


def test_one_page_has_no_links(visitor: Client) -> None:
    page = get(visitor)

    assert links(page) == {}
    assert not {"data-after", "data-until"} & set(page.with_id("users").attributes)


@pytest.mark.parametrize("query", ["after=zzz", "before=A", "after=%F4%8F%BF%BF"])
def test_an_address_beyond_the_ends_of_the_list_leads_to_its_beginning(visitor: Client, query: str) -> None:
    assertRedirects(visitor.get(f"/?{query}"), "/")


@pytest.mark.parametrize("query", ["after=", "before=", "after=%00", "page=7"])
def test_an_address_that_names_no_key_shows_the_beginning(visitor: Client, query: str) -> None:
    assert list(rows(get(visitor, f"/?{query}"))) == ["ann"]


def test_the_links_carry_any_name(visitor: Client) -> None:
    User.objects.bulk_create(User(username=f"+&=%/{n:03}") for n in range(51))

    address = str(links(get(visitor))["next"])

    assert parse_qs(address.removeprefix("/?")) == {"after": ["+&=%/049"]}


def test_a_page_holds_no_more_than_a_socket_may_watch(visitor: Client, settings: Any) -> None:
    User.objects.bulk_create(User(username=f"u{number}") for number in range(9))
    settings.WHOSONLINE = {"WATCHED_USERS": 5}
    assert visitor.get("/").content.decode().count("<li ") == 5 + 1  # and the template
