"""The list of all users follows who signs up, and what is done in the admin."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from .conftest import Arrive, Visit
from .visitor import Visitor, changes, keys, online_count, record, row, status

pytestmark = pytest.mark.asyncio(loop_scope="session")

POLICY = {"GRACE": 3}


async def save(form: Page) -> None:
    await form.get_by_role("button", name="Save", exact=True).click()
    await expect(form.get_by_text("was changed successfully")).to_be_visible()


async def test_who_signs_up_appears_in_place(arrive: Arrive, visit: Visit) -> None:
    ann, cat = await arrive("ann", "cat")
    await record(ann.page)
    await record(cat.page)
    for name in ("bob", "Zoe", "zed"):
        newcomer = await visit(name)
        await newcomer.sign_up(f"{name} Smith")
        for watcher in (ann, cat):
            await expect(status(watcher.page, newcomer.name)).to_have_text("Online")
            await expect(row(watcher.page, newcomer.name)).to_contain_text(f"{name} Smith")
            assert (await changes(watcher.page, newcomer.name))[0] == "added"
            # By code point: capitals come first.
            listed = await keys(watcher.page)
            assert listed == sorted(listed)


async def test_what_was_added_live_is_what_a_reload_shows(arrive: Arrive, visit: Visit) -> None:
    (ann,) = await arrive("ann")
    bob = await visit("bob")
    await bob.join("Bob <i>Smith</i>")
    await expect(status(ann.page, bob.name)).to_have_text("Online")
    of_script = await row(ann.page, bob.name).evaluate("(row) => row.outerHTML.replace(/\\s+/g, ' ')")
    await ann.page.reload()
    of_server = await row(ann.page, bob.name).evaluate("(row) => row.outerHTML.replace(/\\s+/g, ' ')")
    assert of_script == of_server


async def test_who_is_deleted_in_the_admin_is_gone_and_sent_to_the_log_in_page(
    arrive: Arrive, admin: Visitor
) -> None:
    ann, bob, cat = await arrive("ann", "bob", "cat")
    await record(ann.page)
    page = await admin.administer(bob)
    await page.get_by_role("link", name="Delete").click()
    await page.get_by_role("button", name="Yes, I’m sure").click()
    await expect(page.get_by_text("was deleted successfully")).to_be_visible()
    for watcher in (ann, cat):
        await expect(row(watcher.page, bob.name)).to_have_count(0)
        await expect(online_count(watcher.page)).to_have_text("3 online")
    assert (await changes(ann.page, bob.name))[-1] == "removed"
    await expect(bob.page).to_have_url("/log_in/?next=/")


async def test_who_is_renamed_in_the_admin_moves_in_every_list(arrive: Arrive, admin: Visitor) -> None:
    ann, bob, cat = await arrive("ann", "bob", "cat")
    renamed = bob.name.replace("bob", "dora")
    for watcher in (ann, bob, cat):
        await record(watcher.page)
    form = await admin.administer(bob)
    await form.get_by_label("Username").fill(renamed)
    await form.get_by_label("First name").fill("Dora")
    await form.get_by_label("Last name").fill("O’Neill")
    await save(form)
    for watcher in (ann, bob, cat):
        moved = row(watcher.page, renamed)
        await expect(moved.locator(".name")).to_have_text("Dora O’Neill")
        await expect(moved.locator(".key")).to_have_text(renamed)
        await expect(row(watcher.page, bob.name)).to_have_count(0)
        listed = await keys(watcher.page)
        assert listed == sorted(listed)
        assert listed.index(renamed) > listed.index(cat.name)
        # It is the same row, in another place; its user was online all the time.
        assert await changes(watcher.page, renamed) == ["removed", "added"]
        await expect(status(watcher.page, renamed)).to_have_text("Online")
    await expect(row(bob.page, renamed).locator(".me")).to_be_visible()


async def test_who_is_deactivated_in_the_admin_goes_and_comes_back_when_activated(
    arrive: Arrive, admin: Visitor
) -> None:
    ann, bob = await arrive("ann", "bob")
    form = await admin.administer(bob)
    await form.get_by_label("Active").uncheck()
    address = form.url
    await save(form)
    await expect(row(ann.page, bob.name)).to_have_count(0)
    await expect(bob.page).to_have_url("/log_in/?next=/")
    await form.goto(address)
    await form.get_by_label("Active").check()
    await save(form)
    await expect(status(ann.page, bob.name)).to_have_text("Offline")
    # The session was not ended, only without effect.
    await bob.page.goto("/")
    await expect(status(ann.page, bob.name)).to_have_text("Online")
