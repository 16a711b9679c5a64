"""Sentinel makes another Redis the master: a fault as others, in which the latest writes may be lost."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.redis_servers import SentinelGroup

from .site import SLACK, Site, World, until

FAILOVER = 10.0
"""Seconds that Sentinel may take."""


async def test_a_failover_passes(tmp_path: Path):
    with SentinelGroup(tmp_path) as group:
        site = Site(tmp_path, nodes=2, store=group.url)
        with site:
            async with World(site) as world:
                first, second = site.nodes
                ann, bob, carol, dave = await world.visitors_named("ann", "bob", "carol", "dave")
                stay = [world.open(ann, first), world.open(bob, second)]
                leaves = world.open(carol, second)
                await world.settles()
                began = time.monotonic()
                await asyncio.to_thread(group.kill_master)
                await leaves.close()
                comes = world.open(dave, first)
                await until(lambda: comes.connected)
                await world.settles(FAILOVER + site.lease + SLACK)
                assert comes.status(carol) == "offline"
                for tab in (*stay, comes):
                    assert tab.closes == []
                    assert not tab.showed_offline([ann, bob], since=began)
                assert all(tab.notices and tab.notices[-1] == "ok" for tab in stay)
        assert not site.errors()
