"""A browser tab with the site open in it, and what many of them have come to."""

from __future__ import annotations

import random
import socket
from collections import Counter
from typing import Any, NamedTuple

from .reader import NOBODY
from .sights import View

BROKEN, GOING, LATER, LOGGED_OUT = 1006, 1012, 1013, 4401
"""Close codes; a socket that broke has none, for which browsers say 1006."""

STABLE = 5.0
"""Seconds after which a connection was a good one, and the next delay is short again."""

SHUT, CONNECTING, SHAKING_HANDS, GREETED, WELCOMED = range(5)
"""Stages of a tab."""


class Stats(NamedTuple):
    """What one process's tabs have come to."""

    open: int
    """Sockets that have been welcomed."""
    under_way: int
    """Sockets that are being opened, or wait to return."""
    closed: Counter[int]
    """Sockets that the server closed or lost, by close code."""
    refused: Counter[str]
    """Attempts that came to nothing, by what was answered."""
    frames: int
    received: int
    """Bytes."""
    sent: int
    """Bytes."""
    last: float
    """When the last frame came."""

    def plus(self, other: Stats) -> Stats:
        return Stats(
            self.open + other.open,
            self.under_way + other.under_way,
            self.closed + other.closed,
            self.refused + other.refused,
            self.frames + other.frames,
            self.received + other.received,
            self.sent + other.sent,
            max(self.last, other.last),
        )


class Tab:
    """A browser tab with the site open in it."""

    __slots__ = (
        "attempt",
        "began",
        "cookie",
        "number",
        "port",
        "rest",
        "resume",
        "sight",
        "socket",
        "stage",
        "view",
        "watcher",
        "welcomed",
    )

    def __init__(self, number: int, cookie: str, port: int) -> None:
        self.number = number
        self.cookie = cookie
        self.port = port
        self.attempt = 0
        self.resume = b""  # the frame that holds the token: many tabs never come back with it
        self.view: View | None = None
        self.sight: Any = None
        self.watcher = NOBODY
        self.shut()

    def shut(self) -> None:
        self.socket: socket.socket | None = None
        self.stage = SHUT
        self.rest = b""
        self.began = self.welcomed = 0.0


def retry_delay(attempt: int, code: int) -> float:
    """Return the seconds until the next attempt, as the browser module has them."""
    return random.random() * (1 if code == GOING else min(30, 0.5 * 2**attempt))
