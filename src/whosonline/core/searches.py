"""Live searches of a room: pages of those present whom a query finds, each kept by what changes.

A room may hold a hundred thousand people. To look through them takes longer than a turn of the loop may, so a
window is *fed*: some people at a time, in name order, until it has found enough of them. A change then
costs each window that it concerns next to nothing, and those that it does not concern nothing at all: the
queries are looked up by the beginnings of the changed user's words, not asked one after the other.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from msgspec import UNSET, UnsetType

from .entries import Profile
from .order import Place, place_after
from .replica import Replica
from .search import fold, haystack, needle, tails
from .sights import Sight
from .windows import taken_one_by_one
from .wire import Page, Row

SearchKey = tuple[str, str | None, int, str]
"""(room, after, limit, search)"""

FEED = 500
"""People that are looked through at a time: about a millisecond."""

ASK = 200
"""People that a sight is asked about at a time."""


class SearchWindow:
    """A page of the users present in a room whom a query finds, in name order.

    It knows all whom the query finds up to some place: enough for the page, and as many in reserve. While it
    knows fewer than the page holds it is *hungry*: it has to be fed, and is not published.

    With a sight it shows those whom one viewer may see. Feeding it then asks about people who are not known
    yet, and it waits for the answers before it is fed again. (The search may be blank: it finds everybody.)
    """

    def __init__(
        self, room: str, after: str | None, limit: int, search: str, sight: Sight | None = None
    ) -> None:
        self.room = room
        self.after = after
        self.limit = limit
        self.search = search
        self.sight = sight
        self._needle = needle(search)
        self._published: dict[str, Row] | None = None
        self._marked: set[str] = set()
        self.starve()

    @property
    def key(self) -> SearchKey:
        return self.room, self.after, self.limit, self.search

    @property
    def hungry(self) -> bool:
        """Whether it has to be fed before it can be published."""
        return not self._at_end and len(self._found) < self.limit

    @property
    def sated(self) -> bool:
        """Whether it has been fed enough."""
        return self._at_end or len(self._found) >= 2 * self.limit

    @property
    def waits(self) -> bool:
        """Whether it can't be fed before its sight has its answers."""
        return self.sight is not None and self.sight.waits

    def users(self) -> list[str]:
        """Return those who are shown, or found to be next."""
        return [*(self._published or ()), *self._places]

    def starve(self) -> None:
        """Forget who is found: the room changed in ways unknown."""
        self._found: list[Place] = []
        self._places: dict[str, Place] = {}
        self._known_to = place_after(self.after)
        self._at_end = False

    def mark(self, user: str) -> None:
        """Note that a user who is found, or was, came, went or changed."""
        self._marked.add(user)

    def feed(self, replica: Replica) -> None:
        """Look through the next people, unless it knows enough of them by now."""
        self._take_over_marked(replica)
        if self.sated:
            return
        sight = self.sight
        if sight is not None and sight.blind:
            self._at_end = True
            return
        size = FEED if sight is None else ASK
        places = replica.room(self.room).places(self._known_to, size)
        found = [place for place in places if self._finds(replica, place[1]) is not None]
        if sight is not None:
            sight.want(user for _, user in found)
            found = [place for place in found if sight.sees(place[1])]
        for place in found:
            self._put(place)
        self._at_end = len(places) < size
        if places:
            self._known_to = places[-1]

    def begin(self, replica: Replica) -> None:
        """Take over the present page for the first time."""
        self._take_over_marked(replica)
        self._published = self._rows(replica)

    def publish(self, replica: Replica) -> Page | None:
        """Take over the present page; return what differs, if anything does and it has begun."""
        self._take_over_marked(replica)
        old, sight = self._published, self.sight
        if old is None:
            return None
        if not self.hungry:
            new = self._rows(replica)
        elif sight is not None:
            # Whom the viewer may not see any more goes before the answers about others have come.
            new = {user: row for user, row in old.items() if sight.sees(user)}
        else:
            return None
        self._published = new
        order = list(new)
        if old == new:
            return None
        return Page(
            self.room,
            self.after,
            self._named,
            put=[row for user, row in new.items() if old.get(user) != row] or UNSET,
            drop=[user for user in old if user not in new] or UNSET,
            order=order if order != [user for user in old if user in new] else UNSET,
        )

    def full(self) -> Page | None:
        """Return the published page; None before it has begun."""
        if self._published is None:
            return None
        rows, sight = self._published, self.sight
        if sight is not None:
            rows = {user: row for user, row in rows.items() if sight.sees(user)}
        return Page(self.room, self.after, self._named, reset=True, put=list(rows.values()), order=list(rows))

    @property
    def _named(self) -> str | UnsetType:
        return self.search or UNSET

    def _finds(self, replica: Replica, user: str) -> Place | None:
        """Return the place of a user who is present and whom the query finds."""
        presence = replica.get(self.room, user)
        if presence is None or self._needle not in haystack(presence.profile):
            return None
        return presence.profile.key, user

    def _take_over_marked(self, replica: Replica) -> None:
        sight = self.sight
        for user in self._marked:
            place = self._finds(replica, user)
            if place is not None and sight is not None and self._knows(place):
                sight.want([user])
                place = place if sight.sees(user) else None
            self._move(user, place)
        self._marked.clear()
        if len(self._found) > 4 * self.limit:
            self._forget_after(2 * self.limit)

    def _move(self, user: str, place: Place | None) -> None:
        old = self._places.get(user)
        if old == place:
            return
        if old is not None:
            del self._found[bisect_left(self._found, self._places.pop(user))]
        if place is not None and self._knows(place):
            self._put(place)

    def _knows(self, place: Place) -> bool:
        return place_after(self.after) < place and (self._at_end or place <= self._known_to)

    def _put(self, place: Place) -> None:
        if place[1] not in self._places:
            insort(self._found, place)
            self._places[place[1]] = place

    def _forget_after(self, count: int) -> None:
        for _, user in self._found[count:]:
            del self._places[user]
        del self._found[count:]
        self._known_to = self._found[-1]
        self._at_end = False

    def _rows(self, replica: Replica) -> dict[str, Row]:
        room = replica.room(self.room)
        found = ((user, room.get(user)) for _, user in self._found[: self.limit])
        return {
            user: Row.of(user, presence.profile, presence.status)
            for user, presence in found
            if presence is not None
        }


