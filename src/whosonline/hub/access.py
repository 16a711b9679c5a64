"""What the site wants to be asked before somebody sees others, or comes into a room."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from .connection import Connection

logger = logging.getLogger(__name__)

AT_ONCE = 2
"""Questions that are asked at the same time about what clients ask for, and as many about what they have."""

PATIENCE = 20.0
"""Seconds that the site may take for an answer; then there is none."""

Visible = Callable[[str, list[str]], Awaitable[Collection[str]]]
"""Returns those of the users whom a viewer may see."""

MayRoom = Callable[[str, str], Awaitable[bool]]
"""Returns whether a user may do something with a room."""


@dataclass(frozen=True)
class Access:
    """What the site wants to be asked. None: nothing is, and everybody may."""

    visible: Visible | None = None
    may_enter: MayRoom | None = None
    may_watch: MayRoom | None = None


OPEN = Access()
"""Everybody sees everybody, and may come into every room."""


class NotAllowed(Exception):
    """The user may not do this; the text says what."""


class Rooms:
    """Who may enter which rooms, and look into which.

    Args:
        leave: Takes a connection out of a room.
        watch_again: Called for a connection to whom its page's room was closed, or opened.
    """

    def __init__(
        self,
        access: Access,
        entered: Callable[[Connection], Collection[str]],
        leave: Callable[[Connection, str], None],
        watch_again: Callable[[Connection], None],
    ) -> None:
        self._access = access
        self._entered = entered
        self._leave = leave
        self._watch_again = watch_again
        self._turn = asyncio.Semaphore(AT_ONCE)
        # Apart: whoever asks for something does not wait behind a look at everybody.
        self._turn_to_recheck = asyncio.Semaphore(AT_ONCE)
        self._rechecking: set[Connection] = set()

    @property
    def restricted(self) -> bool:
        """Whether anything has to be asked about rooms."""
        return self._access.may_enter is not None or self._access.may_watch is not None

    async def enter(self, connection: Connection, room: str) -> None:
        """Return if a connection may enter a room. Raises NotAllowed."""
        if not await self._asked(self._access.may_enter, connection, room):
            raise NotAllowed(f"the room {room!r} may not be entered")

    async def watch(self, connection: Connection, room: str) -> None:
        """Note whether a room is closed to a connection that is about to look into it."""
        connection.barred = not await self._asked(self._access.may_watch, connection, room)

    async def recheck(self, connection: Connection) -> None:
        """Ask again about the rooms of a connection; take it out of those that it may not be in any more.

        Where there is no answer it stays in its rooms, since nothing would put it back, and looks into none.
        """
        if connection in self._rechecking:
            return  # its turn is still to come
        self._rechecking.add(connection)
        try:
            await self._turn_to_recheck.acquire()
        finally:
            self._rechecking.discard(connection)
        try:
            await self._recheck(connection)
        finally:
            self._turn_to_recheck.release()

    async def _recheck(self, connection: Connection) -> None:
        for room in list(self._entered(connection)) if not connection.closed else ():
            may = await self._may(self._access.may_enter, connection, room)
            if may is False and not connection.closed:
                self._leave(connection, room)
        room_watched = _watched(connection)
        if room_watched is None or self._access.may_watch is None or connection.closed:
            return
        barred = not await self._may(self._access.may_watch, connection, room_watched)
        # Who looks into another room by now was asked about that one since.
        if barred != connection.barred and not connection.closed and _watched(connection) == room_watched:
            connection.barred = barred
            self._watch_again(connection)

    async def _asked(self, ask: MayRoom | None, connection: Connection, room: str) -> bool:
        """Return what the site says to a client that waits for it; False if it does not say it in time."""
        if ask is None:
            return True
        try:
            async with asyncio.timeout(PATIENCE), self._turn:
                return bool(await self._may(ask, connection, room))
        except TimeoutError:
            logger.error("the access policy could not be asked in time who may come into a room; nobody may")
            return False

    async def _may(self, ask: MayRoom | None, connection: Connection, room: str) -> bool | None:
        """Return what the site says; None if it could not say."""
        if ask is None:
            return True
        try:
            async with asyncio.timeout(PATIENCE):
                return bool(await ask(connection.user, room))
        except Exception:
            logger.exception("the access policy could not say who may come into a room; for now nobody may")
            return None


def _watched(connection: Connection) -> str | None:
    view = connection.view
    return view.page.room if view is not None and view.page is not None else None
