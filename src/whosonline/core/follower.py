"""A replica that follows the log, through a store's loss of memory too.

When the store has lost its memory it begins a new epoch, with nobody in it, and the nodes announce their
users anew. Taken literally, everybody would go and come back. So who was present when the epoch ended is
*held*: shown as before, until the new epoch says something of the user, or the wait is ended.
"""

from __future__ import annotations

from .entries import Change, Cursor
from .replica import Presence, Replica, State
from .statuses import Status

Pair = tuple[str, str]
"""(room, user)"""


class Follower:
    """Brings a replica up to date."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._held: set[Pair] = set()
        self.epoch: tuple[str, ...] | None = None
        """What the last snapshot was of; None before the first."""

    def take_over(self, cursor: Cursor, state: State) -> list[Pair]:
        """Take over a snapshot; return what changed by it."""
        epoch = tuple(position.epoch for position in cursor)
        if self.epoch is not None and epoch != self.epoch:
            self._held = set(self._replica.pairs())
        self.epoch = epoch
        # Whom the new epoch holds already is not waited for.
        self._held = {(room, user) for room, user in self._held if user not in state.get(room, {})}
        return self._replica.replace(state, self._held)

    def apply(self, change: Change) -> Presence | None:
        """Take over an entry of the log; return what was known of the user before."""
        pair = change.room, change.user
        before = self._replica.get(*pair)
        self._held.discard(pair)
        self._replica.apply(change)
        return before

    def release(self, at: float) -> list[Change]:
        """End the wait: return who is held still, as gone at this time. They are to be applied."""
        gone = []
        for room, user in sorted(self._held):
            presence = self._replica.get(room, user)
            if presence is not None:
                gone.append(Change(room, user, Status.OFFLINE, presence.profile, at))
        self._held.clear()
        return gone
