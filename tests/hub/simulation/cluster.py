"""All of it together: the processes, the store, the people, and what is true of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from whosonline.core.entries import Profile
from whosonline.core.wire import CloseCode
from whosonline.hub.connection import Connection
from whosonline.hub.rechecks import Standing
from whosonline.stores.memory import MemoryBackend, MemorySyncStore
from whosonline.testing.clock import ManualClock

from ..conftest import People
from .loop import settle
from .processes import Process
from .promises import CERTAIN_GRACE, Promises
from .tabs import Handshake, Tab

USERS = ("ann", "bob", "cid", "dee")
LOG_LENGTH = 12
STEP = 0.5
"""Seconds between two looks."""
FOR_EVER = float("inf")
PATIENCE = 50.0
"""Seconds after which a browser has given up a socket that does not open."""


class Database(People):
    """The site's database: who is listed, and which sessions have ended."""

    def __init__(self) -> None:
        super().__init__()
        self.listed = {user: Profile(f"b{user}", user.title()) for user in USERS}
        self.ended: set[str] = set()

    async def find_staying(self, connections: list[Connection]) -> dict[Connection, Standing]:
        return {
            connection: Standing(float("inf"))
            for connection in connections
            if connection.session not in self.ended
        }


class Touch:
    """A log-in that counts without a socket until it ends, or a socket of its session was reported."""

    def __init__(self, user: str, ends: float) -> None:
        self.user = user
        self.ends = ends
        self.replaced_by: Process | None = None


