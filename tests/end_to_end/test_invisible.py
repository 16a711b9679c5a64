"""Who appears offline is offline for all others, at every server process, whatever happens meanwhile."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any

from .site import SLACK, Browser, Node, Visitor, World, until

SOON = 1.0
"""Seconds in which the switch has its effect."""


def names(told: Any, visitor: Visitor) -> bool:
    """Return whether somebody's id is anywhere in what was told, whole: the figure may be in a name too."""
    return f'"{visitor.id}"' in json.dumps(told)


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
        return names(self.messages, visitor)

    def counts(self) -> set[int]:
        """Return how many it was told are online, each figure once."""
        return {message["online"] for message in self.messages if "online" in message}


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


async def all_count(world: World, online: int, within: float = 10.0) -> None:
    """Wait until every tab shows that so many are online."""
    tabs = [tab for tab in world.browsers if tab.open]
    await until(
        lambda: all(tab.connected and tab.state.online == online for tab in tabs),
        within,
        lambda: [(tab.visitor.name, tab.state.online) for tab in tabs],
    )


async def known_at_last(world: World, who: Visitor) -> list[Any]:
    """Return what each tab of the others shows of somebody, once it has been told when that was last seen."""
    others = [tab for tab in world.browsers if tab.visitor is not who]
    await until(lambda: all("last_seen" in (tab.state.users[who.id] or {}) for tab in others))
    return [tab.state.users[who.id] for tab in others]


async def is_offline_on_pages(who: Visitor, viewer: Visitor, *nodes: Node) -> None:
    for node in nodes:
        page = await viewer.at(node).page()
        row = re.search(rf'<li[^>]*data-user="{who.id}".*?</li>', page, re.DOTALL)
        assert row is not None
        assert "Offline" in row.group()
        assert "Online" not in row.group()


async def watched_invisible(world: World, ann: Visitor, bob: Visitor) -> tuple[list[Browser], list[Any]]:
    """Have Bob look from every process, at nobody but himself; return his tabs, and what they show of Ann."""
    await switch(ann, world.site.nodes[0], invisible=True)
    watchers = [world.open(bob, node) for node in world.site.nodes]
    await all_see(world, bob, "online")
    await all_see(world, ann, "offline")
    before = await known_at_last(world, ann)
    await all_count(world, 1)  # those who were here in earlier tests have gone
    return watchers, before


async def test_the_switch_acts_at_every_process_and_the_own_tabs_stay(world: World):
    first, second, third = world.site.nodes
    ann, bob = await world.visitors_named("ann", "bob")
    tabs = [world.open(ann, node) for node in (first, second)]
    for node in (first, second, third):
        world.open(bob, node)
    await all_see(world, ann, "online")
    await all_count(world, 2)
    await switch(ann, first, invisible=True)
    await all_see(world, ann, "offline", SOON + SLACK)
    await all_count(world, 1, SOON + SLACK)
    assert [(tab.open, tab.closes, tab.status(ann)) for tab in tabs] == [(True, [], "offline")] * 2
    await switch(ann, second, invisible=False)
    await all_see(world, ann, "online", SOON + SLACK)
    await all_count(world, 2, SOON + SLACK)


async def test_nothing_that_the_invisible_do_is_told_to_anybody_at_any_process(world: World):
    first, second, third = world.site.nodes
    ann, bob, cy = await world.visitors_named("ann", "bob", "cy")
    watchers, before = await watched_invisible(world, ann, bob)
    told = [Told(watcher) for watcher in watchers]
    tabs = [world.open(ann, node) for node in (first, second)]
    await until(lambda: all(tab.connected for tab in tabs))
    await tabs[0].set_idle(True)
    await tabs[0].close()
    second.kill()
    await until(lambda: tabs[1].closes and tabs[1].connected and watchers[1].connected)
    second.heal()
    assert [each.counts() <= {1} for each in told] == [True] * 3
    # What was to be told of Ann would have come before this, or in what those who came back were told.
    world.open(cy, first)
    await all_see(world, cy, "online")
    await all_count(world, 2)
    assert [each.counts() <= {1, 2} for each in told] == [True] * 3
    await until(lambda: [watcher.state.users[ann.id] for watcher in watchers] == before)
    assert [ann in each for each in (told[0], told[2])] == [False, False]
    states = [message["users"][ann.id] for message in told[1].messages if ann.id in message.get("users", {})]
    assert states
    assert {state["status"] for state in states} == {"offline"}
    assert not any(names(message.get("page"), ann) for message in told[1].messages)
    await is_offline_on_pages(ann, bob, first, third)


async def test_an_invisible_log_in_is_told_to_nobody_at_any_process(world: World):
    first, second, third = world.site.nodes
    ann, bob, cy = await world.visitors_named("ann", "bob", "cy")
    watchers, before = await watched_invisible(world, ann, bob)
    told = [Told(watcher) for watcher in watchers]
    for node in (first, second):
        await ann.at(node).log_out()
        await ann.at(node).log_in()
        # Before her page has opened a socket: what a log-in counts for without one.
        await is_offline_on_pages(ann, bob, first, second, third)
        tab = world.open(ann, node)
        await until(lambda tab=tab: tab.connected)
        assert (tab.state.invisible, tab.state.online) == (True, 1)
    assert [each.counts() <= {1} for each in told] == [True] * 3
    world.open(cy, third)
    await all_see(world, cy, "online")
    await all_count(world, 2)
    assert [each.counts() for each in told] == [{2}] * 3
    assert [ann in each for each in told] == [False] * 3
    assert [watcher.state.users[ann.id] for watcher in watchers] == before
