"""Logging out is told at once, wherever it was done: the grace period here is longer than any test waits."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from bench.people import Person

from .conftest import Arrive, Visit
from .visitor import LOG_IN_PAGE, changes, last_seen, live, record, row, status

pytestmark = pytest.mark.asyncio(loop_scope="session")

POLICY = {"GRACE": 600, "TOUCH": 600}


async def test_who_logs_out_is_offline_at_once_in_every_list(arrive: Arrive) -> None:
    ann, bob, cat = await arrive("ann", "bob", "cat")
    await record(ann.page)
    await record(cat.page)
    await bob.log_out()
    for watcher in (ann, cat):
        await expect(status(watcher.page, bob.name)).to_have_text("Offline")
        await expect(last_seen(watcher.page, bob.name)).to_have_text("just now")
        assert await changes(watcher.page, bob.name) == ["offline"]


async def test_the_page_that_asks_before_it_logs_out_does_so(arrive: Arrive) -> None:
    ann, bob = await arrive("ann", "bob")
    await bob.page.goto("/log_out/")
    await bob.page.get_by_role("main").get_by_role("button", name="Log out").click()
    await expect(bob.page).to_have_url(LOG_IN_PAGE)
    await expect(status(ann.page, bob.name)).to_have_text("Offline")


async def test_all_tabs_of_a_session_go_to_the_log_in_page_by_themselves(arrive: Arrive) -> None:
    ann, bob = await arrive("ann", "bob")
    tabs = [await bob.open_tab() for _ in range(2)]
    await record(ann.page)
    await bob.log_out()
    for tab in tabs:
        await expect(tab).to_have_url("/log_in/?next=/")
    await expect(status(ann.page, bob.name)).to_have_text("Offline")
    # They lead back to where they were.
    await bob.log_in("/")
    await live(bob.page)
    await expect(status(ann.page, bob.name)).to_have_text("Online")
    assert await changes(ann.page, bob.name) == ["offline", "online"]


async def test_a_log_out_in_another_browser_with_the_same_session_counts_too(
    arrive: Arrive, visit: Visit
) -> None:
    ann, bob = await arrive("ann", "bob")
    copy = await visit("copy")
    await copy.context.add_cookies(await bob.context.cookies())
    await copy.page.goto("/")
    await live(copy.page)
    await expect(row(copy.page, bob.name).locator(".me")).to_be_visible()
    await record(ann.page)
    await copy.log_out()
    await expect(bob.page).to_have_url("/log_in/?next=/")
    await expect(status(ann.page, bob.name)).to_have_text("Offline")
    assert await changes(ann.page, bob.name) == ["offline"]


async def test_a_log_out_leaves_the_other_sessions_of_the_user_alone(
    arrive: Arrive, visit: Visit, dan: Person
) -> None:
    ann, bob = await arrive("ann", "bob")
    await dan.socket()
    phone = await visit("phone")
    phone.name = bob.name
    await phone.log_in()
    await live(phone.page)
    await record(ann.page)
    await record(phone.page)
    await bob.log_out()
    await dan.log_out()
    for watcher in (ann, phone):
        await expect(status(watcher.page, dan.name)).to_have_text("Offline")
        assert await changes(watcher.page, bob.name) == []
    await phone.log_out()
    await expect(status(ann.page, bob.name)).to_have_text("Offline")


async def test_after_a_log_out_the_way_back_does_not_show_the_list(arrive: Arrive) -> None:
    ann, bob = await arrive("ann", "bob")
    await bob.log_out()
    await bob.page.go_back()
    await expect(bob.page).to_have_url("/log_in/?next=/")
    await expect(bob.page.get_by_text(ann.name)).to_have_count(0)
    await expect(status(ann.page, bob.name)).to_have_text("Offline")
