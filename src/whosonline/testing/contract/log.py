"""The log: every change once and in order, to be followed from any place that it still reaches."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from ...core.entries import Batch, Change, Cursor, Entry, Expel, Listing, Missed, Recheck, Renew
from ...core.statuses import SITE, Status
from ...stores.base import NO_INFO, Revoked, Snapshot, Store
from ...stores.errors import NodeExpelled, PositionGone
from .cluster import PATIENCE, Cluster, log_after, named, present, replay, seen

ONLINE, AWAY, OFFLINE = Status.ONLINE, Status.AWAY, Status.OFFLINE


async def _next(following: AsyncIterator[Batch]) -> Batch:
    """Return the next batch that holds anything."""
    async with asyncio.timeout(PATIENCE):
        while not (batch := await anext(following)).entries:
            pass
    return batch


def _is_behind(place: Cursor, other: Cursor) -> bool:
    """Return whether one place in the log is behind another, in any partition."""
    return any(mine.sequence > its.sequence for mine, its in zip(place, other, strict=True))


class LogContract:
    async def test_a_follower_waits_for_what_comes_and_has_each_entry_once(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        following = a.follow((await a.snapshot()).cursor)
        followed: list[Entry] = []
        logged: list[Entry] = []
        for user in ("ann", "bob", "cid"):
            waiting = asyncio.ensure_future(_next(following))
            await asyncio.sleep(0)
            logged += await a.report([seen(user), seen(user, AWAY)])
            followed += (await waiting).entries
            while len(followed) < len(logged):
                followed += (await _next(following)).entries
        assert len(logged) == 6
        assert followed == logged

    async def test_the_first_batch_comes_at_once_and_no_other_is_empty(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        begin = (await a.snapshot()).cursor
        following = a.follow(begin)
        async with asyncio.timeout(PATIENCE):
            assert await anext(following) == Batch((), begin)
        waiting = asyncio.ensure_future(anext(following))
        await asyncio.sleep(0)
        assert not waiting.done()
        logged = await a.report([seen("ann")])
        async with asyncio.timeout(PATIENCE):
            assert list((await waiting).entries) == logged
            assert list((await anext(a.follow(begin))).entries) == logged

    async def test_each_batch_says_from_where_to_go_on(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        cursor = (await a.snapshot()).cursor
        logged: list[Entry] = []
        followed: list[Entry] = []
        for n in range(5):
            logged += await a.report([seen(f"user {n}"), seen(f"user {n}", AWAY)])
            batch = await _next(a.follow(cursor))
            followed += batch.entries
            cursor = batch.cursor
        assert followed == logged

    async def test_followers_do_not_take_entries_from_each_other(self, cluster: Cluster) -> None:
        a, b = await cluster.node("a"), await cluster.node("b")
        start = (await a.snapshot()).cursor
        first = await a.report([seen("ann")])
        middle = (await a.snapshot()).cursor
        second = await b.report([seen("bob")])
        assert await log_after(a, start) == await log_after(b, start) == first + second
        assert await log_after(a, middle) == await log_after(b, middle) == second

    async def test_all_who_wait_are_told(self, cluster: Cluster) -> None:
        stores = [await cluster.node(name) for name in "abc"]
        start = (await stores[0].snapshot()).cursor
        waiting = [asyncio.ensure_future(_next(store.follow(start))) for store in stores]
        await asyncio.sleep(0)
        logged = await stores[0].report([seen("ann")])
        assert [list(batch.entries) for batch in await asyncio.gather(*waiting)] == [logged] * 3

    async def test_a_long_log_is_followed_to_its_end(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        start = (await a.snapshot()).cursor
        logged = await a.report([seen(f"user {n}") for n in range(cluster.log_length * 3 // 4)])
        assert await log_after(a, start) == logged

    async def test_control_entries_stand_among_the_changes_in_order(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        start = (await a.snapshot()).cursor
        joined = await a.report([seen("ann")])
        a.sync.relist("zoe", named("zoe", "Zoë"), None)
        a.sync.relist("zoe", None, "zoe")
        a.sync.recheck("ann")
        a.sync.renew("another", "ann")
        a.sync.expel("session", "ann")
        left = await a.report([seen("ann", OFFLINE)])
        assert await log_after(a, start) == [
            *joined,
            Listing("zoe", named("zoe", "Zoë"), None),
            Listing("zoe", None, "zoe"),
            Recheck("ann"),
            Renew("another"),
            Expel("session"),
            *left,
        ]

    async def test_a_snapshot_tells_what_was_revoked_since_the_epoch_began(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        begin = (await a.snapshot()).cursor
        await a.report([seen("ann")])
        a.sync.recheck("ann")
        a.sync.relist("zoe", named("zoe", "Zoë"), None)  # who is new had nothing that could be revoked
        a.sync.relist("zoe", named("zoe", "Zoe"), "zoe")
        a.sync.renew("another", "ann")
        a.sync.expel("session", "ann")
        a.sync.expel("of somebody")
        revoked = (await a.snapshot()).revoked
        assert not _is_behind(revoked.since, begin)
        assert all(0 <= age < cluster.lease for age, _ in revoked.entries)
        assert sorted((entry for _, entry in revoked.entries), key=repr) == [
            Expel("of somebody"),
            Expel("session"),
            Recheck("ann"),
            Recheck("zoe"),  # without the names
            Renew("another"),
        ]

    async def test_so_much_is_remembered_of_it_as_the_log_holds(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        users = [f"user {n}" for n in range(cluster.log_length * 3 // 2)]
        for user in users:
            a.sync.recheck(user)
        snapshot = await a.snapshot()
        since, entries = snapshot.revoked
        assert cluster.log_length // 2 < len(entries) <= cluster.log_length + len(since)
        assert Recheck(users[-1]) in {entry for _, entry in entries}
        assert entries == tuple(sorted(entries, key=lambda one: -one.age))
        # Nothing else was logged: as many as the numbers say.
        places = zip(snapshot.cursor, since, strict=True)
        assert len(entries) == sum(end.sequence - begin.sequence for end, begin in places)

    async def test_where_a_node_could_not_reach_the_store_nothing_is_sure_of_before(
        self, cluster: Cluster
    ) -> None:
        a = await cluster.node("a")
        a.sync.recheck("ann")
        before = (await a.snapshot()).cursor
        await a.beat(NO_INFO._replace(missed=True))
        snapshot = await a.snapshot()
        assert set(await log_after(a, before)) == {Missed()}
        assert snapshot.revoked == Revoked(snapshot.cursor, ())
        await a.beat()
        a.sync.recheck("bob")
        since, entries = (await a.snapshot()).revoked
        assert (since, [entry for _, entry in entries]) == (snapshot.cursor, [Recheck("bob")])

    async def test_what_was_revoked_in_an_earlier_epoch_is_of_no_use(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        a.sync.recheck("ann")
        await cluster.wipe()
        await a.beat()
        snapshot = await a.snapshot()
        assert [its.epoch for its in snapshot.revoked.since] == [its.epoch for its in snapshot.cursor]
        assert snapshot.revoked.entries == ()

    async def test_changes_are_dated_by_the_stores_clock(self, cluster: Cluster) -> None:
        a, b = await cluster.node("a"), await cluster.node("b")
        (first,) = await a.report([seen("ann")])
        await cluster.live(0.5, a, b)
        (second,) = await b.report([seen("bob")])
        assert second.at - first.at >= 0.45 * cluster.lease
        assert first.at > 1_500_000_000  # seconds since 1970

    async def test_a_place_that_was_trimmed_is_gone(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        start = (await a.snapshot()).cursor
        await a.report([seen("ann")])
        for n in range(2 * cluster.log_length // 100):
            await a.report([seen(f"user {n} {m}") for m in range(100)])
        with pytest.raises(PositionGone):
            await _next(a.follow(start))

    async def test_a_place_of_an_earlier_epoch_is_gone(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        start = (await a.snapshot()).cursor
        await a.report([seen("ann")])
        later = (await a.snapshot()).cursor
        await cluster.wipe()
        await a.beat()
        # As many entries as before: the numbers alone would not show it.
        await a.report([seen("bob")])
        for cursor in (start, later):
            with pytest.raises(PositionGone):
                await _next(a.follow(cursor))

    async def test_a_follower_that_waits_learns_of_a_new_epoch(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        waiting = asyncio.ensure_future(_next(a.follow((await a.snapshot()).cursor)))
        await asyncio.sleep(0)
        await cluster.wipe()
        with pytest.raises(PositionGone):
            await waiting

    @pytest.mark.parametrize("seed", range(5))
    async def test_a_snapshot_and_what_follows_it_are_always_the_truth(
        self, cluster: Cluster, seed: int
    ) -> None:
        nodes = [await cluster.node(name) for name in "abc"]
        begin = await nodes[0].snapshot()
        churned = await asyncio.gather(
            *(_churn(store, random.Random(f"{seed} {n}"), cluster.lease) for n, store in enumerate(nodes))
        )
        final = await nodes[0].snapshot()
        logged = await log_after(nodes[0], begin.cursor)
        for snapshot in [begin, final, *(snapshot for _, snapshots in churned for snapshot in snapshots)]:
            entries = await log_after(nodes[0], snapshot.cursor)
            assert replay(snapshot, entries).as_state() == final.state
            assert entries == logged[len(logged) - len(entries) :]
        caused = Counter(change for changes, _ in churned for change in changes)
        assert caused <= Counter(entry for entry in logged if isinstance(entry, Change))
        for room in (SITE, "doc:42"):
            await present(nodes[0], room)


async def _churn(store: Store, random: random.Random, lease: float) -> tuple[list[Change], list[Snapshot]]:
    """Do what nodes do, in any order; return the changes caused, and what snapshots showed meanwhile."""
    caused: list[Change] = []
    snapshots: list[Snapshot] = []
    users = ["ann", "bob", "cid", "dan"]
    for _ in range(60):
        user, session = random.choice(users), random.choice(["phone", "laptop"])
        match random.randrange(8):
            case 0:
                store.sync.touch(user, named(user), session, random.choice([0.0, lease]))
            case 1:
                store.sync.expel(session, user)
            case 2:
                caused += (await store.sweep()).changes
            case 3:
                snapshots.append(await store.snapshot())
            case _:
                caused += await _report(store, random, users)
        await asyncio.sleep(0)
    return caused, snapshots


async def _report(store: Store, random: random.Random, users: list[str]) -> list[Change]:
    reports = [
        seen(user, random.choice(list(Status)), room=random.choice([SITE, "doc:42"]))
        for user in random.choices(users, k=random.randrange(1, 4))
    ]
    try:
        return await store.report(reports)
    except NodeExpelled:  # a slow machine, and a clock that cannot be stopped
        await store.beat()
        return []
