"""What tabs have seen, and what they should have: statuses that changed, or a page that came to be true."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count, islice
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

import msgspec
from msgspec import Struct

from .frames import payload
from .reader import NOBODY

Change = int
"""A person's number × 256 + the how-manieth change of that person it is: odd ones come, even ones go."""


def change(number: int, index: int) -> Change:
    return number << 8 | index


@dataclass(frozen=True)
class View:
    """What a tab looks at.

    Args:
        greeting: What it says after its handshake.
        places: The users whose every change it has to see: by id, each with a place of its own.
        numbers: Whose the places are.
        query: What its socket's address ends with.
        silent: Whether the site says nothing of its own accord when a socket has been opened.
    """

    greeting: bytes = b""
    places: Mapping[str, int] = field(default_factory=dict)
    numbers: Sequence[int] = ()
    query: str = ""
    silent: bool = False


class Harvest(NamedTuple):
    """What was caused and what was seen, in one process or in all."""

    causes: dict[Change, float]
    changes: array[int]
    """Of each sight of a change by a tab: which it was..."""
    times: array[float]
    """...and when, by the monotonic clock."""


class _State(Struct):
    status: str


class _Row(Struct):
    id: str
    status: str | None = None


class _Page(Struct):
    reset: bool = False
    put: list[_Row] = []
    drop: list[str] = []
    order: list[str] | None = None


class _Told(Struct):
    users: dict[str, _State] = {}
    online: int | None = None
    page: _Page | None = None
    resume: str = ""


_decode = msgspec.json.Decoder(_Told).decode

Heard = tuple[float, int, bytes]
"""A frame: when it came, the number of its watcher, and its bytes."""


