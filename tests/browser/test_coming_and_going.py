"""People log in, close tabs, reload: what the others see, without a reload of their own."""

from __future__ import annotations

import time

import pytest
from playwright.async_api import expect

from bench.people import Person

from .conftest import Arrive, Visit
from .visitor import all_changes, changes, last_seen, live, online_count, record, row, status

pytestmark = pytest.mark.asyncio(loop_scope="session")

GRACE = 3
POLICY = {"GRACE": GRACE}


async def test_who_logs_in_is_online_in_every_list(arrive: Arrive) -> None:
    ann, bob, cat = await arrive("ann", "bob", "cat")
    await bob.log_out()
    for watcher in (ann, cat):
        await expect(status(watcher.page, bob.name)).to_have_text("Offline")
        await record(watcher.page)
    await bob.log_in()
    for watcher in (ann, cat):
        await expect(status(watcher.page, bob.name)).to_have_text("Online")
        await expect(last_seen(watcher.page, bob.name)).to_be_hidden()
    await live(bob.page)
    await bob.log_out()
    for watcher in (ann, cat):
        await expect(status(watcher.page, bob.name)).to_have_text("Offline")
        # The log-in, and then the page's socket, were one coming.
        assert await changes(watcher.page, bob.name) == ["online", "offline"]
        assert await changes(watcher.page, ann.name) == await changes(watcher.page, cat.name) == []


async def test_who_closes_the_last_tab_is_offline_after_the_grace_period(arrive: Arrive) -> None:
    ann, bob, cat = await arrive("ann", "bob", "cat")
    await record(ann.page)
    closed_at = time.time()
    await bob.page.close()
    for watcher in (ann, cat):
        await expect(status(watcher.page, bob.name)).to_have_text("Offline")
        await expect(last_seen(watcher.page, bob.name)).to_have_text("just now")
    (offline,) = await all_changes(ann.page)
    assert (offline["name"], offline["what"]) == (bob.name, "offline")
    assert offline["at"] - closed_at > GRACE - 0.1


async def test_a_reload_or_a_way_through_other_pages_shows_nobody_anything(
    arrive: Arrive, dan: Person
) -> None:
    ann, bob = await arrive("ann", "bob")
    tab = await dan.socket()
    await record(ann.page)
    await bob.page.reload()
    await live(bob.page)
    await bob.page.goto("/log_out/")
    await bob.page.get_by_role("link", name="Stay").click()
    await live(bob.page)
    await bob.page.go_back()
    await bob.page.go_forward()
    await live(bob.page)
    await tab.close()
    # The grace period of this one ends after that of every page that bob has left.
    await expect(status(ann.page, dan.name)).to_have_text("Offline")
    assert await changes(ann.page, bob.name) == []


async def test_a_tab_that_is_opened_within_the_grace_period_shows_nobody_anything(
    arrive: Arrive, dan: Person
) -> None:
    ann, bob = await arrive("ann", "bob")
    tab = await dan.socket()
    await record(ann.page)
    await bob.page.close()
    await bob.open_tab()
    await tab.close()
    await expect(status(ann.page, dan.name)).to_have_text("Offline")
    assert await changes(ann.page, bob.name) == []


async def test_to_close_one_of_two_tabs_shows_nobody_anything(arrive: Arrive, dan: Person) -> None:
    ann, bob = await arrive("ann", "bob")
    second = await bob.open_tab()
    tab = await dan.socket()
    await record(ann.page)
    await bob.page.close()
    await tab.close()
    await expect(status(ann.page, dan.name)).to_have_text("Offline")
    assert await changes(ann.page, bob.name) == []
    await second.close()
    await expect(status(ann.page, bob.name)).to_have_text("Offline")


async def test_every_page_tells_how_many_are_online(arrive: Arrive, visit: Visit) -> None:
    people = await arrive("ann", "bob", "cat")
    ann, bob, cat = people
    for visitor in people:
        await expect(online_count(visitor.page)).to_have_text("3 online")
    # A second tab of somebody is nobody else.
    tab = await bob.open_tab()
    await expect(online_count(tab)).to_have_text("3 online")
    dan = await visit("dan")
    await dan.join()
    for page in (ann.page, bob.page, tab, cat.page, dan.page):
        await expect(online_count(page)).to_have_text("4 online")
    await cat.log_out()
    await dan.page.close()
    for page in (ann.page, bob.page, tab):
        await expect(online_count(page)).to_have_text("2 online")


async def test_in_each_list_the_own_row_is_marked_and_no_other(arrive: Arrive, visit: Visit) -> None:
    ann, bob = await arrive("ann", "bob")
    cat = await visit("cat")
    await cat.join()
    for visitor in (ann, bob, cat):
        await expect(row(visitor.page, cat.name)).to_be_visible()
        await expect(row(visitor.page, visitor.name).get_by_text("You", exact=True)).to_be_visible()
        await expect(visitor.page.locator("#users .me:visible")).to_have_count(1)
