"""A site of several server processes that meet in a Redis, and the people at it.

The processes (*nodes*) share a database, as those of one deployment do, and each listens at a port of
its own. A `Browser` does what the browser module does: it merges what it is told, and returns when it was
closed. Beyond that it keeps what it has shown, so that a test can tell what nobody may ever have seen.
"""

from __future__ import annotations

import asyncio
import random
import re
import signal
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack, closing, suppress
from itertools import count
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp

from bench.people import Person, PersonError
from tests.redis_servers import RedisServer
from tests.serving import Server
from whosonline.testing.client import ClientState, ask, merge, watches

QUICK = {"GRACE": 0.5, "BEAT": 0.4, "LEASE": 2.0, "SWEEP": 0.25, "TOUCH": 1.0, "COUNT_INTERVAL": 0.2}
"""Timings that let a test see a lease run out."""

SLACK = 3.0
"""Seconds that a busy machine may take beyond what the timings promise."""

LOGGED_OUT = 4401

_numbers = count()


class Node(Server):
    """One server process of a site; its database may have been migrated already."""

    def __init__(
        self,
        folder: Path,
        policy: dict[str, Any],
        store: str,
        command: Sequence[str] = ("serve",),
        migrate: bool = True,
    ) -> None:
        self._migrate = migrate
        self.store = store
        self.paused = False
        super().__init__(folder, policy, command)
        self._output = folder / f"node-{self.port}.log"

    @property
    def runs(self) -> bool:
        """Whether it is there, and not paused."""
        return self._process is not None and not self.paused

    def manage(self, *arguments: str) -> str:
        self._environment["REDIS_URL"] = self.store
        if arguments[0] == "migrate" and not self._migrate:
            return ""
        return super().manage(*arguments)

    def signal(self, by: signal.Signals) -> None:
        """Send it a signal, and none to its workers."""
        assert self._process is not None
        self._process.send_signal(by)

    def kill(self) -> None:
        self.paused = False
        if self._process is not None:
            self.stop(signal.SIGKILL)

    def pause(self) -> None:
        self.paused = True
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)
        self.paused = False

    def heal(self) -> None:
        """Have it run, whatever has been done to it."""
        if self.paused:
            self.resume()
        if self._process is None:
            self._migrate = False
            self.start()


class Site:
    """Nodes, their database, and the Redis where they meet. All of it ends with the ``with`` statement.

    Args:
        store: Where they meet instead; its own Redis then idles.
    """

    def __init__(
        self,
        folder: Path,
        nodes: int = 2,
        policy: dict[str, Any] | None = None,
        command: Sequence[str] = ("serve",),
        store: str = "",
    ) -> None:
        self.policy = QUICK if policy is None else policy
        self.lease = float(self.policy.get("LEASE", 10.0))
        self.database = folder / "lobby.sqlite3"
        self.redis = RedisServer(folder, keep="everysec")
        self.nodes = [
            Node(folder, self.policy, store or self.redis.url, command, migrate=number == 0)
            for number in range(nodes)
        ]

    def __enter__(self) -> Self:
        try:
            self.redis.start()
            for node in self.nodes:
                node.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for node in self.nodes:
            node.kill()
        self.redis.kill()

    def heal(self) -> None:
        """End every fault."""
        if not self.redis.runs:
            self.redis.start()
        self.redis.cli("CLIENT UNPAUSE")
        self.redis.cli("CONFIG SET", "maxmemory", 0)
        for node in self.nodes:
            node.heal()

    def living(self) -> list[Node]:
        return [node for node in self.nodes if node.runs]

    def errors(self) -> list[str]:
        """Return what nodes have printed that is no warning about a store that is away."""
        output = "".join(node.output() for node in self.nodes)
        records = re.split(r"^(?=\d{4}-\d\d-\d\d )", output, flags=re.MULTILINE)
        signs = re.compile(r" (ERROR|CRITICAL) |never retrieved|never awaited|\w+Warning: ")
        return [record for record in records if signs.search(record)]


class Visitor:
    """A person, who has the same cookies at every node."""

    def __init__(self, site: Site, name: str) -> None:
        self.name = name
        self.id = ""
        self._site = site
        self._at = {node: Person(node.url, name) for node in site.nodes}

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            cookies: Any = None
            for person in self._at.values():
                await stack.enter_async_context(person)
                if cookies is not None:
                    person._browser._cookie_jar = cookies
                cookies = person._browser.cookie_jar
            await self.at(self._site.living()[0]).sign_up()
            with closing(sqlite3.connect(self._site.database)) as database:
                found = database.execute("SELECT id FROM auth_user WHERE username = ?", [self.name])
                self.id = str(found.fetchone()[0])
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def at(self, node: Node) -> Person:
        """Return this person at one node."""
        return self._at[node]


