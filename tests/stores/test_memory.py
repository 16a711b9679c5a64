"""The memory store keeps the contract, and what only it promises: threads, and loops of their own."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator

import pytest

from whosonline.core.statuses import SITE, Status
from whosonline.stores.base import Store
from whosonline.stores.memory import MemoryBackend, MemoryStore
from whosonline.testing.clock import ManualClock
from whosonline.testing.contract import Cluster, StoreContract
from whosonline.testing.contract.cluster import log_after, named, present, replay, seen


class MemoryCluster(Cluster):
    def __init__(self) -> None:
        self._clock = ManualClock()
        self.backend = MemoryBackend(self._clock.time, self._clock.wall, self.log_length)

    def store(self) -> Store:
        return MemoryStore(self.backend)

    async def wipe(self) -> None:
        self.backend.wipe()

    async def advance(self, seconds: float) -> None:
        self._clock.move(seconds)


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def cluster(self) -> MemoryCluster:
        return MemoryCluster()

    @pytest.fixture
    def hasty_threads(self) -> Iterator[None]:
        """Have threads take turns as often as they can."""
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        yield
        sys.setswitchinterval(interval)

    async def test_threads_may_call_at_once(self, hasty_threads: None) -> None:
        backend = MemoryBackend(log_length=100_000)
        store = MemoryStore(backend)
        await store.open("a", 60)
        begin = await store.snapshot()
        failures: list[BaseException] = []
        begun = threading.Barrier(4)

        def call(name: str) -> None:
            sync = MemoryStore(backend).sync
            begun.wait()
            try:
                for turn in range(2000):
                    user = f"user {turn % 3}"
                    sync.touch(user, named(user, f"{name} {turn}"), name, 60)
                    sync.online(SITE, None, 5)
                    sync.expel(name, user)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=call, args=(name,)) for name in ("b", "c", "d")]
        for thread in threads:
            thread.start()
        begun.wait()
        while any(thread.is_alive() for thread in threads):
            await store.report([seen("user 0"), seen("user 1", Status.AWAY), seen("user 2")])
            await store.report([seen(f"user {n}", Status.OFFLINE) for n in range(3)])
            await asyncio.sleep(0)
        for thread in threads:
            thread.join()
        assert failures == []
        assert await present(store) == {}
        replay(begin, await log_after(store, begin.cursor))

    async def test_a_follower_in_another_loop_is_woken(self, cluster: MemoryCluster) -> None:
        store = await cluster.node("a")
        cursor = (await store.snapshot()).cursor
        loop = asyncio.get_running_loop()
        waiting = asyncio.Event()
        followed = loop.create_future()

        async def follow() -> None:
            following = MemoryStore(cluster.backend).follow(cursor)
            assert not (await anext(following)).entries
            task = asyncio.ensure_future(anext(following))
            await asyncio.sleep(0)
            loop.call_soon_threadsafe(waiting.set)
            batch = await task
            loop.call_soon_threadsafe(followed.set_result, batch.entries)

        thread = threading.Thread(target=asyncio.run, args=(follow(),), daemon=True)
        thread.start()
        await waiting.wait()
        logged = await store.report([seen("ann")])
        async with asyncio.timeout(10):
            assert list(await followed) == logged
        thread.join()

    async def test_a_follower_whose_loop_was_closed_holds_up_nobody(self, cluster: MemoryCluster) -> None:
        store = await cluster.node("a")
        cursor = (await store.snapshot()).cursor
        abandoned = asyncio.new_event_loop()
        cluster.backend.read(cursor, abandoned.create_future())
        abandoned.close()
        following = store.follow(cursor)
        assert not (await anext(following)).entries
        waiting = asyncio.ensure_future(anext(following))
        await asyncio.sleep(0)
        logged = await store.report([seen("ann")])
        async with asyncio.timeout(10):
            assert list((await waiting).entries) == logged
