"""Two processes disagree about nothing: when it is quiet, every replica and every client equal the truth.

Before that processes die, stand still and begin anew, the store goes away and forgets, and people come and
go, in any order; and nobody who stays is ever shown as gone (:mod:`tests.hub.simulation.promises`).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from whosonline.core.statuses import SITE
from whosonline.hub import sending
from whosonline.testing import clock

from .simulation.cluster import FOR_EVER, USERS, Cluster
from .simulation.loop import SimulationLoop, settle
from .simulation.processes import Process
from .simulation.tabs import Tab
from .simulation.truth import check, come_to_rest

Thing = TypeVar("Thing")

PROCESSES = 3
TABS = 8
BUSY = 6
"""Steps for which it is not quiet."""

some = st.integers(0, 11)
"""Which one, of as many as there are."""
yes_or_no = st.booleans()
users = st.sampled_from(USERS)
devices = st.sampled_from(["phone", "laptop"])
rooms = st.sampled_from(["doc:1", "doc:2"])
bounds = st.sampled_from([None, None, "b", "c"])
pauses = st.sampled_from([0.0, 0.5, 2.0, 5.0, 12.0])
"""Seconds before anything else happens."""
lasts = st.sampled_from([1.0, 4.0, 8.0, 15.0, FOR_EVER])
"""Seconds until it ends by itself."""
watches = st.one_of(
    st.builds(lambda users: {"type": "watch", "users": sorted(users)}, st.sets(users)),
    st.builds(
        lambda room, after, limit: {"type": "watch", "room": room, "after": after, "limit": limit},
        rooms | st.just(SITE),
        bounds,
        st.integers(1, 5),
    ),
    st.builds(
        lambda after, until: {"type": "watch", "directory": {"after": after, "until": until}}, bounds, bounds
    ),
)


def pick(things: Sequence[Thing], which: int) -> Thing:
    return things[which % len(things)]


class ClusterMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.patches = ExitStack()
        self.patches.enter_context(mock.patch.object(clock, "settle", settle))
        self.runner = asyncio.Runner(loop_factory=SimulationLoop)
        self.cluster = Cluster()
        self.steps = 0
        self.sound = 0

    @initialize(
        tabs=st.lists(st.tuples(users, some), min_size=3, max_size=6),
        sound=st.integers(0, 2),
        long_flushes=yes_or_no,
    )
    def some_are_there(self, tabs: list[tuple[str, int]], sound: int, long_flushes: bool) -> None:
        """Begin; nothing befalls some processes but what befalls the store."""
        self.sound = sound
        if long_flushes:
            # The loop has a turn after each frame.
            self.patches.enter_context(mock.patch.object(sending, "YIELD_AFTER", -1.0))
        for _ in range(PROCESSES):
            self.a_process_starts(cut_off=False, pause=1.0)
        for user, at in tabs:
            self.open_a_tab(user, "laptop", at, idle=False, slowly=False)

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.it_is_quiet()
        finally:
            self.run(self.cluster.end())
            self.runner.close()
            self.patches.close()

    @precondition(lambda self: self.steps >= BUSY)
    @rule()
    def it_is_quiet(self) -> None:
        self.steps = 0
        self.runner.run(come_to_rest(self.cluster))
        check(self.cluster)

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 3.0, 7.0]))
    def time_passes(self, seconds: float) -> None:
        self.run(self.cluster.advance(seconds))

    # People come and go

    @precondition(lambda self: self.running() and len(self.cluster.tabs) < TABS)
    @rule(user=users, device=devices, at=some, idle=yes_or_no, slowly=yes_or_no)
    def open_a_tab(self, user: str, device: str, at: int, idle: bool, slowly: bool) -> None:
        self.run(self.cluster.open_tab(user, device, pick(self.running(), at), idle, slowly))

    @precondition(lambda self: self.running() and self.lost())
    @rule(which=some, at=some, slowly=yes_or_no)
    def come_back(self, which: int, at: int, slowly: bool) -> None:
        self.run(self.cluster.connect(pick(self.lost(), which), pick(self.running(), at), slowly))

    @precondition(lambda self: self.knocking())
    @rule(which=some)
    def a_handshake_ends(self, which: int) -> None:
        self.run(self.cluster.end_handshake(pick(self.knocking(), which)))

    @precondition(lambda self: self.cluster.tabs)
    @rule(which=some)
    def close_a_tab(self, which: int) -> None:
        self.run(self.cluster.close_tab(self.tab(which)))

    @rule(user=users, device=devices, ttl=st.sampled_from([3.0, 30.0, 120.0]))
    def log_in(self, user: str, device: str, ttl: float) -> None:
        self.run(self.cluster.log_in(user, device, ttl))

    @precondition(lambda self: self.cluster.tabs)
    @rule(which=some)
    def log_out(self, which: int) -> None:
        self.run(self.cluster.log_out(self.tab(which).user, self.tab(which).session))

    @rule(user=users, letter=st.sampled_from("abc"))
    def rename(self, user: str, letter: str) -> None:
        self.run(self.cluster.rename(user, letter))

    # People do something at a tab

    @precondition(lambda self: self.cluster.tabs)
    @rule(which=some, idle=yes_or_no)
    def step_away_or_back(self, which: int, idle: bool) -> None:
        self.act(lambda: self.tab(which).be_idle(idle))

    @precondition(lambda self: self.cluster.tabs)
    @rule(which=some, room=rooms, enters=yes_or_no)
    def enter_or_leave(self, which: int, room: str, enters: bool) -> None:
        tab = self.tab(which)
        self.act(lambda: tab.enter_room(room) if enters else tab.leave_room(room))

    @precondition(lambda self: self.cluster.tabs)
    @rule(which=some, message=watches)
    def watch(self, which: int, message: dict[str, Any]) -> None:
        self.act(lambda: self.tab(which).say(message))

    @precondition(lambda self: self.cluster.tabs)
    @rule(which=some, what=st.sampled_from(["users", "directory", "page"]))
    def unwatch(self, which: int, what: str) -> None:
        page = self.tab(which).state.page
        if what != "page":
            self.act(lambda: self.tab(which).say({"type": "unwatch", what: True}))
        elif page is not None:
            self.act(lambda: self.tab(which).say({"type": "unwatch", "room": page.watch["room"]}))

    @precondition(lambda self: self.cluster.tabs)
    @rule(which=some, reads=yes_or_no)
    def read_on_or_no_more(self, which: int, reads: bool) -> None:
        tab = self.tab(which)
        self.act(tab.read_on if reads else tab.stop_reading)

    # Processes

    @precondition(lambda self: len(self.cluster.processes) < PROCESSES)
    @rule(cut_off=yes_or_no, pause=pauses)
    def a_process_starts(self, cut_off: bool, pause: float) -> None:
        self.run(self.cluster.start(cut_off), pause)

    @precondition(lambda self: self.frail())
    @rule(at=some, arrives=yes_or_no, pause=pauses)
    def a_process_is_killed(self, at: int, arrives: bool, pause: float) -> None:
        self.run(self.cluster.kill(pick(self.frail(), at), arrives), pause)

    @precondition(lambda self: self.frail(still=False))
    @rule(at=some, pause=pauses)
    def a_process_ends(self, at: int, pause: float) -> None:
        self.run(self.cluster.shut_down(pick(self.frail(still=False), at)), pause)

    @precondition(lambda self: self.frail(still=False))
    @rule(at=some, then_at=some, killed=yes_or_no)
    def a_process_ends_and_its_people_come_back(self, at: int, then_at: int, killed: bool) -> None:
        process = pick(self.frail(still=False), at)
        tabs = [tab for tab in self.cluster.tabs if tab.process is process]
        self.run(self.cluster.kill(process, arrives=True) if killed else self.cluster.shut_down(process), 0.5)
        for tab in tabs:
            if self.running():
                self.run(self.cluster.connect(tab, pick(self.running(), then_at)))

    @precondition(lambda self: self.frail(still=False))
    @rule(at=some, lasts=lasts, pause=pauses)
    def a_process_stands_still(self, at: int, lasts: float, pause: float) -> None:
        self.run(self.cluster.stop(pick(self.frail(still=False), at), lasts), pause)

    @precondition(lambda self: self.frail(still=True))
    @rule(at=some, timers_first=yes_or_no)
    def a_process_goes_on(self, at: int, timers_first: bool) -> None:
        self.run(self.cluster.go_on(pick(self.frail(still=True), at), timers_first))

    # The store, and the ways to it

    @precondition(lambda self: self.frail())
    @rule(at=some, answers_lost=yes_or_no, arrives=yes_or_no, lasts=lasts)
    def a_process_is_cut_off(self, at: int, answers_lost: bool, arrives: bool, lasts: float) -> None:
        self.run(self.cluster.cut_off(pick(self.frail(), at), answers_lost, arrives, lasts))

    @precondition(lambda self: self.cut_off())
    @rule(at=some)
    def a_process_is_reconnected(self, at: int) -> None:
        self.run(self.cluster.reconnect(pick(self.cut_off(), at)))

    @precondition(lambda self: self.frail())
    @rule(
        at=some,
        delays=st.lists(st.sampled_from([0.0, 0.05, 0.5, 4.0]), min_size=1, max_size=3),
        log_alone=yes_or_no,
    )
    def a_way_is_slow(self, at: int, delays: list[float], log_alone: bool) -> None:
        self.run(self.cluster.slow_down(pick(self.frail(), at), delays, log_alone))

    @precondition(lambda self: not self.cluster.store_away)
    @rule(
        arrives=yes_or_no, forgets=st.sampled_from(["before", "meanwhile", "not"]), lasts=lasts, pause=pauses
    )
    def the_store_goes_away(self, arrives: bool, forgets: str, lasts: float, pause: float) -> None:
        if forgets == "before":
            self.run(self.cluster.wipe_store())
        self.run(self.cluster.take_store_away(arrives, lasts), pause)
        if forgets == "meanwhile":
            self.run(self.cluster.wipe_store())

    @precondition(lambda self: self.cluster.store_away)
    @rule(pause=pauses)
    def the_store_comes_back(self, pause: float) -> None:
        self.run(self.cluster.bring_store_back(), pause)

    @rule(what=st.sampled_from(["restart", "forget", "overflow"]), arrives=yes_or_no, pause=pauses)
    def something_befalls_the_store(self, what: str, arrives: bool, pause: float) -> None:
        if what == "restart":
            self.run(self.cluster.restart_store(arrives), pause)
        elif what == "forget":
            self.run(self.cluster.wipe_store(), pause)
        else:
            self.run(self.cluster.overflow_log(), pause)

    # Inside

    def run(self, work: Coroutine[Any, Any, Any], pause: float = 0.0) -> None:
        self.steps += 1
        self.runner.run(work)
        if pause:
            self.runner.run(self.cluster.advance(pause))

    def act(self, deed: Callable[[], None]) -> None:
        async def acting() -> None:
            deed()
            await self.cluster.look()

        self.run(acting())

    def tab(self, which: int) -> Tab:
        return pick(self.cluster.tabs, which)

    def running(self) -> list[Process]:
        return [process for process in self.cluster.processes if not process.still]

    def frail(self, still: bool | None = None) -> list[Process]:
        frail = self.cluster.processes[self.sound :]
        return [process for process in frail if still in (None, process.still)]

    def cut_off(self) -> list[Process]:
        ways = [(process, process.store) for process in self.cluster.processes]
        return [process for process, store in ways if store.cut_off or store.answers_lost]

    def lost(self) -> list[Tab]:
        return [tab for tab in self.cluster.tabs if tab.process is None]

    def knocking(self) -> list[Tab]:
        return [tab for tab in self.cluster.tabs if tab.handshake is not None]


TestClusterStateful = ClusterMachine.TestCase
TestClusterStateful.settings = settings(
    derandomize=True, max_examples=12, stateful_step_count=250, deadline=None
)
