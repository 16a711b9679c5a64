"""People come and go while everything fails that can; when it is quiet, every tab shows what is so."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from bench.people import PersonError

from .site import SLACK, Browser, Site, Visitor, World, until

SEED = int(os.environ.get("CHAOS_SEED", "7"))
"""Another one is another run; two of the same differ by what processes do meanwhile."""

SECONDS = 18.0
PEOPLE = 8
MOST_TABS = 4

Doing = Callable[[], Awaitable[Any]]


async def test_after_chaos_everything_is_as_it_is(world: World):
    rng = random.Random(SEED)
    people = await world.visitors_named(*(f"user{number}-" for number in range(PEOPLE)))
    done: list[str] = []
    logged_out_tabs: list[Browser] = []
    end = time.monotonic() + SECONDS
    # Each with a generator of its own: how long one waits changes nothing for the other.
    await asyncio.gather(
        live(world, people, random.Random(rng.random()), end, done, logged_out_tabs),
        fail(world.site, random.Random(rng.random()), end, done),
    )
    await asyncio.to_thread(world.site.heal)
    try:
        # Whatever was away when they logged out: their tabs have ended.
        await until(lambda: not any(tab.open for tab in logged_out_tabs), 2 * world.site.lease + SLACK)
        await world.settles(2 * world.site.lease + SLACK)
    except AssertionError as error:
        error.add_note("\n".join(done))
        raise
    assert len(done) > 50
    assert any(world.tabs(visitor) for visitor in people)


async def live(
    world: World,
    people: list[Visitor],
    rng: random.Random,
    end: float,
    done: list[str],
    logged_out_tabs: list[Browser],
) -> None:
    """Let people come, go, idle and log out, as long as the chaos lasts."""
    logged_out: set[Visitor] = set()
    while time.monotonic() < end:
        await asyncio.sleep(rng.uniform(0.02, 0.2))
        visitor, deed, pick = rng.choice(people), rng.random(), rng.random()
        tabs = world.tabs(visitor)
        living = world.site.living()
        node = living[int(pick * len(living))]
        tab = tabs[int(pick * len(tabs))] if tabs else None
        what = ""
        if visitor in logged_out:
            what = "logs in"
            try:
                await visitor.at(node).log_in()
                logged_out.discard(visitor)
            except PersonError as error:
                what = f"could not log in: {error}"
        elif tab is None or (deed < 0.4 and len(tabs) < MOST_TABS):
            what = "opens a tab"
            world.open(visitor, node)
        elif deed < 0.7:
            what = "closes a tab"
            await tab.close()
        elif deed < 0.93:
            what = "active" if tab.idle else "idle"
            await tab.set_idle(not tab.idle)
        else:
            what = "logs out"
            try:
                await visitor.at(node).log_out()
            except PersonError as error:
                what = f"could not log out: {error}"
            else:
                logged_out.add(visitor)
                logged_out_tabs += tabs
        done.append(f"{end - time.monotonic():5.2f} {visitor.name} {what} ({world.site.nodes.index(node)})")


async def fail(site: Site, rng: random.Random, end: float, done: list[str]) -> None:
    """Let one thing after the other fail, as long as the chaos lasts."""
    redis = site.redis

    async def crash() -> None:
        redis.kill()
        await asyncio.sleep(rng.uniform(0.1, 3.0))
        await asyncio.to_thread(redis.start)

    async def hang() -> None:
        redis.pause()
        await asyncio.sleep(rng.uniform(0.1, 3.0))
        redis.resume()

    async def fill_up() -> None:
        redis.cli("CONFIG SET", "maxmemory", 1)
        await asyncio.sleep(rng.uniform(0.1, 2.0))
        redis.cli("CONFIG SET", "maxmemory", 0)

    async def cut() -> None:
        redis.cli("CLIENT KILL", "TYPE", "normal")

    async def flush() -> None:
        redis.cli("FLUSHALL")

    async def restart_node() -> None:
        node = rng.choice(site.nodes)
        node.kill()
        await asyncio.to_thread(node.heal)

    async def pause_node() -> None:
        node = rng.choice(site.nodes)
        node.pause()
        await asyncio.sleep(rng.uniform(0.1, 1.5 * site.lease))
        node.resume()

    def restart(empty: bool) -> Coroutine[Any, Any, None]:
        return asyncio.to_thread(redis.restart, empty)

    faults: dict[str, Doing] = {
        "Redis crashes": crash,
        "Redis hangs": hang,
        "Redis is full": fill_up,
        "Redis cuts its connections": cut,
        "Redis is flushed": flush,
        "Redis is restarted empty": lambda: restart(True),
        "Redis is restarted": lambda: restart(False),
        "a node is killed and started": restart_node,
        "a node is paused": pause_node,
    }
    while True:
        # Every kind once in each round.
        for name in rng.sample(sorted(faults), len(faults)):
            await asyncio.sleep(rng.uniform(0.1, 1.0))
            if time.monotonic() > end:
                return
            done.append(f"{end - time.monotonic():5.2f} {name}")
            await faults[name]()
