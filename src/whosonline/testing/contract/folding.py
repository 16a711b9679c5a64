"""Many nodes' views of a user are one status, in each room."""

from __future__ import annotations

from ...core.statuses import SITE, Status
from .cluster import Cluster, log_after, named, present, seen, told

ONLINE, AWAY, OFFLINE = Status.ONLINE, Status.AWAY, Status.OFFLINE


class FoldingContract:
    async def test_whom_a_node_reports_is_present_until_it_reports_otherwise(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        assert await present(a) == {}
        await a.report([seen("ann"), seen("bob", AWAY)])
        assert await present(a) == {"ann": ONLINE, "bob": AWAY}
        await a.report([seen("ann", OFFLINE)])
        assert await present(a) == {"bob": AWAY}

    async def test_a_user_on_two_nodes_leaves_with_the_last(self, cluster: Cluster) -> None:
        a, b = await cluster.node("a"), await cluster.node("b")
        await a.report([seen("ann")])
        assert await b.report([seen("ann")]) == []
        assert await a.report([seen("ann", OFFLINE)]) == []
        assert await present(a) == {"ann": ONLINE}
        assert told(await b.report([seen("ann", OFFLINE)])) == [(SITE, "ann", OFFLINE)]
        assert await present(a) == {}

    async def test_in_use_anywhere_is_online_and_idle_everywhere_is_away(self, cluster: Cluster) -> None:
        a, b = await cluster.node("a"), await cluster.node("b")
        await a.report([seen("ann", AWAY)])
        await b.report([seen("ann", AWAY)])
        assert await present(a) == {"ann": AWAY}
        await b.report([seen("ann", ONLINE)])
        assert await present(a) == {"ann": ONLINE}
        await b.report([seen("ann", AWAY)])
        assert await present(a) == {"ann": AWAY}

    async def test_a_report_returns_the_changes_it_caused_as_the_log_has_them(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        start = (await a.snapshot()).cursor
        caused = await a.report([seen("bob"), seen("ann", AWAY), seen("ann", AWAY, room="doc:42")])
        caused += await a.report([seen("bob", OFFLINE), seen("ann", AWAY)])
        assert told(caused) == [
            (SITE, "bob", ONLINE),
            (SITE, "ann", AWAY),
            ("doc:42", "ann", AWAY),
            (SITE, "bob", OFFLINE),
        ]
        assert [change.profile for change in caused[:2]] == [named("bob"), named("ann")]
        assert await log_after(a, start) == caused

    async def test_a_repeated_report_does_nothing(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        reports = [seen("ann"), seen("bob", AWAY), seen("cid"), seen("cid", OFFLINE)]
        await a.report(reports)
        start = (await a.snapshot()).cursor
        assert await a.report(reports[:2]) == []
        assert await a.report([seen("cid", OFFLINE)]) == []
        assert await log_after(a, start) == []
        assert await present(a) == {"ann": ONLINE, "bob": AWAY}

    async def test_a_report_that_nobody_is_there_does_nothing(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        start = (await a.snapshot()).cursor
        assert await a.report([seen("ann", OFFLINE)]) == []
        assert await log_after(a, start) == []
        assert await present(a) == {}

    async def test_new_names_are_logged_once(self, cluster: Cluster) -> None:
        a, b = await cluster.node("a"), await cluster.node("b")
        await a.report([seen("ann")])
        await b.report([seen("ann")])
        start = (await a.snapshot()).cursor
        (change,) = await a.report([seen("ann", name="Anna")])
        assert await b.report([seen("ann", name="Anna")]) == []
        assert await log_after(a, start) == [change]
        assert (change.status, change.profile) == (ONLINE, named("ann", "Anna"))
        assert a.sync.statuses(SITE, ["ann"])["ann"].profile == named("ann", "Anna")

    async def test_rooms_are_independent(self, cluster: Cluster) -> None:
        a, b = await cluster.node("a"), await cluster.node("b")
        await a.report([seen("ann"), seen("ann", AWAY, room="doc:42"), seen("bob", room="doc:42")])
        assert await present(a) == {"ann": ONLINE}
        assert await present(a, "doc:42") == {"ann": AWAY, "bob": ONLINE}
        assert await present(a, "doc:43") == {}
        await b.report([seen("ann", AWAY, room="doc:42")])
        assert told(await a.report([seen("ann", OFFLINE)])) == [(SITE, "ann", OFFLINE)]
        # Whoever left one room keeps the names in another.
        assert await a.report([seen("ann", OFFLINE, room="doc:42")]) == []
        assert await present(a) == {}
        assert await present(a, "doc:42") == {"ann": AWAY, "bob": ONLINE}
        assert a.sync.statuses("doc:42", ["ann"])["ann"].profile == named("ann")

    async def test_pages_are_in_name_order_by_code_point(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        in_order = ["Zoe", "ann", "ann b", "anna", "zoe", "Änne", "\ufb01", "\U0001f600"]
        await a.report([seen(user) for user in reversed(in_order)])
        walked: list[str] = []
        after: str | None = None
        while page := a.sync.online(SITE, after, 2):
            assert len(page) <= 2
            walked += [user for user, _ in page]
            after = page[-1][1].profile.key
        assert walked == in_order
        assert [user for user, _ in a.sync.online(SITE, "amy", 2)] == ["ann", "ann b"]
        back: list[str] = []
        while page := a.sync.online_before(SITE, back[0] if back else "\U0010ffff", 3):
            assert len(page) <= 3
            back[:0] = [user for user, _ in page]
        assert back == in_order
        assert [user for user, _ in a.sync.online_before(SITE, "anm", 1)] == ["Zoe"]
        assert a.sync.online_before("nobody's", "z", 1) == []

    async def test_names_may_hold_any_characters(self, cluster: Cluster) -> None:
        a = await cluster.node("a")
        odd = [
            "a:b",
            'quo"te',
            "back\\slash",
            "{braces}",
            "new\nline",
            "nul\0",
            "naïve 名前 🎉",
            "<b>&amp;",
            "-",
        ]
        start = await a.snapshot()
        await a.report([seen(user, room=f"room {user}", name=f"name {user}") for user in odd])
        logged = await log_after(a, start.cursor)
        assert sorted(entry[:2] for entry in logged) == sorted((f"room {user}", user) for user in odd)
        for user in odd:
            assert await present(a, f"room {user}") == {user: ONLINE}
            found = a.sync.statuses(f"room {user}", [user])
            assert found[user].profile == named(user, f"name {user}")
