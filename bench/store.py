"""What the Redis store costs: changes a second, the way to every replica, memory, and what it does when idle.

Runs a Redis of its own, which keeps nothing. The nodes are handles in this one process: what Python takes to
ask and to read is in every time here, except in how long a script holds Redis, which Redis itself tells.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import cycle
from statistics import median, quantiles
from typing import Any
from unittest.mock import AsyncMock, Mock
from uuid import uuid4

from whosonline.core.connections import Connections
from whosonline.core.entries import Change, Profile, Report
from whosonline.core.policy import Policy
from whosonline.core.replica import Replica
from whosonline.core.statuses import SITE, Status
from whosonline.hub.clock import LoopClock
from whosonline.hub.node import Node
from whosonline.stores.redis import Address, RedisStore
from whosonline.stores.redis.handles import CHUNK
from whosonline.stores.redis.layout import Layout
from whosonline.stores.redis.scripts import script

from .processes import redis_server

NODES = 6
RATE = 200  # changes a second while the way to the replicas is measured
CALLS = 40  # of each script whose length is measured


async def measure(url: str, options: argparse.Namespace) -> None:
    """Measure it all, and print each figure as a row of a table."""
    client = Address.parse(url).async_client(options.idle + 30)
    await measure_idle(url, client, options.idle)
    for batch in (1, 10, 100):
        await measure_changes(url, batch, options.rounds)
    await measure_latency(url, options.latency)
    await client.flushall()
    async with _store(url, "crowd") as store:
        await measure_memory(client, store, options.users)
        await measure_snapshot(store, options.users)
        await measure_scripts(url, client, store, options.users)
    await client.aclose()


async def measure_idle(url: str, client: Any, seconds: float) -> None:
    """Watch Redis while six nodes have nobody to tell of."""
    policy, address, layout = Policy(), Address.parse(url), Layout("idle")
    stores = [RedisStore(address, layout) for _ in range(NODES)]
    hub = Mock(on_snapshot=AsyncMock())
    nodes = [Node(store, Connections(policy.grace), hub, policy, LoopClock()) for store in stores]
    for node in nodes:
        node.start()
    await asyncio.sleep(1.5)  # begun; and no beat or sweep falls on an edge
    calls = asked = 0
    async with client.monitor() as monitor:
        before, began = await client.info("stats"), time.monotonic()
        await asyncio.sleep(seconds)
        after, took = await client.info("stats"), time.monotonic() - began
        async for command in monitor.listen():
            calls += command["client_type"] != "lua"
            asked += command["command"] == "INFO stats"
            if asked == 2:
                break
    await asyncio.gather(*(node.stop() for node in nodes))
    # The first of the two questions is counted by Redis too, both of them by MONITOR.
    done = after["total_commands_processed"] - before["total_commands_processed"] - 1
    _tell(f"operations a second, {NODES} idle nodes", f"{done / took:.1f}", "< 50")
    _tell("of them calls by the nodes", f"{(calls - 2) / took:.1f}")


async def measure_changes(url: str, batch: int, rounds: int) -> None:
    """Report without a pause: each of 1000 users comes back and steps away by turns."""
    async with _store(url, f"changes-{batch}") as store:
        both = [*_reports(range(1000)), *_reports(range(1000), Status.AWAY)]
        await store.report(both[1000:])
        chunks = cycle([both[start : start + batch] for start in range(0, len(both), batch)])
        rates = []
        for _ in range(rounds):
            changed, began = 0, time.monotonic()
            while time.monotonic() < began + 0.5:
                changed += len(await store.report(next(chunks)))
            rates.append(changed / (time.monotonic() - began))
    _tell(f"changes a second, {batch} a report", _spread(rates, 0))


async def measure_latency(url: str, seconds: float) -> None:
    """Report at an even rate; take the time until each of six replicas has a change."""
    changes = max(int(seconds * RATE), 100)
    told, took = list[float](), list[float]()
    async with _store(url, "latency") as store:
        followers = [asyncio.create_task(_follow(url, changes, told, took)) for _ in range(NODES)]
        began = time.monotonic() + 0.5  # when all follow
        for number in range(changes):
            await asyncio.sleep(max(began + number / RATE - time.monotonic(), 0))
            told.append(time.monotonic())
            # Always a change, since the display name is another one.
            await store.report([Report(SITE, str(number % 1000), Status.ONLINE, Profile("key", str(number)))])
        await asyncio.wait_for(asyncio.gather(*followers), 10)
    cuts = quantiles(took, n=100)
    of = f"from a report to a replica, {NODES} nodes, {RATE} changes a second"
    _tell(f"{of}, p50", f"{cuts[49] * 1e3:.2f} ms")
    _tell(f"{of}, p99", f"{cuts[98] * 1e3:.2f} ms (most {max(took) * 1e3:.2f} ms)")


async def _follow(url: str, changes: int, told: list[float], took: list[float]) -> None:
    async with _store(url, "latency") as store:
        replica, number = Replica(), -1
        async for batch in store.follow((await store.snapshot()).cursor):
            for change in batch.entries:
                assert isinstance(change, Change)
                replica.apply(change)
                took.append(time.monotonic() - told[number := int(change.profile.name)])
            if number == changes - 1:
                return


async def measure_memory(client: Any, store: RedisStore, users: int) -> None:
    """Fill one room; weigh each key when half of the users are there, and when all are."""
    half = users // 2
    await store.report(_reports(range(half)))
    less = await _memory(client)
    await store.report(_reports(range(half, users)))
    more = await _memory(client)
    for key in ("present", "order:site", "holds:1"):
        each = f"{less[key] / half:.0f} and {more[key] / users:.0f} bytes"
        _tell(f"key {key}, a user, at {half:,} and at {users:,}", each)
    _tell("key log, at both", f"{less['log'] / 1000:.1f} and {more['log'] / 1000:.1f} KB")
    _tell("the other keys together", f"{sum(size for size in more.values() if size < 1000)} bytes")
    grown = (more["all"] - less["all"]) / (users - half)
    _tell("used memory a user, from the one to the other", f"{grown:.0f} bytes")


async def _memory(client: Any) -> dict[str, int]:
    """Return the bytes of every key, and all that Redis uses."""
    memory: dict[str, int] = {"all": (await client.info("memory"))["used_memory"]}
    async for key in client.scan_iter(count=1000):
        memory[key.decode().partition(":0}:")[2]] = await client.memory_usage(key, samples=0)
    return memory


async def measure_snapshot(store: RedisStore, users: int) -> None:
    took = []
    for _ in range(3):
        began = time.monotonic()
        await store.snapshot()
        took.append((time.monotonic() - began) * 1e3)
    _tell(f"a snapshot of {users:,} users", f"{_spread(took, 1)} ms")
    tracemalloc.start()
    replica = Replica()
    replica.replace((await store.snapshot()).state)
    memory, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    _tell(f"memory of a replica of {users:,}, a user", f"{memory / users:.0f} bytes")


async def measure_scripts(url: str, client: Any, store: RedisStore, users: int) -> None:
    """Take from Redis' slow log how long each call of a script held it, with everybody there."""
    # Microseconds; a sweep that ends nobody is faster.
    await client.config_set("slowlog-log-slower-than", 300, "slowlog-max-len", 10_000)
    for size in (100, CHUNK):
        await client.slowlog_reset()
        for turn in range(CALLS):
            status = Status.OFFLINE if turn % 2 else Status.ONLINE
            await store.report(_reports(range(users, users + size), status))
        await _tell_held(client, "report", f"a report of {size} who come or leave holds Redis")
    async with _store(url, "crowd") as dead:  # at its end its lease is out
        await dead.report(_reports(range(users, users + CALLS * CHUNK)))
    async with _store(url, "crowd", lease=0.1) as sweeper:
        ended, more = 0, True
        await asyncio.sleep(0.05)  # until a sweep is due
        while more:
            changes, more = await sweeper.sweep()
            ended += len(changes)
    assert ended == CALLS * CHUNK, ended
    await _tell_held(client, "sweep", f"a sweep of {CHUNK} users of a dead node holds Redis")


