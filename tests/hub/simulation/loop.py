"""An event loop that knows when nothing is left to do, so that no turn is taken in vain."""

from __future__ import annotations

import asyncio
from typing import Any

TURNS = 2000
"""Turns after which nothing more comes of anything, unless it never ends."""


class SimulationLoop(asyncio.SelectorEventLoop):
    """Counts what is to be called in its next turns."""

    scheduled = 0

    def call_soon(self, *arguments: Any, **options: Any) -> asyncio.Handle:
        self.scheduled += 1
        return super().call_soon(*arguments, **options)

    def call_soon_threadsafe(self, *arguments: Any, **options: Any) -> asyncio.Handle:
        self.scheduled += 1
        return super().call_soon_threadsafe(*arguments, **options)


async def settle() -> None:
    """Let every task go on as far as it can without time or I/O."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulationLoop)
    for _ in range(TURNS):
        before = loop.scheduled
        await asyncio.sleep(0)
        if loop.scheduled == before + 1:
            return  # nothing was scheduled but this task
    raise AssertionError(f"something goes on without time or I/O, and did not end in {TURNS} turns")
