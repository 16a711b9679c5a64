"""Whoever is in is asked about again: now and then, and when the session's time is over."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from dataclasses import replace
from weakref import ref

import pytest

from whosonline.core.wire import CloseCode
from whosonline.hub.hub import Hub
from whosonline.hub.rechecks import CHUNK, RETRY, SOONEST, TOGETHER
from whosonline.hub.resumption import Token
from whosonline.testing.clock import settle

from .conftest import Tab, World


async def tabs_of(world: World, hub: Hub, count: int) -> list[Tab]:
    return [await world.tab(hub, f"user{number}") for number in range(count)]


async def test_everybody_is_asked_about_once_in_a_period_and_not_much_more_often(world: World):
    hub = await world.node(recheck=100.0)
    tabs = await tabs_of(world, hub, 7)
    await world.clock.advance(100 * (1 + 2 / SOONEST))
    asked = Counter(world.people.asked_about)
    assert asked.keys() == {tab.connection for tab in tabs}
    assert max(asked.values()) <= 2
    assert world.people.queries.count("staying") <= SOONEST + 2


async def test_many_are_asked_about_in_large_questions_spread_over_the_period(world: World, monkeypatch):
    monkeypatch.setattr("whosonline.hub.rechecks.CHUNK", 10)
    hub = await world.node(recheck=100.0)
    await tabs_of(world, hub, 100)
    await world.clock.advance(200)
    world.people.queries.clear()
    world.people.asked_about.clear()
    for _ in range(10):
        await world.clock.advance(10)
        assert 0 < world.people.queries.count("staying") <= 2  # not all at once
        world.people.queries.clear()
    assert len(set(world.people.asked_about)) == 100
    assert CHUNK >= 100  # so a thousand connections cost a handful of questions


async def test_who_lost_the_right_to_stay_without_a_signal_is_found_and_gone_for_all_at_once(world: World):
    hub = await world.node(recheck=100.0)
    watcher, ann = await world.tab(hub, "bob"), await world.tab(hub, "ann")
    await watcher.say('{"type":"watch","users":["ann"]}')
    world.people.refused.add("ann")
    await world.clock.advance(100 * (1 + 1 / SOONEST))
    assert ann.socket.closed_with is CloseCode.NOT_LOGGED_IN
    assert watcher.take("update")[-1]["users"]["ann"]["status"] == "offline"
    assert watcher.socket.closed_with is None


async def test_a_session_ends_for_its_socket_when_its_time_is_over(world: World):
    hub = await world.node()
    ann, bob = await world.tab(hub, "ann", expires=world.clock.wall() + 60), await world.tab(hub, "bob")
    world.people.refused.add("ann")
    await world.clock.advance(57)
    assert ann.socket.closed_with is None
    await world.clock.advance(2)
    assert ann.socket.closed_with is CloseCode.NOT_LOGGED_IN
    assert bob.socket.closed_with is None


async def test_a_session_whose_time_was_prolonged_goes_on_until_its_new_end(world: World):
    hub = await world.node()
    ann = await world.tab(hub, "ann", session="s", expires=world.clock.wall() + 60)
    world.people.expires["s"] = world.clock.wall() + 90
    await world.clock.advance(60)
    assert ann.socket.closed_with is None
    world.people.refused.add("ann")
    await world.clock.advance(30)
    assert ann.socket.closed_with is CloseCode.NOT_LOGGED_IN


async def test_sessions_that_end_together_are_asked_about_together(world: World):
    hub = await world.node()
    for number in range(30):
        await world.tab(hub, f"user{number}", expires=200.0 + world.clock.wall() - world.clock.time())
    await world.clock.advance(300)
    assert world.people.queries.count("staying") <= 1 + SOONEST + 1


async def test_while_the_site_cannot_be_asked_everybody_stays_and_it_is_asked_again(world: World):
    hub = await world.node(recheck=100.0)
    ann = await world.tab(hub, "ann")
    world.people.refused.add("ann")
    world.people.failures["staying"] = 1
    await world.clock.advance(100)
    assert ann.socket.closed_with is None
    await world.clock.advance(RETRY + 20)
    assert ann.socket.closed_with is CloseCode.NOT_LOGGED_IN


async def test_who_has_gone_is_asked_about_no_more(world: World):
    hub = await world.node(recheck=100.0, grace=0)
    ann = await world.tab(hub, "ann", expires=world.clock.wall() + 60)
    ann.close()
    await settle()
    await world.clock.advance(500)
    assert world.people.asked_about == []


async def test_a_connection_that_is_closed_is_kept_by_nobody_until_its_session_ends(world: World):
    hub = await world.node(grace=0)
    ann = await world.tab(hub, "ann", expires=world.clock.wall() + 60)
    connection = ref(ann.connection)
    ann.close()
    del ann
    await world.clock.advance(1)
    gc.collect()
    assert connection() is None


async def test_however_many_are_asked_about_the_loop_soon_has_its_turn(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    hub = await world.node()
    await tabs_of(world, hub, 4 * TOGETHER)
    turn, tokens = 0, Counter[int]()

    def write_token(token: Token) -> str:
        tokens[turn] += 1
        return ""

    monkeypatch.setattr(hub, "_site", replace(hub._site, write_token=write_token))
    asking = asyncio.create_task(hub._rights._rechecks.ask(hub._connections.ids()))
    while not asking.done():
        await asyncio.sleep(0)
        turn += 1
    assert tokens.total() == 4 * TOGETHER
    assert max(tokens.values()) <= TOGETHER
