"""What nodes report, what the log records, and where in the log one stands."""

from __future__ import annotations

from typing import NamedTuple

from .statuses import Status


class Profile(NamedTuple):
    """The little that is known of a user wherever the user is shown."""

    key: str
    """The name key: unique, and what the name order goes by."""
    name: str
    """The display name."""


class Report(NamedTuple):
    """A node's own view of a user in a room."""

    room: str
    user: str
    status: Status
    profile: Profile
    """Of no meaning where the status is offline."""
    releases: tuple[str, ...] = ()
    """Sessions whose login touch this report (of the site) replaces: their first connection has come."""


class Change(NamedTuple):
    """The folded status (or the profile) of a user in a room has changed to this."""

    room: str
    user: str
    status: Status
    profile: Profile
    at: float
    """The store's clock, in seconds since 1970."""


class Listing(NamedTuple):
    """In the list of all users somebody appeared, was renamed, or was removed."""

    user: str
    profile: Profile | None
    """None: the user is in the list no more."""
    was: str | None
    """The name key the user had before; None: the user was not in the list."""


class Recheck(NamedTuple):
    """Every node must ask again whether the connections of this user may stay."""

    user: str


class Expel(NamedTuple):
    """Every node must close the connections of this session, without grace."""

    session: str


class Renew(NamedTuple):
    """The session goes on under another key: every node must have its connections come back with that."""

    session: str


class Missed(NamedTuple):
    """Before this something may be missing: a node could not reach the store for a while."""


Revocation = Recheck | Expel | Renew
"""What makes a look-up of before worthless."""

Entry = Change | Listing | Revocation | Missed


def revocation(entry: Entry) -> Revocation | None:
    """Return what an entry revokes, and no more of it than that."""
    match entry:
        case Expel() | Renew() | Recheck():
            return entry
        case Listing(user, _, was) if was is not None:  # of who is new nothing was looked up
            return Recheck(user)
    return None


class Position(NamedTuple):
    """A place in one partition's log: the last entry that was read.

    A sequence number alone would not do: a store that lost its memory counts from the start again,
    and a reader would take new entries for old ones. The epoch tells the two apart.
    """

    epoch: str
    sequence: int


Cursor = tuple[Position, ...]
"""A place in the whole log: one position a partition. Opaque to all but the store that gave it."""


class Batch(NamedTuple):
    """Entries in order, and the place in the log just after them."""

    entries: tuple[Entry, ...]
    cursor: Cursor
