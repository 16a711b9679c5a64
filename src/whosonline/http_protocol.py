"""uvicorn's HTTP, which waits no longer than it must for a request, and takes a storm of them in turns.

uvicorn waits for ever for a peer that connects and says nothing, says half a request, or sends an empty line
after an answer. Each such peer holds a file open, and a process may open so many.

And it answers as many handshakes as have come before it looks at anything else. A thousand that come
together take a second, in which no ping is answered, and the store's answers lie unread and seem to be late.
Where they keep coming all the time they are gathered, ten times a second, since several in a row cost less.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .handshake import Answer, Handshake, read_handshake
from .hub.clock import LoopClock
from .hub.gathering import Gathering
from .hub.turns import Turns
from .websocket_protocol import FramesProtocol

AT_ONCE = 10
"""New connections whose first bytes are handled in one turn of the loop."""

MARK = b"\nsec-websocket-version:"
"""What handshakes have, in lower case; browsers send it before the cookies."""

GLANCE = 4_096
"""First bytes in which the mark is looked for. A handshake that has it elsewhere is not gathered."""


class Awaits(Enum):
    """What is to come from the peer."""

    HEAD = auto()
    BODY = auto()
    NOTHING = auto()
    """The request is here whole; after the answer uvicorn's own time-out runs, until a byte comes."""


class ImpatientHttp(HttpToolsProtocol):
    """Cuts a peer whose request's head is not here in time, or whose request's body stands still for so long.

    A body may take as long as it likes while it comes: large files are sent over slow lines. Sockets are not
    concerned: with its upgrade a connection is another protocol's.
    """

    request_timeout = 20.0
    """Seconds; a server's own class sets it."""
    door: ClassVar[Turns]
    """The server's, as the next; its own class has them: see :func:`impatient_http`."""
    handshakes: ClassVar[Gathering]

    parser: Any
    _is_in = False
    _awaits = Awaits.HEAD
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_in or not self._made_to_wait(data):
            self._is_in = True
            self._take(data)

    def _made_to_wait(self, data: bytes) -> bool:
        """Have a new connection wait for its turn, if it must; return whether it does."""
        # Half a handshake is not gathered: its peer is to be cut if it sends the rest too late.
        whole_handshake = data.endswith(b"\r\n\r\n") and MARK in data[:GLANCE].lower()
        if whole_handshake and not self.handshakes.take_place():
            self.handshakes.wait(lambda: self.door.do(lambda: self._enter(data)))
        elif not self.door.take_place():
            self.door.wait(lambda: self._enter(data))
        else:
            return False
        self._wait_no_more()  # it is not the peer who is late now
        self.transport.pause_reading()
        return True

    def _enter(self, data: bytes) -> None:
        self._is_in = True
        if self in self.connections and not self.transport.is_closing():  # else it is gone by now
            self.transport.resume_reading()
            self._wait()
            self._take(data)

    def _take(self, data: bytes) -> None:
        super().data_received(data)
        if self not in self.connections or self.transport.is_closing():
            self._wait_no_more()  # it is a socket now, or was no HTTP
        elif self._awaits is Awaits.BODY:
            self._wait()
        elif self._awaits is Awaits.NOTHING and (self.cycle is None or self.cycle.response_complete):
            # A byte came after the answer, which has ended uvicorn's time-out: a request has begun.
            self._awaits = Awaits.HEAD
            self._wait()

    def handle_websocket_upgrade(self) -> None:
        handshake = self._handshake()
        if handshake is None:
            super().handle_websocket_upgrade()
        else:
            self.connections.discard(self)
            kind: Any = self.ws_protocol_class
            socket = kind(config=self.config, server_state=self.server_state, app_state=self.app_state)
            socket.take_over(self, *handshake)
            self.transport.set_protocol(socket)
        # It holds this protocol, as this does it: without a word they would wait for Python's collector.
        self.parser = None

    def _handshake(self) -> tuple[Handshake, Answer] | None:
        """Return what our sockets take as it is; None where websockets is to read it."""
        kind: Any = self.ws_protocol_class
        if not issubclass(kind, FramesProtocol) or self.config.ws_per_message_deflate:
            return None
        return read_handshake(self.scope["method"], self.url, self.headers)

    def on_headers_complete(self) -> None:
        self._awaits = Awaits.BODY
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._awaits = Awaits.NOTHING
        self._wait_no_more()
        super().on_message_complete()

    def _wait(self) -> None:
        self._wait_no_more()
        self._timer = self.loop.call_later(self.request_timeout, self._cut)

    def _wait_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cut(self) -> None:
        if self.flow.read_paused:
            self._wait()  # it is the application that takes its time
        else:
            self.transport.close()


def impatient_http(request_timeout: float) -> type[ImpatientHttp]:
    """Return the protocol for one server, with this time-out in seconds."""
    own = {
        "request_timeout": request_timeout,
        "door": Turns(AT_ONCE),
        "handshakes": Gathering(LoopClock()),
    }
    return type("ImpatientHttp", (ImpatientHttp,), own)
