"""When changes go out: the first at once, then in ticks, and the truth at the end of each."""

from __future__ import annotations

import asyncio

from msgspec import UNSET

from whosonline.core.entries import Profile
from whosonline.core.statuses import SITE
from whosonline.hub import fanout, sending
from whosonline.hub.directories import DirectoryLoader
from whosonline.testing.clock import settle

from .conftest import World
from .fanning import NO_TIME_PASSES, arrive, each_look_takes, quiet_tabs


async def test_the_first_change_after_a_quiet_spell_goes_at_once_and_the_rest_with_the_tick(world: World):
    hub = await world.node()
    tab = await world.tab(hub, "bob")
    await tab.say('{"type":"watch","users":["u0","u1","u2"]}')
    await world.clock.advance(1)
    tab.take()
    for user in ("u0", "u1", "u2"):
        arrive(hub, user)
        await settle()
    (first,) = tab.take()
    assert first["users"] == {"u0": {"status": "online"}}
    await world.clock.advance(0.099)
    assert tab.take() == []
    await world.clock.advance(0.001)
    (second,) = tab.take()
    assert second["users"] == {"u1": {"status": "online"}, "u2": {"status": "online"}}


async def test_on_off_on_within_a_tick_is_nothing(world: World):
    hub = await world.node(grace=0)
    tab = await world.tab(hub, "bob")
    await tab.say('{"type":"watch","users":["ann","cy"]}')
    ann = arrive(hub, "ann")
    await world.clock.advance(1)
    tab.take()
    arrive(hub, "cy")
    await settle()
    assert len(tab.take()) == 1  # the next tick is not due yet
    ann.close()
    await world.clock.advance(0.03)
    arrive(hub, "ann")
    await world.clock.advance(0.9)
    assert tab.take() == []


async def test_after_a_flush_that_took_much_work_the_next_rests_three_times_as_long_and_after_another_a_tick(
    world: World, monkeypatch
):
    hub = await world.node()
    tab = await world.tab(hub, "bob")
    await tab.say('{"type":"watch","users":["ann","cy","dan"]}')
    await world.clock.advance(10)
    tab.take()

    def users() -> list[str]:
        return [user for message in tab.take() for user in message.get("users", {})]

    monkeypatch.setattr(sending, "time", each_look_takes(seconds=0, work=1))
    arrive(hub, "ann")
    await settle()
    assert users() == ["ann"]  # at once
    rest = hub._fanout._next_flush - world.clock.time()
    assert rest >= 3  # a second of the processor for each turn of the loop
    monkeypatch.setattr(sending, "time", NO_TIME_PASSES)
    arrive(hub, "cy")
    await world.clock.advance(rest - 0.1)
    assert users() == []
    await world.clock.advance(0.11)
    assert users() == ["cy"]
    arrive(hub, "dan")
    await world.clock.advance(0.08)
    assert users() == []
    await world.clock.advance(0.02)
    assert users() == ["dan"]


async def test_fanout_has_half_of_a_process_at_most_however_little_of_a_core_that_has(
    world: World, monkeypatch
):
    hub = await world.node()
    tab = await world.tab(hub, "bob")
    await tab.say('{"type":"watch","users":["ann"]}')
    await world.clock.advance(10)
    clocks = each_look_takes(seconds=10, work=1)
    monkeypatch.setattr(sending, "time", clocks)
    before = clocks.perf_counter()
    arrive(hub, "ann")
    await settle()
    took, rest = clocks.perf_counter() - before, hub._fanout._next_flush - world.clock.time()
    assert 0.3 * took < rest < took


async def test_a_flush_that_fails_again_and_again_leaves_the_process_to_others(
    world: World, monkeypatch, caplog
):
    hub = await world.node()
    await world.tab(hub, "bob")
    await world.clock.advance(10)
    monkeypatch.setattr(hub._views, "publish", lambda: 1 / 0)
    arrive(hub, "ann")
    await world.clock.advance(0.95)
    failed = [record for record in caplog.records if record.message == "a flush failed"]
    assert 1 < len(failed) <= 10  # once a tick


async def test_a_page_stays_in_name_order_and_within_its_limit(world: World):
    hub = await world.node()
    tab = await world.tab(hub, "bob")
    await tab.say('{"type":"watch","room":"site","limit":2}')
    (update,) = tab.take()
    assert update["page"]["order"] == ["bob"]
    for user, order in (("cy", ["bob", "cy"]), ("ann", ["ann", "bob"])):
        arrive(hub, user)
        await world.clock.advance(1)
        (update,) = tab.take("update")
        assert update["page"]["order"] == order
    assert update["page"]["drop"] == ["cy"]
    arrive(hub, "zoe")  # beyond the page
    await world.clock.advance(1)
    assert [message for message in tab.take() if "page" in message] == []


