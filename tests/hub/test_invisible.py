"""Somebody invisible is here, and nobody else can tell that from being offline."""

from __future__ import annotations

import asyncio

from whosonline.core.entries import Profile
from whosonline.hub.hub import Hub
from whosonline.hub.rights import RECHECK_DELAY
from whosonline.testing.clock import settle

from .conftest import Tab, World

EVERYTHING = ('{"type":"watch","users":["ann","nobody"]}', '{"type":"watch","room":"site"}')


async def watcher(world: World, hub: Hub) -> Tab:
    tab = await world.tab(hub, "bob")
    for message in EVERYTHING:
        await tab.say(message)
    await world.clock.advance(1)
    tab.take()
    return tab


def statuses_of_ann(tab: Tab) -> list[str]:
    """Return what a tab was told of Ann's status since the last look."""
    return [message["users"]["ann"]["status"] for message in tab.take("update") if "users" in message]


async def switch(world: World, invisible: bool) -> None:
    (world.people.invisible.add if invisible else world.people.invisible.discard)("ann")
    world.sync.withdraw("ann")
    world.sync.recheck("ann")
    await world.clock.advance(RECHECK_DELAY)
    await settle()


async def test_who_comes_and_goes_invisibly_causes_not_one_frame_for_others(world: World):
    here, there = await world.node(), await world.node()
    tab = await watcher(world, there)
    ann = await world.tab(here, "ann", invisible=True)
    await ann.say('{"type":"enter","room":"doc:1"}')
    await ann.say('{"type":"idle"}')
    await world.clock.advance(10)
    ann.close()
    await world.clock.advance(10)
    assert tab.take() == []
    assert world.backend.count("site") == 1
    assert world.backend.count("doc:1") == 0
    assert "ann" not in world.people.seen


async def test_to_become_invisible_is_to_go_for_others_at_once_and_to_become_visible_is_to_come(world: World):
    here, there = await world.node(), await world.node()
    tab = await watcher(world, there)
    tabs = [await world.tab(here, "ann"), await world.tab(there, "ann")]
    await world.clock.advance(2)
    tab.take()
    await switch(world, invisible=True)
    (told,) = [message for message in tab.take("update") if "users" in message]
    assert told["users"]["ann"]["status"] == "offline"
    assert told["page"]["drop"] == ["ann"]
    assert [[message for message in each.take() if message["type"] == "visibility"] for each in tabs] == [
        [{"type": "visibility", "invisible": True}]
    ] * 2
    assert told["online"] == 1

    await switch(world, invisible=False)
    (told,) = [message for message in tab.take("update") if "users" in message]
    assert told["users"]["ann"]["status"] == "online"


async def test_others_are_told_of_somebody_invisible_what_they_are_told_of_somebody_offline(world: World):
    here, there = await world.node(), await world.node()
    await world.tab(here, "ann", invisible=True)
    tab = await world.tab(there, "bob")
    for message in EVERYTHING:
        await tab.say(message)
    states = [message["users"] for message in tab.take("update") if "users" in message]
    assert states
    assert all(state["ann"] == state["nobody"] for state in states)


async def test_a_welcome_tells_the_invisible_that_they_are_and_counts_them_out(world: World):
    hub = await world.node()
    await world.tab(hub, "bob")
    tab = Tab(hub, "ann", "s")
    hub.open(tab.connection, Profile("ann", "Ann"), touched=False, invisible=True)
    await settle()
    (welcome,) = tab.take("welcome")
    assert (welcome["online"], welcome["invisible"]) == (1, True)
    assert world.people.tokens[welcome["resume"]].invisible


async def test_a_new_page_that_knows_of_the_switch_first_tells_the_others_of_its_user(world: World):
    hub = await world.node()
    ann = await world.tab(hub, "ann")
    await world.tab(hub, "ann", invisible=True)
    assert [told for told in ann.take() if told["type"] == "visibility"] == [
        {"type": "visibility", "invisible": True}
    ]


async def test_a_log_in_that_still_counts_ends_when_its_user_becomes_invisible(world: World):
    hub = await world.node()
    tab = await watcher(world, hub)
    world.sync.touch("ann", Profile("ann", "Ann"), "s", 30.0)
    await world.clock.advance(1)
    tab.take()
    await switch(world, invisible=True)
    assert statuses_of_ann(tab) == ["offline"]


async def test_a_server_that_ends_does_not_write_that_the_invisible_were_seen(world: World):
    hub = await world.node()
    await world.tab(hub, "ann", invisible=True)
    await world.tab(hub, "bob")
    await hub.stop()
    assert world.people.seen.keys() == {"bob"}


async def test_an_answer_from_before_the_switch_does_not_undo_it(world: World):
    here, there = await world.node(), await world.node()
    tab = await watcher(world, there)
    ann = await world.tab(here, "ann")
    await world.clock.advance(2)
    tab.take()
    answers = world.people.hold_answers()
    old = asyncio.create_task(here._rights._rechecks.ask([ann.connection]))
    await settle()
    await world.clock.advance(0.1)
    await switch(world, invisible=True)
    answers.set()
    await old
    await world.clock.advance(2)
    seen = statuses_of_ann(tab)
    assert seen[-1:] == ["offline"]
    assert "online" not in seen


async def test_a_page_that_is_left_at_one_node_does_not_keep_its_person_visible(world: World):
    here, there = await world.node(), await world.node()
    tab = await watcher(world, there)
    left = await world.tab(here, "ann")
    await world.clock.advance(2)
    tab.take()
    left.close()
    await world.tab(there, "ann", "s", invisible=True)
    await switch(world, invisible=True)
    seen = statuses_of_ann(tab)
    assert seen == ["offline"]
