"""Whatever befalls Redis: sockets stay, who stayed is never shown as offline, and soon all is right again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.lobby.markup import parse, rows

from .site import LOGGED_OUT, SLACK, Site, World, until

Fault = Callable[[Site], Coroutine[Any, Any, bool]]
"""Begins, and returns whether nodes must notice that the store is away."""


async def restart_empty(site: Site) -> bool:
    await asyncio.to_thread(site.redis.restart, empty=True)
    return False


async def restart_with_data(site: Site) -> bool:
    await asyncio.to_thread(site.redis.restart, empty=False)
    return False


async def flush(site: Site) -> bool:
    site.redis.cli("FLUSHALL")
    return False


async def cut_connections(site: Site) -> bool:
    site.redis.cli("CLIENT KILL", "TYPE", "normal")
    return False


async def crash(site: Site) -> bool:
    site.redis.kill()
    return True


async def hang(site: Site) -> bool:
    site.redis.cli("CLIENT PAUSE", round(2 * site.lease * 1000))
    return True


async def fill_up(site: Site) -> bool:
    site.redis.cli("CONFIG SET", "maxmemory", 1)
    return True


FAULTS: list[Fault] = [restart_empty, restart_with_data, flush, cut_connections, crash, hang, fill_up]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_a_fault_of_redis_passes(world: World, fault: Fault):
    site = world.site
    first, second, third = site.nodes
    ann, bob, carol, dave = await world.visitors_named("ann", "bob", "carol", "dave")
    stay = [world.open(ann, first), world.open(bob, second)]
    leaves = world.open(carol, third)
    await world.settles()

    began = time.monotonic()
    away = await fault(site)
    if away:
        await until(lambda: all(tab.state.degraded for tab in stay), site.lease + SLACK)
    await leaves.close()
    comes = world.open(dave, third)
    await until(lambda: comes.connected)
    if away:
        # It lasts for two leases, in which nothing may end.
        await until(lambda: time.monotonic() > began + 2 * site.lease, 2 * site.lease + SLACK)
        assert all(tab.state.degraded for tab in (*stay, comes)) or fault is hang
        await asyncio.to_thread(site.heal)
    await world.settles(site.lease + SLACK)
    assert world.truth() == {ann.id: "online", bob.id: "online", carol.id: "offline", dave.id: "online"}

    for tab in (*stay, comes):
        assert tab.closes == []
        assert not tab.showed_offline([ann, bob], since=began)
        assert tab.showed_offline([carol], since=began)
    # Told once, and not taken back while it lasted.
    if away:
        assert all(tab.notices == ["degraded", "ok"] for tab in stay)


STALE = "statuses are as last known"


async def test_a_page_that_is_asked_for_while_redis_is_away_shows_who_was_online_and_that_this_may_be_old(
    world: World,
):
    site = world.site
    first, second, _ = site.nodes
    ann, bob, carol = await world.visitors_named("ann", "bob", "carol")
    tabs = [world.open(ann, first), world.open(bob, second)]
    await world.settles()
    asks = ann.at(first)
    assert STALE not in await asks.page()
    site.redis.kill()
    await until(lambda: all(tab.state.degraded for tab in tabs), site.lease + SLACK)
    for who, status in ((bob, "online"), (carol, "offline")):
        page = parse(await asks.page(f"/?q={who.name}"))
        assert rows(page)[who.name].one(".status")["data-status"] == status
        assert STALE in page.one("p.connection").text
    online = parse(await asks.page(f"/?view=online&q={bob.name}"))
    assert list(rows(online)) == [bob.name]
    assert STALE in online.one("p.connection").text
    assert online.one("p.count").text == "2 online"
    await asyncio.to_thread(site.redis.start)
    await world.settles(site.lease + SLACK)
    assert STALE not in await asks.page()


async def test_who_logs_out_while_redis_is_away_is_closed_there_at_once_and_elsewhere_when_it_is_back(
    world: World,
):
    site = world.site
    first, second, third = site.nodes
    ann, bob = await world.visitors_named("ann", "bob")
    tabs = [world.open(ann, first), world.open(ann, second)]
    world.open(bob, third)
    await world.settles()
    site.redis.kill()
    await until(lambda: all(tab.state.degraded for tab in tabs))
    await ann.at(first).log_out()
    await until(lambda: tabs[0].closes == [LOGGED_OUT])
    await asyncio.to_thread(site.redis.start)
    await until(lambda: not world.tabs(ann), site.lease + SLACK)
    assert all(tab.closes == [LOGGED_OUT] for tab in tabs)
    await world.settles(site.lease + SLACK)