async def test_one_watch_of_two_is_told_everything_again_in_full(world: World):
    hub = await world.node()
    tab = await world.tab(hub, "bob")
    await tab.say('{"type":"watch","users":["ann"]}')
    await tab.say('{"type":"watch","room":"site"}')
    update = tab.take()[-1]
    assert set(update["users"]) == {"ann"}
    assert update["page"]["reset"]


async def test_a_long_flush_lets_the_loop_have_its_turns_and_loses_nobody(world: World, monkeypatch):
    monkeypatch.setattr(sending, "YIELD_AFTER", -1)  # after every single frame
    hub = await world.node()
    tabs = [await world.tab(hub, f"w{number}") for number in range(5)]
    for tab in tabs:
        await tab.say('{"type":"watch","users":["ann"]}')
        tab.take()
    arrive(hub, "ann")
    tabs[4].close()
    await world.clock.advance(1)
    for tab in tabs[:4]:
        assert [update["users"] for update in tab.take() if "users" in update] == [
            {"ann": {"status": "online"}}
        ]


async def test_a_flush_that_is_under_way_goes_no_further_than_the_end_of_the_hub(world: World, monkeypatch):
    hub, tabs = await quiet_tabs(world, 3)
    for tab in tabs:
        await tab.say('{"type":"watch","users":["ann"]}')
        tab.take()
    await world.clock.advance(1)
    monkeypatch.setattr(sending, "YIELD_AFTER", -1)
    arrive(hub, "ann")
    async with asyncio.timeout(10):
        while not (told := [tab for tab in tabs if tab.take()]):
            await asyncio.sleep(0)
    assert len(told) == 1
    hub._fanout.stop()
    await world.clock.advance(10)
    assert [tab.take("update") for tab in tabs] == [[]] * 3


async def test_who_moves_on_during_a_long_flush_is_not_told_of_what_was_watched_before(
    world: World, monkeypatch
):
    monkeypatch.setattr(sending, "YIELD_AFTER", -1)
    hub = await world.node()
    first, second = [await world.tab(hub, f"w{number}") for number in range(2)]
    for tab in (first, second):
        await tab.say('{"type":"watch","users":["ann"]}')
        tab.take()
    arrive(hub, "ann")
    async with asyncio.timeout(10):
        while not first.take():
            await asyncio.sleep(0)
    assert second.take() == []  # its turn has not come yet
    await second.say('{"type":"unwatch","users":true}')
    await world.clock.advance(1)
    assert not any("users" in message for message in second.take())


async def test_who_stops_watching_one_of_two_during_a_long_flush_misses_nothing_of_the_other(
    world: World, monkeypatch
):
    monkeypatch.setattr(sending, "YIELD_AFTER", -1)
    hub = await world.node()
    first, second = [await world.tab(hub, f"w{number}") for number in range(2)]
    for tab in (first, second):
        await tab.say('{"type":"watch","users":["ann"]}')
        await tab.say('{"type":"watch","room":"site"}')
        tab.take()
    arrive(hub, "ann")
    async with asyncio.timeout(10):
        while not first.take():
            await asyncio.sleep(0)
    assert second.take() == []  # its turn has not come yet
    await second.say('{"type":"unwatch","users":true}')
    await world.clock.advance(1)
    pages = [message["page"] for message in second.take() if "page" in message]
    assert "ann" in pages[-1]["order"]


async def test_many_windows_are_published_in_several_turns_of_the_loop(world: World, monkeypatch):
    hub = await world.node()
    tabs = [await world.tab(hub, f"w{number}") for number in range(5)]
    for tab in tabs:
        await tab.say(f'{{"type":"watch","users":["ann","{tab.connection.user}"]}}')
        tab.take()
    monkeypatch.setattr(sending, "YIELD_AFTER", -1)
    hub._node._store.sync.touch("ann", Profile("ann", "Ann"), "s", 100)
    turns = 0
    async with asyncio.timeout(10):
        while hub.replica.count(SITE) != 6:
            await asyncio.sleep(0)
        while not any(tab.take() for tab in tabs):
            await asyncio.sleep(0)
            turns += 1
    assert turns >= len(tabs)


