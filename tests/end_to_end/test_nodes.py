"""Several processes are one site; what happens when some of them die or hang."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from .site import LOGGED_OUT, SLACK, Site, World, until


async def test_two_processes_are_as_one(world: World):
    first, second, _ = world.site.nodes
    ann, bob = await world.visitors_named("ann", "bob")
    ann_here, bob_there = world.open(ann, first), world.open(bob, second)
    await world.settles()
    await bob_there.close()
    await world.settles()
    assert ann_here.status(bob) == "offline"
    ann_there = world.open(ann, second)
    await world.settles()
    await ann_here.set_idle(True)
    await ann_there.set_idle(True)
    world.open(bob, first)
    await world.settles()
    assert world.truth() == {ann.id: "away", bob.id: "online"}
    await ann.at(first).log_out()
    await until(lambda: not world.tabs(ann))
    assert ann_here.closes == ann_there.closes == [LOGGED_OUT]
    await world.settles()


async def test_whose_node_is_killed_goes_offline_within_12_seconds_and_nobody_else_does(tmp_path: Path):
    with Site(tmp_path, nodes=2, policy={}) as site:
        async with World(site) as world:
            first, second = site.nodes
            ann, bob, eve = await world.visitors_named("ann", "bob", "eve")
            world.open(ann, first, returns=None)
            world.open(bob, first, returns=None)
            world.open(bob, second)
            watching = world.open(eve, second)
            await world.settles()
            began = time.monotonic()
            first.kill()
            await until(lambda: watching.status(ann) == "offline", 12)
            assert time.monotonic() < began + 12
            await world.settles()
            assert not watching.showed_offline([bob, eve], since=began)


async def test_the_ghosts_of_a_site_that_was_killed_whole_go(world: World):
    site = world.site
    ann, bob, eve = await world.visitors_named("ann", "bob", "eve")
    for visitor, node in zip((ann, bob, bob), site.nodes, strict=True):
        world.open(visitor, node, returns=None)
    await world.settles()
    for node in site.nodes:
        node.kill()
    await until(lambda: not any(browser.open for browser in world.browsers))
    await asyncio.to_thread(site.nodes[1].heal)
    world.open(eve, site.nodes[1])
    await world.settles(site.lease + SLACK)


async def test_a_node_that_hangs_is_taken_for_dead_and_is_right_again_by_itself(world: World):
    first, second, third = world.site.nodes
    ann, bob, eve = await world.visitors_named("ann", "bob", "eve")
    hers = world.open(ann, first)
    world.open(bob, first)
    world.open(bob, second)
    watching = world.open(eve, third)
    await world.settles()
    began = time.monotonic()
    first.pause()
    await until(lambda: watching.status(ann) == "offline", world.site.lease + SLACK)
    assert watching.status(bob) == "online"
    leaving = world.tabs(eve)[0]
    world.open(eve, second)
    await leaving.close()
    first.resume()
    await world.settles()
    assert hers.closes == []
    assert not any(browser.showed_offline([bob, eve], since=began) for browser in world.browsers)
