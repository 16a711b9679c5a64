"""The memory store's log: the latest entries, and those who wait for the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from uuid import uuid4

from ...core.entries import Batch, Cursor, Entry, Missed, Position, Revocation, revocation
from ..base import Remembered, Revoked
from ..errors import PositionGone

FOLLOW_CHUNK = 1000
"""Entries in one batch at most."""


class Log:
    """Up to `length` entries, in order; used under the backend's lock.

    Args:
        clock: Seconds that only ever go forward.
    """

    def __init__(self, length: int, clock: Callable[[], float]) -> None:
        self._length = length
        self._clock = clock
        self._entries: deque[Entry] = deque(maxlen=length)
        # Revocations with their sequence numbers and times; none is missing that came after this number.
        self._revoked: deque[tuple[int, float, Revocation]] = deque()
        # Each waiter is of a loop of its own, maybe in another thread.
        self._waiting: set[asyncio.Future[None]] = set()
        self._begin()

    def _begin(self) -> None:
        self._epoch = uuid4().hex
        self._sequence = self._sure = 0
        self._revoked.clear()

    def wipe(self) -> None:
        """Forget all entries, and begin a new epoch."""
        self._entries.clear()
        self._begin()
        self._wake()

    def cursor(self) -> Cursor:
        """Return the place after the last entry."""
        return (Position(self._epoch, self._sequence),)

    def __len__(self) -> int:
        return len(self._entries)

    def behind(self, cursor: Cursor | None) -> int | None:
        """Return how many entries came after a place; None if it is of another epoch, or nowhere."""
        if cursor is None or cursor[0].epoch != self._epoch:
            return None
        return self._sequence - cursor[0].sequence

    def append(self, entry: Entry) -> None:
        self._sequence += 1
        self._entries.append(entry)
        if revoked := revocation(entry):
            self._revoked.append((self._sequence, self._clock(), revoked))
            if len(self._revoked) > self._length:
                self._sure = self._revoked.popleft()[0]
        self._wake()

    def miss(self) -> None:
        """Note that something may be missing until now."""
        self.append(Missed())
        self._sure = self._sequence
        self._revoked.clear()

    def revoked(self) -> Revoked:
        """Return what is known of what was revoked."""
        now = self._clock()
        remembered = (Remembered(now - at, entry) for _, at, entry in self._revoked)
        return Revoked((Position(self._epoch, self._sure),), tuple(remembered))

    def read(self, cursor: Cursor, waiter: asyncio.Future[None]) -> Batch:
        """Return the entries after a place; if there are none yet, complete the waiter when there are.

        Raises:
            PositionGone: the log does not reach back to there.
        """
        (position,) = cursor
        behind = self._sequence - position.sequence
        if position.epoch != self._epoch or not 0 <= behind <= len(self._entries):
            raise PositionGone(f"{position} is not in the log any more")
        if behind == 0:
            self._waiting.add(waiter)
        start = len(self._entries) - behind
        entries = tuple(islice(self._entries, start, start + FOLLOW_CHUNK))
        return Batch(entries, (Position(self._epoch, position.sequence + len(entries)),))

    def give_back(self, waiter: asyncio.Future[None]) -> None:
        """Complete this waiter no more."""
        self._waiting.discard(waiter)

    def _wake(self) -> None:
        # Each waiter waits once: a burst of entries wakes its loop a single time.
        while self._waiting:
            waiter = self._waiting.pop()
            # A loop that was closed has nobody to wake.
            with suppress(RuntimeError):
                waiter.get_loop().call_soon_threadsafe(_complete, waiter)


def _complete(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
