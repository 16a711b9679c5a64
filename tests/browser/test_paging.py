"""A list of many people: rows come as one scrolls, others are released, and the address keeps the place."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from tests.polling import eventually
from tests.serving import Server

from .conftest import Visit, in_shell
from .visitor import (
    Visitor,
    address_says,
    changes,
    first_on_screen,
    hold_back,
    is_watched,
    keys,
    live,
    online_count,
    record,
    row,
    scroll,
    status,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

POLICY = {"GRACE": 3, "TOUCH": 600}
MANY = 700
MOST = 300
"""Rows that a page may hold."""

UNDER_THE_BAR = "() => Math.round(document.querySelector('.tools').getBoundingClientRect().bottom)"


@pytest.fixture(scope="module", autouse=True)
def _many(lobby: Server) -> None:
    users = f"User(username=f'user{{n:03}}') for n in range({MANY})"
    lobby.manage(
        "shell", "-c", f"from django.contrib.auth.models import User; User.objects.bulk_create({users})"
    )
    lobby.manage("whosonline", "reindex")


async def scroll_to_row(page: Page, name: str, down: bool = True) -> None:
    """Scroll until a row is there, and nothing is on its way."""

    async def scrolled() -> bool:
        await scroll(page, 1500 if down else -1500)
        assert await page.locator("#users > li").count() <= MOST
        return await row(page, name).count() > 0

    await eventually(scrolled)
    await expect(page.locator("#users")).not_to_have_attribute("aria-busy", "true")


async def test_all_rows_come_as_one_scrolls_in_order_and_the_page_stays_small(visit: Visit) -> None:
    ann = await visit("ann")
    await ann.join()
    seen: set[str] = set()
    await ann.page.mouse.move(500, 500)

    async def at_the_end() -> bool:
        await ann.page.mouse.wheel(0, 1200)
        listed = await keys(ann.page)
        assert listed == sorted(listed)
        assert len(listed) <= MOST
        seen.update(listed)
        return listed[-1] >= f"user{MANY - 1}" and await ann.page.locator("#users[data-until]").count() == 0

    await eventually(at_the_end)
    assert {f"user{n:03}" for n in range(MANY)} <= seen

    async def at_the_beginning() -> bool:
        await ann.page.mouse.wheel(0, -1200)
        listed = await keys(ann.page)
        assert listed == sorted(listed)
        assert len(listed) <= MOST
        return ann.name in listed and await ann.page.evaluate("() => scrollY") == 0

    await eventually(at_the_beginning)
    await expect(ann.page).to_have_url("/")


async def test_only_what_is_near_the_screen_is_watched(visit: Visit) -> None:
    ann = await visit("ann")
    await ann.join()
    await scroll_to_row(ann.page, "user150")

    async def watches_the_screen() -> bool:
        watched = await ann.page.evaluate("() => [...whosonline.state.users.keys()]")
        shown = await ann.page.evaluate(
            """() => [...document.querySelectorAll("#users > li")].filter((item) => {
                const { top, bottom } = item.getBoundingClientRect();
                return bottom > 0 && top < innerHeight;
            }).map((item) => item.dataset.user)"""
        )
        return set(shown) <= set(watched) and len(watched) <= len(shown) + 2 * 20 + 2 * 6

    await eventually(watches_the_screen)
    span = await ann.page.evaluate("() => whosonline.state.directory.watch.directory")
    first = (await first_on_screen(ann.page))["key"]
    assert "user" <= span["after"] < first < span["until"]


async def test_what_happens_on_the_screen_shows_though_one_has_scrolled(visit: Visit, lobby: Server) -> None:
    ann, bob = await visit("ann"), await visit("user400-")
    await ann.join()
    await scroll_to_row(ann.page, "user420")
    await row(ann.page, "user400").scroll_into_view_if_needed()
    await bob.join()
    await expect(status(ann.page, bob.name)).to_have_text("Online")
    await expect(online_count(ann.page)).to_have_text("2 online")
    await in_shell(lobby, "User.objects.get(username='user401').delete()")
    listed = await keys(ann.page)
    assert listed == sorted(listed)


async def test_a_row_that_comes_above_moves_nothing_on_the_screen(visit: Visit) -> None:
    ann, bob = await visit("ann"), await visit("user300-")
    await ann.join()
    await scroll_to_row(ann.page, "user330")
    await ann.page.evaluate(
        "() => document.querySelector('[data-key=user305]').scrollIntoView({ block: 'start' })"
    )
    await ann.page.mouse.move(5, 5)
    await eventually(lambda: is_watched(ann.page, "user299"))
    before = await first_on_screen(ann.page)
    await bob.join()
    await expect(status(ann.page, bob.name)).to_have_text("Online")
    assert await first_on_screen(ann.page) == before


@pytest.mark.parametrize("how", ["reload", "back", "forward"])
async def test_one_lands_where_one_was(visit: Visit, how: str) -> None:
    ann = await visit("ann")
    await ann.join()
    await ann.page.goto("/password/")
    await ann.page.goto("/")
    await live(ann.page)
    await scroll_to_row(ann.page, "user260")
    await scroll(ann.page, -333)
    await address_says(ann.page)
    before = await first_on_screen(ann.page)
    if how == "reload":
        await ann.page.reload()
    elif how == "back":
        await ann.page.goto("/log_out/")
        await ann.page.go_back()
    else:
        await ann.page.go_back()
        await expect(ann.page).to_have_url("/password/")
        await ann.page.go_forward()
    await live(ann.page)

    async def is_back() -> bool:
        return await first_on_screen(ann.page) == before

    await eventually(is_back)
    # And it goes on in both directions.
    await scroll_to_row(ann.page, "user150", down=False)
    await scroll_to_row(ann.page, "user350")
    listed = await keys(ann.page)
    assert listed == sorted(listed)


@pytest.mark.parametrize("row_number", [0, 20, 46, 260])
async def test_back_from_a_search_lands_where_one_was_also_after_it_was_cleared(
    visit: Visit, row_number: int
) -> None:
    ann = await visit("ann")
    await ann.join()
    if row_number > 100:
        await scroll_to_row(ann.page, "user260")
        await scroll(ann.page, -333)
    elif row_number:
        key = (await keys(ann.page))[row_number]
        await eventually(lambda: is_brought_up(ann.page, key))
    if row_number > 20:  # else one searches before the address says where one is
        await address_says(ann.page)
    before = await first_on_screen(ann.page)
    search = ann.page.get_by_role("searchbox")

    async def is_back() -> bool:
        return await first_on_screen(ann.page) == before

    for queries in (["user1"], ["user1", ""]):
        for query in queries:
            await search.fill(query)
            await expect(ann.page.locator("#users")).to_have_attribute("data-query", query)
        if not row_number:  # it was not scrolled before, but is now
            await scroll(ann.page, 900)
        assert not await is_back()
        await ann.page.go_back()
        await eventually(is_back)
    await ann.page.go_forward()
    await expect(ann.page.locator("#users > li").first).to_be_in_viewport()


async def is_brought_up(page: Page, key: str) -> bool:
    """Scroll until a row is the first on the screen, for which more rows may have to come."""
    await row(page, key).evaluate("(row) => row.scrollIntoView()")
    return bool((await first_on_screen(page))["key"] == key)


async def test_nothing_moves_while_a_search_is_typed(visit: Visit) -> None:
    ann = await visit("ann")
    await ann.join()
    asked, answer = await hold_back(ann.page, re.compile(r"q="))
    await scroll_to_row(ann.page, "user260")
    await scroll(ann.page, -333)
    await address_says(ann.page)
    before = await first_on_screen(ann.page)
    search = ann.page.get_by_role("searchbox")
    await search.focus()
    assert await first_on_screen(ann.page) == before
    await search.press_sequentially("user")
    await asked.wait()
    assert await first_on_screen(ann.page) == before
    answer.set()
    await expect(ann.page.locator("#users")).to_have_attribute("data-query", "user")


async def test_the_place_of_somebody_else_can_be_shared(visit: Visit) -> None:
    ann = await visit("ann")
    await ann.join()
    await ann.page.goto("/?after=user399")
    await live(ann.page)
    await expect(row(ann.page, "user350")).to_have_count(1)  # what comes before is fetched
    assert (await first_on_screen(ann.page))["key"] == "user400"


@pytest.mark.parametrize(
    ("place", "first", "above"), [("user399", "user400", "user350"), ("user019", "user020", "user000")]
)
async def test_nothing_moves_while_rows_above_are_fetched(
    visit: Visit, place: str, first: str, above: str
) -> None:
    ann = await visit("ann")
    await ann.join()
    asked, answer = await hold_back(ann.page, re.compile(r"before="))
    await ann.page.goto(f"/?after={place}")
    await asked.wait()
    await expect(ann.page.locator("#users")).to_have_attribute("data-fetching", "previous")
    before = await first_on_screen(ann.page)
    assert before == {"key": first, "top": await ann.page.evaluate(UNDER_THE_BAR)}
    shown = "() => getComputedStyle(document.getElementById('users'), '::before').content"
    assert "Loading" in await ann.page.evaluate(shown)
    answer.set()
    await expect(row(ann.page, above)).to_have_count(1)
    assert await first_on_screen(ann.page) == before


async def test_while_the_server_is_away_scrolling_goes_on_later(visit: Visit) -> None:
    ann = await visit("ann")
    await ann.join()
    ann.expected = "Failed to load resource"
    refused = 0

    async def refuse(route: Route) -> None:
        nonlocal refused
        refused += 1
        await route.abort()

    await ann.page.route(re.compile(r"after="), refuse)
    await ann.page.mouse.wheel(0, 9000)
    await eventually(lambda: _is(lambda: refused > 0))
    await ann.page.unroute(re.compile(r"after="))
    await expect(row(ann.page, "user060")).to_have_count(1)


async def _is(condition: Any) -> bool:
    return bool(condition())


async def test_who_is_renamed_moves_between_two_lists_at_different_places(
    visit: Visit, admin: Visitor
) -> None:
    first, second, zed = await visit("ann"), await visit("bob"), await visit("zed")
    for visitor in (first, second, zed):
        await visitor.join()
    await second.page.goto("/?after=user650")
    await live(second.page)
    await record(first.page)
    await record(second.page)
    await row(second.page, zed.name).scroll_into_view_if_needed()
    await expect(status(second.page, zed.name)).to_have_text("Online")
    await eventually(lambda: is_watched(second.page, zed.name))
    await expect(row(first.page, zed.name)).to_have_count(0)
    moved = zed.name.replace("zed", "ant")
    form = await admin.administer(zed)
    await form.get_by_label("Username").fill(moved)
    await form.get_by_role("button", name="Save", exact=True).click()
    await expect(row(second.page, zed.name)).to_have_count(0)
    await expect(status(first.page, moved)).to_have_text("Online")
    assert (await changes(second.page, zed.name))[-1] == "removed"
