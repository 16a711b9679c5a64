"""A person with a real browser, and what the list shows in it."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from playwright.async_api import Browser, BrowserContext, Locator, Page, Route, expect

from bench.people import PASSWORD
from tests.polling import eventually

DEADLINE = 20.0
"""Seconds that anything may take that a test waits for."""

LOG_IN_PAGE = re.compile(r"/log_in/(\?next=/)?$")

OUTAGE = r"WebSocket connection to '\S+' failed: (.*net::ERR_|Connection closed before receiving a handshake)"
"""What a browser logs, rightly, when there is nobody to connect to."""

IS_LIVE = """() => globalThis.whosonline?.connection === "open"
    && (whosonline.directory ?? whosonline.page) !== null
    && [...whosonline.state.users.values()].every(Boolean)"""

RECORD = """() => {
    window.changes = [];
    const note = (row, what) => changes.push({ name: row.dataset.key, what, at: Date.now() / 1000 });
    new MutationObserver((records) => {
        for (const { type, target, addedNodes, removedNodes } of records) {
            if (type === "attributes") note(target.closest("li"), target.dataset.status);
            for (const node of removedNodes) if (node.matches?.("li")) note(node, "removed");
            for (const node of addedNodes) if (node.matches?.("li")) note(node, "added");
        }
    }).observe(document.getElementById("users"),
        { subtree: true, childList: true, attributeFilter: ["data-status"] });
}"""

SCROLL = """(by) => new Promise((resolve) => {
    scrollBy({ top: by, behavior: "instant" });
    requestAnimationFrame(() => requestAnimationFrame(resolve));
})"""

FIRST_ON_SCREEN = """() => {
    const covered = document.querySelector(".tools").getBoundingClientRect().bottom;
    const first = [...document.querySelectorAll("#users > li")]
        .find((item) => item.getBoundingClientRect().bottom > covered + 1);
    return { key: first.dataset.key, top: Math.round(first.getBoundingClientRect().top) };
}"""


class Visitor:
    """One person with one browser: cookies of their own, and as many tabs as they open.

    Args:
        browser: Where the person's browser context is opened.
        url: The site.
        name: The username.
        options: For the context, as Playwright calls them.
    """

    context: BrowserContext
    page: Page
    """The first tab."""

    def __init__(self, browser: Browser, url: str, name: str, **options: Any) -> None:
        self.name = name
        self.complaints: list[str] = []
        """Errors and warnings in any tab: thrown, logged or refused by the policy; and dialogs."""
        self.expected = "(?!)"
        """A pattern of what may be complained of."""
        self._browser = browser
        self._options = {"base_url": url, **options}

    async def start(self) -> None:
        """Open the browser, with one empty tab."""
        self.context = await self._browser.new_context(**self._options)
        self.context.on("page", self._listen)
        self.page = await self.context.new_page()

    async def stop(self) -> None:
        """Log out, so that nobody lingers into the next test, and close the browser."""
        await self.post("/log_out/")
        await self.context.close()

    async def join(self, display_name: str = "") -> None:
        """Make the account without the pages of it, and open the list."""
        answers = {"username": self.name, "first_name": display_name}
        await self.post("/sign_up/", **answers, password1=PASSWORD, password2=PASSWORD)
        await self.page.goto("/")
        await live(self.page)

    async def sign_up(self, display_name: str = "") -> None:
        """Make the account; the site logs it in, and shows the list."""
        await self.page.goto("/sign_up/")
        await self.page.get_by_label("Username").fill(self.name)
        await self.page.get_by_label("Display name").fill(display_name)
        await self.page.get_by_label("Password", exact=True).fill(PASSWORD)
        await self.page.get_by_label("Password confirmation").fill(PASSWORD)
        await self.page.get_by_role("button", name="Sign up").click()
        await expect(self.page).to_have_title("People · Lobby")

    async def log_in(self, path: str = "/log_in/") -> None:
        """Log in at a page that asks for it; the site shows the list, or that page."""
        await self.page.goto(path)
        await self.page.get_by_label("Username").fill(self.name)
        await self.page.get_by_label("Password").fill(PASSWORD)
        await self.page.get_by_role("button", name="Log in").click()
        await expect(self.page).not_to_have_title(re.compile("Log in"))

    async def log_out(self) -> None:
        """Press the button in the head of the page."""
        await self.page.get_by_role("button", name="Log out").click()
        await expect(self.page).to_have_url(LOG_IN_PAGE)

    async def administer(self, user: Visitor) -> Page:
        """Open a user's form in the admin."""
        await self.page.goto(f"/admin/auth/user/?q={user.name}")
        await self.page.get_by_role("link", name=user.name, exact=True).click()
        return self.page

    async def open_tab(self) -> Page:
        """Open one more tab, with the list."""
        page = await self.context.new_page()
        await page.goto("/")
        await live(page)
        return page

    async def post(self, path: str, **answers: str) -> None:
        """Send a form, from this browser but not from a page."""
        await self.context.request.get(path)
        token = next(c["value"] for c in await self.context.cookies() if c["name"] == "csrftoken")
        form = {"csrfmiddlewaretoken": token, **answers}
        headers = {"Origin": self._options["base_url"]}  # over TLS Django insists on it, as browsers do
        await expect(await self.context.request.post(path, form=form, headers=headers)).to_be_ok()

    def _listen(self, page: Page) -> None:
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("pageerror", lambda error: self._hear("error", str(error)))
        page.on("dialog", lambda dialog: self._hear("error", f"a dialog: {dialog.message}"))

    def _hear(self, type_: str, text: str) -> None:
        if type_ in {"error", "warning"} and not re.match(self.expected, text):
            self.complaints.append(f"{self.name}: {text}")


