"""The online count: when it is told, to whom alone, and never an older one after a newer."""

from __future__ import annotations

import asyncio
import json
import random
from itertools import pairwise
from typing import Any

import pytest

from whosonline.core.entries import Profile
from whosonline.core.statuses import SITE
from whosonline.core.wire import Watch
from whosonline.hub import counting, sending
from whosonline.hub.counting import LONGEST_REST
from whosonline.hub.hub import Hub
from whosonline.testing.clock import TURNS, settle

from .conftest import Tab, World
from .fanning import NO_TIME_PASSES, a_turn_for_each_frame, arrive, each_look_takes, quiet_tabs


@pytest.fixture(autouse=True)
def no_rides_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a few connections told the count as many are, but at once."""
    monkeypatch.setattr(counting, "FEW", 0)
    monkeypatch.setattr(counting, "MOST_RIDES", 0)


def rides(monkeypatch: pytest.MonkeyPatch, few: int = 0, most: int = 100) -> None:
    """Have the count ride for an eighth of a second, so often at most, where it is for more than a few."""
    monkeypatch.setattr(counting, "FEW", few)
    monkeypatch.setattr(counting, "RIDE", 1.0)
    monkeypatch.setattr(counting, "LONGEST_RIDE", 0.125)
    monkeypatch.setattr(counting, "MOST_RIDES", most)
    monkeypatch.setattr(sending, "time", NO_TIME_PASSES)


async def tabs_with_friends(world: World, number: int) -> list[Tab]:
    """Return quiet tabs, each of which watches a friend of its own."""
    _, tabs = await quiet_tabs(world, number)
    for each, tab in enumerate(tabs):
        await tab.say(f'{{"type":"watch","users":["friend {each}"]}}')
        tab.take()
    return tabs


async def test_the_count_alone_is_told_at_most_once_a_second(world: World):
    hub = await world.node()
    tab = await world.tab(hub, "bob")
    await world.clock.advance(1)
    for number in range(20):
        arrive(hub, f"u{number}")
        await world.clock.advance(0.1)
    told = [message["online"] for message in tab.take()]
    assert told == [2, 11]
    await world.clock.advance(0.19)
    assert tab.take() == []
    await world.clock.advance(0.02)
    assert [message["online"] for message in tab.take()] == [21]


@pytest.mark.parametrize("knows_them", [False, True])
@pytest.mark.parametrize(("lasts", "told"), [(7, [(9, 71)]), (13, [(15, 131)]), (30, [(16, 161), (32, 301)])])
async def test_a_count_that_a_crowd_changes_is_told_when_it_stands_still_or_after_two_seconds(
    world: World, monkeypatch, lasts: int, told: list[tuple[int, int]], knows_them: bool
):
    monkeypatch.setattr(sending, "time", NO_TIME_PASSES)
    _, (tab,) = await quiet_tabs(world, 1)
    if knows_them:  # so that there are changes which could take the count along at any time
        await tab.say(json.dumps({"type": "watch", "users": [f"u{eighth}.9" for eighth in range(lasts)]}))
        tab.take()
    seen: list[tuple[int, int]] = []
    for eighth in range(40):
        for number in range(10 if eighth < lasts else 0):
            user = f"u{eighth}.{number}"
            world.sync.touch(user, Profile(user, user), "s", 1000)
        await settle()
        seen += [(eighth, message["online"]) for message in tab.take() if "online" in message]
        await world.clock.advance(0.125)
    assert seen == [(0, 11), *told]


async def test_a_large_count_that_changes_all_the_time_is_told_every_other_second(world: World, monkeypatch):
    monkeypatch.setattr(sending, "time", NO_TIME_PASSES)
    hub, (tab,) = await quiet_tabs(world, 1)
    seen = []
    for eighth in range(40):
        monkeypatch.setattr(hub.replica, "count", lambda room, now=eighth: 10_000 + 60 * now)
        hub._fanout.flush_soon()
        await settle()
        seen += [(eighth, message["online"]) for message in tab.take()]
        await world.clock.advance(0.125)
    assert seen == [(0, 10_000), (16, 10_900), (32, 11_900)]


async def test_a_change_just_after_the_count_alone_was_told_waits_for_no_tick(world: World, monkeypatch):
    monkeypatch.setattr(sending, "time", NO_TIME_PASSES)
    hub = await world.node()
    tab = await world.tab(hub, "bob")
    await tab.say('{"type":"watch","users":["u0","u1"]}')
    await world.clock.advance(1)
    tab.take()
    arrive(hub, "somebody else")
    await settle()
    assert tab.take() == [{"type": "update", "online": 2}]
    arrive(hub, "u0")
    await settle()
    assert tab.take() == [{"type": "update", "users": {"u0": {"status": "online"}}}]
    arrive(hub, "u1")
    await settle()
    assert tab.take() == []  # after a change there is a tick
    await world.clock.advance(0.1)
    assert [message["users"] for message in tab.take()] == [{"u1": {"status": "online"}}]


async def test_a_large_count_is_told_with_three_digits_and_only_when_these_change(world: World):
    for number in range(10_000):
        world.sync.touch(f"u{number}", Profile(f"u{number}", ""), "s", 1000)
    hub = await world.node()
    tab = Tab(hub, "bob", "session of bob")
    hub.open(tab.connection, Profile("bob", "Bob"), touched=False)
    assert tab.take()[0]["online"] == 10_000
    for number in range(74):
        world.sync.touch(f"v{number}", Profile(f"v{number}", ""), "s", 1000)
        await world.clock.advance(1)
    assert [message["online"] for message in tab.take()] == []
    world.sync.touch("w", Profile("w", ""), "s", 1000)
    await world.clock.advance(1)
    assert [message["online"] for message in tab.take()] == [10_100]


async def test_who_was_told_another_count_is_set_right_and_nobody_else(world: World):
    hub = await world.node(grace=0)
    bob = await world.tab(hub, "bob")
    ann = await world.tab(hub, "ann")
    bob.take()
    arrive(hub, "dan")
    await settle()
    assert [message["online"] for message in bob.take()] == [3]  # and the next count is not due
    cy = arrive(hub, "cy")
    ann.close()
    await settle()
    assert [message["online"] for message in cy.take()] == [4]
    await world.clock.advance(2)
    assert [message["online"] for message in cy.take()] == [3]
    assert bob.take() == []


async def test_frames_about_the_count_alone_take_a_twentieth_of_the_process_at_any_time(
    world: World, monkeypatch
):
    hub = await world.node()
    tabs = [await world.tab(hub, f"w{number}") for number in range(5)]
    await world.clock.advance(10)

    def told() -> list[int]:
        return [message["online"] for tab in tabs for message in tab.take("update")]

    told()
    monkeypatch.setattr(sending, "time", a_turn_for_each_frame(work=0.01))
    world.sync.touch("ann", Profile("ann", "Ann"), "s", 1000)
    at: list[int] = []
    for hundredth in range(300):
        at += [hundredth for _ in told()]
        if hundredth == 50:
            world.sync.touch("cy", Profile("cy", "Cy"), "s", 1000)
        await world.clock.advance(0.01)
    rests = [after - before for before, after in pairwise(at)]
    assert len(at) == 10
    assert min(rests) >= 19  # and one for the coarseness of these looks


async def test_what_holds_up_a_count_for_long_was_not_the_count(world: World, monkeypatch):
    hub, tabs = await quiet_tabs(world, 2)
    monkeypatch.setattr(sending, "time", a_turn_for_each_frame(work=60))  # Python's collector, say
    arrive(hub, "ann")
    await world.clock.advance(LONGEST_REST)
    assert [message["online"] for tab in tabs for message in tab.take("update")] == [3, 3]


async def test_a_change_takes_the_count_along(world: World, monkeypatch):
    hub = await world.node()
    tabs = {user: await world.tab(hub, user) for user in ("bob", "cy", "eve")}
    for user, tab in tabs.items():
        await tab.say(f'{{"type":"watch","users":["friend of {user}"]}}')
    await world.clock.advance(10)
    for tab in tabs.values():
        tab.take()
    monkeypatch.setattr(sending, "time", a_turn_for_each_frame(work=0.05))
    world.sync.touch("ann", Profile("ann", "Ann"), "s", 1000)
    await settle()
    told = {user: tab.take() for user, tab in tabs.items()}
    count = {"type": "update", "online": 4}
    assert sorted(told.values(), key=len) == [[], [], [count]]
    untold = next(user for user in tabs if not told[user])
    world.sync.touch(f"friend of {untold}", Profile("friend", "Friend"), "s", 1000)
    await world.clock.advance(0.1)
    friend = {f"friend of {untold}": {"status": "online"}}
    assert tabs[untold].take() == [{**count, "users": friend}]
    await world.clock.advance(30)
    told[untold] = [count]
    for user, tab in tabs.items():
        assert [message["online"] for message in (*told[user], *tab.take("update"))] == [4, 5]


async def test_many_wait_for_changes_that_take_the_count_along(world: World, monkeypatch):
    rides(monkeypatch, few=1)
    _, (bob, *others) = await quiet_tabs(world, 3)
    await bob.say('{"type":"watch","users":["friend"]}')
    bob.take()
    world.sync.touch("ann", Profile("ann", "Ann"), "s", 1000)
    await world.clock.advance(0.0625)
    world.sync.touch("friend", Profile("friend", "Friend"), "s", 1000)
    await world.clock.advance(0.0625)
    # The count as it was when it began to be told; the next will have this in it.
    assert bob.take() == [{"type": "update", "online": 4, "users": {"friend": {"status": "online"}}}]
    assert [tab.take() for tab in others] == [[], []]
    # A third of them were told: it is worth to wait once more, and then it was not.
    await world.clock.advance(0.0625)
    assert [tab.take() for tab in others] == [[], []]
    await world.clock.advance(0.0625)
    assert [tab.take() for tab in others] == [[{"type": "update", "online": 4}]] * 2
    assert bob.take() == []
    await world.clock.advance(2)
    assert [tab.take() for tab in (bob, *others)] == [[{"type": "update", "online": 5}]] * 3


@pytest.mark.parametrize(
    ("few", "most", "after"),
    [
        pytest.param(0, 3, 3, id="however many changes take it along"),
        pytest.param(3, 100, 2, id="no longer than many are left"),
    ],
)
async def test_none_of_many_waits_for_ever_for_the_count(world: World, monkeypatch, few, most, after):
    rides(monkeypatch, few, most)
    tabs = await tabs_with_friends(world, 5)
    world.sync.touch("ann", Profile("ann", "Ann"), "s", 1000)
    for number in range(5):
        await world.clock.advance(0.0625)
        assert [len(tab.take("update")) for tab in tabs] == [0] * 5
        world.sync.touch(f"friend {number}", Profile("friend", "Friend"), "s", 1000)
        await world.clock.advance(0.0625)
        told = [[message["online"] for message in tab.take("update")] for tab in tabs]
        if number + 1 == after:
            assert told == [[]] * number + [[6]] * (5 - number)
            return
        assert told == [[]] * number + [[6]] + [[]] * (4 - number)
    pytest.fail("it was never told to those left")


async def test_the_count_rides_on_as_long_as_a_share_of_those_left_are_told_it_along_with_a_change(
    world: World, monkeypatch
):
    rides(monkeypatch)
    monkeypatch.setattr(counting, "WORTH", 0.5)
    tabs = await tabs_with_friends(world, 4)
    world.sync.touch("ann", Profile("ann", "Ann"), "s", 1000)
    await world.clock.advance(0.0625)
    for friends in ((0, 1), (2,)):  # half of four, and of two
        for friend in friends:
            world.sync.touch(f"friend {friend}", Profile("friend", "Friend"), "s", 1000)
        await world.clock.advance(0.0625)
        told = [number for number, tab in enumerate(tabs) for message in tab.take() if "online" in message]
        assert told == [*friends]
        await world.clock.advance(0.0625)
    assert tabs[3].take() == []
    await world.clock.advance(0.0625)
    assert [tab.take("update") for tab in tabs] == [[], [], [], [{"type": "update", "online": 5}]]


@pytest.mark.parametrize("they", ["leave", "look elsewhere", "come", "come to what changes"])
async def test_who_comes_and_goes_is_no_reason_for_the_count_to_ride_on_or_not(
    world: World, monkeypatch, they: str
):
    rides(monkeypatch)
    monkeypatch.setattr(counting, "WORTH", 0.5)
    hub, tabs = await quiet_tabs(world, 8)
    for tab in tabs[: 4 if they == "come" else 1]:  # half of them, which is enough, or few
        await tab.say('{"type":"watch","users":["friend"]}')
    world.sync.touch("ann", Profile("ann", "Ann"), "s", 1000)
    await world.clock.advance(0.0625)
    if they.startswith("come"):
        for number in range(8):
            newcomer = arrive(hub, f"v{number}")
            if they != "come":
                await newcomer.say('{"type":"watch","users":["friend"]}')
        world.sync.touch("friend", Profile("friend", "Friend"), "s", 1000)
    for tab in tabs[:6]:
        if they == "leave":
            tab.close()
        elif they == "look elsewhere":
            await tab.say('{"type":"watch","users":["zoe"]}')
    for tab in tabs:
        tab.take()
    await world.clock.advance(0.0625)
    assert [bool(tab.take("update")) for tab in tabs[6:]] == [they != "come"] * 2


async def test_the_fewer_are_to_be_told_the_shorter_is_the_ride(world: World, monkeypatch):
    rides(monkeypatch)
    monkeypatch.setattr(counting, "RIDE", 0.015625)
    _, tabs = await quiet_tabs(world, 4)
    world.sync.touch("ann", Profile("ann", "Ann"), "s", 1000)
    await world.clock.advance(0.0624)
    assert [tab.take() for tab in tabs] == [[]] * 4
    await world.clock.advance(0.0002)
    assert [tab.take() for tab in tabs] == [[{"type": "update", "online": 5}]] * 4


async def test_those_who_come_before_anything_is_known_are_told_the_right_count_though_a_crowd_is_here(
    world: World, monkeypatch
):
    for number in range(12):
        world.sync.touch(f"u{number}", Profile(f"u{number}", "U"), "s", 1000)
    hub = await world.node()
    # As if it had just begun, and could not reach the store at first.
    hub._fanout._knows, hub._fanout._away, hub._fanout._count.told = False, True, 0
    tab = arrive(hub, "bob")
    await settle()
    tab.take()
    hub._fanout._count._next = hub._fanout._count._present_since = world.clock.time()
    hub._fanout.set_known()
    await settle()
    assert [message["online"] for message in tab.take("update")] == [13]


async def test_a_few_are_told_the_count_at_once_and_without_rests(world: World, monkeypatch):
    rides(monkeypatch, few=3)
    _, tabs = await quiet_tabs(world, 3)
    monkeypatch.setattr(sending, "time", a_turn_for_each_frame(work=0.05))
    world.sync.touch("ann", Profile("ann", "Ann"), "s", 1000)
    await settle()
    assert [tab.take() for tab in tabs] == [[{"type": "update", "online": 4}]] * 3


async def test_who_is_told_the_count_though_it_has_not_changed_is_one_of_many_as_well(
    world: World, monkeypatch
):
    rides(monkeypatch, few=2)
    hub, tabs = await quiet_tabs(world, 3)
    monkeypatch.setattr(sending, "time", a_turn_for_each_frame(work=0.01))
    for tab in tabs:
        hub._fanout._count.told_otherwise[tab.connection] = 9
    hub._fanout.flush_soon()
    at: list[int] = []
    for hundredth in range(100):
        await settle()
        at += [hundredth for tab in tabs for _ in tab.take("update")]
        await world.clock.advance(0.01)
    assert len(at) == 3
    assert at[0] == 0  # no change could take it along
    assert min(after - before for before, after in pairwise(at)) >= 19


@pytest.mark.parametrize("few", [0, 10])
async def test_after_a_count_the_next_rests_the_longer_the_longer_it_took(
    world: World, monkeypatch, few: int
):
    monkeypatch.setattr(counting, "FEW", few)
    _, (tab, *_) = await quiet_tabs(world, 3)
    monkeypatch.setattr(sending, "time", each_look_takes(seconds=0, work=0.005))
    monkeypatch.setattr(counting, "LONGEST_REST", 60)
    monkeypatch.setattr(counting, "REST", 1000)  # so five seconds
    world.sync.touch("ann", Profile("ann", "Ann"), "s", 1000)
    await settle()
    assert tab.take() == [{"type": "update", "online": 4}]
    world.sync.touch("cy", Profile("cy", "Cy"), "s", 1000)
    await world.clock.advance(4.99)
    assert tab.take() == []
    await world.clock.advance(0.02)
    assert tab.take() == [{"type": "update", "online": 5}]


@pytest.mark.parametrize(("few", "slices"), [(10, 4), (0, 1)])
async def test_the_next_count_rests_for_all_slices_of_one_that_did_not_rest_between_them(
    world: World, monkeypatch, few: int, slices: int
):
    monkeypatch.setattr(counting, "FEW", few)
    monkeypatch.setattr(counting, "LONGEST_REST", 60)
    hub, tabs = await quiet_tabs(world, 2)
    monkeypatch.setattr(sending, "time", a_turn_for_each_frame(work=0.25))
    world.sync.touch("ann", Profile("ann", "Ann"), "s", 1000)
    await settle()
    while hub._fanout._count._telling is not None:
        await world.clock.advance(0.25)
    assert [len(tab.take("update")) for tab in tabs] == [1, 1]
    assert hub._fanout._count._next - world.clock.time() == pytest.approx(20 * 0.25 * slices)


async def test_after_an_outage_the_next_count_waits_for_a_second_too(world: World, monkeypatch):
    monkeypatch.setattr(sending, "time", NO_TIME_PASSES)
    hub, (tab,) = await quiet_tabs(world, 1)
    hub.on_degraded(True)
    hub._fanout._count._next = world.clock.time() + 0.05
    arrive(hub, "ann")
    await settle()
    assert tab.take("update") == []
    hub.on_degraded(False)
    await settle()
    arrive(hub, "cy")
    told = [message["online"] for message in tab.take("update")]
    await world.clock.advance(0.8)
    assert [*told, *(message["online"] for message in tab.take("update"))] == [2]
    await world.clock.advance(0.2)
    assert [message["online"] for message in tab.take("update")] == [3]


async def amid_a_count(world: World, monkeypatch) -> tuple[Hub, list[Tab], dict[str, Any]]:
    """Return three tabs that look at the same, and the count of which the first has just been told."""
    hub = await world.node()
    tabs = [await world.tab(hub, f"w{number}") for number in range(3)]
    for tab in tabs:
        await tab.say('{"type":"watch","users":["friend"]}')
    await world.clock.advance(10)
    for tab in tabs:
        tab.take()
    monkeypatch.setattr(sending, "time", a_turn_for_each_frame(work=0.05))
    world.sync.touch("ann", Profile("ann", "Ann"), "s", 1000)
    await settle()
    count = {"type": "update", "online": 4}
    assert [tab.take() for tab in tabs] == [[count], [], []]
    return hub, tabs, count


async def test_a_change_takes_the_count_along_for_those_whose_turn_has_not_come(world: World, monkeypatch):
    _, tabs, count = await amid_a_count(world, monkeypatch)
    friend = {"friend": {"status": "online"}}
    world.sync.touch("friend", Profile("friend", "Friend"), "s", 1000)
    await world.clock.advance(0.5)
    assert [tab.take() for tab in tabs] == [[{**count, "users": friend}]] * 3


@pytest.mark.parametrize("rides_first", [False, True])
@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_amid_a_count_nobody_is_told_an_older_one_and_all_end_with_the_last(
    world: World, monkeypatch, seed: int, rides_first: bool
):
    if rides_first:
        rides(monkeypatch, few=seed % 5)
    monkeypatch.setattr(sending, "time", a_turn_for_each_frame(work=0.002))
    chance = random.Random(seed)
    hub = await world.node()
    tabs = [await world.tab(hub, f"w{number}") for number in range(12)]
    told: dict[Tab, list[int]] = {}

    async def watch() -> None:
        friends = [f"friend {number}" for number in range(chance.randrange(1, 4))]
        await chance.choice(tabs).say(json.dumps({"type": "watch", "users": friends}))

    def take() -> None:
        for tab in tabs:
            told.setdefault(tab, []).extend(each["online"] for each in tab.take() if "online" in each)

    for step in range(120):
        match chance.randrange(4):
            case 0:
                world.sync.touch(f"u{step}", Profile(f"u{step}", ""), "s", 1000)
            case 1:
                friend = f"friend {chance.randrange(3)}"
                world.sync.touch(friend, Profile(f"{friend} {step}", ""), "s", 1000)
            case 2:
                tabs.append(arrive(hub, f"v{step}"))
            case 3:
                await watch()
        for _ in range(chance.randrange(10)):
            await asyncio.sleep(0)
        await world.clock.advance(chance.choice([0, 0.01, 0.05, 0.2]))
        take()
    await world.clock.advance(60)
    take()
    for figures in told.values():
        assert figures == sorted(figures)
        assert figures[-1] == hub.replica.count(SITE)


@pytest.mark.parametrize("ends_by", ["outage", "failure", "stop"])
async def test_a_count_that_rests_is_told_no_more_when_something_else_ends_it(
    world: World, monkeypatch, caplog, ends_by: str
):
    hub, tabs, count = await amid_a_count(world, monkeypatch)
    if ends_by == "outage":
        hub.on_degraded(True)
        await settle()
        hub.on_degraded(False)
        await world.clock.advance(30)
        assert [tab.take("update") for tab in tabs] == [[], [count], [count]]
    elif ends_by == "failure":
        with monkeypatch.context() as patched:
            patched.setattr(hub._views, "publish", lambda: 1 / 0)
            world.sync.touch("friend", Profile("friend", "Friend"), "s", 1000)
            while "a flush failed" not in caplog.text:
                await world.clock.advance(0.01)
        await world.clock.advance(30)
        assert [[each["online"] for each in tab.take("update")] for tab in tabs] == [[5]] * 3
    else:
        hub._fanout.stop()
        await world.clock.advance(30)
        assert [tab.take("update") for tab in tabs] == [[]] * 3


@pytest.mark.parametrize("ends_by", ["outage", "failure", "stop"])
async def test_a_count_that_rides_waits_no_more_when_something_else_ends_it(
    world: World, monkeypatch, caplog, ends_by: str
):
    rides(monkeypatch)
    hub, tabs = await quiet_tabs(world, 3)
    await tabs[0].say('{"type":"watch","users":["w0"]}')
    tabs[0].take()
    world.sync.touch("ann", Profile("ann", "Ann"), "s", 1000)
    await settle()
    assert [tab.take() for tab in tabs] == [[]] * 3
    telling = hub._fanout._count._telling
    assert telling is not None
    if ends_by == "outage":
        hub.on_degraded(True)
        await settle()
        hub.on_degraded(False)
        await world.clock.advance(0.1)
        degraded, ok = ({"type": "notice", "state": state} for state in ("degraded", "ok"))
        told = [[message for message in tab.take() if message["type"] != "resume"] for tab in tabs]
        assert told == [[degraded, {"type": "update", "online": 4}, ok]] * 3
    elif ends_by == "failure":
        with monkeypatch.context() as patched:
            patched.setattr(hub._views, "publish", lambda: 1 / 0)
            hub._views.mark_all([(SITE, "w0")])
            hub._fanout.flush_soon()
            assert "a flush failed" in caplog.text
        await world.clock.advance(0.1)
        assert [[each["online"] for each in tab.take("update")] for tab in tabs] == [[4]] * 3
    else:
        hub._fanout.stop()
    assert hub._fanout._count._telling is not telling
    looked: list[bool] = []
    monkeypatch.setattr(hub._views, "untold", lambda: looked.append(True) or 0)
    await world.clock.advance(0.2)
    assert looked == []
    assert [tab.take("update") for tab in tabs] == [[]] * 3


async def test_a_change_waits_for_nobody_who_is_told_the_count(world: World, monkeypatch):
    hub = await world.node()
    bob = await world.tab(hub, "bob")
    await bob.say('{"type":"watch","users":["ann"]}')
    others = [await world.tab(hub, f"w{number}") for number in range(100)]
    await world.clock.advance(10)
    for tab in (bob, *others):
        tab.take()
    monkeypatch.setattr(sending, "time", NO_TIME_PASSES)
    monkeypatch.setattr(sending, "YIELD_AFTER", -1)  # a turn of the loop for each frame
    async with asyncio.timeout(10):
        arrive(hub, "somebody else")
        while not (told := others[0].take()):
            await asyncio.sleep(0)
        assert told == [{"type": "update", "online": 102}]
        arrive(hub, "ann")
        while not [message for message in bob.take() if "users" in message]:
            await asyncio.sleep(0)
        assert others[-1].take() == []  # it is not its turn yet
        while not (told := others[-1].take()):
            await asyncio.sleep(0)
        assert told == [{"type": "update", "online": 102}]
    monkeypatch.setattr(sending, "YIELD_AFTER", 1)
    await world.clock.advance(2)
    assert [tab.take()[-1] for tab in others] == [{"type": "update", "online": 103}] * 100


async def test_the_count_is_told_a_second_after_it_was_told_last_began(world: World, monkeypatch):
    monkeypatch.setattr(sending, "time", NO_TIME_PASSES)
    hub, others = await quiet_tabs(world, 2 * TURNS)
    monkeypatch.setattr(sending, "YIELD_AFTER", -1)
    arrive(hub, "ann")
    await settle()  # which is too short for all to be told
    await world.clock.advance(0.5)
    await world.clock.advance(0.4)
    assert [tab.take()[-1]["online"] for tab in others] == [len(others) + 1] * len(others)
    arrive(hub, "cy")
    await settle()
    assert others[0].take() == []
    await world.clock.advance(0.1)
    assert [message["online"] for message in others[0].take()] == [len(others) + 2]


async def test_who_is_told_the_full_state_while_the_count_is_told_ends_with_the_right_one(
    world: World, monkeypatch
):
    monkeypatch.setattr(sending, "time", NO_TIME_PASSES)
    hub = await world.node()
    others = [await world.tab(hub, f"w{number}") for number in range(20)]
    await world.clock.advance(10)
    monkeypatch.setattr(sending, "YIELD_AFTER", -1)
    for tab in others:
        tab.take()
    arrive(hub, "ann")
    async with asyncio.timeout(10):
        while not others[0].take():
            await asyncio.sleep(0)
        # They come amid the count, and are told more than it says, which is not so any more at its end.
        tabs = [arrive(hub, f"x{number}") for number in range(10)]
        told = [tab.take()[-1]["online"] for tab in tabs]
        assert min(told) > 21
        while not others[-1].take():
            await asyncio.sleep(0)
    hub.handle(tabs[-1].connection, Watch(users=["zoe"]))
    assert tabs[-1].take()[-1]["online"] == hub.replica.count(SITE) == 31
    monkeypatch.setattr(sending, "YIELD_AFTER", 1)
    await world.clock.advance(2)
    assert [[each["online"] for each in tab.take("update")] for tab in tabs] == [[31]] * 9 + [[]]


async def test_who_is_not_counted_yet_is_told_no_count_without_them(world: World, monkeypatch):
    hub, tabs = await quiet_tabs(world, 3)
    with monkeypatch.context() as patched:
        patched.setattr(hub._node, "report_soon", lambda: None)
        comes = arrive(hub, "comes")
    assert [each["online"] for each in comes.take()] == [4]
    for number in range(2):
        world.sync.touch("ann", Profile("ann", "Ann"), "s", 1000)
        await world.clock.advance(2)
        world.sync.withdraw("ann")
        await world.clock.advance(2)
        assert [[each["online"] for each in tab.take("update")] for tab in tabs] == [[4, 3]] * 3, number
    assert comes.take("update") == []
    hub._node.report_soon()
    world.sync.touch("eve", Profile("eve", "Eve"), "s", 1000)
    await world.clock.advance(2)
    assert [tab.take("update")[-1]["online"] for tab in (*tabs, comes)] == [5] * 4


async def test_a_count_that_could_not_be_told_is_told_to_all_anew(world: World, monkeypatch, caplog):
    hub = await world.node()
    tabs = [await world.tab(hub, user) for user in ("bob", "eve", "cy")]
    await world.clock.advance(10)
    for tab in tabs:
        tab.take()
    with monkeypatch.context() as patched:
        patched.setattr(counting, "encode", lambda message: 1 / 0)
        world.sync.touch("ann", Profile("ann", "Ann"), "s", 100)
        await settle()
    assert caplog.text.count("could not be told to all") == 1
    assert [tab.take() for tab in tabs] == [[]] * 3
    await world.clock.advance(2)
    assert [tab.take() for tab in tabs] == [[{"type": "update", "online": 4}]] * 3


async def test_a_count_that_began_with_a_flush_that_failed_holds_up_no_other(world: World, monkeypatch):
    hub = await world.node()
    await world.clock.advance(10)
    with monkeypatch.context() as patched:
        patched.setattr(hub._views, "publish", lambda: 1 / 0)
        world.sync.touch("ann", Profile("ann", "Ann"), "s", 1000)
        await world.clock.advance(5)
    tab = await world.tab(hub, "bob")
    world.sync.touch("cy", Profile("cy", "Cy"), "s", 1000)
    await world.clock.advance(2)
    assert tab.take("update")[-1]["online"] == 3


async def test_all_is_well_is_told_after_the_count(world: World):
    hub = await world.node()
    tabs = [await world.tab(hub, user) for user in ("bob", "eve")]
    await world.clock.advance(10)
    hub.on_degraded(True)
    await settle()
    world.sync.touch("ann", Profile("ann", "Ann"), "s", 100)
    for tab in tabs:
        tab.take()
    hub.on_degraded(False)
    await world.clock.advance(1)
    for tab in tabs:
        told = [message for message in tab.take() if message["type"] != "resume"]
        assert told == [{"type": "update", "online": 3}, {"type": "notice", "state": "ok"}]


async def test_all_is_well_does_not_overtake_a_count_that_is_being_told(world: World, monkeypatch):
    monkeypatch.setattr(sending, "time", NO_TIME_PASSES)
    hub = await world.node()
    tabs = [await world.tab(hub, f"w{number}") for number in range(20)]
    await world.clock.advance(10)
    hub.on_degraded(True)
    await settle()
    for tab in tabs:
        tab.take()
    monkeypatch.setattr(sending, "YIELD_AFTER", -1)
    world.sync.touch("ann", Profile("ann", "Ann"), "s", 100)
    async with asyncio.timeout(10):
        while not tabs[0].take():
            await asyncio.sleep(0)
    assert tabs[-1].take() == []  # it is not its turn yet
    monkeypatch.setattr(sending, "YIELD_AFTER", 1)
    hub.on_degraded(False)
    await world.clock.advance(1)
    told = [message for message in tabs[-1].take() if message["type"] != "resume"]
    assert told == [{"type": "update", "online": 21}, {"type": "notice", "state": "ok"}]