async def test_a_change_that_nobody_looks_at_holds_up_no_other(world: World):
    hub = await world.node()
    people = {user: arrive(hub, user) for user in ("a1", "a2", "m1", "z1", "z2")}
    tabs = [await world.tab(hub, user) for user in ("a3", "z3")]
    for tab, after in zip(tabs, ("a", "z"), strict=True):
        await tab.say(f'{{"type":"watch","room":"site","after":"{after}","limit":2}}')
        tab.take()
    await world.clock.advance(1)
    for user in ("m1", "z1"):
        await people[user].say('{"type":"idle"}')
        await world.clock.advance(0.01)  # much less than a tick
    (update,) = tabs[1].take()
    assert update["page"]["put"][0]["status"] == "away"


async def test_everybody_is_told_once_that_the_store_is_away_in_slices(world: World, monkeypatch):
    monkeypatch.setattr(sending, "YIELD_AFTER", -1)
    hub = await world.node()
    tabs = [await world.tab(hub, f"w{number}") for number in range(3)]
    hub._fanout.set_away(True)
    told = [len(tab.take("notice")) for tab in tabs]
    assert told == [1, 0, 0]
    tabs[1].close()
    late = arrive(hub, "ann")
    await world.clock.advance(1)
    assert [message["state"] for message in tabs[2].take("notice")] == ["degraded"]
    assert late.take("notice")[-1]["state"] == "degraded"
    for degraded in (False, True, False):
        hub._fanout.set_away(degraded)
    await world.clock.advance(5)
    for tab in (tabs[0], tabs[2], late):
        assert tab.take("notice")[-1]["state"] == "ok"
    assert (tabs[1].take("notice"), tabs[2].take("notice")) == ([], [])


async def test_connections_that_watch_the_same_share_one_window(world: World):
    hub = await world.node()
    for number in range(3):
        tab = await world.tab(hub, f"w{number}")
        await tab.say('{"type":"watch","users":["ann","bob"]}')
    assert len(hub._views._users) == 1


async def test_nothing_is_left_of_what_nobody_watches(world: World):
    hub = await world.node()
    tab = await world.tab(hub, "bob")
    for text in (
        '{"type":"watch","users":["ann","bob"]}',
        '{"type":"watch","room":"site"}',
        '{"type":"watch","directory":{}}',
    ):
        await tab.say(text)
    tab.close()
    await world.clock.advance(2 * DirectoryLoader.KEEP + 1)
    views = hub._views
    assert not any((views._users, views._pages, views._ranges, views._watching, views._views))


async def test_a_flush_that_fails_is_not_the_last(world: World, monkeypatch, caplog):
    hub = await world.node()
    bob = await world.tab(hub, "bob")
    await bob.say('{"type":"watch","users":["ann","cy"]}')
    await world.clock.advance(1)
    bob.take()

    def no_memory(message: object) -> str:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(fanout, "encode", no_memory)
        hub._node._store.sync.touch("ann", Profile("ann", "Ann"), "s", 100)
        await settle()
    assert "a flush failed" in caplog.text
    assert bob.take() == []
    await world.clock.advance(0.2)
    (told,) = [message["users"] for message in bob.take() if "users" in message]
    assert told["ann"] == {"status": "online"}  # what was lost with it is told after all
    arrive(hub, "cy")
    await world.clock.advance(1)
    assert any("cy" in message.get("users", {}) for message in bob.take())


async def test_whoever_was_not_told_that_the_store_is_away_since_that_failed_is_told_after_all(
    world: World, monkeypatch
):
    hub = await world.node()
    tabs = [await world.tab(hub, user) for user in ("bob", "eve")]
    await world.clock.advance(10)
    for tab in tabs:
        tab.take()
    with monkeypatch.context() as patched:
        patched.setattr(fanout, "encode", lambda message: 1 / 0)
        hub.on_degraded(True)
        await settle()
    await world.clock.advance(0.2)
    for tab in tabs:
        assert {"type": "notice", "state": "degraded"} in tab.take()


async def test_what_can_not_be_told_at_all_is_not_tried_for_ever(world: World, monkeypatch, caplog):
    hub = await world.node()
    bob = await world.tab(hub, "bob")
    await bob.say('{"type":"watch","users":["ann"]}')
    await world.clock.advance(10)
    encode = fanout.encode

    def refuse(message: object) -> str:
        if getattr(message, "users", UNSET) is not UNSET:
            raise ValueError
        return encode(message)  # type: ignore[arg-type]

    monkeypatch.setattr(fanout, "encode", refuse)
    arrive(hub, "ann")
    await world.clock.advance(30)
    failed = [record for record in caplog.records if record.message == "a flush failed"]
    assert len(failed) == 2
