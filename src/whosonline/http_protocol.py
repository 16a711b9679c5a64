"""uvicorn's HTTP, which waits no longer than it must for a request.

uvicorn waits for ever for a peer that connects and says nothing, says half a request, or sends an empty line
after an answer. Each such peer holds a file open, and a process may open so many.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .websocket_protocol import take_as_socket


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

    request_timeout: float
    """Seconds."""

    parser: Any
    _awaits = Awaits.HEAD
    _timer: asyncio.TimerHandle | None = None

    def take_over(self, before: Any, timer: asyncio.TimerHandle, request_timeout: float) -> None:
        """Begin with a connection that has just said something.

        Args:
            before: The protocol that it had until now.
            timer: Cuts the peer if the head of its first request takes too long. It is cancelled if the peer
                had to wait at the door: then the time begins anew.
            request_timeout: Seconds for the heads of later ones, and between two parts of a body.
        """
        self._timer, self.request_timeout = timer, request_timeout
        if timer.cancelled():
            self._wait()
        self.connection_made(before.transport)
        self.server, self.client = before.server, before.client

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
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
        # What the door has found odd, and later requests, as of a proxy that keeps its connections.
        line = b"%s %s HTTP/%s\r\n" % (
            self.scope["method"].encode(),
            self.url,
            self.scope["http_version"].encode(),
        )
        head = b"".join([line, *(b"%s: %s\r\n" % header for header in self.headers), b"\r\n"])
        if not take_as_socket(self, head, self.config, self.server_state, self.app_state):
            super().handle_websocket_upgrade()
        # It holds this protocol, as this does it: without a word they would wait for Python's collector.
        self.parser = None

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
