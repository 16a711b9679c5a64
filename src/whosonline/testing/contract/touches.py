"""Presence without a socket: it runs out, or ends when a socket has come or the session has gone."""

from __future__ import annotations

from ...core.entries import Expel
from ...core.statuses import SITE, Status
from .cluster import Cluster, log_after, named, present, seen, told

ONLINE, AWAY, OFFLINE = Status.ONLINE, Status.AWAY, Status.OFFLINE


class TouchContract:
    async def test_a_touch_counts_as_online_in_the_site_until_it_runs_out(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        start = (await a.snapshot()).cursor
        a.sync.touch("ann", named("ann"), "session", cluster.lease)
        assert told(await log_after(a, start)) == [(SITE, "ann", ONLINE)]
        assert await present(a) == {"ann": ONLINE}
        assert a.sync.statuses(SITE, ["ann"])["ann"].profile == named("ann")
        assert await cluster.live(0.5, a) == []
        left = await cluster.live(0.75, a)
        assert told(left) == [(SITE, "ann", OFFLINE)]
        assert (await log_after(a, start))[1:] == left
        assert await present(a) == {}

    async def test_a_new_touch_of_a_session_replaces_the_old(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        a.sync.touch("ann", named("ann"), "session", cluster.lease)
        await cluster.live(0.75, a)
        start = (await a.snapshot()).cursor
        a.sync.touch("ann", named("ann"), "session", cluster.lease)
        assert await cluster.live(0.75, a) == []
        assert await log_after(a, start) == []
        assert told(await cluster.live(0.5, a)) == [(SITE, "ann", OFFLINE)]

    async def test_touches_of_several_sessions_hold_until_the_last_runs_out(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        a.sync.touch("ann", named("ann"), "long", 2 * cluster.lease)
        a.sync.touch("ann", named("ann"), "short", 0.5 * cluster.lease)
        assert await cluster.live(1, a) == []
        assert await present(a) == {"ann": ONLINE}
        assert told(await cluster.live(1.25, a)) == [(SITE, "ann", OFFLINE)]

    async def test_a_touch_outlives_the_node_that_told_of_it(self, cluster: Cluster) -> None:
        a, b = await cluster.node("a"), await cluster.node("b")
        a.sync.touch("ann", named("ann"), "session", 2 * cluster.lease)
        assert await cluster.live(1.25, b) == []
        assert await present(b) == {"ann": ONLINE}

    async def test_an_away_user_is_online_while_touched(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        await a.report([seen("ann", AWAY)])
        a.sync.touch("ann", named("ann"), "session", 0.5 * cluster.lease)
        assert await present(a) == {"ann": ONLINE}
        assert told(await cluster.live(0.75, a)) == [(SITE, "ann", AWAY)]

    async def test_a_touch_tells_new_names(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        await a.report([seen("ann")])
        a.sync.touch("ann", named("ann", "Anna"), "session", cluster.lease)
        assert a.sync.statuses(SITE, ["ann"])["ann"].profile == named("ann", "Anna")

    async def test_a_report_ends_the_touch_it_releases_unseen(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        a.sync.touch("ann", named("ann"), "session", 10 * cluster.lease)
        start = (await a.snapshot()).cursor
        assert await a.report([seen("ann", releases=("session",))]) == []
        assert await log_after(a, start) == []
        # Nothing but the socket holds the user now.
        assert told(await a.report([seen("ann", OFFLINE)])) == [(SITE, "ann", OFFLINE)]

    async def test_a_report_leaves_the_touches_of_other_sessions(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        for session in ("phone", "laptop"):
            a.sync.touch("ann", named("ann"), session, 10 * cluster.lease)
        await a.report([seen("ann", releases=("phone",))])
        assert await a.report([seen("ann", OFFLINE)]) == []
        assert await present(a) == {"ann": ONLINE}

    async def test_a_report_of_a_socket_that_came_and_went_ends_its_touch(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        a.sync.touch("ann", named("ann"), "session", 10 * cluster.lease)
        left = await a.report([seen("ann", OFFLINE, releases=("session",))])
        assert told(left) == [(SITE, "ann", OFFLINE)]

    async def test_a_report_may_release_what_never_stood(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        assert told(await a.report([seen("ann", releases=("session",))])) == [(SITE, "ann", ONLINE)]
        assert await a.report([seen("ann", releases=("session",))]) == []

    async def test_all_touches_of_a_user_can_be_ended_and_nobody_else_s(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        for session, user in (("phone", "ann"), ("laptop", "ann"), ("phone", "bob")):
            a.sync.touch(user, named(user), session, 10 * cluster.lease)
        start = (await a.snapshot()).cursor
        ended = a.sync.withdraw("ann")
        assert told(ended) == [(SITE, "ann", OFFLINE)]
        assert await log_after(a, start) == ended
        assert await present(a) == {"bob": ONLINE}
        assert a.sync.withdraw("ann") == a.sync.withdraw("nobody") == []
        await a.report([seen("bob")])
        assert a.sync.withdraw("bob") == []

    async def test_expelling_a_session_ends_its_touch_and_tells_every_node(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        a.sync.touch("ann", named("ann"), "session", 10 * cluster.lease)
        start = (await a.snapshot()).cursor
        a.sync.expel("session", "ann")
        left, expelled = await log_after(a, start)
        assert told([left]) == [(SITE, "ann", OFFLINE)]
        assert expelled == Expel("session")
        assert await present(a) == {}
        # The ended touch does not run out a second time.
        assert await cluster.live(1, a) == []

    async def test_expelling_a_session_leaves_whom_something_else_holds(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        await a.report([seen("ann")])
        for session, user in (("lost", "ann"), ("lost", "bob"), ("kept", "bob")):
            a.sync.touch(user, named(user), session, 10 * cluster.lease)
        start = (await a.snapshot()).cursor
        a.sync.expel("lost", "ann")
        a.sync.expel("lost", "bob")
        assert await log_after(a, start) == [Expel("lost"), Expel("lost")]
        assert await present(a) == {"ann": ONLINE, "bob": ONLINE}

    async def test_the_touch_of_a_session_that_nobody_knows_runs_out(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        a.sync.touch("ann", named("ann"), "session", 0.5 * cluster.lease)
        start = (await a.snapshot()).cursor
        a.sync.expel("session")
        assert await log_after(a, start) == [Expel("session")]
        assert await present(a) == {"ann": ONLINE}
        assert told(await cluster.live(0.75, a)) == [(SITE, "ann", OFFLINE)]
