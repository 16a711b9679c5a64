from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from whosonline.hub.deadlines import AT_ONCE, STEP, Deadlines


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0)


async def test_each_is_called_once_in_order_and_not_before_its_time() -> None:
    clock = asyncio.get_running_loop().time
    called: list[tuple[int, float]] = []
    deadlines = Deadlines[int](lambda thing: called.append((thing, clock())))
    now = clock()
    at = {thing: now + (0.5 - thing / 20) for thing in range(10)}
    for thing, when in at.items():
        deadlines.set(thing, when)
    await until(lambda: len(called) == 10)
    assert [thing for thing, _ in called] == sorted(at, key=at.__getitem__)
    assert all(when >= at[thing] for thing, when in called)
    assert len(deadlines) == 0


async def test_what_has_no_deadline_any_more_is_not_called_and_not_held() -> None:
    called: list[str] = []
    deadlines = Deadlines[str](called.append)
    now = asyncio.get_running_loop().time()
    steps = {thing: deadlines.set(thing, now + STEP) for thing in "abc"}
    deadlines.clear("b", steps["b"])
    deadlines.clear("b", steps["b"])  # does no harm
    deadlines.clear("a", 0)  # was not set with this
    assert len(deadlines) == 2
    await until(lambda: called == ["a", "c"])


async def test_thousands_are_called_so_many_in_a_turn_of_the_loop() -> None:
    called: list[int] = []
    deadlines = Deadlines[int](called.append)
    now = asyncio.get_running_loop().time()
    for thing in range(3 * AT_ONCE):
        deadlines.set(thing, now)
    seen = {0}
    async with asyncio.timeout(10):
        while len(called) < 3 * AT_ONCE:
            await asyncio.sleep(0)
            seen.add(len(called))
    assert seen == {0, AT_ONCE, 2 * AT_ONCE, 3 * AT_ONCE}
    assert called == sorted(called)


async def test_one_may_get_another_deadline_when_its_time_has_come() -> None:
    called: list[str] = []

    def passed(thing: str) -> None:
        called.append(thing)
        if thing == "a" and len(called) < 3:
            deadlines.set("past", 0.0)
            deadlines.set("a", clock())

    clock = asyncio.get_running_loop().time
    deadlines = Deadlines[str](passed)
    deadlines.set("a", clock())
    await until(lambda: called == ["a", "past", "a"])
    deadlines.set("b", clock())
    await until(lambda: called[3:] == ["b"])
    assert len(deadlines) == 0


async def test_the_deadlines_of_others_hold_when_one_fails(caplog: pytest.LogCaptureFixture) -> None:
    called: list[str] = []

    def passed(thing: str) -> None:
        called.append(thing)
        if thing == "bad":
            raise RuntimeError("a fault of the thing's own")

    deadlines = Deadlines[str](passed)
    with caplog.at_level(logging.ERROR, "asyncio"):
        deadlines.set("bad", 0.0)
        deadlines.set("good", 0.0)
        await until(lambda: called == ["bad", "good"])
    assert "a fault of the thing's own" in caplog.text
