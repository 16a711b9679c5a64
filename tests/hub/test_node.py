"""While the store is away: sockets stay, statuses hold, and everything converges after."""

from __future__ import annotations

import asyncio
from typing import Any

from whosonline.core.entries import Listing, Profile, Report
from whosonline.core.statuses import SITE, Status
from whosonline.core.wire import CloseCode
from whosonline.stores.base import Beat, Snapshot
from whosonline.stores.errors import StoreUnavailable
from whosonline.stores.memory import MemoryBackend, MemoryStore
from whosonline.stores.memory.backend import SWEEP_CHUNK
from whosonline.testing.clock import settle

from .conftest import FaultyStore, Tab, World


async def unplugged_world(world: World, **policy: Any):
    store = FaultyStore(MemoryStore(world.backend))
    hub = await world.node(store, **policy)
    bob = await world.tab(hub, "bob")
    await bob.say('{"type":"watch","users":["ann","cy"]}')
    bob.take()
    return store, hub, bob


async def test_the_outage_is_told_and_its_end_too_and_nobody_is_shown_offline(world: World):
    store, hub, bob = await unplugged_world(world)
    await world.tab(hub, "ann")
    bob.take()
    store.away = True
    await world.clock.advance(5)
    assert bob.take() == [{"type": "notice", "state": "degraded"}]
    late = await world.tab(hub, "cy")
    assert not late.connection.closed
    # The store can be reached again before any other node has judged the lease.
    store.away = False
    await world.clock.advance(10)
    told = bob.take()
    assert {"type": "notice", "state": "ok"} in told
    assert [message["users"] for message in told if "users" in message] == [{"cy": {"status": "online"}}]


async def test_who_comes_during_the_outage_is_told_of_it(world: World):
    store, hub, _ = await unplugged_world(world)
    store.away = True
    await world.clock.advance(5)
    other = Tab(hub, "cy", "s")
    hub.open(other.connection, Profile("cy", "Cy"), touched=False)
    assert [message["type"] for message in other.take()] == ["welcome", "notice"]


async def test_a_report_whose_answer_was_lost_is_made_again_and_changes_nothing(world: World):
    store, hub, bob = await unplugged_world(world)
    store.away = store.lose_answers = True
    await world.tab(hub, "ann")
    await world.clock.advance(2)
    store.away = False
    await world.clock.advance(5)
    assert world.backend.statuses("site", ["ann"])["ann"].status == "online"
    assert [message["users"] for message in bob.take() if "users" in message] == [
        {"ann": {"status": "online"}}
    ]


async def test_a_node_that_was_expelled_reports_everyone_anew(world: World):
    store, hub, _ = await unplugged_world(world)
    other = await world.node()
    await world.tab(hub, "ann")
    eve = await world.tab(other, "eve")
    await eve.say('{"type":"watch","users":["ann"]}')
    eve.take()
    store.away = True
    await world.clock.advance(15)
    assert [message["users"]["ann"]["status"] for message in eve.take() if "users" in message] == ["offline"]
    store.away = False
    await world.clock.advance(5)
    assert [message["users"]["ann"]["status"] for message in eve.take() if "users" in message] == ["online"]


async def test_who_left_during_the_outage_is_gone_after_it(world: World):
    store, hub, bob = await unplugged_world(world)
    ann = await world.tab(hub, "ann")
    bob.take()
    store.away = True
    await world.clock.advance(1)
    ann.close()
    await world.clock.advance(6)
    store.away = False
    await world.clock.advance(5)
    assert world.backend.statuses("site", ["ann"]) == {}
    assert [m["users"]["ann"]["status"] for m in bob.take() if "users" in m] == ["offline"]


async def test_tries_are_spaced_out_while_the_store_is_away(world: World):
    store, _, _ = await unplugged_world(world)
    store.away = True
    store.calls.clear()
    await world.clock.advance(60)
    # Four loops, each after half a beat to a whole one, and the first few tries sooner.
    assert len(store.calls) <= 4 * (60 / 1.5 + 6)


async def test_an_idle_node_asks_the_store_only_to_beat_and_to_sweep(world: World):
    store, hub, _ = await unplugged_world(world)
    for number in range(50):
        await world.tab(hub, f"u{number}")
    await world.clock.advance(10)
    store.calls.clear()
    await world.clock.advance(30)
    assert set(store.calls) == {"beat", "sweep"}
    assert len(store.calls) == 10 + 30


async def test_a_large_dead_node_s_people_all_leave_within_lease_and_sweep(world: World):
    hub = await world.node()
    await world.tab(hub, "bob")
    dead = MemoryStore(world.backend)
    await dead.open("dead", hub.policy.lease)
    await dead.report(
        [Report(SITE, f"u{n}", Status.ONLINE, Profile(f"u{n}", f"U{n}")) for n in range(5 * SWEEP_CHUNK)]
    )
    await world.clock.advance(0)
    assert hub.replica.count(SITE) == 5 * SWEEP_CHUNK + 1
    await world.clock.advance(hub.policy.lease + hub.policy.sweep)
    assert hub.replica.count(SITE) == 1


