"""One process of the load: thousands of browser tabs, each of another person, as cheaply as Python can.

What a tab does is what the browser module does, without a browser: it opens its socket, says what it
watches, answers pings, and returns after a random delay when it has lost its server. Frames are looked
at as little as the measurement needs: see :mod:`bench.sights`.
"""

from __future__ import annotations

import gc
import heapq
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

from whosonline.huge_pages import HugePages

from . import frames
from .accounts import Account
from .frames import CLOSE, PING, TEXT
from .posts import Post
from .processes import BenchError
from .reader import ALL_LEFT, READ, UNREAD, Found, events, reader
from .sights import Ledger, View
from .tab import (
    BROKEN,
    CONNECTING,
    GREETED,
    LATER,
    LOGGED_OUT,
    SHAKING_HANDS,
    SHUT,
    STABLE,
    WELCOMED,
    Stats,
    Tab,
    retry_delay,
)

NAP = 0.001
"""Seconds between two looks at the sockets. A frame that wakes its reader costs its writer more than the
writing does; readers on other machines, as a site has them, are woken by nobody here. Every latency that
is measured includes it."""

LONG_NAP = 0.02
"""The same amid a crowd of frames, and so much later it may see them. Each look at the sockets costs, and so
does to look at what was read, for which there is time when a look finds nothing: the processor that it takes
is missing to the servers."""

CROWD, SPAN = 3_000, 0.5
"""Texts a second that make a crowd, counted over so many seconds. When one by one come and go whom a thousand
look at, a process has fewer."""

BACKLOG = 1_000_000
"""Frames that are looked at later, when there is nothing to read; beyond these reading has to wait. As many
as come in two minutes: the processor that looking takes is missing to the servers, which share it."""

FEW, MANY = 100, 2_000
"""Frames that are looked at before sockets are again: in a quiet moment; and where reading has to wait."""

# The kernel chooses a port for each connection by both its ends, not one for each source alone.
IP_BIND_ADDRESS_NO_PORT = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)


class Crowd:
    """Whether many texts come.

    Args:
        many: Texts a second that are many.
        span: Seconds over which they are counted, at the least.
    """

    def __init__(self, many: float, span: float) -> None:
        self._many = many
        self._span = span
        self._begins, self._before = 0.0, 0
        self._is_one = False

    def is_one(self, came: int, now: float) -> bool:
        """Return whether many came in the last whole span, by how many have ever come."""
        lasted = now - self._begins
        if lasted >= self._span:
            self._is_one = came - self._before >= self._many * lasted
            self._begins, self._before = now, came
        return self._is_one


