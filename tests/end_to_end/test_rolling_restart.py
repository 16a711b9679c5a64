"""A restart of one worker after the other, as a deployment does it, is seen by nobody."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from .site import Node, Site, World, until

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


def workers(node: Node) -> set[int]:
    """Return the processes that a node keeps."""
    assert node._process is not None
    command = ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(node._process.pid)]
    children = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    # Beside them there is Python's resource tracker, which stays.
    return {int(child.split()[0]) for child in children if "spawn_main" in child}
