"""Online now: people enter and leave by themselves, and nothing jumps under the pointer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from aiohttp import ClientWebSocketResponse
from playwright.async_api import Page, expect

from bench.people import Person
from tests.polling import eventually
from tests.serving import Server

from .conftest import Visit
from .visitor import (
    Visitor,
    address_says,
    all_changes,
    first_on_screen,
    is_watched,
    keys,
    live,
    record,
    row,
    scroll,
    status,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

POLICY = {"GRACE": 0, "TOUCH": 1, "MESSAGE_BURST": 200}


class Crowd:
    """People without browsers, who come and go."""

    def __init__(self, stack: AsyncExitStack, url: str) -> None:
        self._stack = stack
        self._url = url
        self._people: dict[str, Person] = {}
        self._here: set[str] = set()

    async def come(self, *names: str) -> None:
        for name in names:
            person = self._people.get(name)
            if person is None:
                person = self._people[name] = await self._stack.enter_async_context(Person(self._url, name))
                await person.sign_up()
            else:
                await person.log_in()
            self._here.add(name)
            socket: ClientWebSocketResponse = await person.socket()
            await socket.receive()

    async def go(self, *names: str) -> None:
        for name in names:
            self._here.remove(name)
            await self._people[name].log_out()

    async def all_go(self) -> None:
        await self.go(*list(self._here))


@pytest_asyncio.fixture(loop_scope="session")
async def crowd(lobby: Server) -> AsyncIterator[Crowd]:
    async with AsyncExitStack() as stack:
        crowd = Crowd(stack, lobby.url)
        yield crowd
        await crowd.all_go()


async def top_of(page: Page, name: str) -> float:
    return float(await row(page, name).evaluate("(row) => row.getBoundingClientRect().top"))


async def watching(visit: Visit, path: str = "/?view=online") -> Visitor:
    ann = await visit("mm")
    await ann.join()
    await ann.page.goto(path)
    await live(ann.page)
    return ann


async def test_who_comes_and_goes_is_seen_to_in_name_order(visit: Visit, crowd: Crowd) -> None:
    ann = await watching(visit)
    await crowd.come("a1", "z1")
    await expect(status(ann.page, "a1")).to_have_text("Online")
    await expect(status(ann.page, "z1")).to_have_text("Online")
    assert await keys(ann.page) == ["a1", ann.name, "z1"]
    await record(ann.page)
    await crowd.go("a1")
    await expect(row(ann.page, "a1")).to_have_count(0)
    await crowd.come("b1")
    await expect(status(ann.page, "b1")).to_have_text("Online")
    assert await keys(ann.page) == ["b1", ann.name, "z1"]
    # Never anything but online, though the row is new.
    assert [c["what"] for c in await all_changes(ann.page) if c["name"] == "b1"] == ["added"]


async def test_the_row_under_the_pointer_stays_where_it_is_at_either_end_of_the_page(
    visit: Visit, crowd: Crowd
) -> None:
    ann = await watching(visit)
    await crowd.come("b2", "x2")
    await expect(row(ann.page, "x2")).to_have_count(1)
    await row(ann.page, "x2").hover()
    before = await top_of(ann.page, "x2")
    await crowd.come("c2")
    await expect(row(ann.page, "c2")).to_have_count(1)
    assert abs(await top_of(ann.page, "x2") - before) < 1
    await crowd.go("b2", "c2")
    await expect(row(ann.page, "b2")).to_have_count(0)
    await expect(row(ann.page, "c2")).to_have_count(0)
    assert abs(await top_of(ann.page, "x2") - before) < 1
    await crowd.come("d2", "e2", "f2")
    await expect(row(ann.page, "f2")).to_have_count(1)
    assert abs(await top_of(ann.page, "x2") - before) < 1
    # Once the pointer has gone the list closes up.
    await ann.page.mouse.move(5, 5)
    listed = await keys(ann.page)
    assert listed == sorted(listed)
    gap = await ann.page.evaluate(
        """() => document.querySelector("#users > li").getBoundingClientRect().top
            - document.querySelector(".tools").getBoundingClientRect().bottom + scrollY"""
    )
    assert gap <= 1 or await ann.page.evaluate("() => scrollY") > 0


async def test_a_row_with_the_focus_keeps_it_and_its_place(visit: Visit, crowd: Crowd) -> None:
    ann = await watching(visit)
    await crowd.come("c3", "y3")
    await expect(row(ann.page, "y3")).to_have_count(1)
    await row(ann.page, "y3").evaluate("(row) => { row.tabIndex = 0; row.focus(); }")
    before = await top_of(ann.page, "y3")
    await crowd.come("d3")
    await expect(row(ann.page, "d3")).to_have_count(1)
    await expect(row(ann.page, "y3")).to_be_focused()
    assert abs(await top_of(ann.page, "y3") - before) < 1


async def test_at_the_top_of_the_page_who_comes_first_is_shown(visit: Visit, crowd: Crowd) -> None:
    ann = await watching(visit)
    await ann.page.mouse.move(5, 5)
    await crowd.come("a4")
    await expect(row(ann.page, "a4")).to_be_in_viewport()
    assert await ann.page.evaluate("() => scrollY") == 0


async def test_a_search_is_live_too(visit: Visit, crowd: Crowd) -> None:
    ann = await watching(visit, "/?view=online&q=an5")
    await expect(ann.page.get_by_text("Nobody called “an5” is online.")).to_be_visible()
    await crowd.come("an5", "bob5")
    await expect(status(ann.page, "an5")).to_have_text("Online")
    await expect(ann.page.locator("#nobody")).to_be_hidden()
    assert await keys(ann.page) == ["an5"]
    await crowd.go("an5")
    await expect(ann.page.get_by_text("Nobody called “an5” is online.")).to_be_visible()


async def test_online_now_goes_on_as_one_scrolls_and_comes_back_to_its_place(
    visit: Visit, crowd: Crowd
) -> None:
    names = [f"p{number:03}" for number in range(120)]
    await crowd.come(*names)
    ann = await watching(visit)
    await ann.page.mouse.move(400, 400)

    async def at_the_end() -> bool:
        await scroll(ann.page, 700)
        listed = await keys(ann.page)
        assert listed == sorted(listed)
        return await is_watched(ann.page, "p119")

    await eventually(at_the_end)
    await crowd.go("p110")
    await expect(row(ann.page, "p110")).to_have_count(0)
    await crowd.come("p110a")
    await expect(status(ann.page, "p110a")).to_have_text("Online")
    listed = await keys(ann.page)
    assert listed == sorted(listed)
    await row(ann.page, "p060").scroll_into_view_if_needed()
    await address_says(ann.page)
    before = await first_on_screen(ann.page)
    await ann.page.reload()
    await live(ann.page)
    await expect(row(ann.page, "p060")).to_be_in_viewport()
    assert await first_on_screen(ann.page) == before
