"""Who appears offline is offline for all others, at every server process, whatever happens meanwhile."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from .site import SLACK, Browser, Node, Visitor, World, until

SOON = 1.0
"""Seconds in which the switch has its effect."""


class Told:
    """All that a tab is told from now on."""

    def __init__(self, browser: Browser) -> None:
        self.messages: list[dict[str, Any]] = []
        take = browser._take

        def note(message: dict[str, Any]) -> None:
            self.messages.append(message)
            take(message)

        browser._take = note  # type: ignore[method-assign]

    def __contains__(self, visitor: Visitor) -> bool:
        return f'"{visitor.id}"' in repr(self.messages).replace("'", '"')


async def switch(visitor: Visitor, node: Node, invisible: bool) -> None:
    person = visitor.at(node)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', await person.page())
    assert token is not None
    fields = {"csrfmiddlewaretoken": token[1], "invisible": str(int(invisible))}
    assert (await person._request("POST", "/visibility/", fields))[0] == HTTPStatus.FOUND


async def all_see(world: World, who: Visitor, status: str, within: float = 10.0) -> None:
    """Wait until every tab of the others shows this."""
    others = [tab for tab in world.browsers if tab.visitor is not who and tab.open]
    await until(
        lambda: all(tab.connected and tab.status(who) == status for tab in others),
        within,
        lambda: [(tab.visitor.name, tab.status(who)) for tab in others],
    )


async def test_the_switch_acts_at_every_process_and_the_own_tabs_stay(world: World):
    first, second, third = world.site.nodes
    ann, bob = await world.visitors_named("ann", "bob")
    tabs = [world.open(ann, node) for node in (first, second)]
    for node in (first, second, third):
        world.open(bob, node)
    await all_see(world, ann, "online")
    await switch(ann, first, invisible=True)
    await all_see(world, ann, "offline", SOON + SLACK)
    assert [(tab.open, tab.closes, tab.status(ann)) for tab in tabs] == [(True, [], "offline")] * 2
    await switch(ann, second, invisible=False)
    await all_see(world, ann, "online", SOON + SLACK)


async def test_nothing_that_the_invisible_do_is_told_to_anybody_at_any_process(world: World):
    first, second, third = world.site.nodes
    ann, bob, cy = await world.visitors_named("ann", "bob", "cy")
    await switch(ann, first, invisible=True)
    watchers = [world.open(bob, node) for node in (first, second, third)]
    await all_see(world, bob, "online")
    await all_see(world, ann, "offline")
    await until(lambda: all("last_seen" in (watcher.state.users[ann.id] or {}) for watcher in watchers))
    before = [watcher.state.users[ann.id] for watcher in watchers]
    told = [Told(watcher) for watcher in watchers]
    tabs = [world.open(ann, node) for node in (first, second)]
    await until(lambda: all(tab.connected for tab in tabs))
    await tabs[0].set_idle(True)
    await tabs[0].close()
    second.kill()
    await until(lambda: tabs[1].closes and tabs[1].connected and watchers[1].connected)
    second.heal()
    # What was to be told of Ann would have come before this, or in what those who came back were told.
    world.open(cy, first)
    await all_see(world, cy, "online")
    await until(lambda: [watcher.state.users[ann.id] for watcher in watchers] == before)
    assert [ann in each for each in (told[0], told[2])] == [False, False]
    states = [message["users"][ann.id] for message in told[1].messages if ann.id in message.get("users", {})]
    assert states
    assert {state["status"] for state in states} == {"offline"}
    assert not any("page" in message and ann.id in repr(message["page"]) for message in told[1].messages)
    for node in (first, third):
        page = await bob.at(node).page()
        row = re.search(rf'<li[^>]*data-user="{ann.id}".*?</li>', page, re.DOTALL)
        assert row is not None
        assert "Offline" in row.group()
        assert "Online" not in row.group()
