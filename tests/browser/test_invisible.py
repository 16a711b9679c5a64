"""Appearing offline, as the one who does and as the others see it."""

from __future__ import annotations

import pytest
from playwright.async_api import Locator, Page, expect

from .conftest import Visit
from .visitor import live, row, status

pytestmark = pytest.mark.asyncio(loop_scope="session")


POLICY = {"GRACE": 3}


def switch(page: Page) -> Locator:
    return page.get_by_role("switch", name="Appear offline")


async def test_who_appears_offline_is_offline_for_others_and_invisible_for_oneself(visit: Visit) -> None:
    ann, bob = await visit("ann"), await visit("bob")
    await ann.join()
    await bob.join()
    second = await ann.open_tab()
    await expect(status(bob.page, ann.name)).to_have_text("Online")
    before = await bob.page.locator("[data-presence-count]").inner_text()

    await switch(ann.page).click()
    await live(ann.page)
    await expect(status(bob.page, ann.name)).to_have_text("Offline")
    await expect(bob.page.locator("[data-presence-count]")).to_have_text(str(int(before) - 1))
    for page in (ann.page, second):
        await expect(switch(page)).to_be_checked()
        await expect(status(page, ann.name)).to_have_text("Invisible")
    await bob.page.reload()
    await expect(status(bob.page, ann.name)).to_have_text("Offline")
    assert "nvisible" not in await row(bob.page, ann.name).inner_html()

    await ann.page.reload()
    await live(ann.page)
    await expect(status(ann.page, ann.name)).to_have_text("Invisible")
    await switch(second).click()
    await expect(status(bob.page, ann.name)).to_have_text("Online")
    for page in (ann.page, second):
        await expect(switch(page)).not_to_be_checked()
        await expect(status(page, ann.name)).to_have_text("Online")
