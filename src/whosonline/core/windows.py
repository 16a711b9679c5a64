"""What connections look at, each view shared by all that look at the same thing.

A window holds its *published* state: what everybody who looks at it has been told. Publishing compares
that with the present, takes the present over and returns the difference. Who joins between two
publications is given the published state, never the present: then the next difference is right for
everybody, even one that leaves out what changed and changed back in between.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from msgspec import UNSET

from .entries import Listing, Profile
from .order import Place, place_after
from .replica import Presence, Replica
from .search import haystack, needle
from .sights import Sight
from .statuses import SITE, Status
from .wire import Directory, Page, Range, Row, UserState

Lookup = Callable[[str], UserState]
"""Returns the present state of a user."""


W = TypeVar("W")


def taken_one_by_one(marked: set[W]) -> Iterator[W]:
    """Return what is in the set now, each taken out just before; but not what is out by then."""
    for window in list(marked):
        if window in marked:
            marked.discard(window)
            yield window


class UsersWindow:
    """The statuses of a set of users; with a sight, as one viewer may know them."""

    def __init__(self, users: frozenset[str], lookup: Lookup, sight: Sight | None = None) -> None:
        self.users = users
        self.sight = sight
        lookup = as_seen(lookup, sight)
        self._published = {user: lookup(user) for user in users}
        self._unseen: tuple[str, ...] | None = None
        self._marked: set[str] = set()

    def mark(self, user: str) -> None:
        """Note that a user of this window may have changed."""
        self._marked.add(user)

    def publish(self, lookup: Lookup) -> dict[str, UserState] | None:
        """Take over the present states of the marked users; return those that differ, if any do."""
        changed = {}
        lookup = as_seen(lookup, self.sight)
        for user in self._marked:
            state = lookup(user)
            if state != self._published[user]:
                self._published[user] = changed[user] = state
        self._marked.clear()
        if changed:
            self._unseen = None
        return changed or None

    def full(self) -> dict[str, UserState]:
        """Return the published state, less what may not be seen any more."""
        published = self._published
        lookup = as_seen(published.__getitem__, self.sight)
        return {user: lookup(user) for user in published} if self.sight is not None else dict(published)

    def unseen(self) -> tuple[str, ...]:
        """Return the users shown as offline without a time at which they were last seen."""
        if self._unseen is None:
            # Many may ask between two changes.
            self._unseen = tuple(
                user
                for user, state in self._published.items()
                if state.status is Status.OFFLINE and state.last_seen is None
            )
        return self._unseen


class PageWindow:
    """A page of the users present in a room, in name order.

    A presence that did not change is the same object as before, in the replica and here: comparing two pages
    costs little more than walking them. Rows are made for those who did change, and for the full page.
    """

    def __init__(self, room: str, after: str | None, limit: int, replica: Replica) -> None:
        self.room = room
        self.after = after
        self.limit = limit
        self.start = place_after(after)
        """The page's places come after this one..."""
        self.end: Place | None
        """...and up to this one; None: however far they go."""
        self._full: Page | None
        self._show(replica.room(room).page(after, limit))

    def concerned(self, places: Sequence[Place]) -> bool:
        """Return whether users who are, or were, at one of these places, in order, may alter the page."""
        index = bisect_right(places, self.start)
        return index < len(places) and (self.end is None or places[index] <= self.end)

    def publish(self, replica: Replica) -> Page | None:
        """Take over the present page; return what differs, if anything does."""
        old, new = self._shown, replica.room(self.room).page(self.after, self.limit)
        put = [user for user, presence in new.items() if old.get(user) != presence]
        drop = [user for user in old if user not in new]
        if not put and not drop:
            return None
        self._show(new)
        order = list(new)
        return Page(
            self.room,
            self.after,
            put=[_row(user, new[user]) for user in put] or UNSET,
            drop=drop or UNSET,
            # Without newcomers the client has the order already: what it held, less what it drops.
            order=order if order != [user for user in old if user in new] else UNSET,
        )

    def full(self) -> Page:
        """Return the published page."""
        if self._full is None:
            # Many may ask between two changes: all who arrive look at the same first page.
            rows = [_row(user, presence) for user, presence in self._shown.items()]
            order = list(self._shown)
            self._full = Page(self.room, self.after, reset=True, put=rows, order=order)
        return self._full

    def _show(self, shown: dict[str, Presence]) -> None:
        self._shown = shown
        self._full = None
        self.end = None
        if len(shown) >= self.limit:
            # A full page changes only by who is on it, or comes before its last row.
            user, presence = next(reversed(shown.items()))
            self.end = (presence.profile.key, user)


class ClosedPage(PageWindow):
    """The page of a room that somebody may not look into: it is, and stays, that of an empty room."""

    def __init__(self, room: str, after: str | None, limit: int) -> None:
        super().__init__(room, after, limit, Replica())


