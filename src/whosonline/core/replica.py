"""Who is present, in each room, in name order: a node's copy, or the memory store's own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple, TypeVar

from .entries import Change, Profile
from .order import Order, Place, place_after
from .statuses import Status

T = TypeVar("T")

STEP = 5_000
"""People of a snapshot who are put in order at once: a few milliseconds' work."""


class Presence(NamedTuple):
    """A present user: online or away."""

    status: Status
    profile: Profile


State = Mapping[str, Mapping[str, Presence]]
"""room -> user -> presence; what a snapshot holds."""


class Room:
    """Who is present in one room."""

    __slots__ = ("_order", "_present")

    def __init__(self) -> None:
        self._present: dict[str, Presence] = {}
        self._order = Order()

    @classmethod
    def of(cls, present: Mapping[str, Presence], known: Room) -> Generator[None, None, Room]:
        """Make a room that holds these people, a step at a time.

        What the known room knows just so is taken from there: to compare the two is then quick.
        """
        room, known_before = cls(), known._present.get
        people = iter(present.items())
        parts: deque[list[Place]] = deque()
        while some := list(islice(people, STEP)):
            for user, presence in some:
                before = known_before(user)
                room._present[user] = before if before is not None and before == presence else presence
            parts.append(sorted((presence.profile.key, user) for user, presence in some))
            if len(parts) > 1:
                yield
        while len(parts) > 1:
            # Of two parts that are in order Python's sort makes one by merging them.
            parts.append(sorted(parts.popleft() + parts.popleft()))
            yield
        room._order = Order(parts[0] if parts else ())
        return room

    def __len__(self) -> int:
        return len(self._present)

    def __iter__(self) -> Iterator[str]:
        return iter(self._present)

    def get(self, user: str) -> Presence | None:
        return self._present.get(user)

    def differing(self, other: Room) -> list[str]:
        """Return the users of whom the two rooms do not know the same."""
        mine, others = self._present, other._present
        before = map(mine.get, others)
        pairs = zip(others, before, others.values(), strict=True)
        changed = [user for user, old, new in pairs if old is not new and old != new]
        return [*changed, *(mine.keys() - others.keys())]

    def put(self, user: str, presence: Presence) -> None:
        """Add a user, or replace what is known of a present one."""
        old = self._present.get(user)
        self._present[user] = presence
        if old is not None and old.profile.key == presence.profile.key:
            return
        if old is not None:
            self._order.remove((old.profile.key, user))
        self._order.add((presence.profile.key, user))

    def discard(self, user: str) -> None:
        """Take a user out, if present."""
        old = self._present.pop(user, None)
        if old is not None:
            self._order.remove((old.profile.key, user))

    def page(self, after: str | None, limit: int) -> dict[str, Presence]:
        """Return up to `limit` present users in name order, after a name key."""
        return self._rows(self._order.after(place_after(after), limit))

    def places(self, after: Place, limit: int) -> list[Place]:
        """Return up to `limit` places of present users, in name order, after a place."""
        return self._order.after(after, limit)

    def page_before(self, before: str, limit: int) -> dict[str, Presence]:
        """Return the up to `limit` present users that come just before a name key, in name order."""
        return self._rows(self._order.before((before, ""), limit))

    def as_dict(self) -> dict[str, Presence]:
        return dict(self._present)

    def _rows(self, places: list[Place]) -> dict[str, Presence]:
        present = self._present
        rows = {user: present[user] for _, user in places}
        if len(rows) != len(places):
            raise KeyError("somebody was moved while the places were read")
        return rows


