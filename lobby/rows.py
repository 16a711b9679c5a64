"""What the list shows of each user."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from whosonline import directory, presence
from whosonline.core.statuses import Status
from whosonline.presence import Seen
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


def count_and_rows(users: Sequence[Any], visitor: Any) -> tuple[int | None, list[Row]]:
    """Return the figure for how many users are online (None: not known) and a row for each of these users."""
    me = str(visitor.pk)
    count, seen = _seen({*(str(user.pk) for user in users), me})
    if me in seen:
        # Who looks at the page is online, though the page's socket is not open yet.
        count += seen[me].status is Status.OFFLINE
        seen[me] = Seen(Status.ONLINE, None)
    rows = [_row(user, seen.get(str(user.pk)), me) for user in users]
    return (presence.shown_count(count) if seen else None), rows


def _seen(ids: set[str]) -> tuple[int, dict[str, Seen]]:
    try:
        return presence.online_count(), presence.statuses(ids)
    except StoreUnavailable:
        return 0, {}


def _row(user: Any, seen: Seen | None, me: str) -> Row:
    return Row(
        str(user.pk),
        directory.name_key(user),
        directory.display_name(user),
        seen.status if seen else None,
        seen.last_seen if seen else None,
        str(user.pk) == me,
    )
