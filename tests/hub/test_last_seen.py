"""When users were last seen: told, looked up, and written down."""

from __future__ import annotations

from typing import Any

from whosonline.core.entries import Profile
from whosonline.core.wire import Watch
from whosonline.testing.clock import EPOCH, settle

from .conftest import Tab, World

WATCH = '{"type":"watch","users":["ann","cy"]}'


async def ann_and_who_watches_her(world: World) -> tuple[Tab, Tab]:
    hub = await world.node()
    bob = await world.tab(hub, "bob")
    await bob.say(WATCH)
    ann = await world.tab(hub, "ann")
    bob.take()
    return ann, bob


async def test_who_leaves_was_last_seen_now(world: World):
    ann, bob = await ann_and_who_watches_her(world)
    ann.close()
    left_at = world.clock.wall()
    await world.clock.advance(10)
    (update,) = [message for message in bob.take() if "users" in message]
    assert update["users"] == {"ann": {"status": "offline", "last_seen": int(left_at + 5)}}


async def test_of_who_is_removed_nobody_is_told_when_they_were_last_seen(world: World):
    ann, bob = await ann_and_who_watches_her(world)
    world.sync.relist("ann", None, "ann")
    ann.close()
    await world.clock.advance(10)
    (update,) = [message for message in bob.take() if "users" in message]
    assert update["users"] == {"ann": {"status": "offline"}}


async def test_who_may_come_back_after_all_is_seen_again(world: World):
    world.people.seen = {"ann": 1_600_000_000}
    hub = await world.node()
    bob = await world.tab(hub, "bob")
    world.sync.relist("ann", None, "ann")  # deactivated
    await world.clock.advance(1)
    world.sync.relist("ann", Profile("ann", "Ann"), None)
    await world.clock.advance(1)
    await bob.say(WATCH)
    await world.clock.advance(1)
    assert bob.take()[-1]["users"]["ann"] == {"status": "offline", "last_seen": 1_600_000_000}
    ann = await world.tab(hub, "ann")
    ann.close()
    left_at = world.clock.wall()
    await world.clock.advance(10)
    (*_, update) = [message for message in bob.take() if "users" in message]
    assert update["users"]["ann"] == {"status": "offline", "last_seen": int(left_at + 5)}


async def test_who_was_offline_all_along_is_looked_up_once_for_all_who_ask(world: World):
    world.people.seen = {"ann": 1_600_000_000}
    hub = await world.node()
    for user in ("bob", "eve"):
        tab = await world.tab(hub, user)
        await tab.say(WATCH)
        await world.clock.advance(1)
        assert tab.take()[-1]["users"] == {
            "ann": {"status": "offline", "last_seen": 1_600_000_000},
        } | ({"cy": {"status": "offline"}} if user == "eve" else {})
    assert world.people.queries.count("last seen") == 1


async def test_many_who_ask_at_about_the_same_time_are_answered_by_one_look_up(world: World):
    hub = await world.node()
    tabs = [await world.tab(hub, f"u{number}") for number in range(20)]
    world.people.queries.clear()
    world.people.seen = {f"v{number}": 1_600_000_000 for number in range(20)}
    for number, tab in enumerate(tabs):
        await tab.say(f'{{"type":"watch","users":["v{number}","w{number}"]}}')
    await world.clock.advance(1)
    assert world.people.queries == ["last seen"] * 2  # the first waits for nobody
    for number, tab in enumerate(tabs):
        assert tab.take()[-1]["users"] == {f"v{number}": {"status": "offline", "last_seen": 1_600_000_000}}


async def test_what_could_not_be_looked_up_is_asked_for_again_by_the_next_who_look(world: World, caplog: Any):
    hub = await world.node()
    bob, eve = await world.tab(hub, "bob"), await world.tab(hub, "eve")
    world.people.seen = {"ann": 1_600_000_000}
    world.people.failures["last seen"] = 1
    await bob.say(WATCH)
    await world.clock.advance(10)
    assert world.people.queries.count("last seen") == 1
    assert [record.message for record in caplog.records] == ["last-seen times could not be looked up"]
    bob.take()
    await eve.say(WATCH)
    await world.clock.advance(1)
    for tab in (bob, eve):
        assert tab.take()[-1]["users"] == {"ann": {"status": "offline", "last_seen": 1_600_000_000}}


async def test_comings_and_goings_are_written_down_together(world: World):
    hub = await world.node()
    tabs = [await world.tab(hub, user) for user in ("ann", "cy")]
    await world.clock.advance(5)
    world.people.queries.clear()
    for tab in tabs:
        tab.close()
    await world.clock.advance(5)
    await world.clock.advance(2)
    assert world.people.queries == ["save"]
    assert world.people.seen["ann"] == world.people.seen["cy"]
    assert world.people.seen["ann"] > EPOCH


async def test_what_could_not_be_written_down_is_written_later(world: World):
    hub = await world.node()
    world.people.failures["save"] = 3
    await world.tab(hub, "ann")
    await world.clock.advance(2)
    assert "ann" not in world.people.seen
    await world.clock.advance(60)
    assert "ann" in world.people.seen


async def test_who_is_present_when_the_server_ends_is_written_down(world: World):
    hub = await world.node()
    await world.tab(hub, "ann")
    await world.clock.advance(60)
    world.people.seen.clear()
    await hub.stop()
    await settle()
    assert "ann" in world.people.seen


async def test_who_asks_fast_has_one_look_up_at_a_time(world: World):
    hub = await world.node()
    bob = await world.tab(hub, "bob")
    world.people.queries.clear()
    answer = world.people.hold_answers()
    for number in range(50):
        hub.handle(bob.connection, Watch(users=[f"u{number}"]))
        await settle()
    assert world.people.queries == ["last seen"]
    answer.set()
    await world.clock.advance(1)
    assert world.people.queries == ["last seen"] * 2  # the first that was asked for, and the last
