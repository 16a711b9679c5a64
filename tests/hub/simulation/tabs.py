"""A browser's tab: it opens a socket, asks, reads, and comes back when the socket is gone."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from whosonline.core import wire
from whosonline.core.entries import Profile
from whosonline.core.statuses import SITE, Status
from whosonline.hub.connection import Connection
from whosonline.hub.rights import SessionEnded
from whosonline.testing.client import ClientState, ask, merge, watches
from whosonline.testing.sockets import RecordingSocket

from .processes import Process
from .promises import Hold, Promises


class Handshake:
    """A socket on its way: the site has looked up whose it is, and the hub has not counted it in yet."""

    def __init__(self, profile: Profile, touched: bool, at: float) -> None:
        self.profile = profile
        self.touched = touched
        self.at = at


class Tab:
    """What one tab's person does, and what its client makes of what it is told."""

    def __init__(self, user: str, session: str, idle: bool, promises: Promises) -> None:
        self.user = user
        self.session = session
        self.idle = idle
        self.rooms: set[str] = {SITE}
        self.state = ClientState()
        self.process: Process | None = None
        self.handshake: Handshake | None = None
        self.socket = RecordingSocket()
        self.reads = True
        self.late = False
        """Whether what it reads next may have been sent long ago."""
        self._connection: Connection | None = None
        self._promises = promises
        self._holds: dict[str, Hold] = {}

    @property
    def open(self) -> bool:
        return self.process is not None and self.handshake is None

    @property
    def status(self) -> Status:
        return Status.AWAY if self.idle else Status.ONLINE

    # Its socket

    def knock(self, process: Process, handshake: Handshake) -> None:
        """Begin a handshake."""
        self.process, self.handshake = process, handshake
        self.reads, self.late = True, False
        socket = self.socket = RecordingSocket()

        def close(code: wire.CloseCode) -> None:
            socket.close(code)
            # As the consumer does when its task ends.
            asyncio.get_running_loop().call_soon(process.hub.close, connection)

        connection = process.hub.connection(self.user, self.session, self.session, socket.send, close)
        self._connection = connection

    def enter(self) -> bool:
        """End the handshake; return whether the hub has let the tab in."""
        assert self.process is not None
        assert self.handshake is not None
        assert self._connection is not None
        handshake, self.handshake = self.handshake, None
        try:
            self.process.hub.open(
                self._connection, handshake.profile, touched=handshake.touched, idle=self.idle
            )
        except SessionEnded:
            self.socket.close(wire.CloseCode.NOT_LOGGED_IN)
            return False
        self._hold(SITE)
        for message in watches(self.state):
            self._send(message)
        for room in sorted(self.rooms - {SITE}):
            self._enter(room)
        return True

    def lose(self, counts_for: float) -> None:
        """End the socket, or find it gone; its user counts for a while still."""
        process, connection, counted = self.process, self._connection, self.handshake is None
        if process is not None and connection is not None and counted and process.serves:
            process.hear(lambda: process.hub.close(connection))
        self.process = self.handshake = self._connection = None
        for hold in self._holds.values():
            self._promises.let_go(hold, counts_for)
        self._holds.clear()

    def stop_reading(self) -> None:
        self.reads = False
        self.socket.stop_reading()

    def read_on(self) -> None:
        self.late = self.late or not self.reads
        self.reads = True
        if self.process is not None:
            # A process that stands still does not notice.
            self.process.hear(self.socket.read_on)

    def take(self) -> list[dict[str, Any]]:
        """Read what was sent, and return it."""
        messages = self.socket.take()
        for message in messages:
            self.state = merge(self.state, message)
        return messages

    # What its person does

    def be_idle(self, idle: bool) -> None:
        self.idle = idle
        self.say({"type": "idle" if idle else "active"})

    def enter_room(self, room: str) -> None:
        if room not in self.rooms:
            self.rooms.add(room)
            if self.open:
                self._enter(room)

    def leave_room(self, room: str) -> None:
        self.rooms.discard(room)
        if room in self._holds:
            self._promises.let_go(self._holds.pop(room), 0.0)
        self.say({"type": "leave", "room": room})

    def say(self, message: dict[str, Any]) -> None:
        """Send a message, if there is a socket; what is watched is kept in mind for the next one."""
        if "watch" in message["type"]:
            self.state = ask(self.state, message)
        if self.open:
            self._send(message)

    def _enter(self, room: str) -> None:
        self._send({"type": "enter", "room": room})
        self._hold(room)

    def _hold(self, room: str) -> None:
        assert self.process is not None
        self._holds[room] = self._promises.hold(self.process, (room, self.user), self.session)

    def _send(self, message: dict[str, Any]) -> None:
        assert self.process is not None
        assert self._connection is not None
        hub, connection = self.process.hub, self._connection
        said = wire.decode(json.dumps(message), hub.policy)
        self.process.hear(lambda: None if connection.closed else hub.handle(connection, said))
