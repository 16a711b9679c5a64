"""Our exception from uvicorn's public interface: that it holds with the uvicorn that is installed."""

from __future__ import annotations

import asyncio
import gc
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn
from httptools import HttpRequestParser
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.utils import apply_mask

from bench.people import Person
from whosonline import websocket_protocol
from whosonline.door import Door, door
from whosonline.handshake import read_handshake
from whosonline.http_protocol import ImpatientHttp
from whosonline.hub.connection import EXTENSION, frame
from whosonline.server import configure
from whosonline.testing.clock import ManualClock
from whosonline.websocket_protocol import HELD_UP, LOSE_AT_ONCE, RIDES, FramesProtocol, for_a_server, protocol

from .serving import Server, free_port
from .test_socket import closed, hear


def test_the_installed_uvicorn_is_as_it_is_expected_to_be(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "uvicorn.error")  # as with an access log: the trial is no connection
    # If this fails after an upgrade: sockets still work, the plain way. Compare the two classes anew.
    assert issubclass(protocol(), FramesProtocol)
    assert caplog.text == ""


@pytest.mark.parametrize(
    "changed",
    [
        "settle",
        "write",
        "handle_connect",
        "data_received",
        "start_keepalive",
        "schedule_ping",
        "send_keepalive_ping",
        "handle_pong",
        "keepalive_timeout",
        "stop_keepalive",
    ],
)
def test_another_uvicorn_than_expected_is_used_the_plain_way_and_that_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, changed: str
) -> None:
    monkeypatch.setattr(FramesProtocol, changed, lambda self, *arguments: self.gone)
    assert protocol() == "auto"
    (record,) = caplog.records
    assert uvicorn.__version__ in record.getMessage()


@pytest.mark.parametrize("changed", [(Door, "data_received"), (ImpatientHttp, "take_over")])
def test_nor_is_the_door_used_with_another_than_expected(
    monkeypatch: pytest.MonkeyPatch, changed: tuple[type, str]
) -> None:
    assert configure(None).http is not configure(None, access_log=True).http
    monkeypatch.setattr(*changed, lambda self, *arguments: self.gone)
    config = configure(None)
    assert (config.http, config.ws) == ("auto", "auto")


def test_one_that_sends_something_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FramesProtocol, "write", lambda self, data: True)
    assert protocol() == "auto"


async def test_the_plain_way_serves_sockets_as_well(tmp_path: Path) -> None:
    # Python imports this module, from the server's path, when it starts.
    (tmp_path / "sitecustomize.py").write_text(
        "from whosonline.websocket_protocol import FramesProtocol\nFramesProtocol.settle = None"
    )
    with Server(tmp_path) as server:
        assert "sockets take more" in server.output()
        async with Person(server.url, "ann") as ann:
            await ann.sign_up()
            tab, other = await ann.socket(), await ann.socket()
            assert (await hear(tab))["type"] == "welcome"
            await tab.send_json({"type": "watch", "users": ["1"]})
            await hear(tab, users={"1": {"status": "online"}})
            for each in (tab, other):
                await each.send_json({"type": "idle"})
            await hear(tab, users={"1": {"status": "away"}})
            await ann.log_out()
            assert await closed(tab) == 4401


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_a_frame_s_bytes_are_those_that_websockets_makes(size: int) -> None:
    text = "é" * (size // 2) + "x" * (size % 2)
    expected = Frame(Opcode.TEXT, text.encode()).serialize(mask=False)
    assert frame(text).data == expected
    assert frame(text).event == {"type": "websocket.send", "text": text}


Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


@asynccontextmanager
async def serving(
    application: Application,
    protocol: type[FramesProtocol] = FramesProtocol,
    ping: float = 20.0,
    ping_timeout: float = 20.0,
) -> AsyncIterator[Any]:
    """Serve an application in this process; yield a socket of it."""
    port = free_port()
    config = uvicorn.Config(
        application,
        port=port,
        ws=for_a_server(protocol),
        ws_ping_interval=ping,
        ws_ping_timeout=ping_timeout,
        lifespan="off",
        log_config=None,
        ws_per_message_deflate=False,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0)
    try:
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(f"http://127.0.0.1:{port}/") as socket,
        ):
            yield socket
    finally:
        server.should_exit = True
        await task


