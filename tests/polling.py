"""Waiting for what happens in another process or thread, in synchronous tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from .serving import DEADLINE

T = TypeVar("T")


def until(condition: Callable[[], T], seconds: float = DEADLINE) -> T:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return value
