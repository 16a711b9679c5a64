"""By keyboard alone, and by what a screen reader is told."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Locator, Page, expect

from bench.people import PASSWORD

from .conftest import Arrive, Visit
from .visitor import LOG_IN_PAGE, keys, live, row, status

pytestmark = pytest.mark.asyncio(loop_scope="session")

POLICY = {"GRACE": 3}

PAGES = {"/log_in/": "Log in", "/sign_up/": "Sign up", "/log_out/": "Log out?", "/": "People"}

FOCUS_SHOWS = """() => {
    if (document.activeElement === document.body) return true;  // at an end of the page
    const style = getComputedStyle(document.activeElement);
    return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
}"""

FAULTS = """() => {
    const faults = [];
    const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
    for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) faults.push(`twice: #${id}`);
    for (const name of ["for", "aria-describedby", "aria-labelledby"]) {
        for (const element of document.querySelectorAll(`[${name}]`)) {
            for (const id of element.getAttribute(name).split(" ")) {
                if (!ids.includes(id)) faults.push(`${name} leads nowhere: ${id}`);
            }
        }
    }
    const order = document.querySelector("[tabindex]:not([tabindex='0'], [tabindex='-1'])");
    if (order) faults.push(`an own order of focus: ${order.outerHTML}`);
    for (const image of document.querySelectorAll("img:not([alt])")) faults.push(image.outerHTML);
    if (document.querySelector("#users[aria-live], #users [aria-live]")) faults.push("the list talks");
    return faults;
}"""


async def tab_to(page: Page, target: Locator) -> None:
    """Press the tabulator key until the target has the focus; where it is shows at every step."""
    for _ in range(20):
        await page.keyboard.press("Tab")
        assert await page.evaluate(FOCUS_SHOWS), "where the focus is does not show"
        if await target.evaluate("(target) => target === document.activeElement"):
            return
    raise AssertionError(f"{target} cannot be reached")


async def test_by_keyboard_alone_one_logs_in_and_out(visit: Visit) -> None:
    ann = await visit("ann")
    await ann.join()
    await ann.log_out()
    page = ann.page
    await page.goto("/log_in/")
    await expect(page.get_by_label("Username")).to_be_focused()
    await page.keyboard.type(ann.name)
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page).to_have_title("People · Lobby")
    await live(page)
    await tab_to(page, page.get_by_role("button", name="Log out"))
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(LOG_IN_PAGE)


async def test_the_head_of_the_page_can_be_skipped(visit: Visit) -> None:
    ann = await visit("ann")
    await ann.join()
    await tab_to(ann.page, ann.page.get_by_role("link", name="Skip to the content"))
    await ann.page.keyboard.press("Enter")
    await expect(ann.page.get_by_role("main")).to_be_focused()


async def test_to_skip_the_head_of_a_search_that_finds_nobody_asks_for_nothing(visit: Visit) -> None:
    ann = await visit("ann")
    await ann.join()
    await ann.page.get_by_role("searchbox").fill("nobody-of-this-name")
    await expect(ann.page.locator("#nobody")).to_be_visible()
    asked = list[str]()
    ann.page.on("request", lambda request: asked.append(request.url))
    await tab_to(ann.page, ann.page.get_by_role("link", name="Skip to the content"))
    await ann.page.keyboard.press("Enter")
    await expect(ann.page.get_by_role("main")).to_be_focused()
    await ann.page.evaluate("() => new Promise((soon) => setTimeout(soon))")  # after what its event began
    assert not [url for url in asked if "q=" in url]


async def test_the_focus_is_not_lost_when_the_list_changes(arrive: Arrive, visit: Visit) -> None:
    ann, bob = await arrive("ann", "bob")
    # Nothing in the lobby's rows takes the focus; in another site's it may.
    mine = row(ann.page, ann.name).locator(".key")
    await mine.evaluate("(key) => key.tabIndex = 0")
    await tab_to(ann.page, mine)
    await mine.evaluate("(key) => key.onblur = () => console.error('the focus was lost')")
    before, behind = await visit("aaa"), await visit("zed")
    await before.join()
    await behind.join()
    await bob.log_out()
    await expect(status(ann.page, before.name)).to_have_text("Online")
    await expect(status(ann.page, behind.name)).to_have_text("Online")
    await expect(status(ann.page, bob.name)).to_have_text("Offline")
    await expect(mine).to_be_focused()


async def test_every_page_has_what_a_screen_reader_needs(visit: Visit) -> None:
    ann = await visit("ann")
    page = ann.page
    for path, heading in PAGES.items():
        if path == "/log_out/":
            await ann.join()
        await page.goto(path)
        await expect(page.locator("html")).to_have_attribute("lang", "en")
        await expect(page).to_have_title(f"{heading.rstrip('?')} · Lobby")
        await expect(page.get_by_role("heading", level=1)).to_have_text([heading])
        await expect(page.get_by_role("main")).to_have_count(1)
        await expect(page.get_by_role("banner")).to_have_count(1)
        for role in ("textbox", "button", "link", "navigation", "img"):
            for element in await page.get_by_role(role).all():
                await expect(element).to_have_accessible_name(re.compile(r"\w"))
        assert await page.evaluate(FAULTS) == []


async def test_an_error_is_told_with_its_field(visit: Visit) -> None:
    ann = await visit("ann")
    page = ann.page
    await page.goto("/sign_up/")
    await page.get_by_role("button", name="Sign up").click()
    field = page.get_by_label("Username")
    await expect(page).to_have_title(re.compile("^Error"))
    await expect(field).to_have_attribute("aria-invalid", "true")
    await expect(field).to_have_accessible_description(re.compile("This field is required"))
    await page.goto("/log_in/")
    await page.get_by_label("Username").fill("nobody")
    await page.get_by_label("Password").fill("wrong")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("alert")).to_contain_text("Please enter a correct username and password")


async def test_the_list_reads_as_a_list_with_statuses_in_words(arrive: Arrive) -> None:
    ann, bob = await arrive("ann", "bob")
    await bob.log_out()
    await expect(status(ann.page, bob.name)).to_have_text("Offline")
    items = ann.page.get_by_role("main").get_by_role("list").get_by_role("listitem")
    await expect(items).to_have_count(len(await keys(ann.page)))
    await expect(row(ann.page, ann.name)).to_match_aria_snapshot(f"- listitem: {ann.name} You Online")
    await expect(row(ann.page, bob.name)).to_match_aria_snapshot(
        f"- listitem:\n  - text: {bob.name}\n  - time: seen just now\n  - text: Offline"
    )


async def test_one_line_tells_of_the_connection_and_is_empty_while_all_is_well(arrive: Arrive) -> None:
    (ann,) = await arrive("ann")
    line = ann.page.get_by_role("status")
    await expect(line).to_have_count(1)
    await expect(line).to_have_text("")


@pytest.mark.parametrize("path", PAGES)
async def test_the_narrowest_phone_needs_no_sideways_scrolling(visit: Visit, path: str) -> None:
    ann = await visit("a" * 140, viewport={"width": 320, "height": 640})
    if path in ("/", "/log_out/"):
        await ann.join("W" * 150)
    await ann.page.goto(path)
    assert await ann.page.evaluate("() => document.documentElement.scrollWidth") <= 320