# The list in a page


def row(page: Page, name: str) -> Locator:
    """Return a user's row."""
    return page.locator(f'#users > li[data-key="{name}"]')


def status(page: Page, name: str) -> Locator:
    """Return a user's status, as the row says it in a word."""
    return row(page, name).locator(".status")


def last_seen(page: Page, name: str) -> Locator:
    """Return what a row says of when a user was last seen; hidden where it says nothing."""
    return row(page, name).locator("time")


async def is_watched(page: Page, name: str) -> bool:
    """Return whether a user's row is near enough to the screen to be kept true."""
    return await page.locator(f'#users > li[data-key="{name}"]:not([data-presence-paused])').count() > 0


def online_count(page: Page) -> Locator:
    """Return what a page says of how many are online."""
    return page.locator(".count")


async def keys(page: Page) -> list[str]:
    """Return the usernames in the list, in its order."""
    return await page.locator("#users > li > .key").all_text_contents()


async def hold_back(page: Page, address: str | re.Pattern[str]) -> tuple[asyncio.Event, asyncio.Event]:
    """Let what a page asks for wait; return what tells that it has asked, and what lets it be answered."""
    asked, answer = asyncio.Event(), asyncio.Event()

    async def wait(route: Route) -> None:
        asked.set()
        await answer.wait()
        await route.continue_()

    await page.route(address, wait)
    return asked, answer


async def scroll(page: Page, by: int) -> None:
    """Scroll by so many pixels, and let the page see it; a wheel would be still turning at the next step."""
    await page.evaluate(SCROLL, by)


async def first_on_screen(page: Page) -> dict[str, Any]:
    """Return the `key` of the first row on the screen, and its `top`."""
    return dict(await page.evaluate(FIRST_ON_SCREEN))


async def address_says(page: Page) -> str:
    """Return the key in the address, once it stands for what is first on the screen."""

    async def fits() -> bool:
        key = await page.evaluate("() => new URLSearchParams(location.search).get('after')")
        first = (await first_on_screen(page))["key"]
        listed = await keys(page)
        return bool(key and listed.index(first) > 0 and listed[listed.index(first) - 1] == key)

    await eventually(fits)
    return str(await page.evaluate("() => new URLSearchParams(location.search).get('after')"))


async def live(page: Page) -> None:
    """Wait until a page is connected, and has been told of all that it shows."""
    await eventually(lambda: page.evaluate(IS_LIVE))


async def record(page: Page) -> None:
    """Begin to write down each change of a row's status, and each row that is added or removed."""
    await live(page)
    await page.evaluate(RECORD)


async def changes(page: Page, name: str) -> list[str]:
    """Return what has changed in a user's row since :func:`record`; fails if the page was reloaded."""
    return [change["what"] for change in await all_changes(page) if change["name"] == name]


async def all_changes(page: Page) -> list[dict[str, Any]]:
    """Return each change: the user's `name`, `what` (a status, "added", "removed"), and `at` what time."""
    found = await page.evaluate("() => window.changes ?? null")
    assert found is not None, "the page has been reloaded since it began to record"
    return list(found)
