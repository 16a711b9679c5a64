"""The browser module on a page in a real browser: the marks, the connection, the person's input."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from playwright.async_api import Page, expect

from .stub import HEAD, NOW, StubSite

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Marks

USER = '<span id="a" data-presence-user="1" data-status="offline">Offline</span>'
SEEN = '<time id="t" data-presence-seen="1" datetime="2026-11-23T11:57:00Z">3 min ago</time>'


async def test_a_users_mark_becomes_the_status_in_word_and_attribute(site: StubSite) -> None:
    await site.open(
        USER
        + '<b id="b" data-presence-user="2" data-status="away">Away</b>'
        + '<i data-presence-user=""></i>'
    )
    assert site.sent == [[{"type": "watch", "users": ["1", "2"]}]]
    mark = site.page.locator("#a")
    for status in ("online", "away", "offline"):
        site.users(u1={"status": status})
        await expect(mark).to_have_text(status.capitalize())
        await expect(mark).to_have_attribute("data-status", status)
    await expect(site.page.locator("#b")).to_have_text("Away")


async def test_marks_that_are_added_later_are_watched_and_shown_too(site: StubSite) -> None:
    await site.open(USER + '<p id="p">?</p><p id="q">?</p>')
    site.users(u1={"status": "online"})
    await site.page.evaluate(
        """() => document.body.insertAdjacentHTML("beforeend",
        '<p><i id="x" data-presence-user="1">?</i><i id="y" data-presence-user="2">?</i></p>')"""
    )
    await site.until(lambda: len(site.sent[0]) == 2)
    assert site.sent[0][1] == {"type": "watch", "users": ["1", "2"]}
    await expect(site.page.locator("#x")).to_have_text("Online")
    site.users(u2={"status": "away"})
    await expect(site.page.locator("#y")).to_have_text("Away")
    await site.page.clock.run_for(1000)  # what follows is found by itself, not along with the texts above
    await site.page.evaluate('() => { p.dataset.presenceCount = ""; }')
    await expect(site.page.locator("#p")).to_have_text("1")
    await site.page.evaluate('() => { q.dataset.presenceSeen = "3"; }')
    await site.until(lambda: len(site.sent[0]) == 3)
    assert site.sent[0][2] == {"type": "watch", "users": ["1", "3", "2"]}


async def test_a_mark_that_is_given_another_user_shows_that_one(site: StubSite) -> None:
    await site.open(USER)
    await site.page.evaluate('() => document.getElementById("a").dataset.presenceUser = "2"')
    await site.until(lambda: len(site.sent[0]) == 2)
    assert site.sent[0][1] == {"type": "watch", "users": ["2"]}


async def test_its_own_writing_makes_the_page_ask_for_nothing(site: StubSite) -> None:
    await site.open(USER + SEEN + "<p data-presence-count></p>")
    for online in range(5):
        site.tell({"type": "update", "online": online, "users": {"1": {"status": "online"}}})
    await site.page.clock.run_for(5000)
    assert len(site.sent[0]) == 1


async def test_the_time_of_last_seen_keeps_itself_true(site: StubSite) -> None:
    await site.open(SEEN)
    time = site.page.locator("#t")
    await expect(time).to_have_text("3 min ago")
    await site.page.clock.run_for(70_000)
    await expect(time).to_have_text("4 min ago")
    site.users(u1={"status": "online"})
    await expect(time).to_be_hidden()
    # Who leaves is seen at that moment.
    now = await site.page.evaluate("() => Math.floor(Date.now() / 1000)")
    site.users(u1={"status": "offline", "last_seen": now})
    await expect(time).to_have_text("just now")
    await expect(time).to_have_attribute("datetime", datetime.fromtimestamp(now, UTC).strftime("%FT%T.000Z"))
    await site.page.clock.run_for(5 * 60_000 + 10_000)
    await expect(time).to_have_text("5 min ago")


async def test_until_the_server_knows_better_the_time_of_the_page_holds(site: StubSite) -> None:
    await site.open(SEEN + '<time id="n" data-presence-seen="2" hidden></time>')
    site.users(u1={"status": "offline"}, u2={"status": "offline"})
    site.tell({"type": "update", "online": 5})
    await site.page.clock.run_for(20_000)
    await expect(site.page.locator("#t")).to_have_text("3 min ago")
    await expect(site.page.locator("#n")).to_be_hidden()


async def test_the_count_is_shown(site: StubSite) -> None:
    await site.open("<p data-presence-count>9</p>")
    await expect(site.page.locator("p")).to_have_text("1")
    site.tell({"type": "update", "online": 1234})
    await expect(site.page.locator("p")).to_have_text("1234")


# The connection

CONNECTION = '<p role="status" data-presence-connection></p>'


async def test_a_lost_connection_is_told_in_words_until_it_is_back(site: StubSite) -> None:
    await site.open(CONNECTION)
    words = site.page.locator("p")
    for number in (2, 3):
        await site.sockets[-1].close(code=1012)
        await site.state("reconnecting")
        await site.until(lambda number=number: len(site.sockets) == number)
        await site.page.clock.run_for(1000)
        await expect(words).to_have_text("Connection lost. Reconnecting…")
        await site.welcome(number)
        assert await words.text_content() == ""


async def test_a_connection_that_is_back_at_once_is_not_worth_a_word(site: StubSite) -> None:
    await site.page.add_init_script("Math.random = () => 0.1")
    await site.open(CONNECTION)
    await site.page.evaluate(
        """() => {
            window.said = [];
            new MutationObserver((records) => said.push(...records)).observe(
                document.querySelector("p"), { childList: true, characterData: true, subtree: true });
        }"""
    )
    await site.sockets[0].close(code=1012)
    await site.state("reconnecting")
    await site.welcome(number=2)
    await site.page.clock.run_for(5000)
    assert await site.page.evaluate("() => said.length") == 0


async def test_a_degraded_server_is_told_in_words(site: StubSite) -> None:
    await site.open(CONNECTION)
    site.tell({"type": "notice", "state": "degraded"})
    await site.state("degraded")
    await expect(site.page.locator("p")).to_contain_text("as last known")
    site.tell({"type": "notice", "state": "ok"})
    await site.state("open")
    await expect(site.page.locator("p")).to_have_text("")


async def test_before_the_first_connection_what_the_server_wrote_stays(site: StubSite) -> None:
    site.html = HEAD + CONNECTION.replace("></p>", ">Not known.</p>") + USER + "<b data-presence-count>?</b>"
    await site.page.goto("http://lobby.test/")
    await site.state("connecting")
    await site.page.clock.run_for(5000)
    await expect(site.page.locator("p")).to_have_text("Not known.")
    await expect(site.page.locator("#a")).to_have_text("Offline")
    await expect(site.page.locator("b")).to_have_text("?")
    await site.welcome()
    await expect(site.page.locator("p")).to_have_text("")
    await expect(site.page.locator("b")).to_have_text("1")


async def test_a_log_out_elsewhere_reloads_the_page_once(site: StubSite) -> None:
    await site.open(CONNECTION)
    await site.sockets[0].close(code=4401)
    await site.until(lambda: len(site.sockets) == 2)
    assert site.loads == 2
    await site.sockets[1].close(code=4401)
    await site.state("closed")
    await site.page.clock.run_for(60_000)
    assert (site.loads, len(site.sockets)) == (2, 2)
    await expect(site.page.locator("p")).to_have_text("Not live any more; statuses are as last known.")


async def test_after_a_sleep_the_page_connects_anew_and_asks_again(site: StubSite) -> None:
    await site.open(USER)
    await site.page.clock.fast_forward(3_600_000)
    await site.until(lambda: len(site.sockets) == 2 and len(site.sent[1]) == 2)
    # Which of the timers that are due ends the sleep is the browser's affair.
    assert {"type": "watch", "users": ["1"]} in site.sent[1]
    assert {"type": "idle"} in site.sent[1]


@pytest.mark.parametrize("event", ["online", "pagehide"])
async def test_a_socket_of_before_is_given_up(site: StubSite, event: str) -> None:
    """After another network, or a return by the browser's Back."""
    await site.open(USER)
    closed: list[object] = []
    site.sockets[0].on_close(lambda *args: closed.append(args))
    await site.page.evaluate("(event) => window.dispatchEvent(new Event(event))", event)
    await site.until(lambda: len(closed) == 1)
    await site.page.evaluate('() => window.dispatchEvent(new Event("pageshow"))')
    await site.welcome(number=2)
    assert site.sent[1] == [{"type": "watch", "users": ["1"]}]