class Browser:
    """A tab that watches everybody, and comes back when it was closed.

    Args:
        returns: Seconds within which it comes back, to any node that runs; None, it does not.
    """

    def __init__(
        self, site: Site, visitor: Visitor, node: Node, watched: Iterable[str], returns: float | None = 0.3
    ) -> None:
        self.visitor = visitor
        self.node = node
        self.idle = False
        self.open = True
        """Whether it counts: it was neither closed nor logged out."""
        self.connected = False
        self.closes: list[int] = []
        """The codes that it was closed with."""
        self.notices: list[str] = []
        self.offline: list[tuple[float, str]] = []
        """Whom it showed as offline, and when."""
        self.state = ask(ClientState(), {"type": "watch", "users": list(watched)})
        self.state = ask(self.state, {"type": "watch", "room": "site", "after": None, "limit": 100})
        self._site = site
        self._returns = returns
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._task = asyncio.create_task(self._live())

    async def close(self) -> None:
        """Close the tab."""
        self.open = False
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def set_idle(self, idle: bool) -> None:
        self.idle = idle
        if self._socket is not None:
            await self._send(self._socket, {"type": "idle" if idle else "active"})

    def status(self, visitor: Visitor) -> str | None:
        """Return what it shows of somebody."""
        told = self.state.users.get(visitor.id)
        return told["status"] if told else None

    def showed_offline(self, visitors: Iterable[Visitor], since: float = 0.0) -> list[str]:
        """Return who of these it has shown as offline since a moment."""
        names = {visitor.id: visitor.name for visitor in visitors}
        return [names[user] for when, user in self.offline if user in names and when >= since]

    async def _live(self) -> None:
        while self.open:
            code = await self._connection()
            self.connected = False
            if code is not None:
                self.closes.append(code)
            if code == LOGGED_OUT or self._returns is None:
                self.open = False
                return
            await asyncio.sleep(random.random() * self._returns)
            if living := self._site.living():
                self.node = random.choice(living)

    async def _connection(self) -> int | None:
        """Be connected; return the code that it ended with, None if there was no connection."""
        idle = self.idle
        query = {"idle": "1"} if idle else {}
        if self.state.resume:
            query["resume"] = self.state.resume
        path = f"/users/?{urlencode(query)}"
        try:
            socket = await self.visitor.at(self.node).socket(path)
        except PersonError:
            return None
        try:
            for message in watches(self.state):
                await self._send(socket, dict(message))
            self._socket = socket
            if self.idle != idle:
                await self.set_idle(self.idle)
            while True:
                frame = await socket.receive()
                if frame.type is aiohttp.WSMsgType.TEXT:
                    self._take(frame.json())
                elif frame.type is aiohttp.WSMsgType.CLOSE:
                    return int(frame.data)
                else:
                    return socket.close_code or 1006
        finally:
            self._socket = None
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):  # a paused node does not answer
                    await socket.close()

    async def _send(self, socket: aiohttp.ClientWebSocketResponse, message: dict[str, Any]) -> None:
        with suppress(aiohttp.ClientError, ConnectionError):
            await socket.send_json(message)

    def _take(self, message: dict[str, Any]) -> None:
        self.state = merge(self.state, message)
        now = time.monotonic()
        if message["type"] == "notice":
            self.notices.append(message["state"])
        elif message["type"] == "welcome":
            self.connected = True
        shown = {user for user, state in message.get("users", {}).items() if state["status"] == "offline"}
        if "page" in message and self.state.page and self.state.page.rows is not None:
            shown |= self.state.users.keys() - self.state.page.rows.keys()
        self.offline += [(now, user) for user in sorted(shown)]


class World:
    """The people at a site, and what is true of them."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.visitors: list[Visitor] = []
        self.browsers: list[Browser] = []

    async def __aenter__(self) -> Self:
        self._stack = await AsyncExitStack().__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await asyncio.gather(*(browser.close() for browser in self.browsers))
        await self._stack.aclose()

    async def visitors_named(self, *names: str) -> list[Visitor]:
        """Have people sign up; do it before anybody opens a tab, for tabs watch those who are there."""
        number = next(_numbers)
        new = [Visitor(self.site, f"{name}{number}") for name in names]
        for visitor in new:
            await self._stack.enter_async_context(visitor)
        self.visitors += new
        return new

    def open(self, visitor: Visitor, node: Node, returns: float | None = 0.3) -> Browser:
        browser = Browser(self.site, visitor, node, (other.id for other in self.visitors), returns)
        self.browsers.append(browser)
        return browser

    def tabs(self, visitor: Visitor) -> list[Browser]:
        return [browser for browser in self.browsers if browser.visitor is visitor and browser.open]

    def truth(self) -> dict[str, str]:
        """Return the status that everybody has, once all is quiet."""

        def status(tabs: list[Browser]) -> str:
            if not tabs:
                return "offline"
            return "away" if all(tab.idle for tab in tabs) else "online"

        return {visitor.id: status(self.tabs(visitor)) for visitor in self.visitors}

    def wrong(self) -> list[str]:
        """Return all that a tab shows and that is not so."""
        truth = self.truth()
        present = {user: status for user, status in truth.items() if status != "offline"}
        names = {visitor.id: visitor.name for visitor in self.visitors}
        wrong = []
        for browser in self.browsers:
            if not browser.open:
                continue
            tab = f"{browser.visitor.name} at {self.site.nodes.index(browser.node)}"
            state = browser.state
            page = state.page.rows if state.page else None
            if not browser.connected or page is None or state.degraded:
                wrong.append(f"{tab}: connected {browser.connected}, degraded {state.degraded}")
                continue
            for user, status in truth.items():
                told = (state.users[user] or {}).get("status")
                if told != status:
                    wrong.append(f"{tab}: {names[user]} is {told}, not {status}")
            listed = {user: row["status"] for user, row in page.items()}
            if listed != present:
                wrong.append(f"{tab}: the page has {listed}, not {present}")
            if state.online != len(present):
                wrong.append(f"{tab}: {state.online} online, not {len(present)}")
        return wrong

    async def settles(self, within: float = 10.0) -> float:
        """Wait until every tab shows what is so; return how long that took."""
        return await until(lambda: not self.wrong(), within, self.wrong)


async def until(
    condition: Callable[[], object], within: float = 10.0, explain: Callable[[], object] = lambda: ""
) -> float:
    """Wait until a condition holds; return how long that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + within, f"not so within {within:g} s: {explain()}"
        await asyncio.sleep(0.02)
    return time.monotonic() - began
