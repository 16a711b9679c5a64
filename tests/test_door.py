"""A storm of connections is let in so many at a time, with turns of the loop for everything else."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Any, Self

import aiohttp
import pytest
import uvicorn
from uvicorn.server import ServerState

from whosonline.door import AT_ONCE, door
from whosonline.handshake import ORDINARY
from whosonline.hub.gathering import BURST, GATHER, Gathering
from whosonline.testing.clock import ManualClock
from whosonline.websocket_protocol import for_a_server

from .end_to_end.site import until
from .serving import free_port
from .test_websocket_protocol import Closing

STORM = 20 * AT_ONCE


async def test_a_storm_is_answered_whole_and_between_its_requests_the_loop_has_turns() -> None:
    """Each request is answered; no turn of the loop begins more of them than may come in at once."""
    async with Site() as site:
        counting = asyncio.create_task(site.count_turns())
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=connector) as client, asyncio.timeout(60):

            async def ask() -> int:
                async with client.get(f"http://127.0.0.1:{site.port}/") as answer:
                    return answer.status

            answers = await asyncio.gather(*(ask() for _ in range(STORM)))
        counting.cancel()
    assert answers == [204] * STORM
    assert site.taken.total() == STORM
    assert max(site.taken.values()) <= 2 * AT_ONCE  # those who come, and those who waited


def test_each_server_has_doors_of_its_own() -> None:
    first, second = door(1), door(2)
    assert first.turns is not second.turns
    assert first.handshakes is not second.handshakes


HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
PAGE = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class Site:
    """A server whose handshakes go by a clock that stands still, and who has asked it for what."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.asked: list[tuple[str, str]] = []
        self.waiting = 0
        self.turn, self.taken = 0, Counter[int]()
        self.heads = 0  # or parts of them
        self.peers: list[asyncio.StreamWriter] = []
        self.port = free_port()
        site = self

        class CountingDoor(door(20)):  # type: ignore[misc]
            handshakes = Gathering(site.clock)

            def data_received(self, data: bytes) -> None:
                site.heads += 1
                super().data_received(data)

            def _made_to_wait(self) -> bool:
                waits = super()._made_to_wait()
                site.waiting += waits
                return bool(waits)

            def _go_on(self) -> None:
                site.taken[site.turn] += 1
                super()._go_on()

        config = uvicorn.Config(
            self._answer,
            port=self.port,
            interface="asgi3",
            http=CountingDoor,
            ws=for_a_server(),
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
        )
        self._server = uvicorn.Server(config)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append((scope["type"], scope["path"]))
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        else:
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

    async def __aenter__(self) -> Self:
        self._serving = asyncio.create_task(self._server._serve())
        await until(lambda: self._server.started)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        await self._serving
        for peer in self.peers:
            peer.close()

    async def ask(self, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        streams = await asyncio.open_connection("127.0.0.1", self.port)
        self.peers.append(streams[1])
        streams[1].write(request)
        return streams

    async def count_turns(self) -> None:
        while True:
            self.turn += 1
            await asyncio.sleep(0)

    async def be_often_asked(self) -> None:
        for number in range(BURST):
            await self.ask(HANDSHAKE.replace(b"/", b"/%d" % number, 1))
            await until(lambda number=number: len(self.asked) == number + 1)  # type: ignore[misc]
        self.asked.clear()


async def test_handshakes_that_come_often_are_taken_together_and_pages_wait_for_none_of_them() -> None:
    async with Site() as site:
        await site.be_often_asked()
        for number in range(3):
            await site.ask(HANDSHAKE.replace(b"/", b"/late/%d" % number, 1))
            await until(lambda number=number: site.waiting == number + 1)  # type: ignore[misc]
        reader, _ = await site.ask(PAGE)
        assert (await reader.readline()).startswith(b"HTTP/1.1 204")
        assert site.asked == [("http", "/")]
        await site.clock.advance(GATHER)
        await until(lambda: len(site.asked) == 4)
        assert site.asked[1:] == [("websocket", f"/late/{number}") for number in range(3)]


async def test_those_that_are_gathered_are_let_in_so_many_at_a_time() -> None:
    async with Site() as site:
        await site.be_often_asked()
        for number in range(3 * AT_ONCE):
            await site.ask(HANDSHAKE)
            await until(lambda number=number: site.waiting == number + 1)  # type: ignore[misc]
        site.taken.clear()
        counting = asyncio.create_task(site.count_turns())
        await site.clock.advance(GATHER)
        await until(lambda: len(site.asked) == 3 * AT_ONCE)
        counting.cancel()
        assert max(site.taken.values()) == AT_ONCE


async def test_half_a_handshake_is_not_gathered_until_the_rest_has_come() -> None:
    async with Site() as site:
        await site.be_often_asked()
        half = HANDSHAKE[: HANDSHAKE.index(b"Sec-WebSocket-Key")]
        _, writer = await site.ask(half)
        await until(lambda: site.heads == BURST + 1)
        assert site.waiting == 0
        writer.write(HANDSHAKE[len(half) :])
        await until(lambda: site.waiting == 1)
        await site.clock.advance(GATHER)
        await until(lambda: len(site.asked) == 1)


@pytest.mark.parametrize(
    "odd", [b"\r\n", b"GET / HTTP/1.1\n\n", b"HEAD / HTTP/1.1\r\n", b"GET /" + b"x" * ORDINARY]
)
async def test_what_cannot_be_half_a_handshake_is_http_s_at_once(odd: bytes) -> None:
    async with Site() as site:
        await site.ask(odd)
        await until(lambda: site.taken.total() == 1)


async def test_a_server_that_ends_takes_none_of_the_handshakes_that_wait(caplog) -> None:
    async with Site() as site:
        await site.be_often_asked()
        reader, _ = await site.ask(HANDSHAKE)
        await until(lambda: site.waiting == 1)
    assert await reader.read() == b""
    await site.clock.advance(GATHER)
    assert site.asked == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def silent(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await receive()


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize(
    ("said", "is_cut"),
    [
        (b"POST / HTTP/1.1\r\n", True),
        (HANDSHAKE, False),
        (PAGE, False),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhal", True),
    ],
    ids=["half a head", "handshake", "page", "half a body"],
)
async def test_who_has_said_all_is_not_cut_and_who_has_not_is(said: bytes, is_cut: bool, waits: bool) -> None:
    config = uvicorn.Config(
        silent, interface="asgi3", ws=for_a_server(), ws_per_message_deflate=False, log_config=None
    )
    config.load()
    loop, time_out = asyncio.get_running_loop(), 0.05
    its_door = door(time_out)
    first = its_door(config, ServerState(), {})
    first.connection_made(transport := Closing())
    transport.protocol = first
    timer = first._timer
    if waits:
        its_door.turns.take_place = lambda: False  # type: ignore[method-assign]
    first.data_received(said)
    if waits:
        assert timer.cancelled()  # it is not the peer who is late
        assert transport.paused
        first._enter()
        assert not transport.paused
    elif is_cut and b"\r\n\r\n" not in said:
        assert transport.protocol._timer is timer
    # What is tested is the passing of time: a timer that is set after all that there may be.
    passed = asyncio.Event()
    loop.call_later(2 * time_out, passed.set)
    await passed.wait()
    assert transport.closed == is_cut
    transport.protocol.connection_lost(None)
    await asyncio.gather(*transport.protocol.tasks)


def waiting(said: bytes, application: Any, transport: Closing) -> Any:
    """Return the protocol of a peer who has said this, and has to wait for its turn."""
    config = uvicorn.Config(
        application, interface="asgi3", ws=for_a_server(), ws_per_message_deflate=False, log_config=None
    )
    config.load()
    its_door = door(20)
    its_door.turns.take_place = lambda: False  # type: ignore[method-assign]
    first = its_door(config, ServerState(), {})
    first.connection_made(transport)
    first.data_received(said)
    return first


@pytest.mark.parametrize("said", [HANDSHAKE, PAGE])
async def test_where_a_peer_was_is_known_though_it_goes_while_it_waits(said: bytes) -> None:
    scopes: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await silent(scope, receive, send)

    class Leaving(Closing):
        here: Any = ("192.0.2.1", 5)

        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return self.here if name in ("peername", "sockname") else default

    first = waiting(said, application, transport := Leaving())
    transport.here = None
    first._enter()
    await asyncio.sleep(0)
    assert [scope["client"] for scope in scopes] == [("192.0.2.1", 5)]
    transport.protocol.connection_lost(None)
    await asyncio.gather(*transport.protocol.tasks)


async def test_a_connection_that_cannot_go_on_after_it_has_waited_is_given_up() -> None:
    first = waiting(PAGE, silent, transport := Closing())
    first._config = None
    with pytest.raises(AttributeError):
        first._enter()
    assert transport.closed
    first.connection_lost(None)