async def test_a_log_that_was_trimmed_is_made_good_by_a_snapshot(world: World):
    world.backend = MemoryBackend(world.clock.time, world.clock.wall, log_length=3)
    hub = await world.node()
    bob = await world.tab(hub, "bob")
    await bob.say('{"type":"watch","users":["ann"]}')
    bob.take()
    for number in range(10):
        world.backend.touch(f"u{number}", Profile("k", "n"), "s", 100)
    world.backend.touch("ann", Profile("ann", "Ann"), "s", 100)
    for number in range(10, 20):
        world.backend.touch(f"u{number}", Profile("k", "n"), "s", 100)
    await world.clock.advance(1)
    assert bob.take("update")[-1]["online"] == 22
    assert hub.replica.get("site", "ann") is not None


async def behind(world: World):
    """A node with a socket of bob, on a store whose log is short."""
    world.backend = MemoryBackend(world.clock.time, world.clock.wall, log_length=3)
    hub = await world.node()
    return hub, await world.tab(hub, "bob")


def overflow(world: World) -> None:
    """Log more than the log can hold, before anybody can read it."""
    for number in range(10):
        world.backend.touch(f"u{number}", Profile("k", "n"), "s", 100)


async def test_a_log_out_in_a_gap_of_the_log_still_closes_the_socket(world: World):
    hub, bob = await behind(world)
    eve = await world.tab(hub, "eve")
    world.people.refused.add("bob")
    world.people.failures["staying"] = 1
    world.backend.expel("session of bob", "bob")
    overflow(world)
    await world.clock.advance(10)
    assert bob.socket.closed_with is CloseCode.NOT_LOGGED_IN
    assert eve.socket.closed_with is None


async def test_a_sign_up_and_a_removal_in_a_gap_of_the_log_still_show(world: World):
    world.people.listed = {"5": Profile("eli", "Eli")}
    _, bob = await behind(world)
    await bob.say('{"type":"watch","directory":{}}')
    bob.take()
    world.people.listed = {"7": Profile("zoe", "Zoe")}
    world.backend.append(Listing("7", Profile("zoe", "Zoe"), None))
    world.backend.append(Listing("5", None, "eli"))
    overflow(world)
    await world.clock.advance(1)
    (told,) = bob.take("directory")
    assert told["reset"]
    assert [row["id"] for row in told["added"]] == ["7"]


async def test_a_part_of_the_list_that_is_being_read_when_the_gap_is_noticed_is_read_again(world: World):
    world.people.failures["directory"] = 1
    _, bob = await behind(world)
    await bob.say('{"type":"watch","directory":{}}')
    overflow(world)
    await world.clock.advance(10)
    assert len(bob.take("directory")) == 1
    assert world.people.queries.count("directory") == 2


async def test_who_left_in_a_gap_of_the_log_was_last_seen_just_now(world: World):
    world.people.seen = {"ann": 1}
    _, bob = await behind(world)
    await bob.say('{"type":"watch","users":["ann"]}')
    await settle()
    world.backend.touch("ann", Profile("ann", "Ann"), "s", 100)
    await world.clock.advance(1)
    bob.take()
    world.backend.expel("s", "ann")
    overflow(world)
    await world.clock.advance(1)
    (told,) = [message["users"]["ann"] for message in bob.take() if "users" in message]
    assert told["status"] == "offline"
    assert told["last_seen"] > 1


class ForgetfulStore(MemoryStore):
    """A store whose answers to a beat can be lost."""

    lost = 0

    async def beat(self, *told: Any) -> Beat:
        answer = await super().beat()
        if self.lost:
            self.lost -= 1
            raise StoreUnavailable("the answer was lost")
        return answer


async def test_a_node_whose_beat_was_not_answered_does_not_miss_that_it_was_expelled(world: World):
    store = ForgetfulStore(world.backend)
    hub = await world.node(store)
    await world.tab(hub, "bob")
    world.backend.wipe()
    store.lost = 1
    await world.clock.advance(120)
    assert world.backend.count(SITE) == 1


async def test_a_node_that_began_without_the_store_is_well_once_it_is_there(world: World):
    store = FaultyStore(MemoryStore(world.backend))
    store.away = True
    hub = await world.node(store)
    await world.clock.advance(5)
    assert not hub.ready
    store.away = False
    await world.clock.advance(10)  # nobody has come yet, so there is nothing to report
    assert hub.ready


async def test_of_a_large_report_only_what_failed_is_made_again(world: World, monkeypatch: Any):
    monkeypatch.setattr("whosonline.hub.node.REPORT_CHUNK", 2)
    store, hub, _ = await unplugged_world(world)
    reported: list[list[str]] = []

    async def report(reports: list[Report]) -> Any:
        reported.append([report.user for report in reports])
        if len(reported) == 2:
            raise StoreUnavailable("amid the report")
        return await MemoryStore.report(store._store, reports)

    store.report = report  # type: ignore[attr-defined]
    for user in "cdefg":
        tab = Tab(hub, user, user)
        hub.open(tab.connection, Profile(user, user), touched=False)
    await world.clock.advance(5)
    assert reported == [["c", "d"], ["e", "f"], ["e", "f"], ["g"]]
    assert world.backend.count(SITE) == 6


