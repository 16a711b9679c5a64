"""A list of several pages: each is live in its part."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.serving import Server

from .conftest import Visit, in_shell
from .visitor import Visitor, changes, keys, live, online_count, record, row, status

pytestmark = pytest.mark.asyncio(loop_scope="session")

POLICY = {"GRACE": 3}


async def test_who_comes_appears_in_the_one_page_that_the_name_belongs_to(
    visit: Visit, lobby: Server, admin: Visitor
) -> None:
    await in_shell(lobby, "User.objects.bulk_create(User(username=f'user{n:03}') for n in range(150))")
    first, second = await visit("ann"), await visit("bob")
    await first.join()
    await second.join()
    await second.page.get_by_role("link", name="Next").click()
    await live(second.page)
    await expect(row(first.page, "user149")).to_have_count(0)
    await expect(row(second.page, "user000")).to_have_count(0)
    await record(first.page)
    await record(second.page)

    cat, zed = await visit("cat"), await visit("zed")
    await zed.join()
    await cat.join()
    await expect(status(first.page, cat.name)).to_have_text("Online")
    await expect(status(second.page, zed.name)).to_have_text("Online")
    await expect(row(first.page, zed.name)).to_have_count(0)
    await expect(row(second.page, cat.name)).to_have_count(0)
    # How many are online is told of all, whatever part is shown.
    for page in (first.page, second.page):
        await expect(online_count(page)).to_have_text("5 online")

    # A new name may belong to another page.
    moved = zed.name.replace("zed", "ant")
    form = await admin.administer(zed)
    await form.get_by_label("Username").fill(moved)
    await form.get_by_role("button", name="Save", exact=True).click()
    await expect(row(second.page, zed.name)).to_have_count(0)
    await expect(status(first.page, moved)).to_have_text("Online")
    assert (await changes(second.page, zed.name))[-1] == "removed"
    for page in (first.page, second.page):
        listed = await keys(page)
        assert listed == sorted(listed)
