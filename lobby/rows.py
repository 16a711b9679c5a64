"""What the list shows of each user."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from whosonline import directory, presence
from whosonline.core.statuses import Status
from whosonline.presence import Online, Seen
from whosonline.stores.errors import StoreUnavailable


class Row(NamedTuple):
    """A user in the list."""

    id: str
    key: str
    name: str
    status: Status | None
    """None: not known, since the store is away."""
    last_seen: datetime | None
    mine: bool
    """Whether it is the visitor's own row."""


def count_and_rows(users: Sequence[Any], visitor: Any, invisible: bool) -> tuple[int | None, list[Row]]:
    """Return the figure for how many users are online (None: not to be known) and a row for each of these.

    Args:
        invisible: Whether the visitor appears offline to others, and so is not counted.
    """
    me = str(visitor.pk)
    count, seen = _seen({*(str(user.pk) for user in users), me}, me)
    if me in seen and not invisible:
        # Who looks at the page is online, though the page's socket is not open yet.
        count = count + (seen[me].status is Status.OFFLINE) if count is not None else None
        seen[me] = Seen(Status.ONLINE, None)
    rows = [_row(user, seen.get(str(user.pk)), me) for user in users]
    return (presence.shown_count(count) if count is not None else None), rows


def count_and_rows_online(
    people: Iterable[Online], visitor: Any, viewer: object
) -> tuple[int | None, list[Row]]:
    """Return the figure for how many users are online and a row for each of these people, who are.

    Args:
        visitor: Who looks at the page, and so is online; None for somebody invisible.
        viewer: The primary key of who looks.
    """
    me = str(visitor.pk) if visitor is not None else None
    count = presence.count_for(viewer)
    if count is not None:
        count = presence.shown_count(count + (me is not None and not presence.is_online(me)))
    rows = [
        Row(
            person.user,
            *person.profile,
            Status.ONLINE if person.user == me else person.status,
            None,
            person.user == me,
        )
        for person in people
    ]
    return count, rows


def _seen(ids: set[str], viewer: object) -> tuple[int | None, dict[str, Seen]]:
    try:
        return presence.count_for(viewer), presence.statuses(ids, viewer=viewer)
    except StoreUnavailable:
        return None, {}


def _row(user: Any, seen: Seen | None, me: str) -> Row:
    return Row(
        str(user.pk),
        directory.name_key(user),
        directory.display_name(user),
        seen.status if seen else None,
        seen.last_seen if seen else None,
        str(user.pk) == me,
    )
