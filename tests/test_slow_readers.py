"""Hundreds of sockets whose peers never read, while changes flow."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse as Socket
from yarl import URL

from bench import processes
from bench.frames import masked
from bench.people import Person
from whosonline.testing.client import ClientState, ask, merge, watches

from .serving import Server
from .test_socket import hear

SILENT = 300

POLICY = {
    "TICK": 0.005,
    "COUNT_INTERVAL": 1,
    "GRACE": 0,
    "SEND_TIMEOUT": 20,
    "CONNECTIONS_PER_USER": SILENT,
    "MESSAGE_RATE": 10_000,
    "MESSAGE_BURST": 10_000,
    # Not what gives them up here: they answer no pings either.
    "PING": 600,
    "PING_TIMEOUT": 600,
}

FRAME, ASKED = 6_000, 15
"""Bytes of a full state that each of them asks for, and how often: so much that the kernel takes no more."""


def silent_socket(server: Server, session: str) -> socket.socket:
    """Open a socket whose peer never reads what comes after the handshake."""
    lines = [
        "GET /users/ HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        f"Origin: {server.url}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        f"Cookie: sessionid={session}",
    ]
    peer = socket.socket()
    peer.settimeout(20)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    peer.connect(("127.0.0.1", server.port))
    peer.sendall("\r\n".join([*lines, "", ""]).encode())
    assert peer.recv(64, socket.MSG_PEEK).startswith(b"HTTP/1.1 101")
    return peer


async def step_away_and_come_back(person: Socket, watcher: Socket, times: int) -> None:
    """Let somebody step away and come back; who watches must be told of each."""
    for _ in range(times):
        for message, status in (("idle", "away"), ("active", "online")):
            await person.send_json({"type": message})
            await hear(watcher, users={"2": {"status": status}})


async def sees(watcher: Socket, user: str, status: str) -> None:
    while (await hear(watcher, users=...))["users"].get(user, {}).get("status") != status:
        pass


async def status_of(watcher: Socket, user: str) -> str:
    await watcher.send_json({"type": "watch", "users": ["1", "2"]})
    while user not in (users := (await hear(watcher, users=...))["users"]):
        pass
    return str(users[user]["status"])


@pytest.mark.timeout(180)
async def test_peers_that_never_read_cost_a_frame_or_two_hold_up_nobody_and_are_given_up(
    tmp_path: Path,
) -> None:
    watch = {"type": "watch", "users": ["2", *(f"{number:098}" for number in range(FRAME // 125))]}
    asking = masked(json.dumps(watch).encode())
    with Server(tmp_path, POLICY) as server, ExitStack() as stack:
        assert server._process is not None
        memory = partial(processes.memory, server._process.pid)
        async with Person(server.url, "ann") as ann, Person(server.url, "bob") as bob:
            await ann.sign_up()
            await bob.sign_up()
            session = ann._browser.cookie_jar.filter_cookies(URL(server.url))["sessionid"].value
            silent = [
                stack.enter_context(await asyncio.to_thread(silent_socket, server, session))
                for _ in range(SILENT)
            ]
            watching, changing = await bob.socket(), await bob.socket()
            await watching.send_json({"type": "idle"})
            await watching.send_json({"type": "watch", "users": ["1", "2"]})
            before = memory()
            for _ in range(ASKED):
                for peer in silent:
                    peer.sendall(asking)
                await step_away_and_come_back(changing, watching, times=1)
            stuck = memory()
            await step_away_and_come_back(changing, watching, times=40)
            after = memory()
            # The rest of one frame in the transport, and one that waits, as a text and as bytes.
            assert stuck - before < SILENT * 6 * FRAME
            assert after - stuck < SILENT * 1000
            assert await status_of(watching, "1") == "online"  # none of them is given up too early
            async with asyncio.timeout(2 * POLICY["SEND_TIMEOUT"]):
                while await status_of(watching, "1") != "offline":
                    await asyncio.sleep(0.2)


class Reader:
    """A page at one end of a raw socket: reads when it is told to, and merges as the browser module does."""

    def __init__(self, peer: socket.socket, *watched: dict[str, Any]) -> None:
        self.frames = 0
        """Updates that it was sent."""
        self.state = ClientState()
        self._peer = peer
        for message in watched:
            self.state = ask(self.state, message)

    def ask_for_all(self) -> None:
        for message in watches(self.state):
            self._peer.sendall(masked(json.dumps(message).encode()))

    async def read_until(self, condition: Callable[[], bool]) -> None:
        reader, writer = await asyncio.open_connection(sock=self._peer)
        try:
            await reader.readuntil(b"\r\n\r\n")
            while not condition():
                message = json.loads(await self._frame(reader))
                self.frames += message["type"] == "update"
                self.state = merge(self.state, message)
        finally:
            writer.close()
            await writer.wait_closed()

    async def _frame(self, reader: asyncio.StreamReader) -> bytes:
        _, size = await reader.readexactly(2)
        if size >= 126:
            size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
        return await reader.readexactly(size)


@pytest.mark.timeout(180)
async def test_who_reads_on_after_many_changes_is_told_how_things_stand_and_not_each_change(
    tmp_path: Path,
) -> None:
    ids = ["1", "2", "3", "4", *(f"{number:098}" for number in range(FRAME // 125))]
    watched = {"type": "watch", "users": ids}, {"type": "watch", "room": "site"}
    changes = 200
    with Server(tmp_path, POLICY | {"SEND_TIMEOUT": 120}) as server:
        async with AsyncExitStack() as stack:
            people = [Person(server.url, name) for name in ("ann", "bob", "cy", "dan")]
            ann, bob, cy, dan = [await stack.enter_async_context(person) for person in people]
            for person in (ann, bob, cy):
                await person.sign_up()
            session = ann._browser.cookie_jar.filter_cookies(URL(server.url))["sessionid"].value
            watching, changing, leaving = await bob.socket(), await bob.socket(), await cy.socket()
            await watching.send_json({"type": "idle"})
            await watching.send_json({"type": "watch", "users": ["1", "2", "3", "4"]})
            slow = Reader(await asyncio.to_thread(silent_socket, server, session), *watched)
            for _ in range(ASKED):
                slow.ask_for_all()
            await sees(watching, "1", "online")
            await step_away_and_come_back(changing, watching, times=changes // 2)
            await leaving.close()
            await sees(watching, "3", "offline")
            await dan.sign_up()
            arriving = await dan.socket()
            await sees(watching, "4", "online")
            await changing.send_json({"type": "idle"})
            await sees(watching, "2", "away")

            right = {"1": "online", "2": "away", "3": "offline", "4": "online"}

            def knows_all() -> bool:
                told = {user: (slow.state.users[user] or {}).get("status") for user in right}
                page = slow.state.page.rows if slow.state.page else None
                listed = {user: row["status"] for user, row in (page or {}).items()}
                return told == right and listed == {
                    user: status for user, status in right.items() if status != "offline"
                }

            async with asyncio.timeout(30):
                await slow.read_until(knows_all)
            assert slow.frames <= 2 * ASKED + 4 < changes / 4
            assert not arriving.closed