class RestingStore(MemoryStore):
    """Wants no report before a test says so."""

    def __init__(self, backend: MemoryBackend) -> None:
        super().__init__(backend)
        self.rested = asyncio.Event()
        self.reported: list[list[str]] = []

    async def rest(self) -> None:
        await self.rested.wait()

    async def report(self, reports: Any) -> Any:
        self.reported.append([report.user for report in reports])
        return await super().report(reports)


async def test_what_comes_while_the_store_rests_is_told_together_and_what_changed_back_is_not(world: World):
    store = RestingStore(world.backend)
    hub = await world.node(store)
    for user in ("ann", "bob", "cy"):
        await world.tab(hub, user)
    hub.expel("session of bob")
    await settle()
    assert store.reported == []
    store.rested.set()
    await settle()
    assert store.reported == [["ann", "cy"]]


async def test_a_node_that_ends_while_the_store_rests_tells_what_it_has_still_to_tell(world: World):
    store = RestingStore(world.backend)
    hub = await world.node(store)
    for user in ("ann", "bob"):
        await world.tab(hub, user)
    store.rested.set()
    await settle()
    store.rested.clear()
    hub.expel("session of ann")
    await hub.stop()
    assert world.backend.statuses(SITE, ["ann", "bob"]).keys() == {"bob"}
    assert "ann" in world.people.seen


async def test_a_node_that_ends_expelled_says_no_more(world: World):
    store = RestingStore(world.backend)
    hub = await world.node(store)
    await world.tab(hub, "ann")
    store.rested.set()
    await settle()
    store.rested.clear()
    other = await world.node()
    hub.expel("session of ann")
    for task in hub._node._tasks:  # it beats no more
        task.cancel()
    await world.clock.advance(other.policy.lease + other.policy.sweep)
    await hub.stop()
    assert world.backend.statuses(SITE, ["ann"]) == {}


async def test_a_name_that_was_changed_while_the_store_was_away_shows_everywhere_after_it(world: World):
    hub = await world.node()
    tab = await world.tab(hub, "bob")
    await world.tab(hub, "ann")
    await tab.say('{"type":"watch","room":"site"}')
    tab.take()
    hub.on_degraded(True)
    world.people.names["ann"] = Profile("anna", "Anna")
    hub.on_degraded(False)
    await settle()
    await world.clock.advance(1)
    (page,) = [message["page"] for message in tab.take("update") if "page" in message]
    assert [(row["id"], row["name"]) for row in page["put"]] == [("ann", "Anna")]


async def test_a_name_that_was_told_since_is_not_undone_by_an_older_answer(world: World):
    hub = await world.node()
    ann = await world.tab(hub, "ann")
    answers = world.people.hold_answers()
    world.people.names["ann"] = Profile("ann", "Before")
    asking = asyncio.create_task(hub._rights._rechecks.ask([ann.connection]))
    await settle()
    world.sync.relist("ann", Profile("ann", "After"), "ann")
    await settle()
    answers.set()
    await asking
    assert hub._connections.profile("ann") == Profile("ann", "After")


async def test_however_often_something_is_missed_one_pass_asks_about_everybody_and_the_last_covers_all(
    world: World, monkeypatch: Any
):
    monkeypatch.setattr("whosonline.hub.rights.CHUNK", 2)
    hub = await world.node()
    tabs = [await world.tab(hub, f"user{number}") for number in range(6)]
    answers = world.people.hold_answers()
    world.people.asked_about.clear()
    for _ in range(50):
        hub._rights.doubt_everybody()
        await settle()
    assert len(world.people.asked_about) <= 4
    answers.set()
    await settle()
    await settle()
    assert {tab.connection for tab in tabs} <= set(world.people.asked_about[2:])
    assert len(world.people.asked_about) <= 2 + 6 + 2


async def test_who_was_looked_up_before_the_first_look_at_the_store_is_looked_up_once_more(
    world: World, monkeypatch: Any
):
    """What happened in between, this node is never told."""
    store, read = MemoryStore(world.backend), asyncio.Event()
    snapshot = store.snapshot

    async def snapshot_later() -> Snapshot:
        await read.wait()
        return await snapshot()

    monkeypatch.setattr(store, "snapshot", snapshot_later)
    hub = await world.node(store)
    asked = hub.now()
    await world.clock.advance(0.1)
    read.set()
    await settle()
    world.people.refused.add("ann")
    tab = await world.tab(hub, "ann", asked=asked)
    assert tab.socket.closed_with is CloseCode.NOT_LOGGED_IN


async def test_who_lost_the_right_to_stay_while_the_store_was_away_is_closed_when_it_is_back(world: World):
    store, _, bob = await unplugged_world(world)
    store.away = True
    await world.clock.advance(5)
    world.people.refused.add("bob")  # and nobody could tell of it through the store
    await world.clock.advance(1)
    assert not bob.connection.closed
    store.away = False
    await world.clock.advance(5)
    assert bob.socket.closed_with is CloseCode.NOT_LOGGED_IN
