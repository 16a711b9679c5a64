"""What has been revoked, since when that is known, and so which resume tokens still stand.

A token says that a session was a user's at some place in the log. It stands as long as nothing that the log
has said since took that away. A node knows what the log said from the first place on that it followed it
from; of tokens that are older it knows nothing, and trusts none.
"""

from __future__ import annotations

from .entries import Cursor
from .recent import Recent

MOST = 50_000
"""Revocations that a node remembers; past that it forgets them all, and trusts no token of before."""


class Revocations:
    """Sessions and users whose tokens stand no more.

    Args:
        span: Seconds for which a token is valid: what was revoked longer ago needs no memory.
    """

    def __init__(self, span: float) -> None:
        self._span = span
        self._since: Cursor | None = None
        self._forget()

    def begin(self, cursor: Cursor) -> None:
        """Know everything from this place in the log on, and nothing of before."""
        self._since = cursor
        self._forget()

    def end(self) -> None:
        """Know nothing any more: the log cannot be followed, or may have missed something."""
        self._since = None

    def revoke_session(self, session: str, now: float, cursor: Cursor) -> None:
        """Note that a session has ended. `cursor`: a place in the log not before the entry that says so."""
        self._add(self._sessions, session, now, cursor)

    def revoke_user(self, user: str, now: float, cursor: Cursor) -> None:
        """Note that something about a user has changed, who has to be looked up anew."""
        self._add(self._users, user, now, cursor)

    def stands(self, issued: Cursor, session: str, user: str) -> bool:
        """Return whether a token of this place in the log is still right, as far as the log is known."""
        return (
            self._since is not None
            and _reaches(issued, self._since)
            and session not in self._sessions
            and user not in self._users
        )

    def _forget(self) -> None:
        self._sessions = Recent[None](self._span)
        self._users = Recent[None](self._span)

    def _add(self, revoked: Recent[None], key: str, now: float, cursor: Cursor) -> None:
        revoked.add(key, None, now)
        if len(revoked) > MOST and self._since is not None:
            self.begin(cursor)


def _reaches(place: Cursor, since: Cursor) -> bool:
    """Return whether one place in the log is not before another, and of the same epoch."""
    return len(place) == len(since) and all(
        mine.epoch == its.epoch and mine.sequence >= its.sequence
        for mine, its in zip(place, since, strict=True)
    )
