"""The site's own rule of who sees whom, and who comes into which room, at one node."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Collection
from typing import Any

import pytest

from whosonline.core import searches
from whosonline.core.entries import Profile
from whosonline.core.wire import CloseCode
from whosonline.hub import access as rooms
from whosonline.hub import sights
from whosonline.hub.access import Access, NotAllowed
from whosonline.hub.hub import Hub
from whosonline.hub.rechecks import Standing
from whosonline.hub.rights import RECHECK_DELAY
from whosonline.testing.client import ClientState, ask, merge
from whosonline.testing.clock import settle

from .conftest import Tab, World

USERS = '{"type":"watch","users":["ann","cy","nobody"]}'
PAGE = '{"type":"watch","room":"site","limit":2}'
SEARCH = '{"type":"watch","room":"site","limit":2,"search":"c"}'
DIRECTORY = '{"type":"watch","directory":{"until":"x"}}'


class Rule:
    """Who is hidden from whom, and which rooms are closed; as a project's policy would say."""

    def __init__(self) -> None:
        self.hidden: set[tuple[str, str]] = set()
        """(viewer, who is hidden)"""
        self.closed: set[tuple[str, str]] = set()
        """(user, room)"""
        self.failing = False
        self.silent_for: set[str] = set()
        self.asked: list[tuple[str, list[str]]] = []
        self.answers = asyncio.Event()
        self.answers.set()

    def access(self) -> Access:
        return Access(self.visible, self.may, self.may)

    async def visible(self, viewer: str, users: list[str]) -> Collection[str]:
        self.asked.append((viewer, users))
        await self.answers.wait()
        if viewer in self.silent_for:
            await asyncio.Event().wait()
        if self.failing:
            raise OSError("the rule's own database is away")
        return {user for user in users if (viewer, user) not in self.hidden}

    async def may(self, user: str, room: str) -> bool:
        if self.failing:
            raise OSError("the rule's own database is away")
        return (user, room) not in self.closed


@pytest.fixture
def rule(world: World) -> Rule:
    rule = Rule()
    world.people.access = rule.access()
    world.people.listed = {name: Profile(name, name.title()) for name in ("ann", "bob", "cy", "dan")}
    return rule


async def sight_changed(world: World, user: str) -> None:
    """Tell of it as ``presence.sight_changed`` does."""
    world.sync.recheck(user)
    await world.clock.advance(RECHECK_DELAY)
    await settle()
    await world.clock.advance(1)


async def say(tab: Tab, state: ClientState, *messages: str) -> ClientState:
    """Ask for something; return what the client knows by its answers."""
    for message in messages:
        state = ask(state, json.loads(message))
        await tab.say(message)
    return hear(tab, state)


def hear(tab: Tab, state: ClientState) -> ClientState:
    for message in tab.take():
        state = merge(state, message)
    return state


def shown(state: ClientState) -> set[str]:
    """Return everybody of whom a client knows more than that nobody is there."""
    people = {user for user, told in state.users.items() if told != {"status": "offline"}}
    people.update(state.page.order if state.page else [])
    people.update((state.page.rows or {}) if state.page else [])
    people.update((state.directory.rows or {}) if state.directory else [])
    return people


async def everybody(world: World, hub: Hub, *names: str) -> dict[str, Tab]:
    return {name: await world.tab(hub, name) for name in names}


async def test_who_is_hidden_is_answered_like_one_who_does_not_exist_and_others_are_shown(
    world: World, rule: Rule
):
    rule.hidden = {("bob", "ann")}
    world.people.seen = {"ann": 7}
    tabs = await everybody(world, await world.node(), "ann", "bob", "cy")
    state = await say(tabs["bob"], ClientState(), USERS, PAGE, DIRECTORY)
    assert state.users == {
        "ann": {"status": "offline"},
        "cy": {"status": "online"},
        "nobody": {"status": "offline"},
    }
    assert state.page is not None
    assert state.page.order == ["bob", "cy"]
    assert state.directory is not None
    assert state.directory.rows is not None
    assert state.directory.rows.keys() == {"bob", "cy", "dan"}
    state = await say(tabs["bob"], state, SEARCH)
    assert state.page is not None
    assert state.page.order == ["cy"]
    assert state.online is None


