"""The list's own module on a page in a real browser: rows come, go and move by themselves."""

from __future__ import annotations

from typing import Any

import pytest
from django.template.loader import render_to_string
from playwright.async_api import expect

from lobby.rows import Row
from whosonline.core.statuses import Status

from .stub import StubSite

pytestmark = pytest.mark.asyncio(loop_scope="session")


def row(user: str, key: str, name: str | None = None) -> dict[str, Any]:
    told = {"id": user, "name": name or key}
    return told | {"key": key} if name and name != key else told


def list_of(*keys: str) -> str:
    """The list as the server writes it: user 1 is the first key, and so on; user 2 looks at it."""
    rows = [
        Row(str(user), key, key, Status.OFFLINE, None, user == 2) for user, key in enumerate(keys, start=1)
    ]
    items = "".join(render_to_string("lobby/row.html", {"row": row}) for row in rows)
    empty = render_to_string("lobby/row.html", {"row": None})
    return (
        f'<ul id="users" data-view="everyone" data-query="" data-me="2">{items}</ul>'
        f'<template id="user-row">{empty}</template><p id="nobody" hidden></p>'
    )


def reset(rows: list[dict[str, str]]) -> dict[str, object]:
    return {"type": "directory", "reset": True, "after": None, "until": None, "added": rows}


async def open_list(site: StubSite, *keys: str) -> None:
    await site.open(list_of(*keys))
    await site.until(lambda: len(site.sent[0]) == 2)
    assert site.sent[0][1] == {"type": "watch", "directory": {"after": None, "until": None}}
    site.tell(reset([row(str(n), k) for n, k in enumerate(keys, 1)]))


async def keys_are(site: StubSite, *keys: str) -> None:
    await expect(site.page.locator("#users > li > .key")).to_have_text(list(keys))


async def test_what_the_list_shows_already_is_left_alone(site: StubSite) -> None:
    await site.open(list_of("ann", "bob"))
    await site.page.evaluate(
        """() => {
            window.touched = 0;
            new MutationObserver((records) => touched += records.length).observe(
                document.getElementById("users"),
                { childList: true, characterData: true, subtree: true, attributes: true });
        }"""
    )
    site.tell(reset([row("1", "ann"), row("2", "bob")]))
    site.tell({"type": "update", "online": 77, "users": {"1": {"status": "offline"}}})
    await site.until(lambda: len(site.sent[0]) == 2)
    await site.page.clock.run_for(1000)
    assert await site.page.evaluate("() => whosonline.state.online") == 77
    assert await site.page.evaluate("() => touched") == 0


async def test_who_signs_up_appears_in_place_and_is_watched(site: StubSite) -> None:
    await open_list(site, "ann", "dan")
    site.tell(
        {"type": "directory", "added": [row("9", "cat", "Cat Jones"), row("8", "Zed"), row("10", "eve")]}
    )
    await keys_are(site, "Zed", "ann", "cat", "dan", "eve")
    await site.until(lambda: len(site.sent[0]) == 3)
    assert sorted(site.sent[0][2]["users"]) == ["1", "10", "2", "8", "9"]
    site.users(u9={"status": "online"})
    cat = site.page.locator("#user-9")
    await expect(cat.locator(".status")).to_have_text("Online")
    await expect(cat.locator(".name")).to_have_text("Cat Jones")
    await expect(cat.locator(".name")).to_be_visible()
    await expect(cat.locator(".avatar")).to_have_text("C")
    await expect(cat.locator(".me")).to_be_hidden()
    await expect(site.page.locator("#user-8 .name")).to_be_hidden()


async def test_a_row_that_the_script_makes_is_like_one_of_the_server(site: StubSite) -> None:
    await open_list(site, "ann", "bob")
    fields = "(id) => document.getElementById(id).outerHTML.replace(/\\s+/g, ' ')"
    by_server = await site.page.evaluate(fields, "user-2")
    site.tell({"type": "directory", "removed": ["2"]})
    await keys_are(site, "ann")
    site.tell({"type": "directory", "added": [row("2", "bob")]})
    await keys_are(site, "ann", "bob")
    await site.page.clock.run_for(200)
    by_script = await site.page.evaluate(fields, "user-2")
    assert by_script.replace("unknown", "offline").replace("Unknown", "Offline") == by_server


async def test_who_is_removed_disappears(site: StubSite) -> None:
    await open_list(site, "ann", "bob", "cat")
    site.tell({"type": "directory", "removed": ["2", "99"]})
    await keys_are(site, "ann", "cat")
    await site.until(lambda: len(site.sent[0]) == 3)
    assert site.sent[0][2] == {"type": "watch", "users": ["1", "3"]}


async def test_who_is_renamed_moves(site: StubSite) -> None:
    await open_list(site, "ann", "bob", "cat")
    site.tell({"type": "directory", "added": [row("1", "dora", "Dora D")]})
    await keys_are(site, "bob", "cat", "dora")
    await expect(site.page.locator("#user-1 .name")).to_have_text("Dora D")
    site.tell({"type": "directory", "added": [row("3", "aaron"), row("2", "ben")]})
    await keys_are(site, "aaron", "ben", "dora")
    site.tell({"type": "directory", "added": [row("1", "dora", "Dora E")]})
    await expect(site.page.locator("#user-1 .name")).to_have_text("Dora E")
    site.tell({"type": "directory", "added": [row("1", "abe", "Dora E")]})
    await keys_are(site, "aaron", "abe", "ben")


async def test_a_name_is_only_ever_text(site: StubSite) -> None:
    await open_list(site, "ann")
    markup = '<img src=x onerror="alert(1)"> &amp; "x"'
    site.tell({"type": "directory", "added": [row("9", "bob", markup), row("8", "😀y", "<b>y</b>")]})
    await expect(site.page.locator("#user-9 .name")).to_have_text(markup)
    await expect(site.page.locator("#user-8 .avatar")).to_have_text("😀")
    assert await site.page.locator("#users img, #users b").count() == 0


async def test_the_focus_stays_where_it_is_while_rows_come_go_and_move(site: StubSite) -> None:
    await open_list(site, "ann", "bob", "cat", "dan")
    await site.page.evaluate(
        """() => {
            const status = document.querySelector("#user-3 .status");
            status.tabIndex = 0;
            status.focus();
            window.blurs = 0;
            status.addEventListener("blur", () => blurs++);
        }"""
    )
    site.tell({"type": "directory", "added": [row("1", "zoe"), row("9", "aaa")], "removed": ["4"]})
    await keys_are(site, "aaa", "bob", "cat", "zoe")
    assert await site.page.evaluate("() => blurs") == 0
    site.tell({"type": "directory", "added": [row("3", "zz")]})
    await keys_are(site, "aaa", "bob", "zoe", "zz")
    await expect(site.page.locator("#user-3 .status")).to_be_focused()


async def test_while_the_connection_is_lost_the_list_holds(site: StubSite) -> None:
    await open_list(site, "ann", "bob")
    await site.sockets[0].close(code=1012)
    await site.state("reconnecting")
    await keys_are(site, "ann", "bob")
    await site.welcome(number=2)
    await site.until(lambda: len(site.sent[1]) == 2)
    site.tell(reset([row("2", "bob"), row("5", "cat")]))
    await keys_are(site, "bob", "cat")
