"""Who looks at what: connections with the same view share it, and what is published for it.

A *view* is a users window and a page window, either or none: what one ``update`` message speaks of. The
windows themselves are shared between views. Directory windows are apart, since their message is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from msgspec import UNSET, UnsetType

from .entries import Change, Listing
from .pages import PageKey, RoomPages
from .replica import Presence, Replica
from .searches import Searches, SearchKey, SearchWindow
from .sights import BLIND, Sight
from .statuses import SITE
from .windows import ClosedPage, DirectoryWindow, PageWindow, UsersWindow, state_of, taken_one_by_one
from .wire import Directory, Page, Range, Update, UserState

AnyPage = PageWindow | SearchWindow

KEPT_PARTS, KEPT_ROWS = 2_500, 200_000
"""Parts of the list of all users at which nobody looks, and rows in them, that are kept at most."""


class Watcher:
    """A connection, as far as the views know it."""

    __slots__ = ("barred", "directory", "sight", "view")

    def __init__(self) -> None:
        self.view: View | None = None
        self.directory: DirectoryWindow | None = None
        self.sight: Sight | None = None
        """Whom its user may see. None: everybody, and all who may share their windows."""
        self.barred = False
        """Whether the room whose page it looks at is closed to its user."""


class View:
    """What one group of connections looks at."""

    __slots__ = ("page", "users", "watchers")

    def __init__(self, users: UsersWindow | None, page: AnyPage | None) -> None:
        self.users = users
        self.page = page
        # A dict for its order: who came first is served first.
        self.watchers: dict[Watcher, None] = {}


class Delivery(NamedTuple):
    """A message, and the place to find everybody it is for."""

    message: Update | Directory
    to: View | DirectoryWindow


class Views:
    """The views of one node's connections.

    Args:
        replica: Who is present.
        last_seen: When a user was last seen, in whole seconds since 1970, if that is known.
    """

    def __init__(self, replica: Replica, last_seen: Callable[[str], int | None]) -> None:
        self._replica = replica
        self._last_seen = last_seen
        self._views: dict[tuple[UsersWindow | None, AnyPage | None], View] = {}
        self._views_of: dict[UsersWindow | AnyPage, set[View]] = {}
        self._users: dict[tuple[frozenset[str], Sight | None], UsersWindow] = {}
        self._watching: dict[str, set[UsersWindow]] = {}
        self._pages: dict[str, RoomPages] = {}
        self.searches = Searches(replica)
        self._ranges: dict[tuple[Range, Sight | None], DirectoryWindow] = {}
        self._looking: dict[DirectoryWindow, dict[Watcher, None]] = {}
        # Parts at which nobody looks, the longest kept first, with the rows that they had when that began.
        self._kept: dict[DirectoryWindow, int] = {}
        self._kept_long: set[DirectoryWindow] = set()
        self._kept_rows = 0
        self._changed_rooms: set[RoomPages] = set()
        self._marked_users: set[UsersWindow] = set()
        self._marked_pages: set[PageWindow] = set()
        self._marked_ranges: set[DirectoryWindow] = set()
        self._count = 0
        # Those still to be told it, and how many looked there at the time: who comes later has heard it.
        self._uncounted: dict[View, int] = {}
        self.rode = 0
        """How many have ever been told the count along with a message."""

    # Watchers

    def join(self, watcher: Watcher) -> None:
        """Count a connection in; it looks at nothing but the online count."""
        self._move(watcher, None, None)

    def part(self, watcher: Watcher) -> None:
        """Forget a connection."""
        self.watch_directory(watcher, None)
        view, watcher.view = watcher.view, None
        if view is not None:
            self._leave(view, watcher)

    def watchers(self) -> Iterator[Watcher]:
        """Return everybody, in no particular order."""
        for view in list(self._views.values()):
            yield from list(view.watchers)

    def watch_users(self, watcher: Watcher, users: frozenset[str] | None) -> None:
        """Replace the users that a joined connection looks at; None for none."""
        assert watcher.view is not None
        self._move(watcher, self._users_window(users, watcher.sight), watcher.view.page)

    def watch_page(self, watcher: Watcher, key: PageKey | None) -> None:
        """Replace the page that a joined connection looks at; None for none."""
        assert watcher.view is not None
        if key is not None and watcher.sight is not None:
            self.watch_search(watcher, (*key, ""))
            return
        page = ClosedPage(*key) if key is not None and watcher.barred else self._page_window(key)
        self._move(watcher, watcher.view.users, page)

    def watch_search(self, watcher: Watcher, key: SearchKey) -> None:
        """Replace the page that a joined connection looks at by one of those whom a search finds."""
        assert watcher.view is not None
        sight = BLIND if watcher.barred else watcher.sight
        self._move(watcher, watcher.view.users, self.searches.window(key, sight))

    def watch_page_again(self, watcher: Watcher) -> None:
        """Look at the same page anew, since its room was closed or opened to a connection."""
        page = watcher.view.page if watcher.view is not None else None
        if isinstance(page, SearchWindow) and page.search:
            self.watch_search(watcher, page.key)
        elif page is not None:
            self.watch_page(watcher, (page.room, page.after, page.limit))

    def watch_directory(self, watcher: Watcher, span: Range | None) -> bool:
        """Replace the part of the list of all users that a connection looks at; None for none.

        Return whether that part was kept, and nobody looked at it.
        """
        window, was_kept = None, False
        if span is not None:
            window = self._ranges.get((span, watcher.sight))
            if window is None:
                window = self._ranges[span, watcher.sight] = DirectoryWindow(span, watcher.sight)
                self._looking[window] = {}
            self._looking[window][watcher] = None
            was_kept = window in self._kept
            self._look_again(window)
        old, watcher.directory = watcher.directory, window
        if old is not None and old is not window:
            del self._looking[old][watcher]
            if not self._looking[old]:
                self._keep_or_drop(old)
        return was_kept

    def clear_kept(self) -> None:
        """Drop the parts at which nobody has looked since the call before.

        The others are kept up to date: when all connections are lost and come back, they need not be read
        anew, which would be much of the work.
        """
        for window in list(self._kept_long):
            self._drop_directory(window)
        self._kept_long = set(self._kept)

    def drop_kept(self) -> None:
        """Drop all parts at which nobody looks."""
        for window in list(self._kept):
            self._drop_directory(window)

    def looking_at(self, window: AnyPage) -> list[Watcher]:
        """Return everybody who looks at a page."""
        return [watcher for view in self._views_of.get(window, ()) for watcher in view.watchers]

    def to(self, target: View | DirectoryWindow) -> list[Watcher]:
        """Return everybody whom a delivery is for."""
        return list(target.watchers if isinstance(target, View) else self._looking.get(target, ()))

    # Full states

    def full(self, watcher: Watcher, online: int | UnsetType) -> Update:
        """Return all that has been published of a connection's view."""
        assert watcher.view is not None
        return _full(watcher.view, online)

    def everything(self, online: int | UnsetType) -> Iterator[Delivery]:
        """Return all that has been published, a message for each view."""
        for view in list(self._views.values()):
            self._uncounted.pop(view, None)
            yield Delivery(_full(view, online), view)

    # Changes

    def mark(self, change: Change, before: Presence | None) -> None:
        """Note a change that the replica has taken over; `before` is what it held before."""
        if change.room == SITE:
            self.mark_user(change.user)
        profiles = (change.profile,) if before is None else (change.profile, before.profile)
        self.searches.mark(change.room, change.user, *profiles)
        pages = self._pages.get(change.room)
        if pages is not None:
            concerns = pages.note((change.profile.key, change.user))
            if before is not None and before.profile.key != change.profile.key:
                concerns |= pages.note((before.profile.key, change.user))
            if concerns:
                self._changed_rooms.add(pages)

    def mark_user(self, user: str) -> None:
        """Note that a user's status or last-seen time may have changed."""
        for window in self._watching.get(user, ()):
            window.mark(user)
            self._marked_users.add(window)

    def mark_all(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Note that these (room, user) pairs changed in ways unknown."""
        pairs = list(pairs)
        for room in {room for room, _ in pairs}:
            self.searches.mark_all(room)
        for room, user in pairs:
            if room == SITE:
                self.mark_user(user)
            pages = self._pages.get(room)
            if pages is not None:
                pages.note_everywhere()
                self._changed_rooms.add(pages)

    def mark_listing(self, listing: Listing) -> None:
        """Note an entry about the list of all users."""
        self._marked_ranges.update(
            window for window in self._looking if window.mark(listing) and window.loaded
        )

    def answered(self, sight: Sight, users: Iterable[str]) -> None:
        """Take over what a sight now knows of these users, wherever its viewer looks."""
        users = list(users)
        for watcher in list(sight.watchers):
            view, directory = watcher.view, watcher.directory
            if view is not None and view.users is not None:
                for user in view.users.users.intersection(users):
                    view.users.mark(user)
                    self._marked_users.add(view.users)
            if view is not None and isinstance(view.page, SearchWindow) and view.page.sight is sight:
                self.searches.answered(view.page, users)
            if directory is not None:
                directory.answered(users)
                if directory.loaded:
                    self._marked_ranges.add(directory)

    def directories(self) -> list[DirectoryWindow]:
        """Return the parts of the list of all users that somebody looks at, and those that are kept."""
        return list(self._looking)

    @property
    def marked(self) -> bool:
        """Whether there may be something to publish."""
        return bool(
            self._changed_rooms
            or self._marked_users
            or self._marked_pages
            or self._marked_ranges
            or self.searches.marked
        )

    def tell_count(self, online: int) -> None:
        """Have everybody who is here now told the online count.

        It goes along with the next message for their view (:meth:`publish`), or alone (:meth:`counts`).
        """
        self._count = online
        self._uncounted = {view: len(view.watchers) for view in self._views.values()}

    def untold(self) -> int:
        """Return how many are still to be told the count."""
        return sum(map(self._left_of, self._uncounted))

    def tell_no_count(self) -> None:
        """Tell the count to nobody more."""
        self._uncounted.clear()

    def counts(self) -> Iterator[Watcher | None]:
        """Return those to whom the count is still to be told alone, each when it is their turn.

        The caller may pause after each, and at a None: who is told it with a message meanwhile is left out.
        """
        for view in list(self._uncounted):
            for watcher in self.to(view):
                if view not in self._uncounted:
                    break
                if watcher.view is view:
                    yield watcher
            self._uncounted.pop(view, None)
            yield None

    def publish(self) -> Iterator[Delivery | None]:
        """Publish all that is marked; return one message for each view that it changed.

        A None stands between the messages wherever the caller may pause. While it pauses anything may happen:

        - What is marked then is published by this call if the turn of its window is still to come, otherwise
          by the next. It is never lost: a mark is taken away just before its window reads the present.
        - Who joins a view, or moves to another, is told the full published state by the hub. If the message
          of this publication still comes after it, it says again what the full state said.
        - Who leaves a view is no more found when the view's turn comes; a window that nobody looks at any
          more is not published, and one that is made meanwhile begins with the present.

        All windows are published before the first message, so that a view whose two windows both changed
        gets one message. Only one publication may be under way.
        """
        users: dict[UsersWindow, dict[str, UserState] | None] = {}
        pages: dict[AnyPage, Page | None] = {}
        for room in list(self._changed_rooms):
            yield from self._mark_pages(room)
        for watched in taken_one_by_one(self._marked_users):
            users[watched] = watched.publish(self.state)
            yield None
        for page in taken_one_by_one(self._marked_pages):
            pages[page] = self._pages[page.room].publish(page, self._replica)
            yield None
        for search, found in self.searches.publish():
            pages[search] = found
            yield None
        for view in self._changed_views(users, pages):
            if view.watchers:
                yield Delivery(_update(view, self._take_count(view), users, pages), view)
        for span in taken_one_by_one(self._marked_ranges):
            told = span.publish()
            yield Delivery(told, span) if told is not None and span not in self._kept else None

    def _mark_pages(self, room: RoomPages) -> Iterator[None]:
        self._changed_rooms.discard(room)
        for page in room.concerned():
            # It may have been dropped since the look began.
            if page is not None and page in self._views_of:
                self._marked_pages.add(page)
            yield None

    def state(self, user: str) -> UserState:
        """Return a user's present state, as windows show it."""
        return state_of(self._replica, user, self._last_seen(user))

    # Inside

    def _changed_views(
        self, users: dict[UsersWindow, dict[str, UserState] | None], pages: dict[AnyPage, Page | None]
    ) -> Iterable[View]:
        told: list[UsersWindow | AnyPage] = [window for window, part in users.items() if part is not None]
        told += [window for window, part in pages.items() if part is not None]
        return {view for window in told for view in self._views_of.get(window, ())}

    def _take_count(self, view: View) -> int | UnsetType:
        if view not in self._uncounted:
            return UNSET
        self.rode += self._left_of(view)
        del self._uncounted[view]
        return self._count

    def _left_of(self, view: View) -> int:
        return min(self._uncounted[view], len(view.watchers))

    def _users_window(self, users: frozenset[str] | None, sight: Sight | None) -> UsersWindow | None:
        if not users:
            return None
        window = self._users.get((users, sight))
        if window is None:
            window = self._users[users, sight] = UsersWindow(users, self.state, sight)
            for user in users:
                self._watching.setdefault(user, set()).add(window)
        return window

    def _page_window(self, key: PageKey | None) -> PageWindow | None:
        if key is None:
            return None
        pages = self._pages.get(key[0])
        if pages is None:
            pages = self._pages[key[0]] = RoomPages()
        return pages.window(key, self._replica)

    def _move(self, watcher: Watcher, users: UsersWindow | None, page: AnyPage | None) -> None:
        view = self._views.get((users, page))
        if view is None:
            view = self._views[users, page] = View(users, page)
            for window in (users, page):
                if window is not None:
                    self._views_of.setdefault(window, set()).add(view)
        old, watcher.view = watcher.view, view
        if old is not view:
            view.watchers[watcher] = None
            if old is not None:
                self._leave(old, watcher)

    def _leave(self, view: View, watcher: Watcher) -> None:
        del view.watchers[watcher]
        if view.watchers:
            return
        del self._views[view.users, view.page]
        self._uncounted.pop(view, None)
        for window in (view.users, view.page):
            if window is not None:
                self._views_of[window].discard(view)
                if not self._views_of[window]:
                    del self._views_of[window]
                    self._drop(window)

    def _drop(self, window: UsersWindow | AnyPage) -> None:
        if isinstance(window, SearchWindow):
            self.searches.drop(window)
            return
        if isinstance(window, ClosedPage):
            return
        if isinstance(window, PageWindow):
            self._marked_pages.discard(window)
            pages = self._pages[window.room]
            pages.drop(window)
            if not pages:
                del self._pages[window.room]
                self._changed_rooms.discard(pages)
            return
        del self._users[window.users, window.sight]
        self._marked_users.discard(window)
        for user in window.users:
            self._watching[user].discard(window)
            if not self._watching[user]:
                del self._watching[user]

    def _keep_or_drop(self, window: DirectoryWindow) -> None:
        # What one viewer alone may see, or has searched for, is of no use to others.
        if window.told is None or window.sight is not None or window.span.search:
            self._drop_directory(window)
            return
        self._kept[window] = len(window.told)
        self._kept_rows += self._kept[window]
        while self._kept_rows > KEPT_ROWS or len(self._kept) > KEPT_PARTS:
            self._drop_directory(next(iter(self._kept)))

    def _look_again(self, window: DirectoryWindow) -> None:
        self._kept_rows -= self._kept.pop(window, 0)
        self._kept_long.discard(window)

    def _drop_directory(self, window: DirectoryWindow) -> None:
        self._look_again(window)
        del self._looking[window]
        del self._ranges[window.span, window.sight]
        self._marked_ranges.discard(window)


def _full(view: View, online: int | UnsetType) -> Update:
    page = view.page.full() if view.page is not None else None
    return Update(
        online,
        view.users.full() if view.users is not None else UNSET,
        page if page is not None else UNSET,
    )


def _update(
    view: View,
    online: int | UnsetType,
    users: dict[UsersWindow, dict[str, UserState] | None],
    pages: dict[AnyPage, Page | None],
) -> Update:
    told_users = users.get(view.users) if view.users is not None else None
    told_page = pages.get(view.page) if view.page is not None else None
    return Update(
        online,
        told_users if told_users is not None else UNSET,
        told_page if told_page is not None else UNSET,
    )