class Browser:
    """All tabs of one process. Its public methods are what the process that measures can ask for.

    Args:
        accounts: Whose tabs they are, by number.
        ports: Where the site is served; tabs are spread over them.
        stride: How many such processes there are: they deal out the numbers among themselves.
        source: The address that the tabs come from.
        library: reader.c, compiled; None if it cannot be.
    """

    def __init__(
        self,
        accounts: Mapping[int, Account],
        ports: Sequence[int],
        stride: int,
        source: str,
        library: str | None,
    ) -> None:
        self.tabs = {
            number: Tab(number, account.cookie, ports[number // stride % len(ports)])
            for number, account in accounts.items()
        }
        self.ledger = Ledger()
        self._source = source
        self._by_file: dict[int, Tab] = {}
        self._poll = select.epoll()
        self._reader = reader(self._poll, library)
        self._timers: list[tuple[float, int, Callable[..., None], Any]] = []
        self._order = count()
        self._returns = False
        self._frames = self._received = self._sent = self._open = self._under_way = 0
        self._last = 0.0
        self._crowd = Crowd(CROWD, SPAN)
        self._connects = False
        self._posts: dict[int, Post] = {}
        self.forget()

    # What can be asked for

    def forget(self) -> None:
        """Begin a new count of what goes wrong."""
        self._closed: Counter[int] = Counter()
        self._refused: Counter[str] = Counter()

    def stats(self) -> Stats:
        return Stats(
            self._open,
            self._under_way,
            self._closed,
            self._refused,
            self._frames,
            self._received + self._reader.received,
            self._sent + self._reader.sent,
            self._last,
        )

    def look(self, views: Sequence[View], of: Mapping[int, int]) -> None:
        """Decide which of the views each tab has when it opens next."""
        for number, view in of.items():
            self.tabs[number].view = views[view]

    def open(self, schedule: Iterable[tuple[float, int]]) -> None:
        """Open tabs, each at its time."""
        for at, number in schedule:
            self._under_way += 1
            self._at(at, self._connect, self.tabs[number])

    def close(self, schedule: Iterable[tuple[float, int]]) -> None:
        """Close tabs as a person does, each at its time."""
        for at, number in schedule:
            self._at(at, self._leave, self.tabs[number])

    def log_out(self, schedule: Iterable[tuple[float, int]]) -> None:
        """Log people out by the form on the log-out page, each at their time."""
        for at, number in schedule:
            self._at(at, self._post, self.tabs[number])

    def drop(self, numbers: Iterable[int], at: float) -> None:
        """Break the connections of open tabs at a time, as when a network fails: the server sees a reset."""
        for number in numbers:
            self._at(at, self._break, self.tabs[number])

    def returning(self, returns: bool) -> None:
        """Say whether a tab that loses its server comes back."""
        self._returns = returns

    def welcomed(self) -> list[float]:
        """Return when each open tab was welcomed last."""
        return [tab.welcomed for tab in self.tabs.values() if tab.stage == WELCOMED]

    def ledger_call(self, name: str, *arguments: Any) -> Any:
        """Ask the ledger of what the tabs have seen."""
        return getattr(self.ledger, name)(list(self.tabs.values()), *arguments)

    # The loop

    def serve(self, pipe: Connection) -> None:
        """Live until the other side of the pipe has gone."""
        self._poll.register(pipe, select.EPOLLIN)
        while True:
            wait = min(max(self._timers[0][0] - time.monotonic(), 0), 1) if self._timers else 1
            found = self._reader.look(0 if self.ledger.behind else wait)
            # No file gets another socket meanwhile: only timers open any. What is left came after the noted.
            self._note(found)
            for file, at, data in found.left:
                self._go_on(self._by_file[file], at, data)
            for file in found.ready:
                tab = self._by_file.get(file)
                if tab is not None:
                    self._ready(tab)
                elif file == pipe.fileno():
                    name, arguments = pipe.recv()
                    pipe.send(getattr(self, name)(*arguments))
                elif file in self._posts:  # else closed by what came just before
                    self._posted(file)
            if self.ledger.behind > BACKLOG:
                self.ledger.catch_up(MANY)
            elif not (found.ready or found.left or found.texts):
                self.ledger.catch_up(FEW)
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                _, _, action, tab = heapq.heappop(self._timers)
                action(tab)
            self._nap(now)

    def _nap(self, now: float) -> None:
        # A browser says what it has to say as soon as it is connected; here that is now.
        connects, self._connects = self._connects, False
        if self._crowd.is_one(self._frames, now):
            time.sleep(LONG_NAP)
        elif not connects:
            time.sleep(NAP)

    def _at(self, when: float, action: Callable[..., None], tab: Tab) -> None:
        heapq.heappush(self._timers, (when, next(self._order), action, tab))

    # One tab: opening

    def _connect(self, tab: Tab) -> None:
        if tab.stage != SHUT:
            raise BenchError(f"tab {tab.number} is opened while it is open")
        tab.began = time.monotonic()
        tab.socket = opened = self._socket(tab.port)
        tab.stage = CONNECTING
        self._by_file[opened.fileno()] = tab
        self.ledger.caused(tab, tab.began)

    def _socket(self, port: int) -> socket.socket:
        """Return a socket that is connecting."""
        opened = socket.socket(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        opened.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        opened.bind((self._source, 0))
        opened.connect_ex(("127.0.0.1", port))
        self._connects = True
        self._poll.register(opened, events())
        return opened

    def _ready(self, tab: Tab) -> None:
        assert tab.socket is not None
        try:
            if tab.stage == CONNECTING:
                tab.stage = SHAKING_HANDS
                # Where nothing could be connected to, saying something fails as connecting did.
                self._say(tab, frames.handshake(tab.port, tab.cookie, self._query(tab)))
                self._reader.read_for(tab.socket.fileno(), ALL_LEFT)
                return
            self._read(tab)
        except OSError:
            self._lost(tab, BROKEN)

    def _query(self, tab: Tab) -> str:
        if tab.resume:
            return f"?resume={self.ledger.resume(tab.resume)}"
        return tab.view.query if tab.view else ""

    def _read(self, tab: Tab) -> None:
        """Read all that has come for a tab, also the end that may have come with it and is told but once."""
        while tab.socket is not None:
            try:
                data = tab.socket.recv(READ)
            except BlockingIOError:
                return
            self._received += len(data)
            self._came(tab, data, time.monotonic())

    def _came(self, tab: Tab, data: bytes, now: float) -> None:
        if tab.stage >= GREETED and data:
            self._take(tab, data, now)
        elif data:
            self._shake_hands(tab, data, now)
        else:
            self._lost(tab, BROKEN)

    def _go_on(self, tab: Tab, at: float, data: bytes | None) -> None:
        """Take what the reader has read and left."""
        try:
            self._came(tab, data or b"", at)
            if data is not None and len(data) == READ:
                self._read(tab)
        except OSError:
            self._lost(tab, BROKEN)

    def _note(self, found: Found) -> None:
        """Take the texts that the reader has read."""
        self._frames += found.texts
        self._last = max(self._last, found.last)
        if found.noted:
            self.ledger.hear_all(found.noted)

    def _say(self, tab: Tab, data: bytes) -> None:
        assert tab.socket is not None
        try:
            sent = tab.socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent != len(data):
            raise BenchError("the kernel did not take a message at once")
        self._sent += sent

    def _shake_hands(self, tab: Tab, data: bytes, now: float) -> None:
        head, end, rest = (tab.rest + data).partition(b"\r\n\r\n")
        if not end:
            tab.rest = head
            return
        if not head.startswith(b"HTTP/1.1 101 "):
            self._lost(tab, BROKEN, head.partition(b"\r\n")[0].decode())
            return
        tab.rest, tab.stage = b"", GREETED
        self.ledger.opened(tab)
        if tab.view is not None and tab.view.greeting:
            self._say(tab, tab.view.greeting)
        if tab.view is not None and tab.view.silent:
            self._welcome(tab, now)
        if rest:
            self._take(tab, rest, now)

    # One tab: open

    def _take(self, tab: Tab, data: bytes, now: float) -> None:
        if tab.rest:
            data = tab.rest + data
        *whole, tab.rest = frames.split(data)
        for frame in whole:
            if frame[0] == TEXT:
                self._hear(tab, frame, now)
            elif frame[0] == PING:
                self._say(tab, frames.pong(frame))
            elif frame[0] == CLOSE:
                self._lost(tab, int.from_bytes(frame[2:4], "big") if frame[1] >= 2 else 1005)
                return
            else:
                raise BenchError(f"the server sent {frame!r}")
        if tab.socket is not None:
            quick = tab.stage == WELCOMED and not tab.rest
            self._reader.read_for(tab.socket.fileno(), tab.watcher if quick else ALL_LEFT)

    def _hear(self, tab: Tab, frame: bytes, now: float) -> None:
        self._frames += 1
        self._last = now
        if tab.stage == GREETED:
            self._welcome(tab, now)
        if b'"resume"' in frame:
            tab.resume = frame  # the newest is the one to come back with
        self.ledger.hear(tab, frame, now)

    def _welcome(self, tab: Tab, now: float) -> None:
        tab.stage, tab.welcomed = WELCOMED, now
        self._open += 1
        self._under_way -= 1

    # One tab: its end

    def _leave(self, tab: Tab) -> None:
        if tab.stage == SHUT:
            return  # the server was first; that is counted
        self.ledger.caused(tab, time.monotonic())
        if tab.stage == WELCOMED:
            with suppress(OSError):
                self._say(tab, frames.GOING_AWAY)
        else:
            self._refused["not welcomed before it left"] += 1
        self._shut(tab)

    def _break(self, tab: Tab) -> None:
        if tab.socket is not None:
            tab.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._end(tab, BROKEN)

    def _lost(self, tab: Tab, code: int, answer: str = "") -> None:
        """A tab has lost its server, or has not reached it."""
        if tab.stage != WELCOMED or code == LATER:
            self._refused[answer or f"closed with {code}"] += 1
        else:
            self._closed[code] += 1
        self._end(tab, code)

    def _end(self, tab: Tab, code: int) -> None:
        now = time.monotonic()
        if tab.welcomed and now - tab.welcomed >= STABLE:
            tab.attempt = 0
        self._shut(tab)
        if self._returns and code != LOGGED_OUT:
            self._under_way += 1
            self._at(now + retry_delay(tab.attempt, code), self._connect, tab)
            tab.attempt += 1

    def _shut(self, tab: Tab) -> None:
        assert tab.socket is not None
        if tab.stage == WELCOMED:
            self._open -= 1
        else:
            self._under_way -= 1
        file = tab.socket.fileno()
        self._reader.read_for(file, UNREAD)
        del self._by_file[file]
        tab.socket.close()
        tab.shut()

    # Log-outs

    def _post(self, tab: Tab) -> None:
        self.ledger.caused(tab, time.monotonic())
        post = Post(self._socket(tab.port), frames.log_out(tab.port, tab.cookie))
        self._posts[post.socket.fileno()] = post

    def _posted(self, file: int) -> None:
        if self._posts[file].go_on():
            self._posts.pop(file).socket.close()


def run(pipe: Connection, *arguments: Any) -> None:
    """The life of the process."""
    gc.disable()  # what is held here is held to the end, and looking through it takes long
    HugePages().start()  # the load is bound by the same, and has the same processor
    try:
        Browser(*arguments).serve(pipe)
    except (EOFError, KeyboardInterrupt, BrokenPipeError):
        pass  # the other side has gone
    except Exception as error:
        pipe.send(BenchError(f"the load failed: {type(error).__name__}: {error}"))
