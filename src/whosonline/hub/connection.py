"""One open socket, and what goes out on it: at most one frame in flight, and never a queue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator
from enum import IntFlag
from types import coroutine
from typing import Any, NamedTuple, Protocol

from ..core.entries import Cursor
from ..core.views import Watcher
from ..core.wire import CloseCode

logger = logging.getLogger(__name__)

Send = Callable[[dict[str, Any]], Awaitable[None]]
"""ASGI's send: takes one event; returns when the connection may take another."""

Write = Callable[[bytes], bool]
"""Writes a whole frame now if that is possible, and returns whether it was."""

EXTENSION = "whosonline.frames"
"""Names what ``websocket_protocol.py`` offers in the scope of a socket."""


class Kind(IntFlag):
    """What a frame speaks of, and so what has to be told in full to a connection that missed it."""

    UPDATE = 1
    DIRECTORY = 2
    NOTICE = 4
    RESUME = 8
    VISIBILITY = 16


class Owner(Protocol):
    """What a connection needs of its hub."""

    def resync(self, connection: Connection, missed: Kind) -> None:
        """Offer the full state of what the connection missed, now that it has drained."""


class Frame(NamedTuple):
    """A text frame, made once and sent to many."""

    event: dict[str, Any]
    """The ASGI event."""
    data: bytes
    """The frame's own bytes."""


def frame(text: str) -> Frame:
    """Return the frame of a text, as a server sends it: whole, without a mask (RFC 6455, 5.2)."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        length = size.to_bytes(1, "big")
    elif size < 1 << 16:
        length = b"\x7e" + size.to_bytes(2, "big")
    else:
        length = b"\x7f" + size.to_bytes(8, "big")
    return Frame({"type": "websocket.send", "text": text}, b"\x81" + length + payload)


class Connection(Watcher):
    """One open socket: one tab, one device.

    A frame that is offered while another is in flight is not kept: what it spoke of is noted as *missed*,
    and once the connection has drained it gets the full state of that instead. So a reader that never
    reads costs one frame, until it is given up after `send_timeout`.

    Args:
        user: Whose it is.
        session: A name for the login session that it came with, safe to show to the store.
        ticket: What the site needs to ask again whether the connection may stay.
        send: ASGI's send.
        close: Ends the socket with a code, which a peer that is gone never sees; called once at most.
        owner: The hub.
        send_timeout: Seconds that a frame may be in flight.
        expires: When the session ends by itself, in seconds since 1970.
        looked_up: When the site was last asked about the session, in seconds since 1970.
        write: The short way out, where the server has one.
    """

    __slots__ = (
        "__weakref__",
        "_close",
        "_in_flight",
        "_missed",
        "_owner",
        "_send",
        "_send_timeout",
        "_write",
        "closed",
        "counted",
        "expires",
        "known_at",
        "learning",
        "looked_up",
        "returns",
        "session",
        "ticket",
        "user",
    )

    def __init__(
        self,
        user: str,
        session: str,
        ticket: Any,
        send: Send,
        close: Callable[[CloseCode], None],
        owner: Owner,
        send_timeout: float,
        expires: float = float("inf"),
        write: Write | None = None,
        looked_up: float = 0.0,
    ) -> None:
        super().__init__()
        self.user = user
        self.session = session
        self.ticket = ticket
        self.expires = expires
        self.looked_up = looked_up
        self.known_at: Cursor | None = None
        """The place in the log of the resume token that it came with; None once the site was asked itself."""
        # Whether its page shows what it was told before it lost another connection.
        self.returns = False
        self.closed = False
        self.counted = True
        """Whether its user is counted as online, or about to be."""
        self.learning = False
        self._send = send
        self._write = write
        self._close = close
        self._owner = owner
        self._send_timeout = send_timeout
        self._in_flight: asyncio.Task[None] | None = None
        self._missed = Kind(0)

    def offer(self, frame: Frame, kind: Kind) -> None:
        """Send a frame now, or note that the connection missed it.

        The send is begun in this very turn of the loop, and for nearly every connection it ends there
        too; only where the transport says "wait" does it cost a task.
        """
        if self.closed:
            return
        if self._in_flight is not None:
            self._missed |= kind
            return
        self._begin(frame)

    async def send(self, frame: Frame) -> None:
        """Send a frame after the one in flight, and wait until it is out.

        For the replies to a connection's own messages: while it waits here it reads no further message.
        """
        await self._drained()
        if not self.closed:
            self._begin(frame)
            await self._drained()

    def close(self, code: CloseCode) -> None:
        """Close the socket from this side; does nothing if it is closed."""
        if not self.closed:
            self.detach()
            self._close(code)

    def detach(self) -> None:
        """Send nothing more, and give up the frame in flight."""
        self.closed = True
        if self._in_flight is not None:
            self._in_flight.cancel()

    def _begin(self, frame: Frame) -> None:
        if self._write is not None and self._write(frame.data):
            return
        # Not now, or never: this way it waits, or fails.
        sending = self._send(frame.event).__await__()
        try:
            waits_for = next(sending)
        except StopIteration:
            return
        except Exception:
            self._fail()
            return
        self._in_flight = asyncio.get_running_loop().create_task(self._drain(_resume(sending, waits_for)))

    async def _drained(self) -> None:
        while self._in_flight is not None:
            await asyncio.wait([self._in_flight])

    async def _drain(self, sending: Coroutine[Any, Any, None]) -> None:
        try:
            async with asyncio.timeout(self._send_timeout):
                await sending
        except Exception:
            self._fail()
        finally:
            self._in_flight = None
        missed, self._missed = self._missed, Kind(0)
        if missed and not self.closed:
            self._owner.resync(self, missed)

    def _fail(self) -> None:
        # Whatever a server raises here means one thing: this connection takes nothing any more.
        logger.debug("a send failed; the connection is given up", exc_info=True)
        if not self.closed:
            self.closed = True
            self._close(CloseCode.GOING)


@coroutine
def _resume(sending: Generator[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    """Go on, inside a task, with an awaitable whose first step was taken outside one."""
    while True:
        try:
            try:
                value = yield waits_for
            except BaseException as error:
                waits_for = sending.throw(error)
            else:
                waits_for = sending.send(value)
        except StopIteration:
            return


def as_connection(watcher: Any) -> Connection:
    """Return a watcher as the connection that it is: the hub lets in no others."""
    assert isinstance(watcher, Connection)
    return watcher
