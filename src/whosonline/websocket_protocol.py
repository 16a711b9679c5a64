"""uvicorn's WebSocket protocol, with a shorter way out for frames that are made once and sent to many.

ASGI's ``send`` takes a text, and uvicorn makes a frame of it anew for each socket: at thousands of sockets
that is a third of the work. And uvicorn keeps, for as long as a socket is open, what only its handshake
needed.
The protocol here offers an application more, under :data:`~whosonline.hub.connection.EXTENSION` in the
scope's extensions:

``settle()``
    To be called once, after the handshake, by an application that reads no more of the scope, receives in one
    place only, and sends what it has no room for elsewhere: lets go of the handshake, and from then on what
    the peer has not taken is one frame at most.
``write(data)``
    Writes the bytes of a whole frame now, if the peer has taken all that was written before and the socket is
    open; returns whether it did. If not, ASGI's ``send`` waits for that, or says why it never will be.

Beside that a handshake as browsers send it is read here, whether it comes from the door or from HTTP; all
others are left to websockets. It pings in fewer steps, by one timer for all, since that is most of what an
idle site does, and along with a frame where one goes out shortly before; gives no peer up whose answer it has
not read yet; and takes the loss of many peers in turns. Short messages, which is what clients send, it reads
itself.

This leans on what uvicorn does not promise. So it stands here, in ``door.py`` and ``http_protocol.py`` alone;
:func:`protocol` tries it out before a server begins, which falls back to uvicorn's own protocols;
``tests/test_websocket_protocol.py`` fails when an upgrade breaks it. (How the server begins and ends is
another matter: ``uvicorn_server.py`` overrides methods of ``uvicorn.Server``, has no other way, and tests of
its own.)
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections import deque
from functools import partial
from typing import Any, ClassVar

import uvicorn
from uvicorn.protocols.utils import is_ssl
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol

from .handshake import Answer, Handshake, read_handshake
from .hub.connection import EXTENSION, frame
from .hub.deadlines import Deadlines
from .hub.turns import Turns

try:
    from websockets.speedups import apply_mask
except ImportError:  # where it was installed without its part in C
    from websockets.utils import apply_mask

logger = logging.getLogger(__name__)

LOSE_AT_ONCE = 50
"""Peers whose loss is taken in one turn of the loop; that of ten thousand would be a turn of seconds."""

RIDES = 0.25
"""Share of the time between two pings at whose end the next goes with a frame, if one goes out: a packet less
for either side."""

HELD_UP = 0.5
"""Seconds that a deadline is noticed late only by a process that was held up, and has not read all yet."""


class FramesProtocol(WebSocketsSansIOProtocol):
    """One socket."""

    queue: Any
    writable: Any
    scope: Any
    transport: Any
    server: Any
    client: Any
    scheme: Any
    ping_interval: float
    ping_timeout: float
    pending_ping_payload: Any
    losses: ClassVar[Turns]
    """The server's, as the next; its own class has them: see :func:`for_a_server`."""
    pings: ClassVar[Deadlines[FramesProtocol]]
    ping_step = 0
    """Where among them its own deadline is."""
    ping_due = 0.0
    """By the loop's clock; of the one under way, or else of the next."""
    ping_may_ride = False
    """Whether the next frame takes the next ping along."""
    reads_messages = False
    """Whether all since the handshake was read here, so that what comes next begins a frame."""

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        # Its task has been made, and begins with the next turn of the loop. A bad handshake has no scope.
        if scope := vars(self).get("scope"):
            scope["extensions"][EXTENSION] = {"settle": self.settle, "write": self.write}

    def settle(self) -> None:
        inbox = _Inbox()
        while not self.queue.empty():
            inbox.put_nowait(self.queue.get_nowait())
        self.queue = inbox
        self.writable = _Gate(self.writable.is_set())
        self.transport.set_write_buffer_limits(0)
        # Emptied, since frames of the stack hold them; the scope too, in copies that share its headers.
        self.request.headers.clear()
        self.response.headers.clear()
        self.scope["headers"].clear()
        del self.request, self.response, self.scope
        # A dict that grew never shrinks; a copy takes what it needs.
        self.__dict__ = dict(self.__dict__)

    def connection_lost(self, exc: Exception | None) -> None:
        self.disconnected = True  # for whoever sends before it is its turn
        self.losses.do(partial(self._lose, exc))

    def _lose(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # What holds what holds it would wait for Python's collector.
        self.conn.parser.close()
        if scope := vars(self).get("scope"):
            scope["extensions"].pop(EXTENSION, None)

    def data_received(self, data: bytes) -> None:
        # Most of what an idle site receives. Whatever the parser waits for, these bytes can be nothing else:
        # they hold the random number of the ping that is under way.
        if len(data) == 10 and data[:2] == b"\x8a\x84" and self.pending_ping_payload is not None:
            payload = apply_mask(data[6:], data[2:6])
            if payload == self.pending_ping_payload:
                self.take_answer()
                return
        if self.reads_messages:
            data = self.take_frames(data)
            if not data:
                return
            # What comes now is websockets' to read, and with it all that follows: it alone knows where the
            # next frame begins.
            self.reads_messages = False
        super().data_received(data)
        if not self.handshake_initiated and self.conn.handshake_exc is not None:
            self.transport.close()  # websockets has no answer to it, and reads nothing more

    def take_frames(self, data: bytes) -> bytes:
        """Take the whole short messages, and pongs, at the beginning of what has come; return the rest."""
        begin = 0
        while (found := _frame(data, begin, self.config.ws_max_size)) is not None:
            if self.close_sent or self.transport.is_closing():
                break  # websockets knows what that leaves to be done
            taken, begin = found
            if taken.opcode is Opcode.TEXT:
                self.handle_text(taken)
            else:
                self.handle_pong(taken)
        return data[begin:]

    def take_over(self, before: Any, request: Handshake, answer: Answer) -> None:
        """Begin with a connection, the protocol that it had until now, and a handshake that has been read."""
        self.connections.add(self)
        self.transport, self.server, self.client = before.transport, before.server, before.client
        self.scheme = "wss" if is_ssl(before.transport) else "ws"
        # What waits for a request is done with it; from here on there are frames.
        self.conn.parser = Protocol.parse(self.conn)
        next(self.conn.parser)
        vars(self.conn)["accept"] = lambda _: answer
        try:
            self.handle_connect(request)
        finally:
            del vars(self.conn)["accept"]
        self.reads_messages = True

    def shutdown(self) -> None:
        if not self.disconnected:  # one that is lost and waits for its turn takes no farewell
            super().shutdown()

    def send_500_response(self) -> None:
        if not self.disconnected:
            super().send_500_response()

    # A socket has always one deadline while it is open. At first that is when its next ping may go with a
    # frame; then when it goes alone; and once it has gone, when the peer is given up.

    def start_keepalive(self) -> None:
        self.ping_due = self.loop.time()
        super().start_keepalive()

    def schedule_ping(self) -> None:
        # Counted from when the last was due. From when it went, all whose pings went with the same frame
        # would be pinged at the same moment from then on.
        self.ping_due = max(self.ping_due + self.ping_interval, self.loop.time())
        self.wait_until(self.ping_due - RIDES * self.ping_interval)

    def stop_keepalive(self) -> None:
        self.pings.clear(self, self.ping_step)
        self.ping_may_ride = False
        self.pending_ping_payload = None

    def wait_until(self, deadline: float) -> None:
        self.pings.clear(self, self.ping_step)
        self.ping_step = self.pings.set(self, deadline)

    def on_deadline(self) -> None:
        if self.pending_ping_payload is not None:
            self.keepalive_timeout()
        elif self.ping_may_ride:
            self.send_keepalive_ping()
        else:
            self.ping_may_ride = True
            self.wait_until(self.ping_due)

    def send_keepalive_ping(self) -> None:
        if not self.close_sent and not self.transport.is_closing():
            self.transport.write(self.begin_ping())

    def begin_ping(self) -> bytes:
        """Return the frame of a ping that is to go now."""
        self.ping_may_ride = False
        self.pending_ping_payload = payload = random.getrandbits(32).to_bytes(4, "big")
        self.ping_sent_at = self.loop.time()
        self.wait_until(self.ping_sent_at + self.ping_timeout)
        return b"\x89\x04" + payload

    def handle_pong(self, event: Any) -> None:
        if self.pending_ping_payload is not None and bytes(event.data) == self.pending_ping_payload:
            self.take_answer()

    def take_answer(self) -> None:
        self.pending_ping_payload = None
        self.schedule_ping()

    def keepalive_timeout(self) -> None:
        now = self.loop.time()
        if self.read_paused:  # what it has answered is not read: a message of its waits to be handled
            self.wait_until(now + self.ping_timeout)
        elif now > self.ping_sent_at + self.ping_timeout + HELD_UP:
            self.ping_sent_at = now - self.ping_timeout
            self.wait_until(now)  # with the next step; what has come by now is read before
        else:
            super().keepalive_timeout()

    def write(self, data: bytes) -> bool:
        if not self.writable.open or self.close_sent or self.transport.is_closing():
            return False
        self.transport.write(self.begin_ping() + data if self.ping_may_ride else data)
        return True


def take_as_socket(before: Any, request: bytes, config: Any, server_state: Any, app_state: Any) -> bool:
    """Make a socket of a connection, if the server's sockets take its handshake as it is; return whether so.

    If not, nothing has changed: uvicorn and websockets are to read it.

    Args:
        before: The protocol that it had until now.
        request: The handshake.
    """
    kind = config.ws_protocol_class
    if kind is None or not issubclass(kind, FramesProtocol) or config.ws_per_message_deflate:
        return False
    if (handshake := read_handshake(request)) is None:
        return False
    server_state.connections.discard(before)
    socket: Any = kind(config=config, server_state=server_state, app_state=app_state)
    before.transport.set_protocol(socket)
    socket.take_over(before, *handshake)
    return True


def _frame(data: bytes, begin: int, longest: int) -> tuple[Frame, int] | None:
    """Return the frame that begins there, and where it ends, if it has come whole, and is a pong or a text.

    A text has to be a whole message, of no more bytes than the longest may have, and than a size of 16 bits
    can say (RFC 6455, 5.2).
    """
    if len(data) < begin + 2 or not 0x80 <= data[begin + 1] <= 0xFE or data[begin] not in (0x81, 0x8A):
        return None
    first, size, mask = data[begin], data[begin + 1] - 0x80, begin + 2
    if size == 126:
        size, mask = int.from_bytes(data[mask : mask + 2], "big"), mask + 2
    end = mask + 4 + size
    opcode, most = (Opcode.TEXT, longest) if first == 0x81 else (Opcode.PONG, 125)
    if len(data) < end or size > most:
        return None
    return Frame(opcode, apply_mask(data[mask + 4 : end], data[mask : mask + 4])), end


class _Inbox:
    """asyncio.Queue for one reader, in a twentieth of its memory: what the peer has sent is read at once."""

    __slots__ = ("_events", "_waiter")

    def __init__(self) -> None:
        self._events: deque[Any] | None = None
        self._waiter: asyncio.Future[None] | None = None

    def empty(self) -> bool:
        return not self._events

    def put_nowait(self, event: Any) -> None:
        if self._events is None:
            self._events = deque()
        self._events.append(event)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def get(self) -> Any:
        while not self._events:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        event = self._events.popleft()
        if not self._events:
            self._events = None
        return event


class _Gate:
    """asyncio.Event, in a tenth of its memory while nobody waits."""

    __slots__ = ("_waiters", "open")

    def __init__(self, is_open: bool) -> None:
        self.open = is_open
        self._waiters: list[asyncio.Future[None]] | None = None

    def set(self) -> None:
        self.open = True
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def clear(self) -> None:
        self.open = False

    async def wait(self) -> bool:
        if not self.open:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters = [*(self._waiters or ()), waiter]
            await waiter
        return True


def protocol() -> Any:
    """Return what uvicorn is to be given as ``ws``: the protocol here, or "auto" if it does not work."""
    its_log = logging.getLogger("uvicorn.error")
    was_disabled, its_log.disabled = its_log.disabled, True  # nobody connects: there is nothing to be told of
    try:
        asyncio.run(asyncio.wait_for(_try_out(), 5))
    except Exception as error:
        logger.warning(
            "uvicorn %s is not as whosonline knows it (%s: %s): sockets take more memory and CPU, "
            "and peers that say half a request are not cut",
            uvicorn.__version__,
            type(error).__name__,
            error,
        )
        return "auto"
    finally:
        its_log.disabled = was_disabled
    return for_a_server()


def for_a_server(kind: type[FramesProtocol] = FramesProtocol) -> type[FramesProtocol]:
    """Return the class of one server's sockets."""
    shared = {"losses": Turns(LOSE_AT_ONCE), "pings": Deadlines(kind.on_deadline)}
    return type(kind.__name__, (kind,), shared)


async def _try_out() -> None:
    """Lead two conversations with the protocol; raise an exception if they do not go as they should."""
    await _try_out_after(_HANDSHAKE)
    # As no browser sends it: this one is left to websockets.
    await _try_out_after(_HANDSHAKE.replace(b"host: x", b"host: x "))


async def _try_out_after(handshake: bytes) -> None:
    from .door import door  # which is made for the sockets here

    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    ended.add_done_callback(lambda _: ended.exception())  # if the trial is over by then, nobody asks for it

    async def application(scope: Any, receive: Any, send: Any) -> None:
        try:
            await _converse(scope, receive, send)
        except Exception as error:
            ended.set_exception(error)
        else:
            ended.set_result(None)

    kind = for_a_server()
    config = uvicorn.Config(
        application, ws=kind, ws_per_message_deflate=False, log_config=None, proxy_headers=False
    )
    config.load()
    transport = _Transport()
    first = door(request_timeout=60.0)(config, ServerState(), {})
    first.connection_made(transport)
    first.data_received(handshake)
    socket = transport.protocol
    socket.data_received(b"\x81\x82\0\0\0\0hi")
    await ended
    socket.connection_lost(None)
    head, _, frames = transport.written.partition(b"\r\n\r\n")
    _expect(head.startswith(b"HTTP/1.1 101"), "the handshake was not answered")
    _expect(len(kind.pings) == 0, "a socket that has ended is held")
    told = (b"\x81\x08prepared", b"\x81\x02hi", b"\x88\x02\x11\x30")
    prepared, hi, end = map(re.escape, told)
    ping = b"\x89\x04...."
    expected = prepared + ping + prepared + ping + ping + hi + end
    _expect(re.fullmatch(expected, frames, re.DOTALL) is not None, f"it sent {frames!r}")


async def _converse(scope: Any, receive: Any, send: Any) -> None:
    frames = scope["extensions"][EXTENSION]
    await receive()
    await send({"type": "websocket.accept"})
    frames["settle"]()
    _expect(frames["write"](frame("prepared").data), "a frame was not written")
    _expect_pings(frames["write"].__self__)
    event = await receive()
    await send(frame(event["text"]).event)
    await send({"type": "websocket.close", "code": 4400})
    _expect(not frames["write"](b"late"), "a frame was written after the end")


def _expect_pings(socket: FramesProtocol) -> None:
    _expect(_waits(socket) and socket.pending_ping_payload is None, "no ping is to come")
    socket.on_deadline()
    socket.write(frame("prepared").data)
    for together in (True, False):
        payload = socket.pending_ping_payload
        _expect(_waits(socket) and isinstance(payload, bytes) and len(payload) == 4, "no ping is under way")
        pong = b"\x8a\x84\0\0\0\0" + payload
        for part in [pong] if together else [pong[:7], pong[7:]]:
            socket.data_received(part)
        _expect(_waits(socket) and socket.pending_ping_payload is None, "a pong was not taken")
        socket.send_keepalive_ping()
    socket.read_paused = True
    socket.on_deadline()
    _expect(_waits(socket) and not socket.close_sent, "a peer that was not heard was given up")
    socket.read_paused = False


def _waits(socket: FramesProtocol) -> bool:
    return len(socket.pings) == 1


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise RuntimeError(otherwise)


_HANDSHAKE = (
    b"GET / HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class _Transport(asyncio.Transport):
    """Notes what is written, and whose it is."""

    protocol: Any

    def __init__(self) -> None:
        super().__init__({})
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += data

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass
