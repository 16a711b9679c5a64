"""Ask who is online, from views, templates, tasks and shells."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from . import last_seen
from .core import counts
from .core.statuses import SITE, Status
from .runtime import present


class Seen(NamedTuple):
    """A user's status, and when the user was last seen if offline and ever seen."""

    status: Status
    last_seen: datetime | None


def statuses(users: Iterable[object]) -> dict[str, Seen]:
    """Return the status of each of the users, by id as a text.

    One read of this process's own copy, or of the store where it serves no sockets; and one query for those
    who are offline.

    Args:
        users: Primary keys, in any type.

    Raises:
        StoreUnavailable: the store is away, and this process has no copy.
    """
    ids = [str(user) for user in users]
    here = present().statuses(SITE, ids)
    times = last_seen.load(id for id in ids if id not in here)
    return {
        id: Seen(here[id].status, None) if id in here else Seen(Status.OFFLINE, times.get(id)) for id in ids
    }


def status(user: object) -> Seen:
    """Return the status of one user, by primary key."""
    return statuses([user])[str(user)]


def online_count() -> int:
    """Return how many users are online or away, exactly."""
    return present().count(SITE)


def shown_count(count: int) -> int:
    """Return the figure that people are shown for an online count: beyond 9,999 it has three digits.

    The browser module shows the like; a page that begins with it need not change when it connects.
    """
    return counts.shown(count)
