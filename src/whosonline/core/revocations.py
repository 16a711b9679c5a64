"""What has been revoked, since when that is known, and so which resume tokens still stand.

A token says that a session was a user's at some place in the log. It stands as long as nothing that the log
has said since took that away. A node knows that from where on it has followed the log; of some time before,
the store tells it when it begins. Of tokens that are older still it knows nothing, and trusts none.
"""

from __future__ import annotations

from .entries import Cursor, Entry, Expel, Missed, Recheck, Renew, revocation
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
        self._followed_from: Cursor = ()
        self._forget()

    def begin(self, cursor: Cursor, since: Cursor | None = None) -> None:
        """Follow the log from a place on, and know nothing yet of what it said.

        Args:
            since: From where on :meth:`note` is about to be told of everything; by default from there.
        """
        self._followed_from = cursor
        self._since = cursor if since is None else since
        self._forget()

    def note(self, entry: Entry, now: float, cursor: Cursor) -> None:
        """Take over what an entry revokes, if anything. `cursor`: a place in the log not before it."""
        match revocation(entry):
            case Expel(session) | Renew(session):
                self._add(self._sessions, session, now, cursor)
            case Recheck(user):
                self._add(self._users, user, now, cursor)
        if isinstance(entry, Missed) and self._since is not None:
            # What was heard from the store may lack something; what was followed is as good as ever.
            self._since = _later(self._followed_from, self._since)

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


def _later(place: Cursor, other: Cursor) -> Cursor:
    """Return a place in the log, or in partitions where it is later, in the same epoch, another."""
    return tuple(
        its if its.epoch == mine.epoch and its.sequence > mine.sequence else mine
        for mine, its in zip(place, other, strict=True)
    )


def _reaches(place: Cursor, since: Cursor) -> bool:
    """Return whether one place in the log is not before another, and of the same epoch."""
    if len(place) != len(since):
        return False
    for (epoch, sequence), (its_epoch, its_sequence) in zip(place, since, strict=True):
        if epoch != its_epoch or sequence < its_sequence:
            return False
    return True
