"""Restarts, lost networks, laptops that sleep: the page says so, and is right again by itself."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.serving import Server

from .conftest import Arrive, Visit, in_shell
from .network import Network
from .visitor import OUTAGE, Visitor, changes, keys, live, online_count, record, row, status

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Short pings: a laptop that sleeps is given up within seconds.
POLICY = {"GRACE": 1, "PING": 1, "PING_TIMEOUT": 2}

LOST = "Connection lost. Reconnecting…"


@pytest_asyncio.fixture(loop_scope="session")
async def network(lobby: Server) -> AsyncIterator[Network]:
    async with Network(lobby.port) as network:
        yield network


@pytest_asyncio.fixture(loop_scope="session")
async def ann(network: Network, visit: Visit) -> AsyncIterator[Visitor]:
    """Somebody who looks at the list through a network that may break, by a clock that may jump."""
    ann = await visit("ann", network.url)
    await ann.page.clock.install()
    ann.expected = OUTAGE
    await ann.join()
    await record(ann.page)
    yield ann
    await ann.page.close()
    network.cut()  # what is frozen would hold up the log-out
    network.restore()


async def says(page: Page, words: str) -> None:
    """Wait until a page says this about its connection, to screen readers too."""
    await expect(page.get_by_role("status")).to_have_text(words)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
async def test_after_a_restart_every_page_is_right_again_by_itself(
    arrive: Arrive, lobby: Server, by: signal.Signals
) -> None:
    people = await arrive("ann", "bob", "cat", "dan")
    ann, bob, cat, dan = people
    for visitor in people:
        visitor.expected = OUTAGE
        await record(visitor.page)
    await asyncio.to_thread(lobby.stop, by)
    for visitor in people:
        await says(visitor.page, LOST)
    # While it is away the list stays as it was.
    await expect(status(ann.page, cat.name)).to_have_text("Online")
    await cat.page.close()
    await in_shell(lobby, f"User.objects.get(username='{dan.name}').delete()")
    await asyncio.to_thread(lobby.start)
    for visitor in (ann, bob):
        await says(visitor.page, "")
        await expect(status(visitor.page, cat.name)).to_have_text("Offline")
        await expect(row(visitor.page, dan.name)).to_have_count(0)
        for online in (ann, bob):
            await expect(status(visitor.page, online.name)).to_have_text("Online")
        await expect(online_count(visitor.page)).to_have_text("2 online")
        # None of it by a reload.
        assert (await changes(visitor.page, dan.name))[-1] == "removed"
    await expect(dan.page).to_have_url("/log_in/?next=/")


async def test_what_happened_before_a_page_was_back_is_not_missed(
    ann: Visitor, arrive: Arrive, visit: Visit, lobby: Server, network: Network
) -> None:
    bob, dan = await arrive("bob", "dan")
    bob.expected = dan.expected = OUTAGE
    await expect(status(ann.page, dan.name)).to_have_text("Online")
    network.cut()
    await says(ann.page, LOST)
    await asyncio.to_thread(lobby.stop)
    await asyncio.to_thread(lobby.start)
    cat = await visit("cat")
    await cat.sign_up("Cat Jones")
    await live(bob.page)
    await bob.log_out()
    network.restore()
    await says(ann.page, "")
    await expect(status(ann.page, cat.name)).to_have_text("Online")
    await expect(row(ann.page, cat.name).locator(".name")).to_have_text("Cat Jones")
    await expect(status(ann.page, bob.name)).to_have_text("Offline")
    await expect(status(ann.page, dan.name)).to_have_text("Online")
    assert await changes(ann.page, cat.name) != []  # and so without a reload
    listed = await keys(ann.page)
    assert listed == sorted(listed)


async def test_a_network_that_is_lost_for_long_shows_as_having_left(
    ann: Visitor, arrive: Arrive, network: Network
) -> None:
    bob, cat = await arrive("bob", "cat")
    await expect(status(ann.page, bob.name)).to_have_text("Online")
    await record(cat.page)
    network.cut()
    await expect(status(cat.page, ann.name)).to_have_text("Offline")
    await bob.log_out()
    await says(ann.page, LOST)
    await expect(status(ann.page, bob.name)).to_have_text("Online")
    network.restore()
    await says(ann.page, "")
    await expect(status(ann.page, bob.name)).to_have_text("Offline")
    await expect(status(cat.page, ann.name)).to_have_text("Online")
    assert await changes(cat.page, ann.name) == ["offline", "online"]
    assert (await changes(ann.page, bob.name))[-1] == "offline"


async def test_a_laptop_that_wakes_is_back_and_right_by_itself(
    ann: Visitor, arrive: Arrive, network: Network
) -> None:
    bob, cat = await arrive("bob", "cat")
    await expect(status(ann.page, bob.name)).to_have_text("Online")
    # It falls asleep: nobody is told, and its own end of the socket never learns.
    network.freeze()
    await expect(status(cat.page, ann.name)).to_have_text("Offline")
    await bob.log_out()
    await expect(status(cat.page, bob.name)).to_have_text("Offline")
    assert await ann.page.evaluate("() => whosonline.connection") == "open"
    await ann.page.clock.fast_forward("02:00")
    await expect(status(ann.page, bob.name)).to_have_text("Offline")
    await says(ann.page, "")
    await expect(status(cat.page, ann.name)).to_have_text("Online")
    assert await changes(ann.page, bob.name) != []


async def test_a_laptop_that_comes_into_another_network_is_back_by_itself(
    ann: Visitor, arrive: Arrive, network: Network
) -> None:
    ann.expected += "|.*ERR_INTERNET_DISCONNECTED"
    bob, cat = await arrive("bob", "cat")
    await expect(status(ann.page, bob.name)).to_have_text("Online")
    network.freeze()
    await ann.context.set_offline(True)
    await bob.log_out()
    await expect(status(cat.page, bob.name)).to_have_text("Offline")
    await ann.context.set_offline(False)
    await expect(status(ann.page, bob.name)).to_have_text("Offline")
    await says(ann.page, "")
    await expect(status(cat.page, ann.name)).to_have_text("Online")
    assert await changes(ann.page, bob.name) != []
