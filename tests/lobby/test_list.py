"""The list of all users, as it is at load and without JavaScript."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import Client

from lobby.templatetags.lobby import ago
from whosonline import directory, presence, runtime
from whosonline.core.entries import Report
from whosonline.core.statuses import SITE, Status
from whosonline.models import LastSeen
from whosonline.stores.errors import StoreUnavailable

from .conftest import PASSWORD
from .markup import Element, get, parse, rows

AGO = Path(__file__).parents[1] / "vectors" / "ago.json"


def status(row: Element) -> tuple[str | None, str]:
    mark = row.one(".status")
    return mark["data-status"], mark.text


def count(page: Element) -> str:
    (mark,) = [span for span in page.all("span") if "data-presence-count" in span]
    return mark.text


def touch(user: User) -> None:
    runtime.sync_store().touch(str(user.pk), directory.profile(user), "a session", 30)


@async_to_sync
async def connect_idle(user: User) -> None:
    store = runtime.new_store()
    await store.open("another node", 60)
    await store.report([Report(SITE, str(user.pk), Status.AWAY, directory.profile(user))])


def test_statuses_are_right_at_load(visitor: Client) -> None:
    online, away, _ = (User.objects.create_user(name) for name in ("bob", "carol", "dave"))
    touch(online)
    connect_idle(away)

    page = get(visitor)

    assert {name: status(row) for name, row in rows(page).items()} == {
        "ann": ("online", "Online"),
        "bob": ("online", "Online"),
        "carol": ("away", "Away"),
        "dave": ("offline", "Offline"),
    }
    assert count(page) == "3"


def test_a_large_count_is_shown_as_the_socket_tells_it(
    visitor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "online_count", lambda: 12_345)
    assert count(get(visitor)) == "12300"


def test_every_mark_that_is_kept_live_names_its_user(visitor: Client, ann: User) -> None:
    row = rows(get(visitor))["ann"]

    me = str(ann.pk)
    assert (row["id"], row["data-user"], row["data-key"]) == (f"user-{me}", me, "ann")
    assert row.one(".status")["data-presence-user"] == row.one("time")["data-presence-seen"] == me


def test_who_looks_at_the_list_is_online_before_any_socket_is_open_and_counted_once(
    visitor: Client, ann: User
) -> None:
    assert presence.status(ann.pk).status is Status.OFFLINE
    page = get(visitor)
    assert (status(rows(page)["ann"])[0], count(page)) == ("online", "1")

    touch(ann)
    page = get(visitor)
    assert (status(rows(page)["ann"])[0], count(page)) == ("online", "1")


def test_who_looks_at_the_list_is_online_though_idle_elsewhere(visitor: Client, ann: User) -> None:
    connect_idle(ann)

    page = get(visitor)

    assert (status(rows(page)["ann"])[0], count(page)) == ("online", "1")


def test_who_looks_at_a_page_without_the_own_row_is_counted_too(visitor: Client) -> None:
    User.objects.create_user("bob")

    page = get(visitor, "/?after=ann")

    assert list(rows(page)) == ["bob"]
    assert count(page) == "1"


def test_only_the_own_row_is_marked(visitor: Client, ann: User) -> None:
    User.objects.create_user("bob")

    page = get(visitor)

    assert page.with_id("users")["data-me"] == str(ann.pk)
    marked = {name: ("mine" in row.name, "hidden" not in row.one(".me")) for name, row in rows(page).items()}
    assert marked == {"ann": (True, True), "bob": (False, False)}


def test_it_is_shown_when_somebody_offline_was_last_seen(visitor: Client) -> None:
    bob, carol, _ = (User.objects.create_user(name) for name in ("bob", "carol", "dave"))
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5, seconds=30)
    LastSeen.objects.create(user=bob, at=at)
    LastSeen.objects.create(user=carol, at=at)
    touch(carol)

    seen = {name: row.one("time") for name, row in rows(get(visitor)).items()}

    assert "hidden" not in seen["bob"]
    assert seen["bob"].text == "5 min ago"
    assert datetime.fromisoformat(str(seen["bob"]["datetime"])) == at
    assert "hidden" in seen["carol"], "online"
    assert "hidden" in seen["dave"], "never seen"
    assert "hidden" in seen["ann"], "looking at the page"


@pytest.mark.parametrize("case", json.loads(AGO.read_text()), ids=lambda case: case["words"])
def test_how_long_ago_is_told_in_the_words_of_the_browser_module(case: dict[str, object]) -> None:
    assert ago(datetime.now(UTC) - timedelta(seconds=float(str(case["seconds"])))) == case["words"]


def test_while_the_store_is_away_the_list_says_that_it_does_not_know(
    visitor: Client, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    User.objects.create_user("bob")

    def away() -> None:
        raise StoreUnavailable("for a test")

    monkeypatch.setattr(presence, "present", away)
    page = get(visitor)

    assert {status(row) for row in rows(page).values()} == {("unknown", "Unknown")}
    assert count(page) == "?"
    assert page.one("p.connection").text


def test_the_line_about_the_connection_is_empty_at_load(visitor: Client) -> None:
    line = get(visitor).one("p.connection")

    assert (line["role"], line.text) == ("status", "")


@pytest.mark.parametrize(
    "name",
    ["O.Brien+tag@example.org", "-_-", "ÄÖÜß", "Ωμέγα", "محمد", "אבנר", "日本太郎", "𝒜𝓃𝓃", "1", "x" * 150],
)
def test_a_name_of_any_legal_characters_shows_exactly(client: Client, name: str) -> None:
    answers = {"username": name, "password1": PASSWORD, "password2": PASSWORD}
    response = client.post("/sign_up/", answers, follow=True)

    # Django stores names in the one normal form of what looks the same.
    name = User.normalize_username(name)
    page = parse(response.content.decode())
    row = rows(page)[name]
    assert row["data-key"] == name
    assert row.one(".key")["dir"] == row.one(".name")["dir"] == "auto"
    assert row.one(".avatar").text == name[0].upper()


@pytest.mark.parametrize(
    "display",
    ["<script>alert(1)</script>", '<b>Bob</b> &amp; "co" \'n', "{{ row.key }}", "%3Cb%3E", "\u202eboB"],
)
def test_a_display_name_is_only_ever_text(visitor: Client, display: str) -> None:
    User.objects.create_user("bob", first_name=display)

    name = rows(get(visitor))["bob"].one(".name")

    assert (name.text, name.children) == (display, [])
    assert "hidden" not in name


def test_a_display_name_that_says_nothing_new_is_not_shown(visitor: Client) -> None:
    User.objects.create_user("bob")

    assert "hidden" in rows(get(visitor))["bob"].one(".name")


def test_only_active_users_are_listed(visitor: Client) -> None:
    User.objects.create_user("bob", is_active=False)

    assert list(rows(get(visitor))) == ["ann"]


def test_the_template_for_new_rows_has_the_shape_of_the_rows(visitor: Client) -> None:
    User.objects.create_user("bob")
    page = get(visitor)

    def shape(row: Element) -> list[object]:
        return [row.name, set(row.attributes), *((child.name, child["dir"]) for child in row.children)]

    (blank,) = page.with_id("user-row").children
    assert shape(blank) == shape(rows(page)["bob"])
    assert (blank["data-user"], blank.one(".key").text, blank.one("time").text) == ("", "", "")


def test_the_list_is_never_kept_by_a_browser_or_a_proxy(visitor: Client) -> None:
    assert "no-store" in visitor.get("/")["Cache-Control"]