async def test_what_the_hidden_do_causes_not_one_frame(world: World, rule: Rule):
    rule.hidden = {("bob", "ann")}
    hub = await world.node()
    tabs = await everybody(world, hub, "bob", "cy")
    await say(tabs["bob"], ClientState(), USERS, PAGE, DIRECTORY)
    ann = await world.tab(hub, "ann")
    await ann.say('{"type":"idle"}')
    world.sync.relist("ann", Profile("abe", "Abe"), "ann")
    await world.clock.advance(2)
    ann.close()
    world.sync.relist("ann", None, "abe")
    await world.clock.advance(20)
    assert tabs["bob"].take() == []


async def test_somebody_who_comes_or_signs_up_is_shown_once_the_rule_has_said_so(world: World, rule: Rule):
    rule.hidden = {("bob", "eve")}
    hub = await world.node()
    bob = await world.tab(hub, "bob")
    state = await say(bob, ClientState(), PAGE.replace("2", "50"), DIRECTORY)
    rule.answers.clear()
    for name in ("ed", "eve"):
        await world.tab(hub, name)
        world.sync.relist(name, Profile(name, name.title()), None)
    await world.clock.advance(1)
    state = hear(bob, state)
    assert shown(state) == {"ann", "bob", "cy", "dan"}
    rule.answers.set()
    await settle()
    await world.clock.advance(1)
    state = hear(bob, state)
    assert shown(state) == {"ann", "bob", "cy", "dan", "ed"}
    assert state.page is not None
    assert state.page.order == ["bob", "ed"]


async def test_a_change_of_sight_is_taken_over_everywhere_within_a_second(world: World, rule: Rule):
    here, there = await world.node(), await world.node()
    bob = await world.tab(here, "bob")
    await everybody(world, there, "ann", "cy")
    state = await say(bob, ClientState(), USERS, PAGE, DIRECTORY)
    assert shown(state) == {"ann", "bob", "cy", "dan"}
    rule.hidden = {("bob", "ann")}
    await sight_changed(world, "bob")
    state = hear(bob, state)
    assert shown(state) == {"bob", "cy", "dan"}
    assert state.page is not None
    assert state.page.order == ["bob", "cy"]
    rule.hidden = set()
    await sight_changed(world, "bob")
    state = hear(bob, state)
    assert shown(state) == {"ann", "bob", "cy", "dan"}
    assert state.page is not None
    assert state.page.order == ["ann", "bob"]


async def test_a_look_that_finds_nothing_new_tells_nothing(world: World, rule: Rule):
    rule.hidden = {("bob", "cy")}
    hub = await world.node()
    tabs = await everybody(world, hub, "ann", "bob", "cy")
    await say(tabs["bob"], ClientState(), USERS, PAGE, DIRECTORY)
    asked = len(rule.asked)
    await sight_changed(world, "bob")
    assert len(rule.asked) > asked
    assert [told["type"] for told in tabs["bob"].take()] == ["resume"]


async def test_what_nobody_told_of_is_found_by_the_next_look_at_everybody(world: World, rule: Rule):
    hub = await world.node(recheck=300.0)
    tabs = await everybody(world, hub, "ann", "bob", "cy")
    state = await say(tabs["bob"], ClientState(), USERS, PAGE, DIRECTORY)
    rule.hidden = {("bob", "ann")}
    await world.clock.advance(700)
    assert "ann" not in shown(hear(tabs["bob"], state))


