"""A node's own connections, and what follows from them for its users' statuses.

A connection is *live* from :meth:`Connections.open` until it is closed; then it *lingers* for the grace
period, counting just as it did, so that a reload or a short loss of network changes nothing for anybody.
Being expelled (log-out) ends both at once. A user's status in a room is the fold over the user's live and
lingering connections in that room: nothing else enters into it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable

from .entries import Profile, Report
from .statuses import SITE, Status, fold

Key = tuple[str, str]
"""(room, user)"""

ONLY_SITE: frozenset[str] = frozenset({SITE})

NO_PROFILE = Profile("", "")
"""In a report that somebody is offline: the names are of no more use."""


class Connection:
    """One open (or lingering) socket: one tab, one device."""

    __slots__ = ("idle", "live", "rooms", "session", "user")

    def __init__(self, user: str, session: str, idle: bool) -> None:
        self.user = user
        self.session = session
        # Nearly all connections are in the site only; they share one set.
        self.rooms = ONLY_SITE
        self.idle = idle
        self.live = True

    @property
    def status(self) -> Status:
        return Status.AWAY if self.idle else Status.ONLINE


class Connections:
    """The table of one node's connections; yields what has to be reported to the store."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._all: dict[Hashable, Connection] = {}
        self._live = 0
        self._by_user: dict[str, list[Hashable]] = {}
        self._by_session: dict[str, list[Hashable]] = {}
        self._profiles: dict[str, Profile] = {}
        # Users who want to appear offline: they are here, and nobody is told.
        self._invisible: set[str] = set()
        # Connections that linger, soonest to end first: the grace is the same for all.
        self._lingering: deque[tuple[float, Hashable]] = deque()
        # What the store was told; None where nobody knows what it holds, absent where it holds nothing.
        self._told: dict[Key, tuple[Status, Profile] | None] = {}
        # Keys to look at for the next report; the sessions whose touches it replaces.
        self._dirty: dict[Key, set[str]] = {}

    # What happens to connections

    def open(
        self,
        id: Hashable,
        user: str,
        session: str,
        profile: Profile,
        *,
        touched: bool = False,
        idle: bool = False,
        invisible: bool = False,
    ) -> None:
        """Count a new connection, under an id that is not used again.

        It may begin idle, as a page does that comes back while nobody is at it. Whether its user wants to
        be invisible holds for all of the user's connections.

        `touched` says that a login touch of this session may still stand: the next report then replaces
        it, so that the touch does not outlive the connection.
        """
        if id in self._all:
            raise ValueError(f"connection {id!r} is open already")
        self._all[id] = Connection(user, session, idle)
        self._live += 1
        self._by_user.setdefault(user, []).append(id)
        self._by_session.setdefault(session, []).append(id)
        self.rename(user, profile)
        self._profiles[user] = profile
        self.set_invisible(user, invisible)
        self._mark(SITE, user, releases=session if touched else None)

    def close(self, id: Hashable, now: float) -> None:
        """Let a connection linger for the grace period; does nothing if it is not live."""
        connection = self._all.get(id)
        if connection is None or not connection.live:
            return
        connection.live = False
        self._live -= 1
        self._lingering.append((now + self._grace, id))

    def set_idle(self, id: Hashable, idle: bool) -> None:
        """Note that the person at this connection stepped away, or is back."""
        connection = self._all.get(id)
        if connection is None or not connection.live or connection.idle == idle:
            return
        connection.idle = idle
        for room in connection.rooms:
            self._mark(room, connection.user)

    def enter(self, id: Hashable, room: str) -> None:
        """Put a live connection into a room; does nothing if it is there already."""
        connection = self._all.get(id)
        if connection is not None and connection.live and room not in connection.rooms:
            connection.rooms |= {room}
            self._mark(room, connection.user)

    def leave(self, id: Hashable, room: str) -> None:
        """Take a live connection out of a room it entered, without grace: it said so itself."""
        connection = self._all.get(id)
        if connection is not None and connection.live and room in connection.rooms:
            connection.rooms -= {room}
            self._mark(room, connection.user)

    def drop(self, ids: Iterable[Hashable]) -> None:
        """End connections at once, without grace."""
        for id in ids:
            if id in self._all:
                self._forget(id)

    def rename(self, user: str, profile: Profile) -> None:
        """Take over a user's new names; does nothing if no connection is the user's."""
        if user in self._profiles and self._profiles[user] != profile:
            self._profiles[user] = profile
            for room in self._rooms_of(user):
                self._mark(room, user)

    def set_invisible(self, user: str, invisible: bool) -> bool:
        """Show a user to others as offline, or not any more; return whether that changed anything.

        At once, and without grace. Does nothing if no connection is the user's.
        """
        if user not in self._by_user or invisible == (user in self._invisible):
            return False
        (self._invisible.add if invisible else self._invisible.discard)(user)
        for room in self._rooms_of(user):
            self._mark(room, user)
        return True

    def expire(self, now: float) -> bool:
        """End the connections whose grace is over; return whether there were any."""
        ended = False
        while self._lingering and self._lingering[0][0] <= now:
            _, id = self._lingering.popleft()
            if id in self._all:
                self._forget(id)
                ended = True
        return ended

    def deadline(self) -> float | None:
        """Return when the next grace period ends."""
        return self._lingering[0][0] if self._lingering else None

    # What is asked about them

    def ids(self) -> list[Hashable]:
        """Return all connections, lingering ones included."""
        return list(self._all)

    def count(self) -> int:
        """Return how many connections are live."""
        return self._live

    def is_invisible(self, user: str) -> bool:
        """Return whether a user is here, and shown to others as offline."""
        return user in self._invisible

    def users(self) -> list[str]:
        """Return everybody whom this node holds and shows, lingering ones included."""
        return [user for user in self._by_user if user not in self._invisible]

    def profile(self, user: str) -> Profile:
        """Return the names of a user whom this node holds. Raises KeyError for anybody else."""
        return self._profiles[user]

    def rooms(self, id: Hashable) -> frozenset[str]:
        """Return the rooms a connection is in."""
        connection = self._all.get(id)
        return connection.rooms if connection is not None else frozenset()

    def of_user(self, user: str) -> list[Hashable]:
        """Return the user's connections, lingering ones included."""
        return list(self._by_user.get(user, ()))

    def live_count(self, user: str) -> int:
        """Return how many live connections the user has on this node."""
        return sum(self._all[id].live for id in self._by_user.get(user, ()))

    def of_session(self, session: str) -> list[Hashable]:
        """Return the session's connections, lingering ones included."""
        return list(self._by_session.get(session, ()))

    def status(self, room: str, user: str) -> Status:
        """Return this node's own view of a user, as it is told to others."""
        if user in self._invisible:
            return Status.OFFLINE
        mine = (self._all[id] for id in self._by_user.get(user, ()))
        return fold(connection.status for connection in mine if room in connection.rooms)

    # What the store must be told

    def take_reports(self) -> list[Report]:
        """Return what has changed since the last call, and take it as told."""
        reports = []
        for (room, user), releases in self._dirty.items():
            report = self._report(room, user, releases)
            if report is not None:
                reports.append(report)
        self._dirty = {}
        return reports

    def put_back(self, reports: Iterable[Report]) -> None:
        """Take reports as not told, since nobody knows whether they arrived."""
        for report in reports:
            self._told[report.room, report.user] = None
            self._dirty.setdefault((report.room, report.user), set()).update(report.releases)

    def announce(self) -> None:
        """Mark everybody to be reported anew: the store has forgotten this node."""
        # Also those who were told and left since: a report that was on its way may have come behind.
        for room, user in self._told:
            self._told[room, user] = None
            self._mark(room, user)
        for connection in self._all.values():
            for room in connection.rooms:
                self._mark(room, connection.user)

    def _report(self, room: str, user: str, releases: set[str]) -> Report | None:
        key = (room, user)
        status = self.status(room, user)
        if status is Status.OFFLINE:
            if key not in self._told and not releases:
                return None
            self._told.pop(key, None)
            return Report(room, user, status, NO_PROFILE, tuple(sorted(releases)))
        profile = self._profiles[user]
        if self._told.get(key) == (status, profile) and not releases:
            return None
        self._told[key] = (status, profile)
        return Report(room, user, status, profile, tuple(sorted(releases)))

    def _mark(self, room: str, user: str, releases: str | None = None) -> None:
        sessions = self._dirty.setdefault((room, user), set())
        if releases is not None:
            sessions.add(releases)

    def _rooms_of(self, user: str) -> set[str]:
        return {room for id in self._by_user.get(user, ()) for room in self._all[id].rooms}

    def _forget(self, id: Hashable) -> None:
        connection = self._all.pop(id)
        self._live -= connection.live
        _remove(self._by_session, connection.session, id)
        _remove(self._by_user, connection.user, id)
        if connection.user not in self._by_user:
            del self._profiles[connection.user]
            self._invisible.discard(connection.user)
        for room in connection.rooms:
            self._mark(room, connection.user)


def _remove(index: dict[str, list[Hashable]], key: str, id: Hashable) -> None:
    ids = index[key]
    ids.remove(id)
    if not ids:
        del index[key]
