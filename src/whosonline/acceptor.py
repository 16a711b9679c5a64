"""Accepts connections at once, and begins so many of them in one turn of the loop.

uvloop accepts one a turn. In a storm a process that is busy, with long turns, accepts fewer than come: the
kernel's queue is full, it forgets handshakes that the peer takes for done, and those peers wait for minutes.
Here they wait for their turn instead, which takes less than to begin. But where several processes share the
listening socket, each accepts only what it can begin, and leaves the others to those who are less busy.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from functools import partial

from .hub.turns import Turns

logger = logging.getLogger(__name__)

ACCEPT_AT_ONCE = 1000
"""Connections that are accepted in one turn of the loop, if so many wait."""

BEGIN_AT_ONCE = 50
"""Connections that get their protocol in one turn of the loop."""

PAUSE = 1.0
"""Seconds until it is tried again where no file, or no memory, is left for another connection."""

GONE = {
    getattr(errno, name)
    for name in ("EPROTO", "ENETDOWN", "ENETUNREACH", "EHOSTDOWN", "EHOSTUNREACH", "ETIMEDOUT")
    if hasattr(errno, name)
}
"""What Linux says, when a connection is to be accepted, of an error of that one alone: accept(2)."""


class Acceptor:
    """Gives each connection to a listening socket a protocol of its own, as asyncio's own servers do.

    Args:
        shared: Whether other processes accept from the same socket.
    """

    def __init__(
        self,
        listener: socket.socket,
        create_protocol: Callable[[], asyncio.BaseProtocol],
        shared: bool = False,
    ) -> None:
        self._at_once = BEGIN_AT_ONCE if shared else ACCEPT_AT_ONCE
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._create_protocol = create_protocol
        self._turns = Turns(BEGIN_AT_ONCE)
        self._beginning: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._loop.add_reader(listener, self._accept)

    def close(self) -> None:
        """Accept no more; whoever is connected stays so. May be called again."""
        if self._pause is not None:
            self._pause.cancel()
        if self._listener.fileno() != -1:
            self._loop.remove_reader(self._listener)

    async def wait_closed(self) -> None:
        """Wait for those that had just been accepted when it was closed."""
        await self._turns.come()  # after all of them
        await asyncio.gather(*self._beginning, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(self._at_once):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return  # nobody waits; or another process was quicker, or the peer went
            except OSError as error:
                if error.errno in GONE:
                    continue
                logger.error("no connection can be accepted, the next try is in %g s: %s", PAUSE, error)
                self._loop.remove_reader(self._listener)
                self._pause = self._loop.call_later(PAUSE, self._resume)
                return
            self._turns.do(partial(self._begin_soon, connection))

    def _resume(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _begin_soon(self, connection: socket.socket) -> None:
        beginning = self._loop.create_task(self._begin(connection))
        self._beginning.add(beginning)
        beginning.add_done_callback(self._beginning.discard)

    async def _begin(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        try:
            await self._loop.connect_accepted_socket(self._create_protocol, connection)
        except OSError as error:  # it has gone already
            logger.info("a connection ended before it began: %s", error)
            connection.close()
        except Exception:
            logger.exception("a connection could not begin")
            connection.close()
