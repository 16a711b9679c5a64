"""What people, and those who run the site, are told of a store that goes away and comes back."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from whosonline.core.entries import Profile
from whosonline.stores.errors import StoreUnavailable
from whosonline.stores.memory import MemoryBackend

from .conftest import Tab, World
from .simulation.store import FaultyStore

DEGRADED = {"type": "notice", "state": "degraded"}
OK = {"type": "notice", "state": "ok"}


async def node(world: World, **policy: Any) -> tuple[FaultyStore, Any, Tab]:
    store = FaultyStore(world.backend, world.clock)
    hub = await world.node(store, **policy)
    return store, hub, await world.tab(hub, "bob")


async def take_away(store: FaultyStore) -> None:
    """Let the store be away, as for one that is killed: what waits for it fails at once."""
    store.outage = True
    await store.cut(arrives=False)


async def test_while_nothing_answers_it_is_told_once_and_never_taken_back(world: World):
    store, hub, bob = await node(world)
    await take_away(store)
    await world.clock.advance(1)
    tab = Tab(hub, "cy", "s")  # somebody of whom there is something to report
    hub.open(tab.connection, Profile("cy", "Cy"), touched=False)
    await world.clock.advance(120)
    assert bob.take("notice") == [DEGRADED]
    assert tab.take("notice") == [DEGRADED]
    assert not hub.ready
    store.outage = False
    await world.clock.advance(10)
    assert bob.take("notice") == [OK]
    assert hub.ready


async def test_a_failure_while_the_process_was_held_up_does_not_count_before_it_was_asked_again(
    world: World,
):
    store, hub, bob = await node(world)
    await world.clock.advance(10)
    world.clock.late_at = world.clock.time()
    await store.cut(arrives=False)  # an answer that lay unread for too long; the next comes in time
    await world.clock.advance(1)
    assert bob.take("notice") == []
    assert hub.ready
    world.clock.late_at = world.clock.time()
    await take_away(store)  # it is away indeed
    await world.clock.advance(1)
    assert bob.take("notice") == [DEGRADED]


async def test_a_store_that_refuses_is_away_at_once_though_the_process_was_held_up(world: World):
    store, _, bob = await node(world)
    await world.clock.advance(10)
    world.clock.late_at = world.clock.time()
    store.outage = True  # who asks now is told so; what is under way waits on
    await world.clock.advance(4)
    assert bob.take("notice") == [DEGRADED]


async def test_all_is_well_only_when_whatever_failed_was_answered(world: World, monkeypatch: Any):
    store, _, bob = await node(world)
    await take_away(store)
    await world.clock.advance(10)
    bob.take()

    async def refuse() -> Any:
        raise StoreUnavailable("OOM command not allowed")

    # It answers who reads, and refuses who writes.
    monkeypatch.setattr(store, "sweep", refuse)
    store.outage = False
    await world.clock.advance(60)
    assert bob.take("notice") == []
    monkeypatch.undo()
    await world.clock.advance(10)
    assert bob.take("notice") == [OK]


async def test_all_is_well_only_behind_what_was_missed_however_long_a_snapshot_takes(world: World):
    world.backend = MemoryBackend(world.clock.time, world.clock.wall, log_length=3)
    store, _, bob = await node(world)
    await bob.say('{"type":"watch","users":["zoe"]}')
    bob.take()
    await take_away(store)
    await world.clock.advance(3)
    world.backend.touch("zoe", Profile("zoe", "Zoe"), "s", 1000)
    for number in range(10):  # more than the log can hold
        world.backend.touch(f"u{number}", Profile("k", "n"), "s", 1000)
    store.outage = False
    store.slow_down([0.4], log_alone=False)
    bob.take()
    await world.clock.advance(20)
    told = bob.take()
    assert told.count(OK) == 1
    (shown,) = [message for message in told if "zoe" in message.get("users", {})]
    assert shown["users"]["zoe"] == {"status": "online"}
    assert shown["online"] == 12
    assert told.index(shown) < told.index(OK)


async def test_a_reader_that_is_slow_hears_that_all_is_well_behind_the_statuses_too(world: World):
    store, _, bob = await node(world)
    await bob.say('{"type":"watch","users":["zoe"]}')
    await take_away(store)
    await world.clock.advance(3)
    bob.take()
    bob.socket.stop_reading()
    world.backend.touch("zoe", Profile("zoe", "Zoe"), "s", 1000)
    await bob.say('{"type":"watch","users":["zoe","ann"]}')  # in flight until it reads
    store.outage = False
    await world.clock.advance(10)
    bob.socket.read_on()
    await world.clock.advance(1)
    told = bob.take()
    assert [message["type"] for message in told].count("notice") == 1
    assert told.index(OK) > next(n for n, message in enumerate(told) if "online" in str(message.get("users")))


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged, at levels that are shown by default, without the name of the node."""
    found = [record for record in caplog.records if record.levelno >= logging.WARNING]
    return [record.getMessage().partition(": ")[2] for record in found]


async def test_an_outage_is_logged_when_it_begins_once_a_minute_and_when_it_ends(
    world: World, caplog: pytest.LogCaptureFixture
):
    store, _, _ = await node(world)
    await take_away(store)
    await world.clock.advance(0.01)
    assert lines(caplog) == ["the store is away, statuses hold as last known: the way was cut"]
    caplog.clear()
    await world.clock.advance(200)
    assert len(caplog.records) == 3
    assert all(line.startswith("the store is still away, for ") for line in lines(caplog))
    assert all(line.endswith(" s: out of reach") for line in lines(caplog))
    caplog.clear()
    store.outage = False
    await world.clock.advance(10)
    *_, last = lines(caplog)
    assert last.startswith("the store is back after 20")
    assert last.endswith(" s")


async def test_a_node_that_begins_during_an_outage_logs_that_it_knows_nobody(
    world: World, caplog: pytest.LogCaptureFixture
):
    store = FaultyStore(world.backend, world.clock)
    store.outage = True
    await world.node(store)
    await world.clock.advance(30)
    assert lines(caplog) == ["the store is away, nobody's status is known yet: out of reach"]
