"""Whatever happens to connections and reports, statuses are right, and in the end the store holds them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from whosonline.core.connections import Connections
from whosonline.core.entries import Profile, Report
from whosonline.core.statuses import SITE, Status

GRACE = 5.0
ROOMS = ("doc:1",)

users = st.sampled_from(["ann", "bob"])
sessions = st.sampled_from(["phone", "laptop"])
rooms = st.sampled_from(ROOMS)
names = st.sampled_from(["first", "second"])


@dataclass
class Tab:
    """What a naive model knows of a connection."""

    user: str
    session: str
    idle: bool = False
    rooms: set[str] = field(default_factory=lambda: {SITE})
    ends: float = float("inf")


class ConnectionsMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.connections = Connections(GRACE)
        self.ids = count()
        self.now = 0.0
        self.tabs: dict[int, Tab] = {}
        self.names: dict[str, Profile] = {}
        # What a store holds that was told by the reports only, and the touches that they are to release.
        self.store: dict[tuple[str, str], tuple[Status, Profile]] = {}
        self.touches: set[str] = set()
        self.invisible: set[str] = set()
        self.on_its_way: list[Report] | None = None
        # Nobody knows what the store holds: something was lost since all was told.
        self.in_doubt = False

    # What people do

    @initialize()
    def two_are_there(self) -> None:
        for user in ("ann", "bob"):
            self.open(user, "phone", "first", touched=False)
            self.connections.enter(len(self.tabs) - 1, ROOMS[0])
            self.tabs[len(self.tabs) - 1].rooms.add(ROOMS[0])
        self.all_is_told()

    @rule(user=users, session=sessions, name=names, touched=st.booleans(), invisible=st.booleans())
    def open(self, user: str, session: str, name: str, touched: bool, invisible: bool = False) -> None:
        id, session = next(self.ids), f"{user}'s {session}"
        self.names[user] = Profile(user, name)
        self.connections.open(id, user, session, self.names[user], touched=touched, invisible=invisible)
        (self.invisible.add if invisible else self.invisible.discard)(user)
        self.tabs[id] = Tab(user, session)
        if touched:
            self.touches.add(session)

    def _live(self) -> list[int]:
        return [id for id, tab in self.tabs.items() if tab.ends == float("inf")]

    def _ends(self, ids: Iterable[int]) -> None:
        for id in ids:
            del self.tabs[id]
        self.invisible &= {tab.user for tab in self.tabs.values()}

    @precondition(lambda self: self._live())
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(self._live()))
        self.connections.close(id, self.now)
        self.tabs[id].ends = self.now + GRACE

    @precondition(lambda self: self.tabs)
    @rule(data=st.data(), idle=st.booleans())
    def idle_or_active(self, data: st.DataObject, idle: bool) -> None:
        id = data.draw(st.sampled_from([*self.tabs]))
        self.connections.set_idle(id, idle)
        if id in self._live():
            self.tabs[id].idle = idle

    @precondition(lambda self: self.tabs)
    @rule(data=st.data(), room=rooms, inside=st.booleans())
    def enter_or_leave(self, data: st.DataObject, room: str, inside: bool) -> None:
        id = data.draw(st.sampled_from([*self.tabs]))
        (self.connections.enter if inside else self.connections.leave)(id, room)
        if id in self._live():
            (self.tabs[id].rooms.add if inside else self.tabs[id].rooms.discard)(room)

    @precondition(lambda self: self.tabs)
    @rule(data=st.data())
    def expel(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from([tab.session for tab in self.tabs.values()]))
        self.connections.drop(self.connections.of_session(session))
        self._ends([id for id, tab in self.tabs.items() if tab.session == session])

    @precondition(lambda self: self.tabs)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        ids = data.draw(st.sets(st.sampled_from([*self.tabs]), min_size=1))
        self.connections.drop(ids)
        self._ends(ids)

    @rule(user=users, invisible=st.booleans())
    def become_invisible_or_visible(self, user: str, invisible: bool) -> None:
        here = any(tab.user == user for tab in self.tabs.values())
        assert self.connections.set_invisible(user, invisible) == (
            here and invisible != (user in self.invisible)
        )
        if here:
            (self.invisible.add if invisible else self.invisible.discard)(user)

    @rule(user=users, name=names)
    def rename(self, user: str, name: str) -> None:
        self.connections.rename(user, Profile(user, name))
        if any(tab.user == user for tab in self.tabs.values()):
            self.names[user] = Profile(user, name)

    @precondition(lambda self: len(self._live()) < len(self.tabs))
    @rule(seconds=st.sampled_from([1.0, 2.0, GRACE]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.connections.expire(self.now)
        self._ends([id for id, tab in self.tabs.items() if tab.ends <= self.now])

    # What becomes of reports

    @precondition(lambda self: self.on_its_way is None)
    @rule()
    def report(self) -> None:
        self.on_its_way = self.connections.take_reports() or None

    @precondition(lambda self: self.on_its_way)
    @rule(arrives=st.booleans(), acknowledged=st.booleans())
    def report_ends(self, arrives: bool, acknowledged: bool) -> None:
        reports, self.on_its_way = self.on_its_way or [], None
        for report in reports if arrives or acknowledged else ():
            self._arrive(report)
        if not acknowledged:
            self.connections.put_back(reports)
            self.in_doubt = True

    def _arrive(self, report: Report) -> None:
        key = (report.room, report.user)
        before = self.store.pop(key, None)
        if report.status is not Status.OFFLINE:
            self.store[key] = (report.status, report.profile)
        # What the store has heard already it is not told again.
        assert self.in_doubt or report.releases or self.store.get(key) != before
        self.touches -= {*report.releases}

    @rule()
    def store_forgets(self) -> None:
        self.store.clear()
        self.connections.announce()
        self.in_doubt = True

    # What must hold

    def _folded(self, room: str, user: str) -> Status:
        idle = {tab.idle for tab in self.tabs.values() if tab.user == user and room in tab.rooms}
        if not idle or user in self.invisible:
            return Status.OFFLINE
        return Status.AWAY if idle == {True} else Status.ONLINE

    @invariant()
    def statuses_are_the_fold_of_all_connections(self) -> None:
        for user in ("ann", "bob"):
            for room in (SITE, *ROOMS):
                assert self.connections.status(room, user) is self._folded(room, user)
            mine = [id for id, tab in self.tabs.items() if tab.user == user]
            assert self.connections.of_user(user) == mine
            assert self.connections.live_count(user) == len({*mine} & {*self._live()})
        assert set(self.connections.users()) == {tab.user for tab in self.tabs.values()} - self.invisible
        for id, tab in self.tabs.items():
            assert self.connections.rooms(id) == tab.rooms
            assert id in self.connections.of_session(tab.session)

    @invariant()
    def the_deadline_is_not_after_the_next_end_of_a_grace(self) -> None:
        ends = [tab.ends for tab in self.tabs.values() if tab.ends < float("inf")]
        deadline = self.connections.deadline()
        assert not ends or (deadline is not None and deadline <= min(ends))

    @rule()
    def all_is_told(self) -> None:
        if self.on_its_way is not None:
            self.report_ends(arrives=False, acknowledged=False)
        self.report()
        self.report_ends(arrives=True, acknowledged=True)
        assert self.store == {
            (room, user): (self._folded(room, user), self.names[user])
            for user in ("ann", "bob")
            for room in (SITE, *ROOMS)
            if self._folded(room, user) is not Status.OFFLINE
        }
        assert self.touches == set()
        assert self.connections.take_reports() == []
        self.in_doubt = False

    def teardown(self) -> None:
        self.all_is_told()


TestConnectionsStateful = ConnectionsMachine.TestCase
TestConnectionsStateful.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
