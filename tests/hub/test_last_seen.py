"""When users were last seen: told, looked up, and written down."""

from __future__ import annotations

import asyncio
import json

import pytest

from whosonline.core.entries import Profile
from whosonline.core.wire import Watch
from whosonline.hub import last_seen
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


async def test_what_could_not_be_looked_up_is_looked_up_again_for_all_who_still_look(
    world: World, caplog: pytest.LogCaptureFixture
):
    hub = await world.node()
    bob, eve, cy = [await world.tab(hub, user) for user in ("bob", "eve", "cy")]
    world.people.seen = {"ann": 1_600_000_000}
    world.people.queries.clear()
    world.people.failures["last seen"] = 2
    for tab in (bob, eve, cy):
        await tab.say('{"type":"watch","users":["ann"]}')
    await world.clock.advance(1)
    assert world.people.queries == ["last seen"] * 2  # the first waits for nobody
    assert [record.message for record in caplog.records] == [
        "last-seen times could not be looked up; trying again soon"
    ] * 2
    cy.close()
    for tab in (bob, eve):
        tab.take()
    await world.clock.advance(10)
    for tab in (bob, eve):
        (told,) = [message["users"] for message in tab.take() if "users" in message]
        assert told == {"ann": {"status": "offline", "last_seen": 1_600_000_000}}
    assert world.people.queries.count("last seen") <= 4


async def test_of_more_users_than_are_remembered_each_is_looked_up_once_for_who_looks(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(last_seen, "REMEMBERED", 3)
    hub = await world.node()
    bob = await world.tab(hub, "bob")
    world.people.queries.clear()
    users = [f"u{number}" for number in range(10)]
    await bob.say(json.dumps({"type": "watch", "users": users}))
    await world.clock.advance(10)
    assert world.people.queries.count("last seen") == 1


async def test_who_asks_for_many_does_not_have_others_wait_for_all_of_them(world: World):
    hub = await world.node()
    tabs = [await world.tab(hub, user) for user in ("bob", "eve", "cy")]
    world.people.queries.clear()
    answer = world.people.hold_answers()
    for number, tab in enumerate(tabs):
        users = [f"{number}-{each}" for each in range(last_seen.TOGETHER)]
        hub.handle(tab.connection, Watch(users=users))
    await settle()
    answer.set()
    await settle()
    assert world.people.queries == ["last seen"] * 3


async def test_who_waits_behind_a_look_up_that_fails_waits_for_no_further_one(world: World):
    asked, go_on = list[int](), asyncio.Event()

    async def load(users: list[str]) -> dict[str, int]:
        asked.append(len(users))
        await go_on.wait()
        raise OSError

    hub = await world.node()
    hub._last_seen._load = load
    users = [[f"{number}-{each}" for each in range(last_seen.TOGETHER)] for number in range(3)]
    waiting = [asyncio.create_task(hub._last_seen.learn(some)) for some in users]
    await settle()
    go_on.set()
    assert await asyncio.wait_for(asyncio.gather(*waiting), 10) == [False] * 3
    assert asked == [last_seen.TOGETHER]


async def test_a_hub_that_ends_amid_a_look_up_leaves_nobody_waiting(world: World):
    hub = await world.node()
    bob, eve = await world.tab(hub, "bob"), await world.tab(hub, "eve")
    world.people.hold_answers()
    await bob.say(WATCH)
    await eve.say('{"type":"watch","users":["zoe"]}')
    waiting = [asyncio.create_task(hub._last_seen.learn([user])) for user in ("dan", "fay")]
    await settle()
    waiting[0].cancel()  # one who gives up takes the answer from nobody else
    await hub.stop()
    await settle()
    assert await asyncio.wait_for(waiting[1], 10) is False


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
