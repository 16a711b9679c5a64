"""A socket that records what it is sent, in place of a server's."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from ..core.wire import CloseCode


class RecordingSocket:
    """The server's side of a socket, as :meth:`whosonline.hub.hub.Hub.connection` wants it.

    Attributes:
        messages: What was sent, oldest first.
        closed_with: The code the socket was closed with, if it was.
    """

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.closed_with: CloseCode | None = None
        self._reads = asyncio.Event()
        self._reads.set()
        self._closed = asyncio.Event()
        self._broken = False

    async def send(self, event: dict[str, Any]) -> None:
        """Record an event, after waiting for as long as the peer does not read."""
        if self._broken:
            raise ConnectionResetError("the peer is gone")
        if not self._reads.is_set():
            await self._reads.wait()
        self.messages.append(json.loads(event["text"]))

    def close(self, code: CloseCode) -> None:
        self.closed_with = code
        self._closed.set()

    async def wait_closed(self) -> CloseCode | None:
        """Wait until the socket is closed; return the code."""
        await self._closed.wait()
        return self.closed_with

    def stop_reading(self) -> None:
        """Let every further send wait."""
        self._reads.clear()

    def read_on(self) -> None:
        """Let the send that waits, and every further one, go on."""
        self._reads.set()

    def break_off(self) -> None:
        """Let every further send fail."""
        self._broken = True

    def take(self) -> list[dict[str, Any]]:
        """Return what was sent since the last call."""
        messages, self.messages = self.messages, []
        return messages
