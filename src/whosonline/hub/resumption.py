"""Resume tokens: a socket that comes back with one needs no look-up.

A token says that a session was a user's at one place in the log. The node that it is shown to believes it if
it knows what the log has said from there on, and nothing of that takes it away: it has followed it, without a
break, or was told by the store what had been said before it began. All others are looked up.
A token is no secret that lets anybody in: it goes with the session's cookie, and only with that.
"""

from __future__ import annotations

from typing import NamedTuple

from ..core.entries import Cursor, Entry, Profile
from ..core.revocations import Revocations
from ..stores.base import Revoked
from .clock import Clock
from .connection import Connection

CLOCKS_APART = 5.0
"""Seconds by which the clocks of two nodes may differ."""


class Token(NamedTuple):
    """What a resume token says."""

    session: str
    user: str
    profile: Profile
    looked_up: float
    """When the site said so, in seconds since 1970: one that was got by another token is no younger."""
    expires: float
    """When the session ends by itself, in seconds since 1970."""
    invisible: bool
    """Whether the user wants to appear offline."""
    cursor: Cursor
    """A place in the log, when the site had said so."""


class Resumption:
    """Which tokens this node gives, and which it believes.

    Args:
        span: Seconds after a look-up for which tokens are valid.
    """

    def __init__(self, span: float, clock: Clock) -> None:
        self._span = span
        self._clock = clock
        self._revocations = Revocations(span)
        self._cursor: Cursor | None = None
        self._degraded = False
        self._sure_from = 0.0

    def token(self, connection: Connection, profile: Profile, invisible: bool) -> Token | None:
        """Return what a new token of a connection says; None where nobody could believe it.

        Of a session nobody knows the end of, nobody could say when to believe it no more.
        """
        if self._cursor is None or self._degraded or connection.expires == float("inf"):
            return None
        return Token(
            connection.session,
            connection.user,
            profile,
            connection.looked_up,
            connection.expires,
            invisible,
            connection.known_at or self._cursor,
        )

    def believes(self, token: Token) -> bool:
        """Return whether a token, whose signature is right, needs no look-up."""
        now = self._clock.wall()
        return (
            not self._degraded
            and self._sure_from < token.looked_up
            and now < min(token.looked_up + self._span, token.expires)
            and self._revocations.stands(token.cursor, token.session, token.user)
        )

    # What the log says

    def on_snapshot(self, cursor: Cursor, revoked: Revoked) -> None:
        """Go on from a place in the log, and with what the store says of before."""
        self._cursor = cursor
        self._revocations.begin(cursor, revoked.since)
        now = self._clock.time()
        for age, entry in revoked.entries:
            if age <= self._span:
                self._revocations.note(entry, now - age, cursor)

    def on_entry(self, entry: Entry, cursor: Cursor) -> None:
        """Take an entry of the log, which is not behind this place."""
        self._cursor = cursor
        self._revocations.note(entry, self._clock.time(), cursor)

    def on_degraded(self, degraded: bool) -> None:
        """Note that the store is away, or back. Who logged out meanwhile could not be told through it."""
        self._degraded = degraded
        if not degraded:
            self._sure_from = self._clock.wall() + CLOCKS_APART
