"""Many things that are to be done at the same moment, so many of them in each turn of the loop.

A thousand of them done together are a long turn, in which no ping is answered, and the store's answers lie
unread and seem to be late.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Turns:
    """Lets so many go on in each turn of the loop; the others wait in the order in which they came."""

    def __init__(self, at_once: int) -> None:
        self._at_once = self._room = at_once
        self._turns = False
        self._waiting: deque[Callable[[], None]] = deque()

    @property
    def crowded(self) -> bool:
        """Whether somebody waits."""
        return bool(self._waiting)

    def take_place(self) -> bool:
        """Let one go on now if there is room and nobody waits; return whether that was so."""
        if self._waiting or not self._room:
            return False
        self._count()
        return True

    def wait(self, go_on: Callable[[], None]) -> None:
        """Call this as soon as there is room."""
        self._waiting.append(go_on)

    def do(self, go_on: Callable[[], None]) -> None:
        """Call this now if there is room, else as soon as there is."""
        if self.take_place():
            go_on()
        else:
            self.wait(go_on)

    async def come(self) -> None:
        """Return as soon as there is room: at once, if nobody waits."""
        if not self.take_place():
            turn = asyncio.Event()
            self.wait(turn.set)
            await turn.wait()

    def _count(self) -> None:
        self._room -= 1
        if not self._turns:
            self._turns = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._room, self._turns = self._at_once, False
        while self._room and self._waiting:
            self._count()
            self._waiting.popleft()()