class Frames(Protocol):
    """Frames in the order in which they came, whatever holds them."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Heard]: ...


@lru_cache(1000)
def _statuses(frame: bytes) -> Sequence[tuple[str, bool]]:
    """Return who is online, and who is not, by a frame. Many are told the same, one soon after the other."""
    if b'"users"' not in frame:
        return ()
    users = _decode(payload(frame)).users
    return [(user, state.status != "offline") for user, state in users.items()]


Shown = tuple[tuple[tuple[str, str | None], ...], int | None]
"""What a page shows: its rows (id, status) in order, and the online count."""


class Ledger:
    """Notes what the tabs of one process cause and see.

    A *sight* is what a tab keeps of what it was told. For statuses it is a byte for each place of its view:
    0, nothing told yet; else its last bit says whether the user was online, and each change adds one. For
    pages it is all frames with their times, looked at later.

    A *watcher* is a tab that has a sight, from one opening to the next, with a number that no other ever has:
    frames wait under it to be looked at, while tabs come and go and are given other sights.
    """

    def __init__(self) -> None:
        self._keeps_frames = False
        self._counts = False
        self._watchers: dict[int, tuple[View, Any]] = {}
        self._numbers = count(1)
        self._unread: deque[Frames] = deque()
        self._in_order = self._all_unread()
        self._behind = 0
        self._clear()

    def _clear(self) -> None:
        self._turns: dict[int, int] = {}
        self._harvest = Harvest({}, array("I"), array("d"))

    # From tabs

    def caused(self, tab: Any, now: float) -> None:
        """Note that a person has just come or gone."""
        if self._counts:
            turn = self._turns[tab.number] = self._turns.get(tab.number, 0) + 1
            self._harvest.causes[change(tab.number, turn)] = now

    def opened(self, tab: Any) -> None:
        if self._keeps_frames:
            tab.sight = []
        elif tab.sight is None and tab.view is not None and tab.view.places:
            tab.sight = bytearray(len(tab.view.places))
        tab.watcher = NOBODY
        if tab.sight is not None:
            tab.watcher = next(self._numbers)
            self._watchers[tab.watcher] = tab.view, tab.sight

    def hear(self, tab: Any, frame: bytes, now: float) -> None:
        if tab.watcher != NOBODY:
            self.hear_all([(now, tab.watcher, frame)])

    def hear_all(self, frames: Frames) -> None:
        """Note frames, in the order in which they came; those of watchers that are forgotten are dropped."""
        if self._keeps_frames:
            for at, watcher, frame in frames:
                if watcher in self._watchers:
                    self._watchers[watcher][1].append((at, frame))
        elif self._watchers:
            self._unread.append(frames)
            self._behind += len(frames)

    @property
    def behind(self) -> int:
        """How many frames have yet to be looked at."""
        return self._behind

    def catch_up(self, most: int | None = None) -> None:
        """Look at the frames that came, or at so many of them.

        They are not looked at when they come: many come together, and each would wait for those before it.
        """
        due = min(most or self._behind, self._behind)
        self._behind -= due
        for at, watcher, frame in islice(self._in_order, due):
            if watcher in self._watchers:
                self._see(*self._watchers[watcher], frame, at)

    def _all_unread(self) -> Iterator[Heard]:
        """Return all frames that have yet to be looked at; none may be asked for that is not there."""
        while True:
            yield from self._unread.popleft()

    def resume(self, frame: bytes) -> str:
        return quote(_decode(payload(frame)).resume)

    def _see(self, view: View, sight: bytearray, frame: bytes, now: float) -> None:
        for user, online in _statuses(frame):
            if (place := view.places.get(user)) is None:
                continue
            before = sight[place]
            if not before:
                sight[place] = 2 | online
            elif before & 1 != online:
                sight[place] = before + 1
                if self._counts:
                    self._harvest.changes.append(change(view.numbers[place], before - 1))
                    self._harvest.times.append(now)

    # Asked for, with all tabs

    def begin(self, tabs: Sequence[Any], all_told: bool = True) -> int:
        """Note from now on what is caused and seen.

        Args:
            all_told: Whether a socket is told at its beginning all that it watches. Of a site that does not
                do so, whoever is not known is taken to be offline.

        Returns:
            How many users a tab that looks at them has not been told about, though it should have been.
        """
        self.catch_up()
        self._clear()
        self._keeps_frames, self._counts = False, True
        untold = 0
        for tab in tabs:
            if tab.sight is not None:
                untold += tab.sight.count(0) if all_told else 0
                tab.sight[:] = bytes(2 | value & 1 for value in tab.sight)
        return untold

    def seen(self, tabs: Sequence[Any]) -> int:
        """Return how many sights of changes were noted so far."""
        self.catch_up()
        return len(self._harvest.times)

    def harvest(self, tabs: Sequence[Any]) -> Harvest:
        """Return all that was noted so far."""
        self.catch_up()
        return self._harvest

    def rest(self, tabs: Sequence[Any]) -> None:
        """Note nothing more, and forget all."""
        self.catch_up()
        self._clear()
        self._keeps_frames = self._counts = False
        self._watchers.clear()
        for tab in tabs:
            tab.sight, tab.watcher = None, NOBODY

    def places_offline(self, tabs: Sequence[Any]) -> int:
        """Return how many users are not online for a tab that looks at them."""
        self.catch_up()
        return sum(1 for tab in tabs if tab.sight for value in tab.sight if not value & 1)

    def begin_pages(self, tabs: Sequence[Any]) -> None:
        """Keep all frames of the tabs that open from now on."""
        self.rest(tabs)
        self._keeps_frames = True

    def truths(self, tabs: Sequence[Any], users: Sequence[str], online: int) -> list[float | None]:
        """Return since when each page shows these users as online, in this order, and this count.

        None for a page that does not.
        """
        truth: Shown = (tuple((user, "online") for user in users), online)
        turns: dict[tuple[Shown, bytes], Shown] = {}
        return [_true_since(tab.sight, truth, turns) for tab in tabs if tab.sight]


def _true_since(
    told: Iterable[tuple[float, bytes]], truth: Shown, turns: dict[tuple[Shown, bytes], Shown]
) -> float | None:
    """Return since when what was told has come to the truth.

    Many are told the same: each turn is taken once.
    """
    shown: Shown = ((), None)
    since = None
    for at, frame in told:
        turn = (shown, frame)
        if turn not in turns:
            turns[turn] = after(shown, payload(frame))
        shown = turns[turn]
        if shown != truth:
            since = None
        elif since is None:
            since = at
    return since


def after(shown: Shown, text: bytes) -> Shown:
    """Return what a page shows after a message, by the rules of docs/wire.md."""
    told = _decode(text)
    rows, online = shown
    if told.online is not None:
        online = told.online
    if (page := told.page) is not None:
        held: dict[str, str | None] = {} if page.reset else dict(rows)
        held |= {row.id: row.status for row in page.put}
        for user in page.drop:
            held.pop(user, None)
        order = page.order if page.order is not None else held
        # Whom the order names and nobody has put is shown as nothing, which is never the truth.
        rows = tuple((user, held.get(user)) for user in order)
    return rows, online