class RoomSearches:
    """The searches of one room."""

    def __init__(self) -> None:
        self._windows: dict[str, set[SearchWindow]] = {}
        self._lengths: Counter[int] = Counter()

    def __bool__(self) -> bool:
        return bool(self._windows)

    def __iter__(self) -> Iterator[SearchWindow]:
        for windows in self._windows.values():
            yield from windows

    def add(self, window: SearchWindow) -> None:
        query = fold(window.search)
        windows = self._windows.setdefault(query, set())
        if not windows:
            self._lengths[len(query)] += 1
        windows.add(window)

    def discard(self, window: SearchWindow) -> None:
        query = fold(window.search)
        self._windows[query].discard(window)
        if not self._windows[query]:
            del self._windows[query]
            self._lengths[len(query)] -= 1
            if not self._lengths[len(query)]:
                del self._lengths[len(query)]

    def finding(self, profile: Profile) -> Iterator[SearchWindow]:
        """Yield each window whose query finds a user with these names; one may come twice."""
        for tail in tails(profile):
            for length in self._lengths:
                if length <= len(tail):
                    yield from self._windows.get(tail[:length], ())


class Searches:
    """All searches that somebody looks at: found by what they ask for, and by whom a change concerns."""

    def __init__(self, replica: Replica) -> None:
        self.on_hungry: Callable[[], None] = lambda: None
        """Called when there is something to feed."""
        self._replica = replica
        self._windows: dict[tuple[SearchKey, Sight | None], SearchWindow] = {}
        self._rooms: dict[str, RoomSearches] = {}
        self._hungry: dict[SearchWindow, None] = {}
        # Those that can't be fed before their sights have their answers.
        self._waiting: set[SearchWindow] = set()
        self.marked: set[SearchWindow] = set()

    def __len__(self) -> int:
        return len(self._windows)

    def window(self, key: SearchKey, sight: Sight | None = None) -> SearchWindow:
        """Return the window of a search; a new one has to be fed first."""
        window = self._windows.get((key, sight))
        if window is None:
            window = self._windows[key, sight] = SearchWindow(*key, sight)
            self._rooms.setdefault(window.room, RoomSearches()).add(window)
            self._starved(window)
        return window

    def drop(self, window: SearchWindow) -> None:
        """Forget a window that nobody looks at any more."""
        del self._windows[window.key, window.sight]
        self._waiting.discard(window)
        self._rooms[window.room].discard(window)
        if not self._rooms[window.room]:
            del self._rooms[window.room]
        self._hungry.pop(window, None)
        self.marked.discard(window)

    def mark(self, room: str, user: str, *profiles: Profile) -> None:
        """Note that a user came, went or changed, who has, or had, these names."""
        searches = self._rooms.get(room)
        if searches is not None:
            for profile in set(profiles):
                for window in searches.finding(profile):
                    window.mark(user)
                    self.marked.add(window)

    def mark_all(self, room: str) -> None:
        """Note that a room changed in ways unknown."""
        for window in self._rooms.get(room, ()):
            window.starve()
            self._starved(window)

    def starve(self, window: SearchWindow) -> None:
        """Look through a window's room anew; until that is done it shows what it showed."""
        window.starve()
        self._starved(window)

    def answered(self, window: SearchWindow, users: Iterable[str]) -> None:
        """Take over what a window's sight now knows of these users."""
        for user in users:
            window.mark(user)
            self.marked.add(window)
        if window in self._waiting and not window.waits:
            self._waiting.discard(window)
            self._starved(window)

    def publish(self) -> Iterator[tuple[SearchWindow, Page | None]]:
        """Publish each window that is marked now; what becomes hungry by that is told when it has been fed.

        The caller may pause between two. What is marked meanwhile is for the next publication: each window
        is published once, or the first difference would be lost. One may also have been dropped.
        """
        for window in taken_one_by_one(self.marked):
            page = window.publish(self._replica)
            if window.hungry:
                self._starved(window)
            yield window, page

    @property
    def hungry(self) -> bool:
        """Whether there is anything to feed."""
        return bool(self._hungry)

    def feed(self) -> SearchWindow | None:
        """Feed the window whose turn it is; return it if by that it has begun.

        One that had begun before, and has been fed enough now, is marked.
        """
        window = next(iter(self._hungry))
        del self._hungry[window]
        if not window.waits:
            window.feed(self._replica)
        if window.waits:
            self._waiting.add(window)
        elif not window.sated:
            self._hungry[window] = None  # behind the others: they take turns
        elif window.full() is not None:
            self.marked.add(window)
        else:
            window.begin(self._replica)
            return window
        return None

    def _starved(self, window: SearchWindow) -> None:
        self._hungry[window] = None
        self.on_hungry()
