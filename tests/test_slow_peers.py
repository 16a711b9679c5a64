"""Peers that connect and say nothing, or half of what they have to say, at a running server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from bench.people import Person
from whosonline.door import door

from .serving import Server
from .test_socket import hear

TIMEOUT = 1.0
SLACK = 10.0
"""Seconds that a busy machine may take longer."""


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("impatient"), {"REQUEST_TIMEOUT": TIMEOUT}) as server:
        yield server
        assert "Traceback" not in server.output()


class Peer:
    """Somebody who connects, and speaks HTTP byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.since = time.monotonic()

    async def say(self, text: str) -> None:
        self._writer.write(text.replace("\n", "\r\n").encode())
        await self._writer.drain()

    async def answer(self) -> str:
        """Return the head of an answer, whose body is read too."""
        async with asyncio.timeout(SLACK):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            sizes = [line for line in head.lower().split("\r\n") if line.startswith("content-length:")]
            await self._reader.readexactly(int(sizes[0].split(":")[1]))
        return head

    async def cut_after(self) -> float:
        """Wait until the server hangs up; return how long that took since it last was to be patient."""
        async with asyncio.timeout(TIMEOUT + SLACK):
            assert await self._reader.read() == b""
        return time.monotonic() - self.since


@asynccontextmanager
async def peer_at(server: Server) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()


HALF = {
    "nothing": "",
    "half a line": "GET /heal",
    "half a head": "GET /healthz HTTP/1.1\nHost: x\n",
    "half a handshake": "GET /users/ HTTP/1.1\nHost: x\nUpgrade: websocket\nConnection: Upgrade\n",
    "half a body": "POST /log_in/ HTTP/1.1\nHost: 127.0.0.1\nContent-Length: 100\n\nusername=",
    "empty lines": "\n\n",
}


@pytest.mark.parametrize("said", HALF.values(), ids=HALF)
async def test_a_peer_that_says_half_a_request_or_nothing_is_cut_in_time(impatient: Server, said: str):
    async with peer_at(impatient) as peer:
        await peer.say(said)
        assert await peer.cut_after() >= TIMEOUT * 0.9


async def test_a_head_that_comes_byte_by_byte_has_no_longer(impatient: Server):
    async with peer_at(impatient) as peer:
        cut = asyncio.create_task(peer.cut_after())
        with suppress(ConnectionError):
            await peer.say("GET /healthz HTTP/1.1\nX: ")
            while not cut.done():
                await peer.say("x")
                await asyncio.wait([cut], timeout=TIMEOUT / 10)
        assert TIMEOUT * 0.9 <= await cut < TIMEOUT * 3


@pytest.mark.parametrize("said", ["\n", "GET /", "GET /healthz HTTP/1.1\nHost: x\n"])
async def test_the_next_request_of_a_connection_has_as_long(impatient: Server, said: str):
    async with peer_at(impatient) as peer:
        for _ in range(2):
            await peer.say("GET /healthz HTTP/1.1\nHost: x\n\n")
            assert "200 OK" in await peer.answer()
        peer.since = time.monotonic()
        await peer.say(said)
        assert await peer.cut_after() >= TIMEOUT * 0.9


async def test_a_body_may_take_longer_as_long_as_it_comes(impatient: Server):
    async with peer_at(impatient) as peer:
        size = 30
        await peer.say(f"POST /log_in/ HTTP/1.1\nHost: 127.0.0.1\nContent-Length: {size}\n\n")
        for _ in range(size):
            await asyncio.sleep(TIMEOUT / 10)  # what is tested is the passing of time
            await peer.say("x")
        assert time.monotonic() - peer.since > TIMEOUT * 2
        assert "403 Forbidden" in await peer.answer()


async def test_an_application_that_takes_its_time_to_read_a_body_has_it():
    read = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await read.wait()
        while (await receive())["more_body"]:
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    config = uvicorn.Config(slow)
    config.load()
    size = 1_000_000
    loop, impatient = asyncio.get_running_loop(), door(TIMEOUT / 10)
    listening = await loop.create_server(lambda: impatient(config, ServerState(), {}), "127.0.0.1", 0)
    async with listening:
        reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
        peer = Peer(reader, writer)
        writer.write(f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode() + bytes(size))
        loop.call_later(TIMEOUT, read.set)
        assert "200 OK" in await peer.answer()
        writer.close()


async def test_who_is_connected_may_be_silent_for_as_long_as_they_like(impatient: Server):
    async with Person(impatient.url, "silent") as person, peer_at(impatient) as other:
        await person.sign_up()
        tab = await person.socket()
        await hear(tab, type="welcome")
        for _ in range(2):
            async with peer_at(impatient) as other:
                await other.cut_after()
        await tab.send_json({"type": "watch", "users": ["1"]})
        await hear(tab, users=...)


async def test_many_silent_peers_leave_no_trace_and_nobody_notices(impatient: Server):
    async with Person(impatient.url, "busy") as person:
        await person.sign_up()
        before = impatient.open_files()
        peers = [await asyncio.open_connection("127.0.0.1", impatient.port) for _ in range(200)]
        assert "busy" in await person.page()
        async with asyncio.timeout(TIMEOUT + SLACK):
            await asyncio.gather(*(reader.read() for reader, _ in peers))
            while impatient.open_files() > before + 5:
                await asyncio.sleep(0.02)
        for _, writer in peers:
            writer.close()