class Cluster:
    """Processes on one store, the people at their tabs, and the site's database."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.backend = MemoryBackend(self.clock.time, self.clock.wall, LOG_LENGTH)
        self.sync = MemorySyncStore(self.backend)
        self.database = Database()
        self.promises = Promises()
        self.processes: list[Process] = []
        """Those that serve."""
        self.tabs: list[Tab] = []
        self.store_away = False
        self._dead: list[Process] = []
        self._under_way: list[asyncio.Future[None]] = []
        self.renamed: set[str] = set()
        """Since it was quiet."""
        self.misnamed: set[str] = set()
        """Whose new name some process may have missed."""
        self._sessions: dict[tuple[str, str], str] = {}
        self.touches: dict[str, Touch] = {}

    # Processes

    async def start(self, cut_off: bool = False) -> Process:
        process = Process(self.backend, self.clock, self.database.site())
        process.store.cut_off, process.store.outage = cut_off, self.store_away
        process.hub.start()
        self.processes.append(process)
        self.promises.begin(process)
        await self.look()
        if process.store.read is not None:
            process.store.gaps = 0  # nobody was there to miss anything
        return process

    async def kill(self, process: Process, arrives: bool) -> None:
        """End a process without a word; what it has sent may arrive late, or not at all."""
        process.kill()
        if not arrives:
            await process.store.cut(arrives=False)
        self._bury(process)
        await self.look()

    async def shut_down(self, process: Process) -> None:
        """End a process as a restart does."""
        self._bury(process)
        # A store that is slow to answer holds it up.
        self._under_way.append(asyncio.ensure_future(process.hub.stop()))
        await self.look()

    async def stop(self, process: Process, lasts: float = FOR_EVER) -> None:
        process.stop()

        def go_on() -> None:
            if process.serves and process.still:
                self._under_way.append(asyncio.ensure_future(process.go_on(timers_first=False)))

        self._after(lasts, go_on)
        await self.look()

    async def go_on(self, process: Process, timers_first: bool) -> None:
        await process.go_on(timers_first)
        await self.look()

    def _bury(self, process: Process) -> None:
        for tab in self.tabs:
            if tab.process is process:
                tab.lose(CERTAIN_GRACE)
        process.serves = False
        self.promises.end(process)
        self.processes.remove(process)
        self._dead.append(process)

    async def end(self) -> None:
        """Let everything be cancelled: nothing hangs any more."""
        for process in (*self.processes, *self._dead):
            process.store.runs.set()
        await settle()

    # The store, and the ways to it

    async def cut_off(
        self, process: Process, answers_lost: bool, arrives: bool, lasts: float = FOR_EVER
    ) -> None:
        """Cut one process off the store, or lose the answers alone."""
        if answers_lost:
            process.store.answers_lost = True
        else:
            process.store.cut_off = True
            await process.store.cut(arrives)
        self._after(lasts, process.store.mend)
        await self.look()

    async def reconnect(self, process: Process) -> None:
        process.store.mend()
        await self.look()

    async def heal(self, process: Process) -> None:
        process.store.mend()
        await process.store.hurry()
        await self.look()

    async def slow_down(self, process: Process, delays: Sequence[float], log_alone: bool = False) -> None:
        process.store.slow_down(delays, log_alone)
        await self.look()

    async def take_store_away(self, arrives: bool, lasts: float = FOR_EVER) -> None:
        self.store_away = True
        for process in self.processes:
            process.store.outage = True
            await process.store.cut(arrives)
        self._after(lasts, self._end_outage)
        await self.look()

    async def bring_store_back(self) -> None:
        self._end_outage()
        await self.look()

    def _end_outage(self) -> None:
        self.store_away = False
        for process in self.processes:
            process.store.outage = False

    async def restart_store(self, arrives: bool) -> None:
        """Restart it with its data."""
        for process in self.processes:
            await process.store.cut(arrives)
        await self.look()

    async def wipe_store(self) -> None:
        self.backend.wipe()
        self.promises.forget()
        self.touches.clear()
        await self.look()

    async def overflow_log(self) -> None:
        """Log more than the log can hold, before anybody can read it."""
        for _ in range(LOG_LENGTH + 1):
            self.sync.recheck("nobody")
        await self.look()

    # People

    async def open_tab(
        self, user: str, device: str, process: Process, idle: bool = False, slowly: bool = False
    ) -> Tab:
        session = self._sessions.setdefault((user, device), f"{user}'s {device} at {self.clock.time()}")
        tab = Tab(user, session, idle, self.promises)
        self.tabs.append(tab)
        await self.connect(tab, process, slowly)
        return tab

    async def connect(self, tab: Tab, process: Process, slowly: bool = False) -> None:
        """Let a tab without a socket open one; slowly: its handshake has still to be ended."""
        if tab.session in self.database.ended:
            self.tabs.remove(tab)  # it would find itself logged out
            return
        now = self.clock.time()
        touch = self.touches.get(tab.session)
        touched = touch is not None and now < touch.ends
        tab.knock(process, Handshake(self.database.listed[tab.user], touched, now))
        if not slowly:
            await self.end_handshake(tab)

    async def end_handshake(self, tab: Tab) -> None:
        assert tab.handshake is not None
        if self.clock.time() - tab.handshake.at > PATIENCE:
            tab.lose(0.0)
            return
        touched = tab.handshake.touched
        if tab.enter() and touched and tab.session in self.touches:
            self.touches[tab.session].replaced_by = tab.process
        await self.look()

    async def close_tab(self, tab: Tab) -> None:
        self.tabs.remove(tab)
        tab.lose(CERTAIN_GRACE)
        await self.look()

    async def log_in(self, user: str, device: str, ttl: float) -> None:
        """Begin another session on a device, and end the one before, if any."""
        if (user, device) in self._sessions:
            await self.log_out(user, self._sessions[user, device])
        session = self._sessions[user, device] = f"{user}'s {device} at {self.clock.time()}"
        if not self.store_away:
            self.sync.touch(user, self.database.listed[user], session, ttl)
            self.touches[session] = Touch(user, self.clock.time() + ttl)
        await self.look()

    async def log_out(self, user: str, session: str) -> None:
        """End a session; while the store is away it is not told."""
        self.database.ended.add(session)
        self._sessions = {device: name for device, name in self._sessions.items() if name != session}
        if not self.store_away:
            self.sync.expel(session, user)
            self.touches.pop(session, None)
        self.promises.end_session(session)
        await self.look()

    async def rename(self, user: str, letter: str) -> None:
        was = self.database.listed[user]
        now = self.database.listed[user] = Profile(letter + user, f"{letter.upper()} {user}")
        self.renamed.add(user)
        if not self.store_away:
            self.sync.relist(user, now, was.key)
        for process in self.processes:
            process.store.gaps += self.store_away
        await self.look()

    # Time, and what is seen

    def _after(self, seconds: float, callback: Callable[[], None]) -> None:
        self.clock.call_at(self.clock.time() + seconds, callback)

    async def advance(self, seconds: float) -> None:
        while seconds > 0:
            await self.clock.advance(min(seconds, STEP))
            seconds -= STEP
            await self.look()

    async def look(self) -> None:
        """Let everything come to rest, let everybody read, and see whether all promises are kept."""
        self.promises.look(self.clock.time(), self.store_away)
        await settle()
        for tab in list(self.tabs):
            self._read(tab)
        self.promises.check_replicas(self.backend.snapshot().cursor)

    def _read(self, tab: Tab) -> None:
        process = tab.process
        for message in tab.take():
            if process is not None and not tab.late:
                self.promises.check_message(process, message)
            tab.late = False
        if tab.socket.closed_with is not None and process is not None:
            assert tab.socket.closed_with is CloseCode.NOT_LOGGED_IN
            assert tab.session in self.database.ended
            tab.lose(0.0)
            self.tabs.remove(tab)
