"""The two views of the list, and its search, as they are at load and without JavaScript."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django.asserts import assertRedirects

from whosonline import directory, presence, runtime, words
from whosonline.stores.errors import StoreUnavailable

from .markup import Element, get, rows


def make_users(number: int, name: str = "user") -> list[User]:
    User.objects.bulk_create(User(username=f"{name}{n:04}", first_name="Somebody") for n in range(number))
    for _ in words.reindex():
        pass
    return list(User.objects.filter(username__startswith=name))


def touch(users: Iterable[User]) -> None:
    for user in users:
        runtime.sync_store().touch(str(user.pk), directory.profile(user), f"session of {user}", 60)


def address(**parts: str) -> str:
    return f"/?{urlencode(parts)}"


def links(page: Element) -> dict[str | None, str | None]:
    return {link["rel"]: link["href"] for nav in page.all("nav.pages") for link in nav.all("a")}


def joined(pages: Iterable[list[str]]) -> list[str]:
    return [name for page in pages for name in page]


def walk(client: Client, start: str, rel: str) -> list[list[str]]:
    """Return the names on each page, from one on along its links."""
    page = get(client, start)
    pages = [list(rows(page))]
    while link := links(page).get(rel):
        page = get(client, str(link))
        pages.append(list(rows(page)))
    return pages


def nobody(page: Element) -> str | None:
    line = page.with_id("nobody")
    return None if "hidden" in line else " ".join(line.text.split())


# Online now


def test_online_now_shows_who_is_there_in_name_order_and_the_visitor_too(visitor: Client) -> None:
    users = make_users(9)
    touch([users[5], users[2]])

    page = get(visitor, "/?view=online")

    assert list(rows(page)) == ["ann", "user0002", "user0005"]
    assert {row.one(".status").text for row in rows(page).values()} == {"Online"}
    assert page.one("p.count").text.split() == ["3", "online"]
    assert page.with_id("users")["data-view"] == "online"


def test_the_pages_of_online_now_reach_everybody_once_in_both_directions(visitor: Client) -> None:
    touch(make_users(120))
    names = sorted(["ann", *(f"user{n:04}" for n in range(120))])

    forth = walk(visitor, "/?view=online", "next")
    back = walk(visitor, address(view="online", after=forth[-2][-1]), "prev")

    assert [len(page) for page in forth] == [50, 50, 21]
    assert joined(forth) == names
    assert joined(reversed(back)) == names


def test_the_visitor_who_is_not_online_yet_is_on_one_page_only(visitor: Client, ann: User) -> None:
    touch(make_users(70, "aaa"))
    touch(make_users(70, "zzz"))
    assert joined(walk(visitor, "/?view=online", "next")).count("ann") == 1
    assert joined(walk(visitor, address(view="online", before="zzz9"), "prev")).count("ann") == 1
    touch([ann])
    assert joined(walk(visitor, "/?view=online", "next")).count("ann") == 1


def test_while_the_store_is_away_online_now_says_so_and_shows_nobody(
    visitor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise StoreUnavailable("for a test")

    monkeypatch.setattr(presence, "present", away)
    page = get(visitor, "/?view=online")

    assert rows(page) == {}
    assert nobody(page) is None
    assert "not known" in page.one("p.connection").text


# Search


@pytest.mark.parametrize("query", ["ann", "SMI", "ann s", "  ann "])
@pytest.mark.parametrize("view", ["", "online"])
def test_a_search_shows_whom_it_finds(visitor: Client, view: str, query: str) -> None:
    touch(make_users(3))

    page = get(visitor, address(view=view, q=query))

    assert list(rows(page)) == ["ann"]
    assert page.with_id("search")["value"] == " ".join(query.split())
    assert page.with_id("users")["data-query"] == " ".join(query.split())


@pytest.mark.parametrize(
    ("view", "words"), [("", "Nobody called “<zz>”."), ("online", "Nobody called “<zz>” is online.")]
)
def test_a_search_that_finds_nobody_says_so(visitor: Client, view: str, words: str) -> None:
    page = get(visitor, address(view=view, q="<zz>"))
    assert (rows(page), nobody(page)) == ({}, words)
    assert nobody(get(visitor, address(view=view))) is None


@pytest.mark.parametrize("view", ["", "online"])
def test_the_pages_of_a_search_reach_everybody_it_finds_in_both_directions(
    visitor: Client, view: str
) -> None:
    touch([*make_users(110), *make_users(30, "other")])
    names = [f"user{n:04}" for n in range(110)]

    forth = walk(visitor, address(view=view, q="USER"), "next")
    back = walk(visitor, address(view=view, q="USER", after=forth[-2][-1]), "prev")

    assert [len(page) for page in forth] == [50, 50, 10]
    assert joined(forth) == names == joined(reversed(back))


def test_the_views_keep_the_search_and_the_search_keeps_the_view(visitor: Client) -> None:
    make_users(51)
    page = get(visitor, address(view="online", q="a&b"))
    assert [link["href"] for link in page.one("nav.views").all("a")] == ["/?q=a%26b", "/?view=online&q=a%26b"]
    assert [link["aria-current"] for link in page.one("nav.views").all("a")] == [None, "page"]
    hidden = [field["value"] for field in page.one("form.search").all("input") if field["type"] == "hidden"]
    assert hidden == ["online"]
    assert links(get(visitor, "/?q=user")) == {"next": "/?q=user&after=user0049"}
    assert links(get(visitor, "/?q=user&after=user0049")) == {"prev": "/?q=user&before=user0050"}


@pytest.mark.parametrize("view", ["", "online"])
def test_an_address_beyond_the_ends_of_a_search_leads_to_its_beginning(visitor: Client, view: str) -> None:
    target = address(**{"view": view} if view else {}, q="ann")
    assertRedirects(visitor.get(address(view=view, q="ann", after="zzz")), target)
    assertRedirects(visitor.get(address(view=view, q="ann", before="A")), target)


@pytest.mark.parametrize("query", ["\0", "%", "'", "\U0010ffff", "😀" * 300, "ﷺ" * 100])
@pytest.mark.parametrize("view", ["", "online"])
def test_no_search_breaks_the_page(visitor: Client, view: str, query: str) -> None:
    assert visitor.get(address(view=view, q=query)).status_code == 200


# What a page costs


@pytest.mark.parametrize("by_database", [False, True])
@pytest.mark.parametrize("where", [{}, {"after": "user0005"}, {"before": "user0008"}])
@pytest.mark.parametrize("query", ["", "user", "user0007", "zz"])
@pytest.mark.parametrize("view", ["", "online"])
def test_the_number_of_queries_is_the_same_for_few_and_many_users(
    visitor: Client,
    view: str,
    query: str,
    where: dict[str, str],
    by_database: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(presence, "FEW", 0 if by_database else 5000)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            visitor.get(address(view=view, q=query, **where))
        return len(captured)

    touch(make_users(20))
    few = queries()
    User.objects.exclude(username="ann").delete()
    runtime._backend().wipe()
    touch(make_users(600))

    assert queries() == few <= 8
