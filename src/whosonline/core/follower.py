"""A replica that follows the log, through a store's loss of memory too.

When the store has lost its memory it begins a new epoch, with nobody in it, and the nodes announce their
users anew. Taken literally, everybody would go and come back. So who was present when the epoch ended is
*held*: shown as before, until the new epoch says that the user is present, or the wait is ended. That the
user has left one node says nothing in the meantime: another may hold the user, and has yet to say so.
"""

from __future__ import annotations

from .entries import Change, Cursor
from .replica import Presence, Replica, Room, State, at_once
from .statuses import Status

Pair = tuple[str, str]
"""(room, user)"""


class Follower:
    """Brings a replica up to date."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        # Who was present when the epoch ended, as long as that matters; and of these, who is held.
        self._before: set[Pair] = set()
        self._held: set[Pair] = set()
        self.epoch: tuple[str, ...] | None = None
        """What the last snapshot was of; None before the first."""

    def take_over(self, cursor: Cursor, state: State, rooms: dict[str, Room] | None = None) -> list[Pair]:
        """Take over a snapshot; return what changed by it.

        Args:
            rooms: Those of the state, if they have been made already.
        """
        epoch = _epoch(cursor)
        if self.epoch is not None and epoch != self.epoch:
            self._before = set(self._replica.pairs())
        self.epoch = epoch
        # Whom the new epoch holds already is not waited for.
        self._held = {(room, user) for room, user in self._before if user not in state.get(room, {})}
        if rooms is None:
            rooms = at_once(self._replica.rooms_of(state))
        return self._replica.take_over(rooms, self._held)

    def apply(self, change: Change) -> Presence | None:
        """Take over an entry of the log; return what was known of the user before."""
        pair = change.room, change.user
        before = self._replica.get(*pair)
        if change.status is Status.OFFLINE and pair in self._before:
            self._held.add(pair)
        else:
            self._held.discard(pair)
            self._replica.apply(change)
        return before

    @property
    def waits(self) -> bool:
        """Whether there is a wait that has not been ended."""
        return bool(self._before)

    def release(self, cursor: Cursor, state: State, at: float) -> list[Change]:
        """End the wait: return who is held still, as gone at this time. They are to be applied.

        Args:
            cursor: Of a snapshot taken now; where it is of another epoch nobody goes: a new wait is to begin.
            state: Its state. Who is in it has been announced, and the log will say so.
        """
        if _epoch(cursor) != self.epoch:
            return []
        gone = []
        for room, user in sorted(self._held):
            presence = self._replica.get(room, user)
            if presence is not None and user not in state.get(room, {}):
                gone.append(Change(room, user, Status.OFFLINE, presence.profile, at))
        self._before.clear()
        self._held.clear()
        return gone


def _epoch(cursor: Cursor) -> tuple[str, ...]:
    return tuple(position.epoch for position in cursor)
