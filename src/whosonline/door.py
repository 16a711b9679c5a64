"""The door: where a connection begins, until it is known what it is.

Most connections to a site with a hub are sockets, and browsers' handshakes all look alike. uvicorn makes a
protocol of many parts for each connection, which reads the handshake as HTTP, and is thrown away again. Here
the connection becomes a socket at once, if its handshake is such a one; whatever looks different becomes
HTTP's connection, with all that it has said so far.

uvicorn answers as many handshakes as have come before it looks at anything else. A thousand that come
together take a second, in which no ping is answered, and the store's answers lie unread and seem to be late.
So new connections go on some at a time. Where handshakes keep coming all the time they are gathered, ten
times a second, since several in a row cost less.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.utils import get_local_addr, get_remote_addr

from .handshake import ORDINARY
from .http_protocol import ImpatientHttp
from .hub.clock import LoopClock
from .hub.gathering import Gathering
from .hub.turns import Turns
from .websocket_protocol import take_as_socket

AT_ONCE = 10
"""New connections that go on in one turn of the loop."""

MARK = b"\nsec-websocket-version:"
"""What handshakes have, in lower case; browsers send it before the cookies."""

GLANCE = 4_096
"""First bytes in which the mark is looked for. A handshake that has it elsewhere is not gathered."""


class Door(asyncio.Protocol):
    """One connection of which nothing is known yet. A peer that says nothing, or half a head, is cut in time.

    uvicorn takes it for its HTTP protocol.
    """

    request_timeout: ClassVar[float]
    """Seconds for the head of a request. These three are one server's: see :func:`door`."""
    turns: ClassVar[Turns]
    handshakes: ClassVar[Gathering]

    transport: Any
    server: Any
    client: Any
    _timer: asyncio.TimerHandle

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._head = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        # Asked now: of a peer that is gone by the time that it is its turn nobody can say where it was.
        self.server, self.client = get_local_addr(transport), get_remote_addr(transport)
        self._server_state.connections.add(self)
        self._timer = asyncio.get_running_loop().call_later(self.request_timeout, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server_state.connections.discard(self)
        self._timer.cancel()

    def shutdown(self) -> None:
        """Hang up: the server ends."""
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        self._head += data
        if not _is_half(self._head) and not self._made_to_wait():
            self._go_on()

    def _made_to_wait(self) -> bool:
        """Have the connection wait for its turn, if it must; return whether it does."""
        head = self._head
        if head.endswith(b"\r\n\r\n") and MARK in head[:GLANCE].lower() and not self.handshakes.take_place():
            self.handshakes.wait(lambda: self.turns.do(self._enter))
        elif not self.turns.take_place():
            self.turns.wait(self._enter)
        else:
            return False
        self._timer.cancel()  # it is not the peer who is late now
        self.transport.pause_reading()
        return True

    def _enter(self) -> None:
        if self not in self._server_state.connections or self.transport.is_closing():
            return  # it is gone by now
        self.transport.resume_reading()
        try:
            self._go_on()
        except Exception:
            self.transport.abort()  # nothing waits for its peer any more
            raise

    def _go_on(self) -> None:
        """Become what the head asks for."""
        config, state, app = self._config, self._server_state, self._app_state
        if take_as_socket(self, self._head, config, state, app):
            self._timer.cancel()
            return
        state.connections.discard(self)
        http = ImpatientHttp(config, state, app)
        self.transport.set_protocol(http)
        http.take_over(self, self._timer, self.request_timeout)
        http.data_received(self._head)


def _is_half(head: bytes) -> bool:
    """Return whether this may be the beginning of a handshake whose rest is still on its way."""
    return (
        head.startswith(b"GET ")
        and len(head) <= ORDINARY
        and b"\r\n\r\n" not in head
        and head.count(b"\n") == head.count(b"\r\n")  # else HTTP answers at once that it is none
    )


def door(request_timeout: float) -> type[Door]:
    """Return the protocol of one server's connections, with this time-out in seconds."""
    own = {
        "request_timeout": request_timeout,
        "turns": Turns(AT_ONCE),
        "handshakes": Gathering(LoopClock()),
    }
    return type("Door", (Door,), own)
