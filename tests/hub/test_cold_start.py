"""A node that begins while the store is away knows nothing of anybody, and says nothing until it does."""

from __future__ import annotations

from typing import Any

from whosonline.core.entries import Profile
from whosonline.core.policy import Policy
from whosonline.core.statuses import SITE
from whosonline.core.wire import CloseCode
from whosonline.hub.connection import Kind, frame
from whosonline.hub.hub import Hub
from whosonline.stores.memory import MemoryStore
from whosonline.testing.clock import settle

from .conftest import FaultyStore, Tab, World

WATCH_USERS = '{"type":"watch","users":["ann","zoe"]}'
WATCH_PAGE = '{"type":"watch","room":"site","after":null,"limit":5}'


async def cold_node(world: World, **policy: Any):
    """A store that has ann, a node that cannot reach it, and a tab of bob at that node."""
    world.sync.touch("ann", Profile("ann", "Ann"), "session of ann", 1000)
    store = FaultyStore(MemoryStore(world.backend))
    store.away = True
    hub = await world.node(store, **policy)
    return store, hub, arrive(hub, "bob")


def arrive(hub: Any, user: str) -> Tab:
    tab = Tab(hub, user, f"session of {user}")
    hub.open(tab.connection, Profile(user, user.title()), touched=False)
    return tab


async def test_a_page_is_welcomed_without_a_count_and_told_that_the_store_is_away(world: World):
    _, _, bob = await cold_node(world)
    assert bob.take() == [
        {"type": "welcome", "you": "bob", "room": "site", "protocol": 1},
        {"type": "notice", "state": "degraded"},
    ]


async def test_nothing_is_told_of_anybody_however_long_it_lasts(world: World):
    world.people.seen = {"zoe": 1, "ann": 1}
    _, hub, bob = await cold_node(world)
    await bob.say(WATCH_USERS)
    await bob.say(WATCH_PAGE)
    await bob.say('{"type":"enter","room":"doc:42"}')
    await world.clock.advance(60)
    arrive(hub, "cy")
    await world.clock.advance(60)
    assert [message["type"] for message in bob.take()] == ["welcome", "notice"]


async def test_a_slow_reader_is_told_nothing_of_anybody_either(world: World):
    _, _, bob = await cold_node(world)
    bob.take()
    bob.socket.stop_reading()
    await bob.say(WATCH_USERS)
    for _ in range(2):  # one is in flight, and one is missed
        bob.connection.offer(frame('{"type":"news"}'), Kind.UPDATE | Kind.NOTICE)
    bob.socket.read_on()
    await world.clock.advance(1)
    assert bob.take() == [{"type": "news"}, {"type": "notice", "state": "degraded"}]


async def test_the_list_of_all_users_is_shown_all_the_same(world: World):
    world.people.listed = {"5": Profile("eli", "Eli")}
    _, _, bob = await cold_node(world)
    await bob.say('{"type":"watch","directory":{}}')
    await world.clock.advance(1)
    (told,) = bob.take("directory")
    assert told["added"] == [{"id": "5", "name": "Eli", "key": "eli"}]


async def test_when_the_store_is_there_everybody_is_told_everything_and_only_then_that_all_is_well(
    world: World,
):
    world.people.seen = {"zoe": 7}
    store, hub, bob = await cold_node(world)
    eve = arrive(hub, "eve")
    await bob.say(WATCH_USERS)
    await bob.say(WATCH_PAGE)
    for tab in (bob, eve):
        tab.take()
    store.away = False
    await world.clock.advance(10)
    told = bob.take()
    first = told[0]
    assert first["type"] == "update"
    assert first["users"] == {"ann": {"status": "online"}, "zoe": {"status": "offline", "last_seen": 7}}
    assert first["page"]["reset"]
    assert "ann" in first["page"]["order"]
    assert first["online"] >= 1
    # The log-in of ann, and the two who are at this node.
    assert [message["online"] for message in told if "online" in message][-1] == 3
    assert [message for message in told if message["type"] == "notice"] == [{"type": "notice", "state": "ok"}]
    told = [message for message in eve.take() if message["type"] != "resume"]
    assert told[0]["type"] == "update"
    assert told[0]["online"] >= 1
    assert told.index({"type": "notice", "state": "ok"}) > 0


async def test_who_is_online_is_never_shown_offline_and_never_seen_last(world: World):
    store, hub, bob = await cold_node(world)
    await bob.say(WATCH_USERS)
    told = []
    await world.clock.advance(20)
    store.away = False
    for _ in range(100):
        await world.clock.advance(0.1)
        told += bob.take()
    shown = [message["users"]["ann"] for message in told if "ann" in message.get("users", {})]
    assert shown == [{"status": "online"}]
    await hub.stop()
    assert "ann" not in world.people.seen


async def test_a_node_that_is_replaced_during_an_outage_takes_nothing_from_who_comes_back(world: World):
    """The tab knows from the node before it who is online, and goes on showing it."""
    before = FaultyStore(MemoryStore(world.backend))
    first = await world.node(before)
    await world.tab(first, "ann")
    bob = await world.tab(first, "bob")
    await bob.say(WATCH_USERS)
    before.away = True
    await world.clock.advance(5)
    await first.send_away()
    assert bob.socket.closed_with is CloseCode.GOING
    after = FaultyStore(MemoryStore(world.backend))
    after.away = True
    second = await world.node(after)
    again = arrive(second, "bob")
    await again.say(WATCH_USERS)
    await world.clock.advance(5)
    assert [message["type"] for message in again.take()] == ["welcome", "notice"]


async def test_a_node_that_has_not_read_the_store_is_not_ready_and_then_is(world: World):
    store, hub, _ = await cold_node(world)
    await world.clock.advance(5)
    assert not hub.ready
    store.away = False
    await world.clock.advance(10)
    assert hub.ready
    assert hub.replica.count(SITE) == 2


async def test_who_came_and_went_before_the_store_was_there_holds_up_nothing(world: World):
    store, hub, bob = await cold_node(world)
    bob.close()
    await world.clock.advance(30)
    store.away = False
    await world.clock.advance(10)
    assert hub.ready


async def test_a_page_that_comes_between_the_start_and_the_snapshot_is_told_that_all_is_well_after_it(
    world: World,
):
    hub = Hub(MemoryStore(world.backend), world.people.site(), Policy(), world.clock)
    hub.start()
    bob = arrive(hub, "bob")
    await bob.say(WATCH_USERS)
    await world.clock.advance(5)
    kinds = [message["type"] for message in bob.take()]
    assert kinds[:4] == ["welcome", "notice", "update", "notice"]
    await hub.stop()


async def test_what_is_kept_of_the_list_until_the_store_is_read_is_dropped_then(world: World):
    """What was said of the list before was never followed."""
    store, hub, bob = await cold_node(world)
    await bob.say('{"type":"watch","directory":{}}')
    await settle()
    bob.close()
    assert hub._views.directories()
    store.away = False
    await world.clock.advance(10)
    assert not hub._views.directories()
