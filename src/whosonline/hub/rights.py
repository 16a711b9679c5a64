"""Until when sockets may stay: what this node was told of sessions and users, and has looked up for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from math import nextafter
from typing import Any

from ..core.connections import Connections
from ..core.recent import Recent
from ..core.wire import CloseCode
from .clock import Clock
from .connection import Connection
from .rechecks import CHUNK, Rechecks, Standing, Staying

RECHECK_DELAY = 0.5
"""Seconds between a change of a user and the look at whose sessions are still good."""

RENEW_DELAY = 0.5
"""Seconds until the sockets of a session with a new key are sent back: its browser learns the key only by
the response to the request that gave it."""

GATHER = 0.1
"""Seconds in which those who were doubted as they came are gathered for one question."""

HANDSHAKE = 60.0
"""Seconds that a socket may be on its way: between reading who it belongs to and counting it in."""

CLOSE_CHUNK = 50
"""Connections that are closed in one turn of the loop."""


class SessionEnded(Exception):
    """The session that a socket came with has been ended."""


class Rights:
    """Closes the connections of a node that may not stay, at once for good or to come back.

    Args:
        staying: Asks the site who may stay.
        stays: Told of each connection that may, how it stands, and when that was asked.
        report_soon: Has the store told who is gone.
        period: Seconds in which everybody is asked about once.
        spawn: Runs a task beside everything else.
    """

    def __init__(
        self,
        connections: Connections,
        staying: Staying,
        stays: Callable[[Connection, Standing, float], None],
        report_soon: Callable[[], None],
        period: float,
        clock: Clock,
        spawn: Callable[[Awaitable[None]], object],
    ) -> None:
        self._connections = connections
        self._stays = stays
        self._report_soon = report_soon
        self._clock = clock
        self._spawn = spawn
        self._rechecks = Rechecks(staying, self._refuse, self._on_staying, period, clock, spawn)
        # What happens to a session or a user while a socket of theirs is on its way must not be missed.
        self._expelled = Recent[None](HANDSHAKE)
        self._renewed = Recent[None](HANDSHAKE)
        self._rechecked = Recent[None](HANDSHAKE)
        # What was looked up before may not be so any more: something may have been missed.
        self._sure_since = float("-inf")
        self._unasked: list[Any] = []
        # Users who were doubted as they came; they are asked about together.
        self._doubted: dict[str, None] = {}

    def stop(self) -> None:
        self._rechecks.stop()

    # Sockets that come and go

    def check(self, session: str) -> None:
        """Raise SessionEnded if the session ended while its socket was on its way here."""
        if self._expelled.holds(session, self._clock.time()):
            raise SessionEnded(session)

    def in_doubt(self, user: str, asked: float) -> bool:
        """Return whether what was looked up of a user at a time may not be so any more."""
        return asked <= self._sure_since or self._rechecked.since(user, asked, self._clock.time())

    def add(self, connection: Connection) -> None:
        """See to a connection from now on."""
        self._rechecks.add(connection)

    def forget(self, connection: Connection) -> None:
        """See to a connection no more."""
        self._rechecks.forget(connection)

    # What is told

    def expel(self, session: str) -> None:
        """Close a session's connections for good, on this node."""
        self._expelled.add(session, None, self._clock.time())
        self._expel(self._connections.of_session(session))

    def renew(self, session: str) -> None:
        """Have a session's connections come back under its new key; their people are not seen to go."""
        self._renewed.add(session, None, self._clock.time())
        self._spawn(self._renew_soon(session))

    def recheck(self, user: str) -> None:
        """Look up soon which of a user's connections may stay."""
        self._rechecked.add(user, None, self._clock.time())
        self._spawn(self._recheck_soon(user))

    def ask_about(self, user: str) -> None:
        """Look up, in a moment, which of a user's connections may stay."""
        if not self._doubted:
            self._spawn(self._ask_about_doubted())
        self._doubted[user] = None

    def doubt_arrivals(self) -> None:
        """Look up again who is on the way now: what happened until this moment is not known here."""
        self._sure_since = nextafter(self._clock.time(), float("-inf"))

    def doubt_everybody(self) -> None:
        """Look everybody up again: something was missed."""
        # Sockets that are on their way now are asked about when they come.
        self._sure_since = self._clock.time()
        # One pass, however often something is missed: it begins anew.
        running, self._unasked = bool(self._unasked), self._connections.ids()
        if not running:
            self._spawn(self._ask_about_everybody())

    async def send_away(self, a_second: float) -> None:
        """Have every socket come back, to another server: this one is going. At most so many in a second."""
        connections, pause = self._connections.ids(), CLOSE_CHUNK / a_second
        for start in range(0, len(connections), CLOSE_CHUNK):
            _send_back(connections[start : start + CLOSE_CHUNK])
            await self._clock.sleep(pause)

    # Inside

    async def _ask_about_everybody(self) -> None:
        try:
            while unasked := self._unasked:
                await self._rechecks.ask(unasked[:CHUNK])
                if unasked is self._unasked:  # else all of them are to be asked about anew
                    del unasked[:CHUNK]
        finally:
            self._unasked = []

    async def _ask_about_doubted(self) -> None:
        await self._clock.sleep(GATHER)
        doubted, self._doubted = self._doubted, {}
        await self._rechecks.ask([each for user in doubted for each in self._connections.of_user(user)])

    async def _renew_soon(self, session: str) -> None:
        await self._clock.sleep(RENEW_DELAY)
        _send_back(self._connections.of_session(session))

    async def _recheck_soon(self, user: str) -> None:
        # Who changes the own password is given a new session key by the same request, a little later.
        await self._clock.sleep(RECHECK_DELAY)
        connections: list[Any] = self._connections.of_user(user)
        now = self._clock.time()
        # The old key is nobody's any more; those that came with it are sent back, or linger.
        await self._rechecks.ask([each for each in connections if not self._renewed.holds(each.session, now)])

    def _on_staying(self, connection: Connection, standing: Standing, asked: float) -> None:
        # An answer from before a change must not undo it; another question is on its way.
        if not self._rechecked.since(connection.user, asked, self._clock.time()):
            self._stays(connection, standing, asked)

    def _refuse(self, connections: Iterable[Any], code: CloseCode) -> None:
        """Close those who may not stay for good; those whose session goes on under another key come back."""
        now, refused = self._clock.time(), list(connections)
        renewed = [each for each in refused if self._renewed.holds(each.session, now)]
        if code is CloseCode.NOT_LOGGED_IN and renewed:
            refused = [each for each in refused if each not in renewed]
            # Of those told just now the browsers do not know the new key yet: they are sent back in a moment.
            since = now - RENEW_DELAY
            _send_back(each for each in renewed if not self._renewed.since(each.session, since, now))
        self._expel(refused, code)

    def _expel(self, connections: Iterable[Any], code: CloseCode = CloseCode.NOT_LOGGED_IN) -> None:
        """Close connections for good: their people are gone without grace."""
        expelled: list[Connection] = list(connections)
        self._connections.drop(expelled)
        for connection in expelled:
            connection.close(code)
        self._report_soon()


def _send_back(connections: Iterable[Any]) -> None:
    """Close connections, which come back at once; their people have the grace period for it."""
    for connection in connections:
        connection.close(CloseCode.GOING)
