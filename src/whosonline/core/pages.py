"""The pages of one room that somebody looks at, and which of them a change in the room concerns.

Asking each page about each change would cost pages × changes. Instead the *places* of changes are noted, and
at the next publication each page looks whether one of them lies within it: pages × log(changes).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .order import Place
from .replica import Replica
from .windows import PageWindow
from .wire import Page

PageKey = tuple[str, str | None, int]
"""(room, after, limit)"""


class RoomPages:
    """The page windows of one room, and where the room has changed since they were last looked through."""

    __slots__ = ("_changed", "_everywhere", "_first", "_last", "_windows")

    def __init__(self) -> None:
        self._windows: dict[PageKey, PageWindow] = {}
        self._changed: set[Place] = set()
        self._everywhere = False
        # What the pages span together; a change outside it is not even noted.
        self._first: Place | None = None
        self._last: Place | None = None

    def __len__(self) -> int:
        return len(self._windows)

    def window(self, key: PageKey, replica: Replica) -> PageWindow:
        """Return the window of a page, making it if nobody has looked at the page so far."""
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = PageWindow(*key, replica)
            self._span([window])
        return window

    def drop(self, window: PageWindow) -> None:
        """Forget a window."""
        del self._windows[window.room, window.after, window.limit]

    def note(self, place: Place) -> bool:
        """Note that somebody at this place came, went or changed; return whether that may concern a page."""
        if self._first is None or place <= self._first or (self._last is not None and place > self._last):
            return False
        self._changed.add(place)
        return True

    def note_everywhere(self) -> None:
        """Note that the room changed, and nobody knows where."""
        self._everywhere = True

    def concerned(self) -> Iterator[PageWindow | None]:
        """Take what was noted; look at each window in turn, and return it if it is concerned, else None.

        Between two windows anything may happen. What is noted meanwhile is for the next call: a window that
        is published after this takes it over with the rest, and is then found unchanged.
        """
        places, everywhere = sorted(self._changed), self._everywhere
        self._changed, self._everywhere = set(), False
        for window in list(self._windows.values()):
            yield window if everywhere or window.concerned(places) else None
        self._first = None
        self._span(self._windows.values())

    def publish(self, window: PageWindow, replica: Replica) -> Page | None:
        """Publish a window; return what differs, if anything does."""
        page = window.publish(replica)
        self._span([window])
        return page

    def _span(self, windows: Iterable[PageWindow]) -> None:
        for window in windows:
            if self._first is None:
                self._first, self._last = window.start, window.end
                continue
            self._first = min(self._first, window.start)
            if self._last is not None:
                self._last = None if window.end is None else max(self._last, window.end)
