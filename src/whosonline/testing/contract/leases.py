"""A node that is not heard of loses its users; one that comes back has them again."""

from __future__ import annotations

import asyncio

import pytest

from ...core.entries import Missed
from ...core.statuses import SITE, Status
from ...stores.base import Beat, NodeInfo, Revoked, Store
from ...stores.errors import NodeExpelled
from .cluster import STEPS, Cluster, log_after, named, present, replay, seen, told

ONLINE, AWAY, OFFLINE = Status.ONLINE, Status.AWAY, Status.OFFLINE


class LeaseContract:
    async def test_who_looks_after_the_site_sees_which_nodes_live_and_which_are_leaving(
        self, cluster: Cluster
    ) -> None:
        a, b = await cluster.node("a"), await cluster.node("b")
        await a.report([seen("ann"), seen("bob")])
        for store, label in ((a, "host:1"), (b, "host:2")):
            await store.beat(NodeInfo(label, 3, (await store.snapshot()).cursor))
        await a.close(cluster.lease / 2)
        leaving, lives = sorted(b.sync.status().nodes, key=lambda node: node.label)
        assert (leaving.label, leaving.leaving, leaving.connections, leaving.users) == ("host:1", True, 0, 2)
        assert (lives.label, lives.leaving, lives.connections, lives.behind) == ("host:2", False, 3, 0)
        assert leaving.lease <= cluster.lease / 2 < lives.lease
        # One that goes on all the same does not leave.
        await a.open("a", cluster.lease)
        await a.beat(NodeInfo("host:1", 3, None))
        assert [node.leaving for node in b.sync.status().nodes] == [False, False]
        assert b.sync.status().online == 2

    async def test_a_node_that_beats_keeps_its_users(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        await a.report([seen("ann")])
        assert await cluster.live(3, a) == []
        assert await a.beat() is Beat.RENEWED
        assert await present(a) == {"ann": ONLINE}

    async def test_the_users_of_a_dead_node_leave_within_a_lease_and_a_sweep(self, cluster: Cluster) -> None:
        a, b = await cluster.node("a"), await cluster.node("b")
        start = await b.snapshot()
        joined = await a.report([seen("ann"), seen("ann", room="doc:42")])
        assert await cluster.live(0.5, b) == []
        assert await present(b) == {"ann": ONLINE}
        left = await cluster.live(0.75, b)
        assert sorted(told(left)) == [("doc:42", "ann", OFFLINE), (SITE, "ann", OFFLINE)]
        assert await present(b) == await present(b, "doc:42") == {}
        logged = await log_after(b, start.cursor)
        assert [entry for entry in logged if entry != Missed()] == [*joined, *left]

    async def test_what_a_dead_node_had_to_tell_may_be_missing_but_not_what_one_had_that_closed(
        self, cluster: Cluster
    ) -> None:
        a, b, c = [await cluster.node(name) for name in "abc"]
        c.sync.recheck("ann")
        start = await c.snapshot()
        await a.close(cluster.lease / 4)
        await cluster.live(0.75, b, c)
        assert await log_after(c, start.cursor) == []
        assert len((await c.snapshot()).revoked.entries) == 1
        await cluster.live(1.25, c)
        assert set(await log_after(c, start.cursor)) == {Missed()}
        assert (await c.snapshot()).revoked == Revoked((await c.snapshot()).cursor, ())

    async def test_nothing_is_logged_of_a_dead_nodes_users_who_are_held_elsewhere(
        self, cluster: Cluster
    ) -> None:
        a, b = await cluster.node("a"), await cluster.node("b")
        await a.report([seen("ann"), seen("bob"), seen("cid")])
        await b.report([seen("ann"), seen("bob", AWAY)])
        b.sync.touch("cid", named("cid"), "session", 3 * cluster.lease)
        start = (await b.snapshot()).cursor
        # Who was in use only on the dead node is idle everywhere now; that is a change.
        assert told(await cluster.live(1.25, b)) == [(SITE, "bob", AWAY)]
        logged = await log_after(b, start)
        assert told(entry for entry in logged if entry != Missed()) == [(SITE, "bob", AWAY)]
        assert await present(b) == {"ann": ONLINE, "bob": AWAY, "cid": ONLINE}

    async def test_a_dead_node_is_judged_once_by_many(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        await a.report([seen(f"user {n}") for n in range(50)])
        others = [await cluster.node(name) for name in "bcd"]
        swept = await cluster.live(0.75, *others)
        for _ in range(STEPS // 2):
            await cluster.advance(cluster.lease / STEPS)
            for changes, _ in await asyncio.gather(*(store.sweep() for store in others)):
                swept += changes
        assert sorted(told(swept)) == sorted((SITE, f"user {n}", OFFLINE) for n in range(50))

    async def test_a_dead_node_is_told_so_and_its_next_report_heals_everything(
        self, cluster: Cluster
    ) -> None:
        a, b = await cluster.node("a"), await cluster.node("b")
        await a.report([seen("ann"), seen("bob", AWAY)])
        await cluster.live(1.25, b)
        start = (await b.snapshot()).cursor
        with pytest.raises(NodeExpelled):
            await a.report([seen("ann"), seen("bob", AWAY)])
        assert await log_after(b, start) == []
        assert await a.beat() is Beat.EXPELLED
        assert await a.beat() is Beat.RENEWED
        await a.report([seen("ann"), seen("bob", AWAY)])
        assert await present(b) == {"ann": ONLINE, "bob": AWAY}
        assert await cluster.live(1.25, a, b) == []

    async def test_a_closed_node_lingers_for_the_time_it_asked_for(self, cluster: Cluster) -> None:
        a, b = await cluster.node("a"), await cluster.node("b")
        await a.report([seen("ann"), seen("bob")])
        await a.close(cluster.lease * 0.5)
        assert await cluster.live(0.25, b) == []
        # Who comes back in time was never gone.
        assert await b.report([seen("ann")]) == []
        assert told(await cluster.live(0.5, b)) == [(SITE, "bob", OFFLINE)]
        assert await present(b) == {"ann": ONLINE}

    async def test_opening_once_more_changes_nothing(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        await a.report([seen("ann"), seen("bob")])
        await a.open("a", cluster.lease)
        assert await present(a) == {"ann": ONLINE, "bob": ONLINE}
        await a.report([seen("ann", OFFLINE)])
        assert await present(a) == {"bob": ONLINE}
        await a.close(0)
        await cluster.live(0.25, await cluster.node("b"))
        assert await present(a) == {}

    async def test_after_the_store_was_away_every_node_has_the_time_to_beat(self, cluster: Cluster) -> None:
        a, b = await cluster.node("a"), await cluster.node("b")
        await a.report([seen("ann")])
        await b.report([seen("bob")])
        a.sync.touch("cid", named("cid"), "session", cluster.lease)
        await cluster.live(0.5, a, b)
        await cluster.advance(3 * cluster.lease)
        assert (await a.sweep()).changes == []
        assert await cluster.live(0.5, a) == []
        assert await present(a) == {"ann": ONLINE, "bob": ONLINE, "cid": ONLINE}
        # Who had the time and still is not heard of is gone.
        assert sorted(told(await cluster.live(1, a))) == [(SITE, "bob", OFFLINE), (SITE, "cid", OFFLINE)]
        assert await a.beat() is Beat.RENEWED

    async def test_a_node_that_was_late_with_the_store_is_not_expelled(self, cluster: Cluster) -> None:
        a, b = await cluster.node("a"), await cluster.node("b")
        await b.report([seen("bob")])
        await cluster.advance(3 * cluster.lease)
        await a.sweep()
        await cluster.live(0.5, a)
        assert await b.beat() is Beat.RENEWED
        assert await cluster.live(1.5, a, b) == []
        assert await present(b) == {"bob": ONLINE}

    async def test_a_wiped_store_begins_a_new_epoch_and_nodes_announce_themselves(
        self, cluster: Cluster
    ) -> None:
        a, b = await cluster.node("a"), await cluster.node("b")
        await a.report([seen("ann")])
        before = (await b.snapshot()).cursor
        await cluster.wipe()
        after = (await b.snapshot()).cursor
        assert {position.epoch for position in before}.isdisjoint(position.epoch for position in after)
        assert await present(b) == {}
        with pytest.raises(NodeExpelled):
            await a.report([seen("ann")])
        assert [await a.beat(), await b.beat()] == [Beat.EXPELLED, Beat.EXPELLED]
        joined = await a.report([seen("ann")])
        assert told(joined) == [(SITE, "ann", ONLINE)]
        assert await log_after(b, after) == joined
        assert await cluster.live(1.25, a, b) == []

    async def test_a_sweep_ends_a_bounded_chunk_and_the_next_goes_on(self, cluster: Cluster) -> None:
        a, b = await cluster.node("a"), await cluster.node("b")
        users = [f"user {n:05}" for n in range(cluster.sweep_chunk * 5 // 2)]
        await a.report([seen(user) for user in users])
        chunks = [await self._first_swept(cluster, b)]
        more = True
        while more:
            changes, more = await b.sweep()
            chunks.append(told(changes))
        assert max(len(chunk) for chunk in chunks) <= cluster.sweep_chunk
        assert sorted(user for chunk in chunks for _, user, _ in chunk) == users
        assert await present(b) == {}

    async def test_a_sweep_that_changes_nothing_says_whether_there_is_more(self, cluster: Cluster) -> None:
        a, b, c = [await cluster.node(name) for name in "abc"]
        users = [f"user {n:05}" for n in range(cluster.sweep_chunk * 5 // 2)]
        await a.report([seen(user) for user in users])
        await b.report([seen(user) for user in users[:-1]])
        await cluster.live(0.75, b, c)
        sweeps = [await c.sweep()]
        while not any(changes for changes, _ in sweeps):
            await cluster.advance(cluster.lease / STEPS)
            await b.beat()
            sweeps.append(await c.sweep())
            while sweeps[-1].more:
                sweeps.append(await c.sweep())
        changed = [change for changes, _ in sweeps for change in changes]
        assert told(changed) == [(SITE, users[-1], OFFLINE)]
        # Of the chunks of which more were to come, one at the most held the one who left.
        assert ([], True) in sweeps

    async def test_a_node_that_returns_amid_its_sweep_keeps_who_is_left(self, cluster: Cluster) -> None:
        a, b = await cluster.node("a"), await cluster.node("b")
        users = [f"user {n:05}" for n in range(cluster.sweep_chunk * 3 // 2)]
        await a.report([seen(user) for user in users])
        start = await b.snapshot()
        gone = await self._first_swept(cluster, b)
        assert 0 < len(gone) < len(users)
        assert await a.beat() is Beat.EXPELLED
        back = await a.report([seen(user) for user in users])
        assert sorted(user for _, user, _ in told(back)) == sorted(user for _, user, _ in gone)
        assert await cluster.live(1, a, b) == []
        assert await present(b) == dict.fromkeys(users, ONLINE)
        replay(start, await log_after(b, start.cursor))

    async def _first_swept(self, cluster: Cluster, store: Store) -> list[tuple[str, str, Status]]:
        """Return what the first sweep ended that ended anything."""
        for _ in range(2 * STEPS):
            await store.beat()
            if swept := (await store.sweep()).changes:
                return told(swept)
            await cluster.advance(cluster.lease / STEPS)
        raise AssertionError("no sweep ended anything within two leases")
