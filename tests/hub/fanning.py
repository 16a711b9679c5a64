"""What the tests of fan-out, and of the count, have in common."""

from __future__ import annotations

from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import Any

from whosonline.core.entries import Profile
from whosonline.hub import sending
from whosonline.hub.hub import Hub

from .conftest import Tab, World


def each_look_takes(seconds: float, work: float) -> Any:
    """Return a clock, and one of the processor, which go on by so much whenever they are looked at."""
    return SimpleNamespace(
        perf_counter=partial(next, count(step=seconds)), thread_time=partial(next, count(step=work))
    )


NO_TIME_PASSES = each_look_takes(seconds=0, work=0)
"""Instead of the time module: however busy the machine is, a flush takes nothing."""


def arrive(hub, user: str) -> Tab:
    tab = Tab(hub, user, f"session of {user}")
    hub.open(tab.connection, Profile(user, user), touched=False)
    return tab


async def quiet_tabs(world: World, number: int) -> tuple[Hub, list[Tab]]:
    """Return a node, and so many tabs there that have been told all there is for now."""
    hub = await world.node()
    tabs = [await world.tab(hub, f"w{each}") for each in range(number)]
    await world.clock.advance(10)
    for tab in tabs:
        tab.take()
    return hub, tabs


def a_turn_for_each_frame(work: float) -> Any:
    """Return clocks by which each frame takes longer than a turn of the loop may, and so much work."""
    return each_look_takes(seconds=2 * sending.YIELD_AFTER, work=work)
