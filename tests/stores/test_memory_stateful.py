"""The memory store against a model that has no log, no index and no increments: it folds all it was told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from whosonline.core.entries import Missed, Profile, Report
from whosonline.core.replica import Presence
from whosonline.core.statuses import SITE, Status, fold
from whosonline.stores.base import Beat, Snapshot, Store
from whosonline.stores.errors import NodeExpelled
from whosonline.stores.memory import MemoryBackend, MemoryStore
from whosonline.testing.clock import ManualClock
from whosonline.testing.contract.cluster import log_after, replay

LEASE = 8.0

nodes = st.sampled_from(["a", "b", "c"])
users = st.sampled_from(["ann", "bob", "cid"])
sessions = st.sampled_from(["phone", "laptop"])
profiles = st.builds(Profile, st.sampled_from(["k1", "k2"]), st.sampled_from(["n1", "n2"]))
reports = st.builds(Report, st.sampled_from([SITE, "doc:42"]), users, st.sampled_from(Status), profiles)
releasing = st.builds(Report, st.just(SITE), users, st.sampled_from(Status), profiles, st.tuples(sessions))


class Model:
    """What a store was told, as it was told, and no more."""

    def __init__(self, now: float) -> None:
        self.deadlines: dict[str, float] = {}
        self.leaving: set[str] = set()
        self.held: dict[tuple[str, str, str], Status] = {}
        """(node, room, user)"""
        self.touches: dict[tuple[str, str], float] = {}
        """(user, session) -> its end"""
        self.names: dict[tuple[str, str], Profile] = {}
        self.swept = now
        self.amnesty = now

    def status(self, room: str, user: str) -> Status:
        held = [status for (_, *holding), status in self.held.items() if holding == [room, user]]
        touched = room == SITE and any(touched == user for touched, _ in self.touches)
        return fold([*held, *([Status.ONLINE] if touched else [])])

    def state(self) -> dict[str, dict[str, Presence]]:
        state: dict[str, dict[str, Presence]] = {}
        for (room, user), profile in self.names.items():
            status = self.status(room, user)
            if status is not Status.OFFLINE:
                state.setdefault(room, {})[user] = Presence(status, profile)
        return state

    def report(self, node: str, report: Report) -> None:
        for session in report.releases:
            self.touches.pop((report.user, session), None)
        if report.status is Status.OFFLINE:
            self.held.pop((node, report.room, report.user), None)
        else:
            self.held[node, report.room, report.user] = report.status
            self.names[report.room, report.user] = report.profile

    def sweep_without_nodes(self, now: float) -> None:
        if all(end <= now for end in self.deadlines.values()):
            self.touches = {touch: end for touch, end in self.touches.items() if end > now}

    def sweep(self, now: float) -> int:
        """End what is due; return how many nodes died without a farewell."""
        longest = LEASE if self.deadlines else 0.0
        if now - self.swept > longest / 2:
            self.amnesty = now + longest
        self.swept = now
        if now < self.amnesty:
            return 0
        self.touches = {touch: end for touch, end in self.touches.items() if end > now}
        died = {node for node, end in self.deadlines.items() if end <= now} - self.leaving
        self.deadlines = {node: end for node, end in self.deadlines.items() if end > now}
        self.held = {held: status for held, status in self.held.items() if held[0] in self.deadlines}
        return len(died)


class StoreMachine(RuleBasedStateMachine):
    """Any store whose clock can be set, beside the model."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.begin()
        self.stores = dict(self._open_all())
        self.model = Model(self.clock.time())
        self.model.deadlines = dict.fromkeys(self.stores, LEASE)
        self.snapshots = [self._snapshot()]

    def begin(self) -> None:
        """Begin with an empty store, whose time is this machine's clock."""
        raise NotImplementedError

    def store(self) -> Store:
        """Return a new handle on it."""
        raise NotImplementedError

    def _open_all(self) -> Iterator[tuple[str, Store]]:
        for name in ("a", "b", "c"):
            store = self.store()
            self.runner.run(store.open(name, LEASE))
            yield name, store

    def _snapshot(self) -> Snapshot:
        return self.runner.run(self.stores["a"].snapshot())

    def teardown(self) -> None:
        for snapshot in self.snapshots:
            entries = self.runner.run(log_after(self.stores["a"], snapshot.cursor))
            assert replay(snapshot, entries).as_state() == self.model.state()
        for store in self.stores.values():
            self.runner.run(store.close(0))
        self.runner.close()

    @initialize(reports=st.lists(reports, min_size=3, max_size=5))
    def some_are_there(self, reports: list[Report]) -> None:
        for node in self.stores:
            self.report(node, reports)

    @rule(node=nodes)
    def beat(self, node: str) -> None:
        expected = Beat.RENEWED if node in self.model.deadlines else Beat.EXPELLED
        assert self.runner.run(self.stores[node].beat()) is expected
        self.model.deadlines[node] = self.clock.time() + LEASE
        self.model.leaving.discard(node)

    @rule(node=nodes, linger=st.sampled_from([0.0, 2.0]))
    def close(self, node: str, linger: float) -> None:
        self.runner.run(self.stores[node].close(linger))
        if node in self.model.deadlines:
            self.model.deadlines[node] = self.clock.time() + linger
            self.model.leaving.add(node)

    @rule(node=nodes, reports=st.lists(reports | releasing, min_size=1, max_size=5))
    def report(self, node: str, reports: list[Report]) -> None:
        if node not in self.model.deadlines:
            with pytest.raises(NodeExpelled):
                self.runner.run(self.stores[node].report(reports))
            return
        before = self._snapshot()
        caused = self.runner.run(self.stores[node].report(reports))
        assert caused == self.runner.run(log_after(self.stores[node], before.cursor))
        for report in reports:
            self.model.report(node, report)
            self._forget_names()

    @rule(user=users, profile=profiles, session=sessions, ttl=st.sampled_from([2.0, 10.0]))
    def touch(self, user: str, profile: Profile, session: str, ttl: float) -> None:
        self.stores["a"].sync.touch(user, profile, session, ttl)
        self.model.sweep_without_nodes(self.clock.time())
        self._forget_names()
        self.model.touches[user, session] = self.clock.time() + ttl
        self.model.names[SITE, user] = profile

    @rule(user=users | st.none(), session=sessions)
    def expel(self, user: str | None, session: str) -> None:
        self.stores["a"].sync.expel(session, user)
        if user is not None:
            self.model.touches.pop((user, session), None)

    @rule(seconds=st.sampled_from([1.0, 2.0, 3.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.move(seconds)

    @rule(node=nodes)
    def sweep(self, node: str) -> None:
        before = self._snapshot()
        caused, _ = self.runner.run(self.stores[node].sweep())
        logged = self.runner.run(log_after(self.stores[node], before.cursor))
        assert caused == [entry for entry in logged if entry != Missed()]
        assert logged.count(Missed()) == self.model.sweep(self.clock.time())

    @rule(turns=st.integers(1, 12), alive=st.sets(nodes))
    def all_goes_well(self, turns: int, alive: set[str]) -> None:
        for _ in range(turns):
            self.time_passes(1.0)
            for node in sorted(alive):
                self.beat(node)
            self.sweep("a")

    @rule(users=st.sets(users))
    def ask(self, users: set[str]) -> None:
        present = self.stores["a"].sync.statuses(SITE, users)
        count = self.stores["a"].sync.count(SITE)
        self.model.sweep_without_nodes(self.clock.time())
        self._forget_names()
        here = self.model.state().get(SITE, {})
        assert present == {user: here[user] for user in users & here.keys()}
        assert count == len(here)

    @rule()
    def look(self) -> None:
        self.snapshots.append(self._snapshot())

    def _forget_names(self) -> None:
        self.model.names = {
            (room, user): profile
            for (room, user), profile in self.model.names.items()
            if self.model.status(room, user) is not Status.OFFLINE
        }

    @invariant()
    def the_store_holds_what_it_was_told(self) -> None:
        self._forget_names()
        assert self._snapshot().state == self.model.state()


class MemoryStoreMachine(StoreMachine):
    def begin(self) -> None:
        self.backend = MemoryBackend(self.clock.time, self.clock.wall)

    def store(self) -> Store:
        return MemoryStore(self.backend)


TestMemoryStoreStateful = MemoryStoreMachine.TestCase
TestMemoryStoreStateful.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
