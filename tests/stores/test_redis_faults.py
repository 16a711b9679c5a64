"""What happens to Redis, and what the store makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import product
from pathlib import Path

import pytest

from tests.polling import eventually
from tests.redis_servers import RedisServer, SentinelGroup
from whosonline.core.statuses import SITE, Status
from whosonline.stores.base import Beat
from whosonline.stores.errors import NodeExpelled, PositionGone, StoreUnavailable
from whosonline.stores.redis import Address, RedisStore
from whosonline.stores.redis.calls import Calls
from whosonline.stores.redis.codec import pack_reports
from whosonline.stores.redis.layout import Layout
from whosonline.testing.contract.cluster import named, present, seen, told

ONLINE, AWAY, OFFLINE = Status.ONLINE, Status.AWAY, Status.OFFLINE

LEASE = 1.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path, keep="always") as server:
        yield server


@pytest.fixture
async def stores(server: RedisServer) -> AsyncIterator[list[RedisStore]]:
    """Two nodes."""
    stores = [RedisStore(Address.parse(server.url), Layout()) for _ in range(2)]
    for name, store in zip("ab", stores, strict=True):
        await store.open(name, LEASE)
    yield stores
    for store in stores:
        await store.close(0)


async def test_a_report_that_was_overtaken_by_a_later_one_does_nothing(stores: list[RedisStore]):
    a, b = stores
    await a.report([seen("ann")])
    late = pack_reports([seen("ann", AWAY), seen("bob")])
    await a.report([seen("ann", OFFLINE)])
    assert await a._calls.run("report", 0, "a", 1, late) == []
    assert await present(b) == {}


async def test_a_server_that_was_restarted_with_its_data_begins_an_epoch_and_keeps_everybody(
    server: RedisServer, stores: list[RedisStore]
):
    a, b = stores
    await a.report([seen("ann"), seen("bob"), seen("cid")])
    a.sync.touch("dan", named("dan"), "session", 60)
    before = await b.snapshot()
    await asyncio.to_thread(server.restart, empty=False)
    after = await b.snapshot()
    assert after.state == before.state
    assert after.cursor[0].epoch != before.cursor[0].epoch
    assert after.age < LEASE
    with pytest.raises(PositionGone):
        await anext(b.follow(before.cursor))
    with pytest.raises(NodeExpelled):
        await a.report([seen("ann")])
    assert await a.beat() is Beat.EXPELLED
    # What a node tells of a user replaces what was known of the user before, at once.
    assert told(await a.report([seen("ann"), seen("bob", OFFLINE)])) == [(SITE, "bob", OFFLINE)]
    assert await present(b) == {"ann": ONLINE, "cid": ONLINE, "dan": ONLINE}

    # Whom nobody told of again is gone after a lease, and no sooner.
    async def cid_is_gone() -> bool:
        for store in stores:
            await store.beat()
            await store.sweep()
        return "cid" not in await present(b)

    await eventually(cid_is_gone, 10)
    assert (await b.snapshot()).age >= LEASE
    assert await present(b) == {"ann": ONLINE, "dan": ONLINE}


async def test_a_reader_that_waits_learns_at_once_that_an_epoch_has_begun(
    server: RedisServer, stores: list[RedisStore]
):
    a, b = stores
    await a.report([seen("ann")])
    following = b.follow((await b.snapshot()).cursor)
    assert not (await anext(following)).entries
    waiting = asyncio.ensure_future(anext(following))
    async with asyncio.timeout(3):  # less than a silent log is waited for
        await eventually(lambda: _has_blocked(server), 10)
        server.cli("FLUSHALL")
        assert await a.beat() is Beat.EXPELLED
        with pytest.raises(PositionGone):
            await waiting


async def _has_blocked(server: RedisServer) -> bool:
    return bool((await asyncio.to_thread(server.cli, "INFO", "clients"))["blocked_clients"])


async def test_a_call_that_is_cancelled_ends_at_whatever_moment_of_it(server: RedisServer):
    calls = Calls(Address.parse(server.url), Layout(), timeout=5.0)
    for wait, turns in product((0.0, 60.0), range(30)):
        call = asyncio.create_task(calls.read(0, after=0, wait=wait))
        for _ in range(turns):
            await asyncio.sleep(0)
        if call.cancel():
            await asyncio.wait([call], timeout=10)
            assert call.cancelled()
    await calls.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_scripts_that_the_server_forgot_are_sent_again(server: RedisServer, stores: list[RedisStore]):
    server.cli("SCRIPT FLUSH")
    await stores[0].report([seen("ann")])
    assert await present(stores[1]) == {"ann": ONLINE}


async def test_connections_that_were_ended_from_the_other_side_are_made_anew_unseen(
    server: RedisServer, stores: list[RedisStore]
):
    a, b = stores
    await a.report([seen("ann")])
    assert await present(b) == {"ann": ONLINE}
    server.cli("CLIENT KILL", "TYPE", "normal")
    assert await a.beat() is Beat.RENEWED
    assert await present(b) == {"ann": ONLINE}


async def test_a_full_store_is_unavailable_and_takes_over_nothing_by_halves(
    server: RedisServer, stores: list[RedisStore]
):
    a, _ = stores
    await a.report([seen("ann")])
    before = await a.snapshot()
    server.cli("CONFIG SET", "maxmemory", "1")
    with pytest.raises(StoreUnavailable):
        await a.report([seen("ann", AWAY), seen("bob")])
    server.cli("CONFIG SET", "maxmemory", "0")
    assert (await a.snapshot())[:2] == before[:2]
    assert told(await a.report([seen("ann", AWAY), seen("bob")])) == [
        (SITE, "ann", AWAY),
        (SITE, "bob", ONLINE),
    ]


async def test_a_server_that_does_not_answer_is_unavailable_within_the_time_allowed(server: RedisServer):
    store = RedisStore(Address.parse(server.url), Layout(), timeout=0.3)
    await store.open("a", LEASE)
    server.pause()
    try:
        async with asyncio.timeout(2):
            with pytest.raises(StoreUnavailable):
                await store.beat()
            with pytest.raises(StoreUnavailable):
                await store.snapshot()
    finally:
        server.resume()
    assert await store.beat() in Beat
    await store.close(0)


async def test_another_server_that_takes_over_begins_an_epoch_with_whom_it_knows(tmp_path: Path):
    with SentinelGroup(tmp_path) as group:
        store = RedisStore(Address.parse(group.url), Layout())
        await store.open("a", 60)
        await store.report([seen("ann")])
        before = await store.snapshot()
        await asyncio.to_thread(group.kill_master)

        async def answers() -> bool:
            try:
                return await store.beat() is Beat.EXPELLED
            except StoreUnavailable:
                return False

        await eventually(answers, 10)
        after = await store.snapshot()
        assert after.cursor[0].epoch != before.cursor[0].epoch
        await store.report([seen("ann"), seen("bob")])
        assert await present(store) == {"ann": ONLINE, "bob": ONLINE}
        await store.close(0)


async def test_a_snapshot_is_of_one_moment_however_much_changes_while_it_is_taken(stores: list[RedisStore]):
    a, b = stores
    users = [f"user {n:04}" for n in range(3000)]
    await a.report([seen(user) for user in users])

    async def change() -> None:
        for n in range(300):
            await a.report([seen(user, AWAY if n % 2 else ONLINE) for user in users[n::300]])
            await b.report([seen(f"guest {n}")])

    changing = asyncio.create_task(change())
    snapshots = []
    while not changing.done():
        snapshots.append(await b.snapshot())
        await a.beat()
        await b.beat()
    await changing
    final = await b.snapshot()
    assert len(snapshots) > 2
    for snapshot in snapshots:
        state = {user: presence.status for user, presence in snapshot.state[SITE].items()}
        following = b.follow(snapshot.cursor)
        cursor = snapshot.cursor
        while cursor != final.cursor:
            batch = await anext(following)
            cursor = batch.cursor
            for change_ in batch.entries:
                assert state.get(change_.user) is not change_.status  # type: ignore[union-attr]
                state[change_.user] = change_.status  # type: ignore[union-attr]
        await following.aclose()
        assert state == {user: presence.status for user, presence in final.state[SITE].items()}


async def test_a_clock_that_was_set_back_keeps_no_dead_node_and_harms_nothing(
    server: RedisServer, stores: list[RedisStore]
):
    a, b = stores
    await a.report([seen("ann")])
    later = int(server.cli("HGET", "{whosonline:0}:meta", "swept")) + 3_600_000
    server.cli("HSET", "{whosonline:0}:meta", "swept", later)
    server.cli("ZADD", "{whosonline:0}:leases", later, 1)
    await b.sweep()
    a.sync.touch("bob", named("bob"), "session", 60)
    assert await b.beat() is Beat.EXPELLED
    assert await present(b) == {"ann": ONLINE, "bob": ONLINE}

    async def ann_is_gone() -> bool:
        await b.beat()
        await b.sweep()
        return "ann" not in await present(b)

    await eventually(ann_is_gone, 10)


async def test_touches_end_though_no_node_lives_to_sweep(stores: list[RedisStore]):
    a, b = stores
    a.sync.touch("ann", named("ann"), "session", 0.2)
    await a.close(0)
    await b.close(0)

    async def is_gone() -> bool:
        return a.sync.count(SITE) == 0

    await eventually(is_gone, 10)


async def test_a_redis_user_needs_no_more_rights_than_the_docs_say(server: RedisServer):
    rights = "+@read +@write +@scripting +@connection +info +time ~{whosonline:*"
    assert rights in (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    server.cli("ACL", "SETUSER", "presence", "on", ">secret", *rights.split())
    store = RedisStore(Address.parse(server.url.replace("//", "//presence:secret@")), Layout())
    await store.open("a", LEASE)
    await store.report([seen("ann"), seen("bob"), seen("bob", OFFLINE)])
    store.sync.touch("cid", named("cid"), "session", 60)
    await store.sweep()
    assert await present(store) == {"ann": ONLINE, "cid": ONLINE}
    assert store.sync.status().online == 2
    assert store.sync.memory_policy() is None
    await store.close(0)
