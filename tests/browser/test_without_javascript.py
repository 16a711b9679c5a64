"""Without JavaScript the list is right at load."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from bench.people import Person
from tests.polling import eventually
from tests.serving import Server

from .conftest import Visit
from .visitor import Visitor, last_seen, online_count, row, status

pytestmark = pytest.mark.asyncio(loop_scope="session")

POLICY = {"GRACE": 600, "TOUCH": 600, "IDLE_AFTER": 1}


async def test_the_list_is_right_at_load(visit: Visit, lobby: Server) -> None:
    away, gone, ann = await visit("away"), await visit("gone"), await visit("ann", java_script_enabled=False)
    await away.join()
    await gone.join()
    await gone.log_out()
    # Nobody moves this one's mouse: only a browser can be idle.
    async with Person(lobby.url, "online") as online:
        await online.sign_up()
        await (await online.socket()).receive()
        await expect(status(away.page, away.name)).to_have_text("Away")
        await ann.sign_up()
        for name, word in (
            (away.name, "Away"),
            (gone.name, "Offline"),
            (online.name, "Online"),
            (ann.name, "Online"),
        ):
            await expect(status(ann.page, name)).to_have_text(word)
            await expect(row(ann.page, name).locator(".me")).to_be_visible(visible=name == ann.name)
        await expect(online_count(ann.page)).to_have_text("3 online")
        await expect(ann.page.locator("noscript p")).to_be_visible()
        await eventually(lambda: tells_last_seen(ann, gone))
        # The others see a visitor like any other.
        await expect(status(away.page, ann.name)).to_have_text("Online")
        await ann.log_out()
        await expect(status(away.page, ann.name)).to_have_text("Offline")
        await online.log_out()


async def tells_last_seen(visitor: Visitor, gone: Visitor) -> bool:
    """Whether a reload tells that somebody was here just now: it is written down a moment after."""
    await visitor.page.reload()
    return await last_seen(visitor.page, gone.name).text_content() == "just now"
