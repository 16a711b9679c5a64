"""Who does nothing for a while is Away."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.polling import eventually

from .conftest import Visit
from .visitor import changes, online_count, record, status

pytestmark = pytest.mark.asyncio(loop_scope="session")

POLICY = {"GRACE": 3, "IDLE_AFTER": 2}


async def test_who_does_nothing_is_away_and_the_first_input_tells(visit: Visit) -> None:
    ann, bob = await visit("ann"), await visit("bob")
    await ann.join()
    await bob.join()
    await record(ann.page)
    await expect(status(ann.page, bob.name)).to_have_text("Away")
    # Whoever is away is still here.
    await expect(online_count(ann.page)).to_have_text("2 online")
    before = await changes(ann.page, bob.name)
    await bob.page.keyboard.press("Shift")
    await eventually(lambda: next_changes(ann.page, bob.name, before, "online", "away"))


async def test_who_is_away_and_reloads_is_back_without_having_been_offline(visit: Visit) -> None:
    ann, bob = await visit("ann"), await visit("bob")
    await ann.join()
    await bob.join()
    await record(ann.page)
    await expect(status(ann.page, bob.name)).to_have_text("Away")
    before = await changes(ann.page, bob.name)
    await bob.page.reload()
    await eventually(lambda: next_changes(ann.page, bob.name, before, "online", "away"))


async def next_changes(page: Page, name: str, before: list[str], *expected: str) -> bool:
    """Whether these changes came next, and maybe others since: time goes on."""
    return (await changes(page, name))[len(before) :][: len(expected)] == list(expected)