FIREFOX = (
    b"GET /users/?resume=a%20b&idle=1 HTTP/1.1\r\nHost: site.test\r\nUser-Agent: Mozilla\r\n"
    b"Sec-WebSocket-Version: 13\r\nOrigin: http://site.test\r\nSec-WebSocket-Protocol: whosonline.v1, b\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Connection: keep-alive, Upgrade\r\nCookie: sessionid=abc; csrftoken=def\r\nUpgrade: websocket\r\n\r\n"
)


def begun(*data: bytes, application: Application, **configured: Any) -> Any:
    """Return the socket of who has sent a handshake last, on a transport that notes what is written."""
    options = {"ws": for_a_server(), "ws_per_message_deflate": False, "log_config": None} | configured
    config = uvicorn.Config(application, **options)
    config.load()
    transport = websocket_protocol._Transport()
    first = door(20.0)(config, ServerState(), {})
    first.connection_made(transport)
    transport.protocol = first
    for each in data:
        transport.protocol.data_received(each)
    return vars(transport).pop("protocol")


async def answered(
    data: bytes,
    headers: Sequence[tuple[bytes, bytes]] = ((b"x-a", b"b"),),
    accepts: bool = True,
    **configured: Any,
) -> tuple[bytes, list[dict[str, Any]]]:
    """Return what is written to who sends this and, if accepted, a frame; and the scopes that are made."""
    scopes: list[dict[str, Any]] = []

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        scopes.append(deepcopy({name: scope[name] for name in scope if name not in ("extensions", "state")}))
        await receive()
        if not accepts:
            await send({"type": "websocket.close"})
            return
        await send({"type": "websocket.accept", "subprotocol": "whosonline.v1", "headers": headers})
        if frames := scope["extensions"].pop(EXTENSION, None):
            frames["settle"]()
        await send({"type": "websocket.send", "text": (await receive())["text"]})

    socket = begun(data, application=application, **configured)
    transport = socket.transport
    if accepts:
        socket.data_received(b"\x81\x82\0\0\0\0hi")
    async with asyncio.timeout(10):
        await asyncio.gather(*socket.tasks)
    socket.connection_lost(None)
    return re.sub(rb"Date: .*?\r\n", b"", transport.written), scopes


@pytest.mark.parametrize("left_to_websockets", [False, True])
async def test_a_handshake_as_browsers_send_it_is_answered_as_websockets_does(
    monkeypatch: pytest.MonkeyPatch, left_to_websockets: bool
) -> None:
    if left_to_websockets:
        monkeypatch.setattr(websocket_protocol, "read_handshake", lambda *request: None)
    else:
        monkeypatch.setattr(Request, "parse", None)
    written, (scope,) = await answered(FIREFOX)
    assert written == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nx-a: b\r\n"
        b"Sec-WebSocket-Protocol: whosonline.v1\r\n\r\n\x81\x02hi"
    )
    assert scope["path"] == "/users/"
    assert scope["query_string"] == b"resume=a%20b&idle=1"
    assert scope["subprotocols"] == ["whosonline.v1", "b"]
    assert (b"user-agent", b"Mozilla") in scope["headers"]
    assert len(scope["headers"]) == 10