class DirectoryWindow:
    """A part of the list of all users, with a search of those whom it finds: after < name key <= until.

    Its rows come from the project's database (:meth:`load`), later changes from the log. The log may run
    ahead of the query or behind it; since entries are states, applying those that arrived meanwhile on
    top of the answer is right in both cases.

    With a sight it holds those whom one viewer may see. Of whom nobody knows that yet, the row waits for the
    answer.
    """

    def __init__(self, span: Range, sight: Sight | None = None) -> None:
        self.span = span
        self.sight = sight
        self._needle = needle(span.search or "")
        self._published: dict[str, Row] | None = None
        self._full: Directory | None = None
        self._marked: dict[str, Row | None] = {}
        self._unsure: dict[str, Row] = {}
        self._hidden: set[str] = set()
        # What was noted since a new reading began, while what was read before is still shown.
        self._since: dict[str, Row | None] | None = None

    @property
    def loaded(self) -> bool:
        return self._published is not None

    @property
    def told(self) -> Mapping[str, Row] | None:
        """What everybody who looks at it has been told; None before it was loaded."""
        return self._published

    def mark(self, listing: Listing) -> bool:
        """Note an entry of the log; return whether it concerns this part of the list."""
        row = None
        if listing.profile is not None and self._shows(listing.profile):
            row = Row.of(listing.user, listing.profile)
            if self.sight is not None:
                self.sight.want([listing.user])
        elif not self._may_have_held(listing):
            return False
        self._marked[listing.user] = row
        if self._since is not None:
            self._since[listing.user] = row
        return True

    def load(self, rows: Iterable[tuple[str, Profile]]) -> None:
        """Take over what the database holds, with what the log said since it was asked."""
        self._published = {user: Row.of(user, profile) for user, profile in rows if self._sees(user)}
        self._full = None
        self._marked = {**(self._since or {}), **self._marked}
        self._since = None
        self._hidden.clear()
        self.publish()

    def unload(self) -> None:
        """Forget everything: entries of the log were missed, and it has to be loaded anew."""
        self._published = self._since = None
        self._marked.clear()
        self._hidden.clear()

    def renew(self) -> None:
        """Have it loaded again while it goes on: nothing was missed, but other people may be seen."""
        if self._published is not None:
            self._since = {}

    def users(self) -> list[str]:
        """Return those who are shown."""
        return list(self._published or ())

    def answered(self, users: Iterable[str]) -> None:
        """Take over what the sight now knows of these users."""
        for user in users:
            if not self._sees(user):
                self._hidden.add(user)
            if self._asks_about(user):
                continue  # the answer came too late to count; there will be another
            row = self._unsure.pop(user, None)
            if row is not None and self._sees(user):
                self._marked.setdefault(user, row)

    def publish(self) -> Directory | None:
        """Take over the noted changes; return what differs, if anything does."""
        if self._published is None:
            return None
        added, removed = [], []
        hidden = dict.fromkeys(user for user in self._hidden if not self._sees(user))
        for user, row in {**hidden, **self._marked}.items():
            shown = self._as_seen(user, row)
            if shown is not None and self._published.get(user) != shown:
                self._published[user] = shown
                added.append(shown)
            elif shown is None and self._published.pop(user, None) is not None:
                removed.append(user)
        self._marked.clear()
        self._hidden.clear()
        if not added and not removed:
            return None
        self._full = None
        return Directory(added=added or UNSET, removed=removed or UNSET)

    def full(self) -> Directory:
        """Return the published part of the list; without a sight, the same object until something changes.

        Raises:
            ValueError: it has not been loaded yet.
        """
        if self._published is None:
            raise ValueError("this part of the list has not been loaded")
        if self._full is not None:
            return self._full
        rows = [row for user, row in self._published.items() if self._sees(user)]
        after, until, search = self.span.after, self.span.until, self.span.search or UNSET
        full = Directory(reset=True, after=after, until=until, search=search, added=rows)
        if self.sight is None:  # what a sight sees may change between two publications
            self._full = full
        return full

    def _sees(self, user: str) -> bool:
        return self.sight is None or self.sight.sees(user)

    def _asks_about(self, user: str) -> bool:
        return self.sight is not None and self.sight.asks_about(user)

    def _as_seen(self, user: str, row: Row | None) -> Row | None:
        """Return a row that may be shown; keep one for later of which that is not known yet."""
        if row is None or self._sees(user):
            self._unsure.pop(user, None)
            return row
        if self._asks_about(user):
            self._unsure[user] = row
        return None

    def _shows(self, profile: Profile) -> bool:
        return self._holds(profile.key) and self._needle in haystack(profile)

    def _holds(self, key: str) -> bool:
        after, until = self.span.after, self.span.until
        return (after is None or after < key) and (until is None or key <= until)

    def _may_have_held(self, listing: Listing) -> bool:
        if self._published is not None and listing.user in self._published:
            return True
        return listing.user in self._marked or (listing.was is not None and self._holds(listing.was))


def _row(user: str, presence: Presence) -> Row:
    return Row.of(user, presence.profile, presence.status)


def state_of(replica: Replica, user: str, last_seen: int | None) -> UserState:
    """Return a user's present state on the site."""
    status = replica.status(SITE, user)
    return UserState(status, last_seen if status is Status.OFFLINE else None)


def as_seen(lookup: Lookup, sight: Sight | None) -> Lookup:
    """Return a look-up that says of whom a sight does not see what it says of an id that is nobody's."""
    if sight is None:
        return lookup
    return lambda user: lookup(user) if sight.sees(user) else UserState(Status.OFFLINE)
