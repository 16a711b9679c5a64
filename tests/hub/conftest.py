from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from whosonline.core import wire
from whosonline.core.entries import Cursor, Profile
from whosonline.core.policy import Policy
from whosonline.core.search import matches
from whosonline.hub.access import OPEN
from whosonline.hub.connection import Connection
from whosonline.hub.hub import Hub, Site
from whosonline.hub.rechecks import Standing
from whosonline.hub.resumption import Token
from whosonline.stores.errors import StoreUnavailable
from whosonline.stores.memory import MemoryBackend, MemoryStore, MemorySyncStore
from whosonline.testing.clock import ManualClock, settle
from whosonline.testing.sockets import RecordingSocket

FAR = 1e12
"""Seconds since 1970: of a session that goes on."""


class Tab:
    """A browser's tab: a socket of a person at a hub."""

    def __init__(self, hub: Hub, user: str, session: str, returns: Cursor | None = None) -> None:
        self.hub = hub
        self.socket = RecordingSocket()
        self.connection = hub.connection(
            user, session, session, self.socket.send, self._closed, FAR, returns=returns
        )

    def _closed(self, code: wire.CloseCode) -> None:
        self.socket.close(code)
        self.hub.close(self.connection)  # as the consumer does when its task ends

    def close(self) -> None:
        self.hub.close(self.connection)

    async def say(self, text: str) -> None:
        message = wire.decode(text, self.hub.policy)
        if (asking := self.hub.asking(self.connection, message)) is not None:
            await asking
        self.hub.handle(self.connection, message)
        await settle()

    def take(self, kind: str | None = None) -> list[dict[str, Any]]:
        messages = self.socket.take()
        return [message for message in messages if kind in (None, message["type"])]


class People:
    """The site's database, as far as the hub asks: the list of users, and when they were last seen."""

    def __init__(self) -> None:
        self.listed: dict[str, Profile] = {}
        self.seen: dict[str, int] = {}
        self.refused: set[str] = set()
        self.invisible: set[str] = set()
        self.expires: dict[str, float] = {}
        self.names: dict[str, Profile] = {}
        self.asked_about: list[Connection] = []
        self.queries: list[str] = []
        self.tokens: dict[str, Token] = {}
        self.access = OPEN
        self.failures: Counter[str] = Counter()
        self._answers = asyncio.Event()
        self._answers.set()

    def hold_answers(self) -> asyncio.Event:
        """Let look-ups wait until the event is set."""
        self._answers.clear()
        return self._answers

    def site(self) -> Site:
        return Site(
            self.load_directory,
            self.load_last_seen,
            self.save_last_seen,
            self.find_staying,
            self.look_up,
            self.write_token,
            self.access,
        )

    def write_token(self, token: Token) -> str:
        text = f"token {len(self.tokens)} of {token.user}"
        self.tokens[text] = token
        return text

    async def look_up(self, keys: list[str]) -> dict[str, str]:
        self._query("sessions")
        return {key: key for key in keys}

    async def load_directory(self, span: wire.Range, limit: int) -> list[tuple[str, Profile]]:
        self._query("directory")
        await self._answers.wait()
        rows = sorted(self.listed.items(), key=lambda row: row[1].key)
        after, until = span.after, span.until
        return [
            (user, profile)
            for user, profile in rows
            if (after is None or after < profile.key)
            and (until is None or profile.key <= until)
            and matches(profile, span.search or "")
        ][:limit]

    async def load_last_seen(self, users: list[str]) -> dict[str, int]:
        self._query("last seen")
        await self._answers.wait()
        return {user: self.seen[user] for user in users if user in self.seen}

    async def save_last_seen(self, times: dict[str, int]) -> None:
        self._query("save")
        self.seen.update(times)

    async def find_staying(self, connections: list[Connection]) -> dict[Connection, Standing]:
        self._query("staying")
        self.asked_about += connections
        invisible, names = set(self.invisible), dict(self.names)  # as the database had it when it was asked
        await self._answers.wait()
        return {
            connection: Standing(
                self.expires.get(connection.session, FAR),
                connection.user in invisible,
                profile=names.get(connection.user),
            )
            for connection in connections
            if connection.user not in self.refused
        }

    def _query(self, what: str) -> None:
        self.queries.append(what)
        if self.failures[what]:
            self.failures[what] -= 1
            raise OSError("the database is away")


class World:
    """Several nodes on one store, under one clock."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.clock = ManualClock()
        self.backend = MemoryBackend(self.clock.time, self.clock.wall)
        self.sync = MemorySyncStore(self.backend)
        self.people = People()

    async def node(self, store: Any = None, **policy: Any) -> Hub:
        """Start another node."""
        store = store or MemoryStore(self.backend)
        hub = Hub(store, self.people.site(), Policy(**policy), self.clock)
        hub.start()
        self._stack.push_async_callback(hub.stop)
        await settle()
        return hub

    async def tab(
        self,
        hub: Hub,
        user: str,
        session: str = "",
        touched: bool = False,
        asked: float | None = None,
        expires: float = FAR,
        invisible: bool = False,
    ) -> Tab:
        """Open a tab, and forget what it was told so far."""
        tab = Tab(hub, user, session or f"session of {user}")
        tab.connection.expires = expires
        hub.open(
            tab.connection, Profile(user, user.title()), touched=touched, invisible=invisible, asked=asked
        )
        await settle()
        await self.clock.advance(hub.policy.count_interval)
        tab.take()
        return tab


class FaultyStore:
    """A store that can be unplugged; what was sent may have arrived, or not."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.sync = store.sync
        self.away = False
        self.lose_answers = False
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def call(*arguments: Any) -> Any:
            self.calls.append(name)
            if self.away and not self.lose_answers:
                raise StoreUnavailable("unplugged")
            answer = await method(*arguments)
            if self.away:
                raise StoreUnavailable("the answer was lost")
            return answer

        return call

    async def follow(self, cursor: Any) -> Any:
        async for batch in self._store.follow(cursor):
            if self.away:
                raise StoreUnavailable("unplugged")
            yield batch


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield World(stack)
