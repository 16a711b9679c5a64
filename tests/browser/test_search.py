"""The search as one types: what it finds is live, and the address carries it."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import Locator, Page, Route, expect

from .conftest import Arrive, Visit
from .visitor import Visitor, hold_back, keys, live, row, status

pytestmark = pytest.mark.asyncio(loop_scope="session")

POLICY = {"GRACE": 3}


def field(page: Page) -> Locator:
    return page.get_by_label("Search by name")


async def rows_are(page: Page, *names: str) -> None:
    await expect(page.locator("#users > li > .key")).to_have_text(list(names))


async def test_the_list_shows_whom_the_search_finds_while_one_types(arrive: Arrive) -> None:
    ann, bob = await arrive("ann", "bob")
    await field(ann.page).press_sequentially(bob.name.upper())
    await rows_are(ann.page, bob.name)
    await expect(ann.page).to_have_url(f"/?q={bob.name.upper()}")
    await expect(ann.page).to_have_title(f"“{bob.name.upper()}” · People · Lobby")
    await expect(field(ann.page)).to_be_focused()
    await expect(status(ann.page, bob.name)).to_have_text("Online")
    await field(ann.page).fill("")
    await expect(row(ann.page, ann.name)).to_have_count(1)
    await expect(ann.page).to_have_url("/")


async def test_what_was_typed_before_the_scripts_came_is_searched_for_when_they_are_here(
    arrive: Arrive,
) -> None:
    ann, bob = await arrive("ann", "bob")
    typed = asyncio.Event()

    async def come_late(route: Route) -> None:
        await typed.wait()
        await route.continue_()

    await ann.page.route(re.compile(r"/lobby/search[^/]*\.js"), come_late)
    await ann.page.goto("/", wait_until="commit")
    await field(ann.page).fill(bob.name)
    typed.set()
    await rows_are(ann.page, bob.name)
    await expect(ann.page).to_have_url(f"/?q={bob.name}")


async def test_who_is_found_is_followed(arrive: Arrive, visit: Visit, admin: Visitor) -> None:
    (ann,) = await arrive("ann")
    await field(ann.page).fill("smith-x")
    await expect(ann.page.get_by_text("Nobody called “smith-x”.")).to_be_visible()
    bob, cat = await visit("bob"), await visit("cat")
    await cat.join("Cat Jones")
    await bob.join("Bob Smith-Xavier")
    await rows_are(ann.page, bob.name)
    await expect(ann.page.locator("#nobody")).to_be_hidden()
    await expect(status(ann.page, bob.name)).to_have_text("Online")
    await bob.log_out()
    await expect(status(ann.page, bob.name)).to_have_text("Offline")
    form = await admin.administer(cat)
    await form.get_by_label("Last name").fill("Smith-Xu")
    await form.get_by_role("button", name="Save", exact=True).click()
    await rows_are(ann.page, bob.name, cat.name)
    form = await admin.administer(bob)
    await form.get_by_label("First name").fill("Bob")
    await form.get_by_label("Last name").fill("Miller")
    await form.get_by_role("button", name="Save", exact=True).click()
    await rows_are(ann.page, cat.name)


async def test_back_leads_to_before_the_search_and_forward_to_it(arrive: Arrive) -> None:
    ann, bob = await arrive("ann", "bob")
    for query in (bob.name[:2], bob.name):
        await field(ann.page).fill(query)
        await rows_are(ann.page, *sorted(key for key in await keys(ann.page) if key.startswith(query)))
        await expect(ann.page).to_have_url(f"/?q={query}")
    await ann.page.go_back()
    await expect(ann.page).to_have_url("/")
    await expect(row(ann.page, ann.name)).to_have_count(1)
    await expect(field(ann.page)).to_have_value("")
    await ann.page.go_forward()
    await rows_are(ann.page, bob.name)
    await expect(field(ann.page)).to_have_value(bob.name)


async def test_back_before_the_search_has_been_answered_ends_it(arrive: Arrive) -> None:
    (ann,) = await arrive("ann")
    asked, answer = await hold_back(ann.page, "**/?q=*")
    await field(ann.page).fill("nobody-of-this-name")
    await asked.wait()
    await ann.page.go_back()
    await expect(ann.page).to_have_url("/")
    await expect(field(ann.page)).to_have_value("")
    answer.set()
    await expect(ann.page.locator("#users[aria-busy]")).to_have_count(0)
    await field(ann.page).press("a")  # what comes next is answered, and by itself
    await expect(ann.page).to_have_url("/?q=a")
    await expect(row(ann.page, ann.name)).to_have_count(1)
    await expect(ann.page.locator("#nobody")).to_be_hidden()


async def test_the_views_keep_the_search(arrive: Arrive) -> None:
    ann, bob = await arrive("ann", "bob")
    await field(ann.page).fill(bob.name)
    await rows_are(ann.page, bob.name)
    await ann.page.get_by_role("link", name="Online now").click()
    await expect(ann.page).to_have_url(f"/?view=online&q={bob.name}")
    await live(ann.page)
    await rows_are(ann.page, bob.name)
    await bob.log_out()
    await rows_are(ann.page)
    await ann.page.get_by_role("link", name="Everyone").click()
    await rows_are(ann.page, bob.name)


async def test_a_search_is_only_ever_text(arrive: Arrive) -> None:
    (ann,) = await arrive("ann")
    markup = '<img src=x onerror="alert(1)"> &amp;'
    await field(ann.page).fill(markup)
    await expect(ann.page.locator("#nobody")).to_have_text(f"Nobody called “{markup}”.")
    assert await ann.page.locator("main img").count() == 0


async def test_who_has_been_logged_out_meanwhile_is_sent_to_the_log_in_page(arrive: Arrive) -> None:
    (ann,) = await arrive("ann")
    await ann.page.evaluate("() => whosonline.pause()")
    await ann.post("/log_out/")
    await field(ann.page).fill("x")
    await expect(ann.page).to_have_url(re.compile(r"/log_in/\?next="))


async def test_without_javascript_the_search_and_the_views_work(visit: Visit, arrive: Arrive) -> None:
    bob, ann = await visit("bob"), await visit("ann", java_script_enabled=False)
    await bob.join()
    await ann.sign_up()
    await field(ann.page).fill(bob.name)
    await ann.page.get_by_role("button", name="Search").click()
    assert await keys(ann.page) == [bob.name]
    await ann.page.get_by_role("link", name="Online now").click()
    assert await keys(ann.page) == [bob.name]
    await expect(field(ann.page)).to_have_value(bob.name)