@pytest.mark.parametrize("together", [200, 1])
async def test_while_the_rule_fails_nobody_is_shown_and_what_was_shown_goes(
    world: World,
    rule: Rule,
    together: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(searches, "ASK", together)
    world.people.access = Access(rule.visible)  # no room is closed for it
    hub = await world.node()
    tabs = await everybody(world, hub, "ann", "bob", "cy")
    state = await say(tabs["bob"], ClientState(), USERS, PAGE, DIRECTORY)
    assert shown(state) == {"ann", "bob", "cy", "dan"}
    rule.failing = True
    with caplog.at_level(logging.CRITICAL):
        await sight_changed(world, "bob")
        state = hear(tabs["bob"], state)
        assert shown(state) <= {"bob"}
        late = await world.tab(hub, "bob")
        assert shown(await say(late, ClientState(), USERS, PAGE, DIRECTORY)) <= {"bob"}
    rule.failing = False
    await world.clock.advance(2 * sights.RETRY)
    await settle()
    await world.clock.advance(1)
    assert shown(hear(tabs["bob"], state)) == {"ann", "bob", "cy", "dan"}


async def test_gaps_that_the_hidden_leave_are_filled_by_reading_on(world: World, rule: Rule):
    names = [f"n{number:03}" for number in range(40)]
    world.people.listed = {name: Profile(name, name) for name in names}
    rule.hidden = {("n000", name) for name in names[1:30]}
    hub = await world.node(watched_users=3)
    tab = await world.tab(hub, "n000")
    state = await say(tab, ClientState(), DIRECTORY)
    assert state.directory is not None
    assert list(state.directory.rows or ()) == ["n000", "n030", "n031"]


async def test_a_page_is_filled_past_the_hidden_and_stays_so_when_somebody_leaves(world: World, rule: Rule):
    hub = await world.node()
    names = [f"n{number:03}" for number in range(30)]
    rule.hidden = {("n000", name) for name in names[1:20]}
    tabs = await everybody(world, hub, *names)
    state = await say(tabs["n000"], ClientState(), PAGE)
    assert state.page is not None
    assert state.page.order == ["n000", "n020"]
    tabs["n020"].close()
    await world.clock.advance(10)
    state = hear(tabs["n000"], state)
    assert state.page is not None
    assert state.page.order == ["n000", "n021"]


async def test_of_very_many_answers_those_about_people_who_are_not_shown_are_forgotten(
    world: World, rule: Rule, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sights, "KEPT", 10)
    monkeypatch.setattr(searches, "ASK", 5)
    hub = await world.node()
    names = [f"n{number:03}" for number in range(40)]
    rule.hidden = {("n000", name) for name in names[3:35]}
    tabs = await everybody(world, hub, *names)
    state = await say(tabs["n000"], ClientState(), PAGE, USERS)
    sight = tabs["n000"].connection.sight
    assert sight is not None
    assert len(sight) < 20
    assert all(sight.sees(name) for name in ("n001", "n002"))
    await tabs["n001"].say('{"type":"idle"}')
    await tabs["n030"].say('{"type":"idle"}')
    await world.clock.advance(2)
    state = hear(tabs["n000"], state)
    assert shown(state) == {"n000", "n001"}
    assert state.page is not None
    assert state.page.rows is not None
    assert state.page.rows["n001"]["status"] == "away"


async def test_an_answer_from_before_a_change_of_sight_counts_for_nothing(world: World, rule: Rule):
    hub = await world.node()
    tabs = await everybody(world, hub, "ann", "bob")
    rule.answers.clear()
    watching = asyncio.create_task(tabs["bob"].say(USERS))
    await settle()
    rule.hidden = {("bob", "ann")}
    asked = len(rule.asked)
    await sight_changed(world, "bob")
    rule.answers.set()
    await watching
    await settle()
    assert len(rule.asked) > asked
    assert "ann" not in shown(hear(tabs["bob"], ask(ClientState(), json.loads(USERS))))


async def test_who_leaves_while_it_is_asked_what_they_may_see_holds_up_nobody(world: World, rule: Rule):
    hub = await world.node()
    tabs = await everybody(world, hub, "ann", "bob", "cy")
    rule.silent_for = {"bob", "cy"}  # as many as are read for at once
    for name in rule.silent_for:
        await tabs[name].say(DIRECTORY)
        tabs[name].close()
    state = await say(tabs["ann"], ClientState(), DIRECTORY)
    await settle()
    state = hear(tabs["ann"], state)
    assert state.directory is not None
    assert (state.directory.rows or {}).keys() == {"ann", "bob", "cy", "dan"}


async def test_a_rule_that_gives_no_answer_in_time_has_said_no(
    world: World, rule: Rule, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(sights, "PATIENCE", 0.0)
    hub = await world.node()
    tabs = await everybody(world, hub, "ann", "bob")
    rule.answers.clear()
    with caplog.at_level(logging.CRITICAL):
        assert shown(await say(tabs["bob"], ClientState(), USERS)) == set()


async def test_two_tabs_of_a_user_ask_once_and_a_flood_asks_no_more(world: World, rule: Rule):
    hub = await world.node()
    tabs = [await world.tab(hub, "bob") for _ in range(2)]
    for _ in range(20):
        for tab in tabs:
            await tab.say(USERS)
    assert rule.asked == [("bob", ["ann", "cy", "nobody"])]


async def test_without_a_rule_nothing_is_asked_and_all_share_one_window(world: World):
    hub = await world.node()
    tabs = await everybody(world, hub, "ann", "bob")
    for tab in tabs.values():
        for text in (USERS, PAGE):
            await tab.say(text)
    first, second = (tab.connection for tab in tabs.values())
    assert first.sight is None
    assert first.view is second.view
    assert (await say(tabs["ann"], ClientState(), USERS)).online == 2


# Rooms


async def test_a_closed_room_is_not_entered_and_looks_empty_byte_for_byte(world: World, rule: Rule):
    rule.closed = {("bob", "doc:1")}
    hub = await world.node()
    tabs = await everybody(world, hub, "ann", "bob")
    await tabs["ann"].say('{"type":"enter","room":"doc:1"}')
    with pytest.raises(NotAllowed, match="doc:1"):
        await tabs["bob"].say('{"type":"enter","room":"doc:1"}')
    assert world.backend.count("doc:1") == 1
    for search in ("", ',"search":"a"'):
        told = []
        for room in ("doc:1", "doc:2"):
            await tabs["bob"].say(f'{{"type":"watch","room":"{room}"{search}}}')
            told.append(json.dumps(tabs["bob"].take()).replace(room, "ROOM"))
        assert told[0] == told[1]
        assert '"page"' in told[0]


@pytest.mark.parametrize("sighted", [False, True])
async def test_a_closed_room_tells_nothing_later_either(world: World, rule: Rule, sighted: bool):
    world.people.access = Access(rule.visible if sighted else None, rule.may, rule.may)
    rule.closed = {("bob", "doc:1")}
    hub = await world.node()
    tabs = await everybody(world, hub, "ann", "bob")
    await tabs["bob"].say('{"type":"watch","room":"doc:1"}')
    tabs["bob"].take()
    await tabs["ann"].say('{"type":"enter","room":"doc:1"}')
    await world.clock.advance(2)
    assert tabs["bob"].take() == []


@pytest.mark.parametrize("sighted", [False, True])
async def test_who_may_not_be_in_a_room_any_more_is_taken_out_of_it_and_sees_it_empty(
    world: World, rule: Rule, sighted: bool
):
    world.people.access = Access(rule.visible if sighted else None, rule.may, rule.may)
    hub = await world.node()
    tabs = await everybody(world, hub, "ann", "bob")
    watch = '{"type":"watch","room":"doc:1"}'
    for tab in tabs.values():
        await tab.say('{"type":"enter","room":"doc:1"}')
    state = await say(tabs["bob"], ClientState(), watch)
    assert state.page is not None
    assert state.page.order == ["ann", "bob"]
    rule.closed = {("bob", "doc:1")}
    await sight_changed(world, "bob")
    assert world.backend.count("doc:1") == 1
    state = hear(tabs["bob"], state)
    assert (state.page.rows, state.page.order) == ({}, [])
    rule.closed = set()
    await sight_changed(world, "bob")
    state = hear(tabs["bob"], state)
    assert state.page is not None
    assert state.page.order == ["ann"]


async def test_a_rule_that_fails_opens_no_room(world: World, rule: Rule, caplog: pytest.LogCaptureFixture):
    hub = await world.node()
    tabs = await everybody(world, hub, "ann", "bob")
    await tabs["ann"].say('{"type":"enter","room":"doc:1"}')
    rule.failing = True
    with caplog.at_level(logging.CRITICAL):
        with pytest.raises(NotAllowed):
            await tabs["bob"].say('{"type":"enter","room":"doc:1"}')
        state = await say(tabs["bob"], ClientState(), '{"type":"watch","room":"doc:1"}')
    assert state.page is not None
    assert state.page.order == []


async def test_who_is_in_a_room_stays_there_while_the_rule_cannot_say(
    world: World, rule: Rule, caplog: pytest.LogCaptureFixture
):
    world.people.access = Access(None, rule.may, rule.may)
    hub = await world.node()
    tabs = await everybody(world, hub, "ann", "bob")
    await tabs["ann"].say('{"type":"enter","room":"doc:1"}')
    state = await say(tabs["bob"], ClientState(), '{"type":"watch","room":"doc:1"}')
    rule.failing = True
    with caplog.at_level(logging.CRITICAL):
        for name in ("ann", "bob"):
            await sight_changed(world, name)
    assert world.backend.count("doc:1") == 1
    state = hear(tabs["bob"], state)
    assert state.page is not None
    assert state.page.order == []  # but nobody looks into it meanwhile
    rule.failing = False
    for name in ("ann", "bob"):
        await sight_changed(world, name)
    state = hear(tabs["bob"], state)
    assert state.page is not None
    assert state.page.order == ["ann"]
    rule.closed = {("ann", "doc:1"), ("bob", "doc:1")}
    for name in ("ann", "bob"):
        await sight_changed(world, name)
    assert world.backend.count("doc:1") == 0
    state = hear(tabs["bob"], state)
    assert state.page is not None
    assert state.page.order == []


async def test_a_rule_that_is_slow_is_asked_about_few_rooms_at_once_and_none_waits_in_vain(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    asked, most, under_way = 0, 0, 0

    async def slow(user: str, room: str) -> bool:
        nonlocal asked, most, under_way
        asked, under_way = asked + 1, under_way + 1
        most = max(most, under_way)
        await asyncio.sleep(0.02)
        under_way -= 1
        return True

    world.people.access = Access(None, slow, None)
    hub = await world.node()
    names = [f"user{number}" for number in range(5 * rooms.AT_ONCE)]
    tabs = await everybody(world, hub, *names)
    entering = [
        asyncio.create_task(tabs[name].say(f'{{"type":"enter","room":"doc:{name}"}}')) for name in names
    ]
    await asyncio.gather(*entering)
    assert asked == len(names)
    assert most == rooms.AT_ONCE
    # A look at everybody takes longer than a question may, and nobody is thrown out for that.
    monkeypatch.setattr(rooms, "PATIENCE", 0.05)
    looking = [asyncio.create_task(hub._rooms.recheck(tab.connection)) for tab in tabs.values()]
    again = [asyncio.create_task(hub._rooms.recheck(tab.connection)) for tab in tabs.values()]
    await settle()
    await tabs[names[0]].say('{"type":"enter","room":"another"}')  # and who asks is not held up by it
    assert not all(each.done() for each in looking)
    await asyncio.gather(*looking, *again)
    assert asked <= 2 * len(names) + 2 + 2 * rooms.AT_ONCE  # each once, however often there was cause
    assert sum(len(hub._entered(tab.connection)) for tab in tabs.values()) == len(names) + 1


async def test_a_look_at_rooms_that_waits_is_not_asked_for_twice_though_one_before_it_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rooms, "AT_ONCE", 1)
    asked: list[str] = []
    answers = asyncio.Semaphore(0)

    async def may_enter(user: str, room: str) -> bool:
        asked.append(user)
        await answers.acquire()
        return True

    world.people.access = Access(None, may_enter, None)
    hub = await world.node()
    tabs = await everybody(world, hub, "ann", "bob")
    answers.release()
    answers.release()
    for tab in tabs.values():
        await tab.say('{"type":"enter","room":"doc:1"}')
    asked.clear()
    looks = []
    for name in ("ann", "bob", "ann", "ann"):
        looks.append(asyncio.create_task(hub._rooms.recheck(tabs[name].connection)))
        await settle()
    answers.release()  # the first of Ann's ends while her second waits behind Bob's
    await settle()
    looks.append(asyncio.create_task(hub._rooms.recheck(tabs["ann"].connection)))
    await settle()
    for _ in range(5):
        answers.release()
    await asyncio.gather(*looks)
    assert asked == ["ann", "bob", "ann"]


# Being connected


async def test_who_may_not_be_connected_any_more_is_closed_and_told_not_to_return(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    async def staying(connections: list[Any]) -> dict[Any, Standing]:
        return {each: Standing(float("inf"), allowed=each.user != "ann") for each in connections}

    monkeypatch.setattr(world.people, "find_staying", staying)
    hub = await world.node()
    tabs = await everybody(world, hub, "ann", "bob")
    for name in tabs:
        await sight_changed(world, name)
    assert tabs["ann"].socket.closed_with is CloseCode.NOT_ALLOWED
    assert tabs["bob"].socket.closed_with is None


async def test_who_is_hidden_leaves_a_part_that_is_read_anew_before_the_next_tick(world: World, rule: Rule):
    hub = await world.node(tick=5.0, count_interval=5.0)
    bob = await world.tab(hub, "bob")
    state = await say(bob, ClientState(), DIRECTORY)
    world.people.listed["dan"] = Profile("dan", "Daniel")
    world.sync.relist("dan", Profile("dan", "Daniel"), "dan")
    await settle()  # told at once; the next change waits for its tick
    rule.hidden = {("bob", "ann")}
    await sight_changed(world, "bob")
    await world.clock.advance(10)
    state = hear(bob, state)
    assert state.directory is not None
    assert state.directory.rows is not None
    assert state.directory.rows.keys() == {"bob", "cy", "dan"}