async def test_so_is_one_that_comes_in_parts_or_on_a_connection_that_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Request, "parse", None)
    scopes: list[dict[str, Any]] = []

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        scopes.append(dict(scope))
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})
        else:
            await send({"type": "websocket.accept"})

    parts = [FIREFOX[start : start + 100] for start in range(0, len(FIREFOX), 100)]
    await asyncio.gather(*begun(*parts, application=application).tasks)
    first = door(20.0)
    config = uvicorn.Config(application, ws=for_a_server(), ws_per_message_deflate=False, log_config=None)
    config.load()
    transport = websocket_protocol._Transport()
    transport.protocol = first(config, ServerState(), {})
    transport.protocol.connection_made(transport)
    transport.protocol.data_received(b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n")
    await asyncio.gather(*transport.protocol.tasks)
    transport.protocol.data_received(FIREFOX)
    await asyncio.gather(*transport.protocol.tasks)
    assert [scope["type"] for scope in scopes] == ["websocket", "http", "websocket"]
    in_parts, _, later = scopes
    for name in ("path", "query_string", "subprotocols"):
        assert in_parts[name] == later[name]
    assert sorted(later["headers"]) == sorted(in_parts["headers"])


async def test_blanks_around_a_header_are_none_of_it() -> None:
    written, (scope,) = await answered(FIREFOX.replace(b"Mozilla", b" Mozilla \t"))
    assert written.startswith(b"HTTP/1.1 101 ")
    assert (b"user-agent", b"Mozilla") in scope["headers"]


@pytest.mark.parametrize("header", [(b"set-cookie", b"a=b\r\nx: y"), (b"x\ny", b"z"), (b"x", b"\0")])
async def test_a_header_of_the_application_s_that_would_be_more_than_one_is_not_sent(
    header: tuple[bytes, bytes],
) -> None:
    written, _ = await answered(FIREFOX, headers=[header])
    assert written.startswith(b"HTTP/1.1 500 ")


@pytest.mark.parametrize("configured", [{"ws_per_message_deflate": True}, {"ws": "websockets-sansio"}])
async def test_what_is_served_another_way_is_left_to_websockets(
    monkeypatch: pytest.MonkeyPatch, configured: dict[str, Any]
) -> None:
    monkeypatch.setattr(websocket_protocol, "read_handshake", None)
    written, _ = await answered(FIREFOX, **configured)
    assert written.startswith(b"HTTP/1.1 101 ")


HEADERS = {
    b"Host": b"site.test",
    b"User-Agent": b"Mozilla",
    b"Sec-WebSocket-Version": b"13",
    b"Sec-WebSocket-Protocol": b"whosonline.v1, b",
    b"Sec-WebSocket-Key": b"dGhlIHNhbXBsZSBub25jZQ==",
    b"Connection": b"keep-alive, Upgrade",
    b"Upgrade": b"websocket",
}


def request(headers: dict[bytes, bytes], *more: bytes, line: bytes = b"GET /users/ HTTP/1.1") -> bytes:
    lines = [name + b": " + value for name, value in headers.items()]
    return b"".join(line + b"\r\n" for line in [line, *lines, *more, b""])


def test_what_is_no_more_than_a_handshake_is_taken_as_it_is() -> None:
    assert read_handshake(request(HEADERS)) is not None
    del (least := dict(HEADERS))[b"Sec-WebSocket-Protocol"]
    assert read_handshake(request(least)) is not None


@pytest.mark.parametrize(
    "header",
    [
        (b"Sec-WebSocket-Version", b"12"),
        (b"Sec-WebSocket-Version", b""),
        (b"Sec-WebSocket-Key", b""),
        (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ"),
        (b"Sec-WebSocket-Key", b"dGhl"),
        (b"Sec-WebSocket-Protocol", b"a b, ("),
        (b"Sec-WebSocket-Protocol", b""),
        (b"Upgrade", b"h2c"),
        (b"Connection", b"keep-alive"),
        (b"Connection", b"Upgraded"),
        (b"Connection", b"Up grade"),
        (b"Cookie", b"x" * 8200),
        (b"x" * 8200, b"y"),
        (b"User-Agent", "Mözilla".encode()),
        (b"User-Agent", b"Mozilla \t"),
        (b"User-Agent", b"Moz\rilla"),
        (b"User-Agent", b"Moz\nilla"),
        (b"User-Agent", b"Moz\0illa"),
        (b"Content-Length", b"0"),
        (b"Transfer-Encoding", b"chunked"),
    ],
)
def test_a_handshake_with_anything_else_is_left_to_websockets(header: tuple[bytes, bytes]) -> None:
    assert read_handshake(request(HEADERS | dict([header]))) is None


@pytest.mark.parametrize("name", HEADERS.keys() - {b"Host", b"User-Agent", b"Sec-WebSocket-Protocol"})
def test_a_handshake_that_lacks_what_makes_it_one_is_left_to_websockets(name: bytes) -> None:
    assert read_handshake(request({each: HEADERS[each] for each in HEADERS if each != name})) is None


@pytest.mark.parametrize(
    "line",
    [
        b"POST /users/ HTTP/1.1",
        b"GET /users/ HTTP/1.0",
        b"GET users HTTP/1.1",
        b"GET  /users/ HTTP/1.1",
        b"GET /a b HTTP/1.1",
        "GET /üsers/ HTTP/1.1".encode(),
        b"GET /" + b"x" * 8200 + b" HTTP/1.1",
    ],
)
def test_a_handshake_for_something_odd_is_left_to_websockets(line: bytes) -> None:
    assert read_handshake(request(HEADERS, line=line)) is None


@pytest.mark.parametrize(
    "more",
    [
        [b"Host: site.test"],
        [b"host: site.test"],
        [b"X%d: y" % number for number in range(128)],
        [b" folded: y"],
        [b"X : y"],
        [b": y"],
        [b"X"],
        [b"", b"and what comes after it"],
    ],
    ids=["twice", "twice in another case", "many", "folded", "blank", "no name", "no value", "more"],
)
def test_a_handshake_with_odd_lines_is_left_to_websockets(more: list[bytes]) -> None:
    assert read_handshake(request(HEADERS, *more)) is None


def test_part_of_a_handshake_is_none() -> None:
    assert read_handshake(FIREFOX) is not None
    assert all(read_handshake(FIREFOX[:end]) is None for end in range(len(FIREFOX)))


def parts_of_sockets() -> int:
    kinds = (Door, ImpatientHttp, HttpRequestParser, FramesProtocol, ServerProtocol)
    return sum(issubclass(type(each), kinds) for each in gc.get_objects())


@pytest.mark.parametrize("accepts", [True, False])
@pytest.mark.parametrize("left_to_websockets", [False, True])
async def test_nothing_of_a_socket_that_has_ended_waits_for_the_collector(
    monkeypatch: pytest.MonkeyPatch, left_to_websockets: bool, accepts: bool
) -> None:
    if left_to_websockets:
        monkeypatch.setattr(websocket_protocol, "read_handshake", lambda *request: None)
    gc.collect()
    gc.disable()
    try:
        before = parts_of_sockets()
        await answered(FIREFOX, accepts=accepts)
        await asyncio.sleep(0)
        assert parts_of_sockets() == before
    finally:
        gc.enable()


def masked(first_byte: int, payload: bytes) -> bytes:
    """Return a client's frame, whose size is written in the shortest way."""
    size, mask = len(payload), b"\x11\x22\x33\x44"
    if size < 126:
        head = bytes([first_byte, 0x80 | size])
    elif size < 65536:
        head = bytes([first_byte, 0xFE]) + size.to_bytes(2, "big")
    else:
        head = bytes([first_byte, 0xFF]) + size.to_bytes(8, "big")
    return head + mask + apply_mask(payload, mask)


SHORT = [masked(0x81, b"x" * size) for size in (0, 1, 125, 126, 300)]
ODD = {
    "a long text": masked(0x81, b"x" * 65_536),
    "a text in which there seem to be others": b"\x81\xfe\x01\x2c\0\0\0\0"
    + b"abcdef"
    + b"\x81\x81\0\0\0\0x" * 42,
    "a text that is too long": masked(0x81, b"x" * 65_535),
    "a text in a size that could be written shorter": b"\x81\xfe\0\x01\0\0\0\0x",
    "a text in parts": masked(0x01, b"x") + masked(0x80, b"y"),
    "a text in parts, and a ping between": masked(0x01, b"x") + masked(0x89, b"?") + masked(0x80, b"y"),
    "a part of nothing": masked(0x80, b"x"),
    "a binary message": masked(0x82, b"x"),
    "a ping": masked(0x89, b"?"),
    "a pong": masked(0x8A, b"?"),
    "an end": masked(0x88, b"\x03\xe8"),
    "no text": masked(0x81, b"\xff"),
    "a text that is compressed": masked(0xC1, b"x"),
    "a text that is not masked": b"\x81\x01x",
}


async def heard(pieces: Sequence[bytes], by_websockets: bool) -> tuple[list[dict[str, Any]], bytes]:
    """Return what the application is told of these pieces, and what is written."""
    events: list[dict[str, Any]] = []

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while not events or events[-1]["type"] == "websocket.receive":
            events.append(await receive())

    socket = begun(FIREFOX, application=application, ws_max_size=65_000)
    assert socket.reads_messages
    socket.reads_messages = not by_websockets
    socket.transport = Forgiving()
    for piece in pieces:
        await asyncio.sleep(0)
        socket.data_received(piece)
    for _ in range(len(pieces) + 20):
        await asyncio.sleep(0)
    written = socket.transport.written
    socket.connection_lost(None)
    await asyncio.gather(*socket.tasks)
    return events, written


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("pieces_of", [1, 7, 100, 10**6])
async def test_messages_are_read_as_websockets_reads_them_whatever_comes_between(
    odd: bytes, pieces_of: int
) -> None:
    size = max(pieces_of, len(odd) // 1000)
    cut = [odd[start : start + size] for start in range(0, len(odd), size)]
    pieces = [b"".join(SHORT), *cut, b"".join(SHORT)]
    expected, written = await heard(pieces, by_websockets=True)
    assert expected
    assert (await heard(pieces, by_websockets=False)) == (expected, written)
    # Of what comes together with something wrong uvicorn tells nothing.
    assert (await heard([b"".join(pieces)], by_websockets=False)) == (expected, written)


async def test_short_messages_that_come_whole_do_without_websockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ServerProtocol, "receive_data", None)
    pong = masked(0x8A, b"?")
    events, _ = await heard([SHORT[1] + pong + SHORT[4], SHORT[3]], by_websockets=False)
    assert [len(event["text"]) for event in events[:3]] == [1, 300, 126]


async def nothing(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """An application that lets somebody in and does no more."""
    await send({"type": "websocket.accept"})


class Weighed(bytes):
    """Bytes that note how many of them are copied."""

    copied = 0

    def __getitem__(self, which: Any) -> Any:
        part = super().__getitem__(which)
        Weighed.copied += len(part) if isinstance(part, bytes) else 0
        return part


async def test_thousands_of_messages_in_one_piece_are_each_copied_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Weighed, "copied", 0)
    data = Weighed(masked(0x81, b"x") * 5_000)
    socket = begun(FIREFOX, application=nothing)
    socket.data_received(data)
    await asyncio.gather(*socket.tasks)
    assert Weighed.copied <= len(data)


async def test_a_pong_that_comes_with_a_message_is_an_answer() -> None:
    socket = begun(FIREFOX, application=nothing)
    socket.start_keepalive()
    socket.begin_ping()
    socket.data_received(SHORT[1] + masked(0x8A, socket.pending_ping_payload) + SHORT[2])
    assert socket.pending_ping_payload is None
    assert socket.reads_messages
    socket.connection_lost(None)
    await asyncio.gather(*socket.tasks)


async def test_what_only_the_handshake_needed_is_let_go_and_what_came_with_it_is_not_lost() -> None:
    scopes: list[dict[str, Any]] = []

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        scopes.append(scope)
        assert scope["headers"]
        await receive()
        await send({"type": "websocket.accept"})
        settle = scope["extensions"][EXTENSION]["settle"]
        while settle.__self__.queue.empty():
            await asyncio.sleep(0)
        settle()
        while (event := await receive())["type"] == "websocket.receive":
            await send(frame(event["text"]).event)

    async with serving(application) as socket:
        for text in ("one", "two", "three"):
            await socket.send_str(text)
        assert [await socket.receive_str(timeout=10) for _ in range(3)] == ["one", "two", "three"]
        assert scopes[0]["headers"] == []


async def test_a_peer_that_does_not_read_is_found_out_by_the_first_frame_it_cannot_take() -> None:
    buffered, taken_again = asyncio.Queue[int](), asyncio.Event()
    big = frame("x" * 100_000)

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        frames = scope["extensions"][EXTENSION]
        transport = frames["write"].__self__.transport
        await receive()
        await send({"type": "websocket.accept"})
        frames["settle"]()
        while frames["write"](big.data):
            await asyncio.sleep(0)
        buffered.put_nowait(transport.get_write_buffer_size())
        await send(frame("last").event)  # waits until the peer has read
        taken_again.set()
        await receive()

    async with serving(application) as socket:
        assert socket._response.connection is not None
        transport = socket._response.connection.transport
        assert transport is not None
        transport.pause_reading()
        async with asyncio.timeout(20):
            assert 0 < await buffered.get() <= len(big.data)
            assert not taken_again.is_set()
            transport.resume_reading()
            while await socket.receive_str() != "last":
                pass
            assert taken_again.is_set()


async def test_a_peer_is_pinged_again_and_again_and_its_pong_is_taken_in_one_piece_or_in_several() -> None:
    pinged, done = asyncio.Queue[bytes](), asyncio.Event()

    class Pinged(FramesProtocol):
        def take_answer(self) -> None:
            pinged.put_nowait(self.pending_ping_payload or b"")
            super().take_answer()

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        protocol = scope["extensions"][EXTENSION]["write"].__self__
        await receive()
        await send({"type": "websocket.accept"})
        answered = [await pinged.get() for _ in range(3)]
        assert len(set(answered)) == 3
        protocol.stop_keepalive()
        protocol.send_keepalive_ping()
        pong = Frame(Opcode.PONG, protocol.pending_ping_payload).serialize(mask=True)
        for part in (pong[:1], pong[1:7], pong[7:]):
            assert protocol.pending_ping_payload is not None
            protocol.data_received(part)
        assert protocol.pending_ping_payload is None
        protocol.send_keepalive_ping()
        stale = Frame(Opcode.PONG, bytes(a ^ 1 for a in protocol.pending_ping_payload)).serialize(mask=True)
        protocol.data_received(stale)
        assert protocol.pending_ping_payload is not None
        done.set()
        assert (await receive())["text"] == "still here"
        await send(frame("so am I").event)
        await receive()

    async with serving(application, protocol=Pinged, ping=0.02) as socket:
        listening = asyncio.create_task(socket.receive_str())  # who listens answers pings
        async with asyncio.timeout(10):
            await done.wait()
            await socket.send_str("still here")
            assert await listening == "so am I"


async def test_a_peer_is_not_given_up_whose_answer_lies_behind_a_message_that_waits_to_be_handled() -> None:
    late, has_sent = asyncio.Queue[None](), asyncio.Event()

    class Late(FramesProtocol):
        def keepalive_timeout(self) -> None:
            super().keepalive_timeout()
            late.put_nowait(None)

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        protocol = scope["extensions"][EXTENSION]["write"].__self__
        await receive()
        await send({"type": "websocket.accept"})
        await has_sent.wait()
        while not protocol.read_paused:
            await asyncio.sleep(0)
        for _ in range(3):
            async with asyncio.timeout(5):
                await late.get()  # its pongs are not read: it has said something that nobody takes
        await send(frame((await receive())["text"]).event)
        await receive()

    async with serving(application, protocol=Late, ping=0.02, ping_timeout=0.02) as socket:
        await socket.send_str("one")
        has_sent.set()
        assert await socket.receive_str(timeout=10) == "one"


class ByHand(FramesProtocol):
    """Told of its deadlines by hand."""

    def on_deadline(self) -> None:
        pass

    def pass_deadline(self) -> None:
        super().on_deadline()


@asynccontextmanager
async def idle_socket(clock: ManualClock) -> AsyncIterator[ByHand]:
    """Yield an open socket that waits for its next ping."""
    opened = asyncio.Event()

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        scope["extensions"][EXTENSION]["write"].__self__.loop = clock
        await send({"type": "websocket.accept"})
        scope["extensions"][EXTENSION]["settle"]()
        opened.set()
        await receive()

    socket = begun(FIREFOX, application=application, ws=for_a_server(ByHand))
    async with asyncio.timeout(10):
        await opened.wait()
        socket.transport.written = b""
        yield socket
        socket.connection_lost(None)
        await asyncio.gather(*socket.tasks)
    assert len(socket.pings) == 0


def pong(socket: FramesProtocol) -> bytes:
    assert socket.pending_ping_payload is not None
    return Frame(Opcode.PONG, socket.pending_ping_payload).serialize(mask=True)


def written(socket: FramesProtocol) -> bytes:
    """Return what was written since the last look, with the numbers of pings as dots."""
    everything, socket.transport.written = socket.transport.written, b""
    return re.sub(rb"\x89\x04....", b"\x89\x04....", everything, flags=re.DOTALL)


PING = b"\x89\x04...."


async def test_a_ping_goes_along_with_a_frame_when_it_is_nearly_due_and_alone_when_it_is() -> None:
    one = frame("one").data
    async with idle_socket(clock := ManualClock()) as socket:
        assert socket.write(one)
        assert written(socket) == one  # the next ping is far off
        await clock.advance(20 * (1 - RIDES))
        socket.pass_deadline()
        assert written(socket) == b""
        assert socket.write(one)
        assert written(socket) == PING + one
        assert socket.write(one)
        assert written(socket) == one  # one ping at a time
        socket.data_received(pong(socket))
        assert socket.write(one)
        assert written(socket) == one
        socket.pass_deadline()
        socket.pass_deadline()  # no frame has come: it goes alone
        assert written(socket) == PING
        assert len(socket.pings) == 1


async def test_sockets_whose_pings_went_with_the_same_frame_are_pinged_apart_afterwards() -> None:
    clock = ManualClock()
    began = clock.time()
    async with idle_socket(clock) as first:
        await clock.advance(4)
        async with idle_socket(clock) as second:
            await clock.advance(15)  # for the one it is nearly due, for the other it may go
            for socket in (first, second):
                socket.pass_deadline()
                socket.write(frame("to all").data)
                socket.data_received(pong(socket))
            assert second.ping_due - first.ping_due == 4
            assert first.ping_due == began + 2 * 20


async def test_after_a_long_pause_a_socket_is_pinged_at_once_and_not_for_each_ping_that_was_missed() -> None:
    async with idle_socket(clock := ManualClock()) as socket:
        socket.pass_deadline()
        socket.pass_deadline()
        await clock.advance(300)
        socket.data_received(pong(socket))
        assert socket.ping_due == clock.time()
        socket.pass_deadline()
        socket.pass_deadline()
        socket.data_received(pong(socket))
        assert socket.ping_due == clock.time() + 20


async def test_a_process_that_was_held_up_looks_once_more_before_it_gives_up_who_does_not_answer() -> None:
    async with idle_socket(clock := ManualClock()) as socket:
        for _ in range(2):
            socket.pass_deadline()
            socket.pass_deadline()
            await clock.advance(20 + 2 * HELD_UP)
            socket.pass_deadline()
            assert len(socket.pings) == 1
            assert not socket.close_sent
            socket.data_received(pong(socket))  # lay there unread
        socket.pass_deadline()
        socket.pass_deadline()
        await clock.advance(20)
        socket.pass_deadline()
        assert socket.close_sent
        assert b"keepalive ping timeout" in written(socket)


class Closing(websocket_protocol._Transport):
    """A transport that takes nothing when it is closed, as uvloop's."""

    closed = paused = False
    protocol: Any = None

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def write(self, data: Any) -> None:
        assert not self.closed
        super().write(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


class Forgiving(Closing):
    """The same, where what is written after that is no error: nothing of it goes through."""

    def write(self, data: Any) -> None:
        if not self.closed:
            super().write(data)


async def test_a_peer_whose_first_bytes_are_no_handshake_is_closed_and_gets_no_second_try() -> None:
    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        raise AssertionError("nobody is let in")

    config = uvicorn.Config(application, ws=FramesProtocol, log_config=None, ws_per_message_deflate=False)
    config.load()
    socket, transport = FramesProtocol(config, ServerState(), {}), Closing()
    socket.connection_made(transport)
    socket.data_received(FIREFOX.replace(b"Host: site.test", b"content-length: 5"))
    socket.data_received(FIREFOX)
    assert transport.closed
    assert not transport.written
    assert not socket.tasks


async def test_peers_that_are_lost_together_are_given_up_so_many_in_a_turn_of_the_loop() -> None:
    lost, turn, here = Counter[int](), 0, asyncio.Semaphore(0)

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        here.release()
        assert (await receive())["type"] == "websocket.disconnect"
        lost[turn] += 1

    kind = for_a_server()
    config = uvicorn.Config(application, ws=kind, log_config=None, lifespan="off")
    config.load()
    state = ServerState()
    sockets = [kind(config, state, {}) for _ in range(3 * LOSE_AT_ONCE)]
    for socket in sockets:
        socket.connection_made(Closing())
        socket.data_received(websocket_protocol._HANDSHAKE)
    async with asyncio.timeout(10):
        for _ in sockets:
            await here.acquire()
        for socket in sockets:
            socket.transport.close()
            socket.connection_lost(None)
        for socket in sockets:
            socket.shutdown()  # a server that is going
        sockets[-1].send_500_response()
        with pytest.raises(ClientDisconnected):
            await sockets[-1].send({"type": "websocket.send", "text": "who waits is gone already"})
        while lost.total() < len(sockets):
            turn += 1
            await asyncio.sleep(0)
    assert max(lost.values()) == LOSE_AT_ONCE
    assert not state.connections


async def test_an_application_that_does_not_know_of_it_is_served_as_ever() -> None:
    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": dict(scope["headers"])[b"host"]})
        await receive()

    async with serving(application) as socket:
        assert (await socket.receive_bytes(timeout=10)).startswith(b"127.0.0.1:")


async def test_two_may_wait_at_a_gate_and_one_of_them_give_up() -> None:
    gate = websocket_protocol._Gate(True)
    assert await gate.wait()
    gate.clear()
    first, second = (asyncio.create_task(gate.wait()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.wait_for(second, 10)
    assert first.cancelled()
    assert gate.open


async def test_a_reader_of_an_inbox_that_gives_up_leaves_what_comes_to_the_next() -> None:
    inbox = websocket_protocol._Inbox()
    reader = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    reader.cancel()
    inbox.put_nowait(1)
    inbox.put_nowait(2)
    await asyncio.wait([reader])
    assert reader.cancelled()
    assert [await inbox.get(), await inbox.get(), inbox.empty()] == [1, 2, True]
