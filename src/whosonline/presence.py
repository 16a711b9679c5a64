"""Ask who is online, from views, templates, tasks and shells.

Users, and viewers, are given as they are or by primary key, in any type.

Every question may raise :class:`StoreUnavailable`: the store is away, and this process has no copy of what it
holds. A process that serves sockets has one, from its first contact with the store on; :func:`as_last_known`
says whether it may be old.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import count
from typing import NamedTuple

from . import access, last_seen, search
from .access import TRUSTED, id_of, key_of
from .core import counts
from .core.entries import Profile
from .core.replica import Presence
from .core.search import matches
from .core.statuses import SITE, Status
from .hub.sights import MOST_READS
from .models import Invisible
from .runtime import as_last_known, present
from .signals import recheck
from .stores.errors import StoreUnavailable

__all__ = [
    "Seen",
    "Status",
    "StoreUnavailable",
    "as_last_known",
    "count_for",
    "is_invisible",
    "online_count",
    "set_invisible",
    "shown_count",
    "sight_changed",
    "status",
    "statuses",
]

FEW = 5000
"""So many who are online are looked through one by one; of more, only those whom the database finds."""

CHUNK = 500
"""Users that are looked through at a time."""


class Seen(NamedTuple):
    """A user's status, and when the user was last seen if offline and ever seen."""

    status: Status
    last_seen: datetime | None


class Online(NamedTuple):
    """Somebody who is online or away."""

    user: str
    """The primary key as a text."""
    profile: Profile
    status: Status


def statuses(users: Iterable[object], *, viewer: object = TRUSTED) -> dict[str, Seen]:
    """Return the status of each of the users, by id as a text.

    One read of this process's own copy, or of the store where it serves no sockets; and one query for those
    who are offline.

    Args:
        viewer: Who is to be shown this: whom that user may not see is told like an id that
            nobody has. By default nothing is hidden.

    Raises:
        StoreUnavailable: the store is away, and this process has no copy.
    """
    ids = [id_of(user) for user in users]
    seen = access.seen_by(viewer, ids)
    here = present().statuses(SITE, [id for id in ids if id in seen])
    times = last_seen.load(id for id in ids if id in seen and id not in here)
    return {
        id: Seen(here[id].status, None) if id in here else Seen(Status.OFFLINE, times.get(id)) for id in ids
    }


def status(user: object, *, viewer: object = TRUSTED) -> Seen:
    """Return the status of one user; see :func:`statuses`. Raises StoreUnavailable."""
    return statuses([user], viewer=viewer)[id_of(user)]


def online_count() -> int:
    """Return how many users are online or away, exactly. Raises StoreUnavailable."""
    return present().count(SITE)


def count_for(viewer: object) -> int | None:
    """Return how many users are online or away, as far as a viewer may know.

    None where the access policy has a rule of its own of who sees whom: the number tells of those whom one
    may not see. Raises StoreUnavailable.
    """
    return None if access.limits_sight(viewer) else online_count()


def shown_count(count: int) -> int:
    """Return the figure that people are shown for an online count: beyond 9,999 it has three digits.

    The browser module shows the like; a page that begins with it need not change when it connects.
    """
    return counts.shown(count)


def is_online(user: object) -> bool:
    """Return whether a user is online or away; no query."""
    return bool(present().statuses(SITE, [id_of(user)]))


def is_invisible(user: object) -> bool:
    """Return whether a user wants to appear offline; one query."""
    return Invisible.objects.filter(pk=key_of(user)).exists()


def set_invisible(user: object, invisible: bool) -> None:
    """Have a user appear offline to all others from now on, or not any more.

    It holds until it is changed, over log-outs and restarts, and acts within a second; with the store in
    memory, and called from another process than the server, with the next look (RECHECK).
    """
    if invisible:
        Invisible.objects.get_or_create(pk=key_of(user))
    elif (row := Invisible.objects.filter(pk=key_of(user)).first()) is not None:
        row.delete()


def sight_changed(*users: object) -> None:
    """Say that what these users may see has changed, or where they may be.

    That is: whom they see, which rooms they may be in or look into, and whether they may connect at all.

    Once the present transaction has been committed: within a second their pages show what they may see now.
    With the store in memory that is so within the server process alone.
    """
    for user in users:
        recheck(id_of(user))


def online(
    after: str | None = None, limit: int = 50, query: str = "", *, viewer: object = TRUSTED
) -> list[Online]:
    """Return up to `limit` users who are online or away, in name order, after a name key.

    With a query only those whom it finds; for a viewer only those whom that user may see.

    Raises:
        StoreUnavailable: the store is away, and this process has no copy.
    """
    found: list[Online] = []
    for _ in _reads(viewer):
        chunk = _chunk(after, limit, query, viewer)
        found += [person for person in chunk.people if matches(person.profile, query)]
        if chunk.end is None or len(found) >= limit:
            break
        after = chunk.end
    return found[:limit]


def online_before(before: str, limit: int = 50, query: str = "", *, viewer: object = TRUSTED) -> list[Online]:
    """Return the up to `limit` such users who come just before a name key, in name order."""
    found: list[Online] = []
    for _ in _reads(viewer):
        chunk = _chunk_before(before, limit, query, viewer)
        found[:0] = [person for person in chunk.people if matches(person.profile, query)]
        if chunk.end is None or len(found) >= limit:
            break
        before = chunk.end
    return found[-limit:]


class _Chunk(NamedTuple):
    people: list[Online]
    end: str | None
    """The name key from which to go on; None if there are no more."""


def _reads(viewer: object) -> Iterable[int]:
    if not access.may_watch(viewer, SITE):
        return ()
    return range(MOST_READS) if access.limits_sight(viewer) else count()


def _chunk(after: str | None, limit: int, query: str, viewer: object) -> _Chunk:
    if _by_database(query):
        places = search.places(query, after, limit=CHUNK)
        return _Chunk(_seen(viewer, _online_at(places)), places[-1][0] if len(places) == CHUNK else None)
    size = _size(limit, query, viewer)
    people = _people(present().online(SITE, after, size))
    return _Chunk(_seen(viewer, people), people[-1].profile.key if len(people) == size else None)


def _chunk_before(before: str, limit: int, query: str, viewer: object) -> _Chunk:
    if _by_database(query):
        places = search.places_before(query, before, limit=CHUNK)
        return _Chunk(_seen(viewer, _online_at(places)), places[0][0] if len(places) == CHUNK else None)
    size = _size(limit, query, viewer)
    people = _people(present().online_before(SITE, before, size))
    return _Chunk(_seen(viewer, people), people[0].profile.key if len(people) == size else None)


def _size(limit: int, query: str, viewer: object) -> int:
    return CHUNK if query or access.limits_sight(viewer) else limit


def _seen(viewer: object, people: list[Online]) -> list[Online]:
    if not access.limits_sight(viewer):
        return people
    seen = access.seen_by(viewer, (person.user for person in people))
    return [person for person in people if person.user in seen]


def _by_database(query: str) -> bool:
    return bool(query) and present().count(SITE) > FEW


def _online_at(places: Iterable[tuple[str, object]]) -> list[Online]:
    ids = [str(user) for _, user in places]
    here = present().statuses(SITE, ids)
    people = _people((id, here[id]) for id in ids if id in here)
    # A name may have changed here and there a moment apart.
    return sorted(people, key=lambda person: (person.profile.key, person.user))


def _people(rows: Iterable[tuple[str, Presence]]) -> list[Online]:
    return [Online(user, presence.profile, presence.status) for user, presence in rows]
