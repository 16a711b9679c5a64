"""The Redis store keeps the contract, over every kind of address and with several partitions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest

from tests.redis_servers import RedisCluster, RedisServer, SentinelGroup
from whosonline.core.entries import Profile, Report
from whosonline.core.statuses import SITE, Status
from whosonline.stores.base import Store
from whosonline.stores.redis import Address, RedisStore
from whosonline.stores.redis.handles import CHUNK
from whosonline.stores.redis.layout import Layout
from whosonline.stores.redis.scripts import Script
from whosonline.testing.contract import Cluster, StoreContract

from .redis_time import TOLD, script_at


class RealCluster(Cluster):
    lease = 1.0
    log_length = 600
    sweep_chunk = CHUNK

    def __init__(self, url: str, partitions: int = 1) -> None:
        self.address = Address.parse(url)
        self.layout = Layout(uuid4().hex, partitions, self.log_length)
        self._made: list[RedisStore] = []

    def store(self) -> Store:
        self._made.append(RedisStore(self.address, self.layout))
        return self._made[-1]

    async def wipe(self) -> None:
        with closing(self.address.client(5)) as client:
            client.flushall()

    async def close(self) -> None:
        for store in self._made:
            await store.close(0)


class ShiftedCluster(RealCluster):
    """A cluster whose store's clock can be set: its scripts add to the time that the server tells.

    So nothing is waited for, and a slow machine is late for nothing.
    """

    lease = 10.0

    def __init__(self, url: str, partitions: int, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(url, partitions)
        self._shift = 0
        monkeypatch.setattr("whosonline.stores.redis.layout.script", self._shifted)
        monkeypatch.setattr("whosonline.stores.redis.handles.SILENCE", 0.5)

    async def advance(self, seconds: float) -> None:
        self._shift += round(seconds * 1_000_000)

    def _shifted(self, name: str) -> Script:
        return script_at(name, f"{TOLD} + {self._shift}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("redis")


@pytest.fixture(scope="module")
def redis_server(folder: Path) -> Iterator[RedisServer]:
    with RedisServer(folder) as server:
        yield server


@pytest.fixture(scope="module")
def sentinels(folder: Path) -> Iterator[SentinelGroup]:
    with SentinelGroup(folder) as group:
        yield group


@pytest.fixture(scope="module")
def redis_cluster(folder: Path) -> Iterator[RedisCluster]:
    with RedisCluster(folder) as cluster:
        yield cluster


class TestRedisStore(StoreContract):
    """By the server's own clock."""

    @pytest.fixture
    async def cluster(self, redis_server: RedisServer) -> AsyncIterator[RealCluster]:
        cluster = RealCluster(redis_server.url)
        yield cluster
        await cluster.close()


class ShiftedContract(StoreContract):
    partitions = 4

    @pytest.fixture
    async def cluster(self, url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ShiftedCluster]:
        cluster = ShiftedCluster(url, self.partitions, monkeypatch)
        yield cluster
        await cluster.close()


class TestRedisStoreInFourPartitions(ShiftedContract):
    @pytest.fixture
    def url(self, redis_server: RedisServer) -> str:
        return redis_server.url


class TestRedisStoreBehindSentinel(ShiftedContract):
    partitions = 1

    @pytest.fixture
    def url(self, sentinels: SentinelGroup) -> str:
        return sentinels.url


class TestRedisStoreOnARedisCluster(ShiftedContract):
    @pytest.fixture
    def url(self, redis_cluster: RedisCluster) -> str:
        return redis_cluster.url


async def test_further_reports_are_welcome_the_later_the_more_there_were(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whosonline.stores.redis.handles.GATHER", 20.0)
    monkeypatch.setattr("whosonline.stores.redis.handles.LONGEST_GATHER", 50.0)
    monkeypatch.setattr("whosonline.stores.redis.handles.monotonic", lambda: 100.0)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    cluster = RealCluster(redis_server.url)
    try:
        store = cluster.store()
        await store.open("a", cluster.lease)
        monkeypatch.setattr("whosonline.stores.redis.handles.asyncio", SimpleNamespace(sleep=sleep))
        await store.rest()
        for many in (1, 2, 3):
            await store.report(
                [Report(SITE, str(n), Status.ONLINE, Profile("ann", "Ann"), ()) for n in range(many)]
            )
            await store.rest()
    finally:
        await cluster.close()
    assert slept == [0, 20, 40, 50]
