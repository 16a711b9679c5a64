"""A restart of one worker after the other, as a deployment does it, is seen by nobody."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from pathlib import Path

from .site import SLACK, Node, Site, World, until

WORKERS = 4
PEOPLE = 50
TABS = 40


async def test_a_rolling_restart_shows_nobody_as_offline_and_everybody_comes_back(tmp_path: Path):
    with Site(
        tmp_path,
        nodes=1,
        policy={"CONNECTIONS_PER_USER": TABS * WORKERS},
        command=("serve", "--workers", str(WORKERS)),
    ) as site:
        async with World(site) as world:
            (node,) = site.nodes
            people = await world.visitors_named(*(f"user{number}-" for number in range(PEOPLE)))
            # Within a second: what the browser module does when the server says that it goes.
            tabs = [world.open(person, node, returns=1.0) for person in people for _ in range(TABS)]
            await world.settles(40)
            old = workers(node)
            assert len(old) == WORKERS
            for tab in tabs:
                tab.offline.clear()

            node.signal(signal.SIGHUP)
            await until(lambda: not old & workers(node), 60)
            await world.settles(40)

            assert all(tab.closes and set(tab.closes) == {1012} for tab in tabs)
            assert not any(tab.showed_offline(people) for tab in tabs)
            assert not site.errors()


async def test_workers_that_begin_while_the_store_is_away_show_nobody_as_offline(tmp_path: Path):
    with Site(tmp_path, nodes=1, command=("serve", "--workers", "2")) as site:
        async with World(site) as world:
            (node,) = site.nodes
            people = await world.visitors_named("ann", "bob", "carol")
            tabs = [world.open(person, node) for person in people]
            await world.settles()
            old = workers(node)
            for tab in tabs:
                tab.offline.clear()
            site.redis.kill()
            await until(lambda: all(tab.state.degraded for tab in tabs))
            node.signal(signal.SIGHUP)
            await until(lambda: not old & workers(node) and all(tab.connected for tab in tabs), 60)
            late = world.open(people[0], node)
            await until(lambda: late.state.degraded)
            assert [late.status(person) for person in people] == [None] * 3
            assert late.state.online is None
            assert [[tab.status(person) for person in people] for tab in tabs] == [["online"] * 3] * 3
            await asyncio.to_thread(site.redis.start)
            await world.settles(site.lease + SLACK)
            assert not any(tab.showed_offline(people) for tab in (*tabs, late))
            assert not site.errors()


def workers(node: Node) -> set[int]:
    """Return the processes that a node keeps."""
    assert node._process is not None
    command = ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(node._process.pid)]
    children = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    # Beside them there is Python's resource tracker, which stays.
    return {int(child.split()[0]) for child in children if "spawn_main" in child}
