"""uvicorn's server as many long-lived sockets need it: how it begins, and how it goes.

Three ways lead to its end. A signal ends it: all sockets are sent away at once. Or it is *replaced*: another
that accepts already takes its place, and the sockets are sent there some at a time, so that each is back
before anybody sees it go. Or it is killed, and then its lease runs out.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .acceptor import Acceptor
from .door import Door
from .huge_pages import HugePages
from .workers import REPLACED

logger = logging.getLogger(__name__)

SETTLE = 0.1
"""Seconds in which a server that accepts no more hears those it has just accepted."""

FAREWELL = 2.0
"""Seconds in which a server that goes waits for its sockets to answer that they have heard it."""

SENT_AWAY = 500.0
"""Sockets that a server that is replaced sends away in a second: so many another lets in beside all else."""

KNOWN_WITHIN = 5.0
"""Seconds in which a worker reads the store before it counts as one that serves. It accepts meanwhile, and
counts after that also while the store is away."""

COLLECTOR = (50_000, 0, 1000)
"""New objects until Python looks for garbage among the youngest; of two such times one includes those of the
other; and how many of the latter until it looks through all, if there is a quarter more than the last time.
The first two are to be short looks: among a million objects one takes seconds on a busy machine."""

COLLECT_AFTER, COLLECT_AFTER_MORE = 1000, 200
"""New connections after which Python is told to look too, and how many more than there were are enough: it
takes objects that end off its count, so that in a storm the youngest would be a million before it looks by
itself. Where as many go as come, most of what is young ends by itself, and need not be looked at. From the
second time on it may be a quarter more or less."""


class Server(uvicorn.Server):
    """One process that serves.

    Args:
        accepting: See :func:`~.server.serve_on`.
        huge_pages: Whether to keep what it holds in huge pages, where that can be.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        listener: socket.socket,
        accepting: Callable[[], None] | None = None,
        *,
        shared: bool = False,
        huge_pages: bool = False,
    ) -> None:
        super().__init__(config)
        self._listener = listener
        self._accepting = accepting
        self._shared = shared
        self._begun = self._fewest = 0
        """Connections since garbage was last looked for: that have begun, by a count that begins about 0, and
        the fewest that there were."""
        self._tasks: list[asyncio.Task[None]] = []
        self._huge_pages = HugePages() if huge_pages else None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if sys.platform == "win32":  # whose loop waits for no socket that is accepted from elsewhere
            await super().startup(sockets)
        else:
            await super().startup(sockets=[])
            self._listener.listen(self.config.backlog)
            self.servers: list[Any] = [Acceptor(self._listener, self._create_protocol, self._shared)]
            if self._accepting is not None:
                loop = asyncio.get_running_loop()
                loop.add_signal_handler(REPLACED, self._begin, self._give_way, self._end)
                self._begin(self._wait_until_known, self._accepting)
        _spare_the_collector()
        if self._huge_pages is not None:
            self._huge_pages.start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._huge_pages is not None:
            self._huge_pages.stop()
        for task in self._tasks:
            task.cancel()
        await self._accept_no_more()
        await asyncio.sleep(SETTLE)
        await self._send_away()
        await super().shutdown(sockets)

    def _begin(self, step: Callable[[], Awaitable[None]], then: Callable[[], None]) -> None:
        """Do something beside all else, and something after it, even if it fails."""

        async def both() -> None:
            try:
                await step()
            except Exception:
                logger.exception("a server could not %s", step.__name__.strip("_").replace("_", " "))
            then()

        self._tasks.append(asyncio.create_task(both()))

    def _end(self) -> None:
        signal.raise_signal(signal.SIGTERM)

    def _create_protocol(self) -> Any:
        self._collect_now_and_then()
        kind: Any = self.config.http_protocol_class
        return kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    def _collect_now_and_then(self) -> None:
        here = len(self.server_state.connections)
        self._begun, self._fewest = self._begun + 1, min(self._fewest, here)
        if self._begun >= COLLECT_AFTER or here - self._fewest >= COLLECT_AFTER_MORE:
            gc.collect(1)
            # Not from 0: where as many go as come, processes would all look in the same moment.
            quarter = COLLECT_AFTER // 4
            self._begun, self._fewest = random.randrange(-quarter, quarter), here

    async def _wait_until_known(self) -> None:
        # The one that it replaces goes then, and its sockets come here. Before the store is read no resume
        # token could be believed, and each of them would be looked up.
        if runtime := _runtime():
            await runtime.wait_until_known(KNOWN_WITHIN)

    async def _give_way(self) -> None:
        """Let another take all sockets over."""
        await asyncio.shield(self._accept_no_more())  # those who are being accepted are nobody else's
        await asyncio.sleep(SETTLE)
        for connection in list(self.server_state.connections):
            # Else a proxy that keeps it brings further requests here. Of others the first is still to come.
            if isinstance(connection, HttpToolsProtocol) and connection.cycle is not None:
                connection.shutdown()
        if runtime := _runtime():
            await runtime.send_away(SENT_AWAY)

    async def _accept_no_more(self) -> None:
        # uvicorn hangs up on whoever it has accepted and not yet heard.
        for server in self.servers:
            server.close()
        self._listener.close()  # who comes now is refused, or taken by a worker that shares it
        if sys.platform != "win32":  # others wait for all connections to end
            await asyncio.gather(*(server.wait_closed() for server in self.servers))

    async def _send_away(self) -> None:
        # uvicorn hangs up without waiting for an answer. If something of the peer's is unread by then, or
        # on its way, the kernel resets the connection, and the peer may never read why it ended.
        deadline = time.monotonic() + FAREWELL
        door: Any = self.config.http_protocol_class
        handshakes = (door.turns, door.handshakes) if issubclass(door, Door) else ()
        while time.monotonic() < deadline:
            if not (self._sockets() or any(each.crowded for each in handshakes)):
                return
            if runtime := _runtime():
                await runtime.send_away()  # again: some were on their way in
            await asyncio.sleep(0.02)

    def _sockets(self) -> bool:
        kind: Any = self.config.ws_protocol_class
        return any(isinstance(connection, kind) for connection in self.server_state.connections)


def _runtime() -> Any:
    """Return the module that has the hub; None for an application that has none, and maybe not our tables."""
    return sys.modules.get(f"{__package__}.runtime")


def _spare_the_collector() -> None:
    """Have Python look for garbage less often, and not in what a server keeps until its end.

    A hundred thousand objects are made by the thousand sockets, and stay: to look through all of them again
    and again takes more of the processor than the sockets do.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR)