def at_once(steps: Generator[None, None, T]) -> T:
    """Return what comes of taking all the steps."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            made: T = end.value
            return made


class Replica:
    """Who is present in every room. Empty rooms take no memory."""

    def __init__(self) -> None:
        self._rooms: dict[str, Room] = {}

    def room(self, name: str) -> Room:
        """Return a room; one that holds nobody is made up and not kept."""
        return self._rooms.get(name) or Room()

    def get(self, room: str, user: str) -> Presence | None:
        """Return a user's presence in a room; None if offline there."""
        place = self._rooms.get(room)
        return place.get(user) if place is not None else None

    def status(self, room: str, user: str) -> Status:
        presence = self.get(room, user)
        return presence.status if presence is not None else Status.OFFLINE

    def count(self, room: str) -> int:
        place = self._rooms.get(room)
        return len(place) if place is not None else 0

    def statuses(self, room: str, users: Iterable[str]) -> dict[str, Presence]:
        """Return those of the users who are present in a room."""
        found = ((user, self.get(room, user)) for user in users)
        return {user: presence for user, presence in found if presence is not None}

    def online(self, room: str, after: str | None, limit: int) -> list[tuple[str, Presence]]:
        """Return up to `limit` users present in a room, in name order, after a name key."""
        return _read(lambda: self.room(room).page(after, limit))

    def online_before(self, room: str, before: str, limit: int) -> list[tuple[str, Presence]]:
        """Return the up to `limit` users present in a room just before a name key, in name order."""
        return _read(lambda: self.room(room).page_before(before, limit))

    def apply(self, change: Change) -> None:
        """Take over a change. A repeat does no harm."""
        self._set(
            change.room,
            change.user,
            None if change.status is Status.OFFLINE else Presence(change.status, change.profile),
        )

    def replace(self, state: State, keep: Iterable[tuple[str, str]] = ()) -> list[tuple[str, str]]:
        """Take over a snapshot all at once; see :meth:`take_over`."""
        return self.take_over(at_once(self.rooms_of(state)), keep)

    def rooms_of(self, state: State) -> Generator[None, None, dict[str, Room]]:
        """Make the rooms of a snapshot, a step at a time: of 100,000 people all of it is a third of a second.

        Nothing is changed by it; what changes in between does no harm.
        """
        rooms, people = {}, 0
        for name, present in state.items():
            if present:
                rooms[name] = yield from Room.of(present, self.room(name))
                people += len(present)
                if people >= STEP:
                    people = 0
                    yield
        return rooms

    def take_over(
        self, rooms: dict[str, Room], keep: Iterable[tuple[str, str]] = ()
    ) -> list[tuple[str, str]]:
        """Take over the rooms of a snapshot, and return the (room, user) pairs that changed by it.

        The pairs in `keep` that the snapshot does not hold stay as they are: after a store lost its
        memory they are people whom their nodes have not yet announced again.
        """
        kept = [
            (room, user, presence)
            for room, user in keep
            if (room not in rooms or rooms[room].get(user) is None)
            and (presence := self.get(room, user)) is not None
        ]
        old, self._rooms = self._rooms, rooms
        for room, user, presence in kept:
            self._set(room, user, presence)
        nobody = Room()
        return [
            (name, user)
            for name in old.keys() | rooms.keys()
            for user in old.get(name, nobody).differing(rooms.get(name, nobody))
        ]

    def as_state(self) -> dict[str, dict[str, Presence]]:
        """Return a copy of everything, as a snapshot holds it."""
        return {name: room.as_dict() for name, room in self._rooms.items()}

    def pairs(self) -> list[tuple[str, str]]:
        """Return every (room, user) that is present."""
        return [(name, user) for name, room in self._rooms.items() for user in room]

    def _set(self, name: str, user: str, presence: Presence | None) -> None:
        room = self._rooms.get(name)
        if presence is not None:
            if room is None:
                room = self._rooms[name] = Room()
            room.put(user, presence)
        elif room is not None:
            room.discard(user)
            if not room:
                del self._rooms[name]


def _read(page: Callable[[], dict[str, Presence]]) -> list[tuple[str, Presence]]:
    # Asked by threads beside the one that changes it: who leaves in between is in the order, and no more in
    # the room. A page that is read anew is a whole one; short by a row it would pass for the last.
    while True:
        try:
            return list(page().items())
        except KeyError:
            continue