async def _tell_held(client: Any, name: str, what: str) -> None:
    sha, logged = script(name).sha.encode(), await client.slowlog_get(10_000)
    _tell(what, f"{_spread((call['duration'] / 1e3 for call in logged if sha in call['command']), 2)} ms")


@asynccontextmanager
async def _store(url: str, prefix: str, lease: float = 600.0) -> AsyncIterator[RedisStore]:
    store = RedisStore(Address.parse(url), Layout(prefix))
    await store.open(uuid4().hex, lease)
    yield store
    await store.close(0)


def _reports(users: Iterable[int], status: Status = Status.ONLINE) -> list[Report]:
    profiles = ((str(user), Profile(f"bench-{user:06}", f"Bench User {user:06}")) for user in users)
    return [Report(SITE, user, status, profile) for user, profile in profiles]


def _spread(values: Iterable[float], digits: int) -> str:
    few = sorted(values)
    return f"{median(few):,.{digits}f} ({few[0]:,.{digits}f} to {few[-1]:,.{digits}f})"


def _tell(figure: str, measured: str, goal: str = "") -> None:
    print(f"| {figure} | {measured} | {goal} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.store", description=__doc__)
    for name, default in {"users": 100_000, "rounds": 7, "latency": 5.0, "idle": 15.0}.items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help="%(default)s")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and so ends what it has begun
    with redis_server() as redis:
        print("| figure: median (least to most) | measured | goal |\n|---|---|---|")
        asyncio.run(measure(redis.url, options))


if __name__ == "__main__":
    main()