@pytest.mark.parametrize("event", ["pageshow", "visibilitychange"])
async def test_a_page_that_is_looked_at_again_waits_no_longer(site: StubSite, event: str) -> None:
    # By chance it would wait for a minute: the clock of the page goes on while a slow machine works.
    await site.page.add_init_script("Math.random = () => 60")
    await site.open("")
    await site.sockets[0].close(code=1012)
    await site.state("reconnecting")
    target = "document" if event == "visibilitychange" else "window"
    await site.page.evaluate(f"() => {target}.dispatchEvent(new Event('{event}'))")
    await site.welcome(number=2)
    assert await site.page.evaluate("() => Date.now()") < NOW.timestamp() * 1000 + 60_000


async def test_a_page_behind_tls_opens_a_socket_behind_tls(site: StubSite) -> None:
    await site.open("", "https://lobby.test/")
    assert site.sockets[0].url == "wss://lobby.test/users/"


# Idle


async def test_without_input_the_person_is_away_and_the_first_input_tells(site: StubSite) -> None:
    await site.open("<p>A page</p>")
    await site.page.clock.run_for(299_000)
    assert site.sent[0] == []
    for act in (
        lambda: site.page.mouse.move(5, 50),
        lambda: site.page.keyboard.press("a"),
        lambda: site.page.mouse.wheel(0, 10),
        lambda: dispatch(site.page, "pointerdown"),
        lambda: dispatch(site.page, "touchstart"),
        lambda: dispatch(site.page, "touchmove"),
    ):
        site.sent[0].clear()
        await site.until(lambda: site.sent[0] == [{"type": "idle"}])
        await act()
        await site.until(lambda: site.sent[0] == [{"type": "idle"}, {"type": "active"}])
        await site.page.clock.run_for(298_000)


async def test_a_page_that_scrolls_by_itself_is_no_input(site: StubSite) -> None:
    await site.open("<p>A page</p>")
    await site.page.clock.run_for(301_000)
    await site.until(lambda: site.sent[0] == [{"type": "idle"}])
    await dispatch(site.page, "scroll")
    await site.page.clock.run_for(1000)
    assert site.sent[0] == [{"type": "idle"}]


async def dispatch(page: Page, event: str) -> None:
    await page.evaluate("(event) => document.dispatchEvent(new Event(event, { bubbles: true }))", event)
