"""What a user's status may be, and how several become one."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

SITE = "site"
"""The room that holds everybody who is connected."""


class Status(StrEnum):
    """A user's status in a room, as the others see it."""

    ONLINE = "online"
    AWAY = "away"
    OFFLINE = "offline"


def fold(statuses: Iterable[Status]) -> Status:
    """Return the one status of a user whom several connections, nodes or touches hold.

    In use anywhere is online; connected, but idle everywhere, is away; held by nobody is offline.
    """
    folded = Status.OFFLINE
    for status in statuses:
        if status is Status.ONLINE:
            return status
        if status is Status.AWAY:
            folded = status
    return folded
