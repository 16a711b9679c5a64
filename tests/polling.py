"""Waiting for what happens in another process or thread, or in a browser."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from .serving import DEADLINE

T = TypeVar("T")


def until(condition: Callable[[], T], seconds: float = DEADLINE) -> T:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return value


async def eventually(condition: Callable[[], Awaitable[Any]], seconds: float = 20) -> None:
    """Wait until a condition holds that has to be awaited.

    Also of what is in a page: Playwright's own way needs eval, which the lobby's policy forbids.
    """
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)
