"""When somebody was last seen keeps itself true while nothing else happens."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from .conftest import Arrive, Visit
from .visitor import changes, last_seen, live, record, status

pytestmark = pytest.mark.asyncio(loop_scope="session")

POLICY = {"GRACE": 3}


async def test_just_now_becomes_a_minute_ago_and_more(arrive: Arrive, visit: Visit) -> None:
    ann = await visit("ann")
    await ann.page.clock.install()
    await ann.join()
    (bob,) = await arrive("bob")
    await expect(status(ann.page, bob.name)).to_have_text("Online")
    await expect(last_seen(ann.page, bob.name)).to_be_hidden()
    await bob.log_out()
    await expect(last_seen(ann.page, bob.name)).to_have_text("just now")
    await record(ann.page)
    for minutes in (1, 2):
        # The clock goes on by itself too, a little; and times are told every ten seconds.
        await ann.page.clock.run_for(60_000 if minutes > 1 else 70_000)
        await expect(last_seen(ann.page, bob.name)).to_have_text(f"{minutes} min ago")
    await ann.page.clock.run_for(3_600_000)
    await expect(last_seen(ann.page, bob.name)).to_have_text("1 h ago")
    assert await changes(ann.page, bob.name) == []
    # Who comes back is seen now.
    await bob.log_in()
    await live(bob.page)
    await expect(last_seen(ann.page, bob.name)).to_be_hidden()
