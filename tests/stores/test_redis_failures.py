"""In which words people hear why a Redis cannot be used."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.redis_servers import RedisServer, SentinelGroup
from whosonline.stores.errors import StoreRefuses, StoreSilent, StoreUnavailable
from whosonline.stores.redis import Address, RedisStore, RedisSyncStore
from whosonline.stores.redis.layout import Layout


async def failures(url: str) -> set[tuple[type[Exception], str]]:
    """Return what a page and a node hear of a store that cannot be used."""
    told: set[tuple[type[Exception], str]] = set()
    address = Address.parse(url)
    with closing(RedisSyncStore(address, Layout())) as sync, pytest.raises(StoreUnavailable) as refused:
        sync.count("site")
    told.add((refused.type, str(refused.value)))
    store = RedisStore(address, Layout(), timeout=0.5)
    for call in (lambda: store.open("a", 10), store.snapshot):
        with pytest.raises(StoreUnavailable) as refused:
            await call()
        told.add((refused.type, str(refused.value)))
    with suppress(StoreUnavailable):
        await store.close(0)
    return told


async def test_a_password_that_is_not_given_is_asked_for(tmp_path: Path):
    with RedisServer(tmp_path, password="secret") as server:
        ((kind, text),) = await failures(server.url.replace(":secret@", ""))
    assert kind is StoreRefuses
    assert text == "Authentication required: the address gives no password"


async def test_a_redis_that_does_not_answer_is_named(tmp_path: Path):
    with RedisServer(tmp_path, password="secret") as server:
        server.pause()
        try:
            told = await failures(server.url)
        finally:
            server.resume()
    shown = f"redis://***@127.0.0.1:{server.port}/0"
    assert told == {(StoreSilent, f"{shown} did not answer in time")}


async def test_a_redis_that_is_not_there_is_named_and_the_sentence_has_no_end_of_its_own(tmp_path: Path):
    server = RedisServer(tmp_path)
    told = await failures(server.url)
    assert {kind for kind, _ in told} == {StoreUnavailable}
    for _, text in told:
        assert f"127.0.0.1:{server.port}" in text
        assert not text.endswith(".")


async def test_sentinels_that_are_not_there_are_told_in_a_sentence(tmp_path: Path):
    servers = [RedisServer(tmp_path) for _ in range(2)]
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    told = await failures(f"redis+sentinel://:secret@{hosts}/lobby")
    assert told == {
        (StoreUnavailable, f"No master found for 'lobby'; no answer of {hosts.replace(',', ', ')}"),
    }


async def test_a_service_that_the_sentinels_do_not_know_is_named(tmp_path: Path):
    with SentinelGroup(tmp_path) as group:
        told = await failures(group.url.replace(f"/{group.name}/0", "/elsewhere"))
        assert told == {(StoreUnavailable, "No master found for 'elsewhere'")}
        told = await failures(group.url.replace(f"/{group.name}/0", ""))
        assert told == {(StoreUnavailable, "No master found for 'mymaster'")}
