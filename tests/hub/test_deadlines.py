from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from whosonline.hub import deadlines as deadlines_module
from whosonline.hub.deadlines import AT_ONCE, STEPS_A_SECOND, Deadlines


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0)


async def test_each_is_called_once_in_order_and_not_before_its_time() -> None:
    clock = asyncio.get_running_loop().time
    called: list[tuple[int, float]] = []
    deadlines = Deadlines[int](lambda thing: called.append((thing, clock())))
    now = clock()
    at = {thing: now + (0.5 - thing / 10) for thing in range(5)}
    for thing, when in at.items():
        deadlines.set(thing, when)
    await until(lambda: len(called) == 5)
    assert [thing for thing, _ in called] == sorted(at, key=at.__getitem__)
    assert all(when >= at[thing] for thing, when in called)
    assert len(deadlines) == 0


async def test_what_has_no_deadline_any_more_is_not_called_and_not_held() -> None:
    called: list[str] = []
    deadlines = Deadlines[str](called.append)
    now = asyncio.get_running_loop().time()
    steps = {thing: deadlines.set(thing, now + 0.05) for thing in "abc"}
    deadlines.clear("b", steps["b"])
    deadlines.clear("b", steps["b"])  # does no harm
    deadlines.clear("a", 0)  # was not set with this
    assert len(deadlines) == 2
    await until(lambda: sorted(called) == ["a", "c"])


async def test_of_many_so_many_are_called_in_a_turn_of_the_loop() -> None:
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
    assert sorted(called) == list(range(3 * AT_ONCE))


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
        deadlines.set("also good", 0.5)
        await until(lambda: sorted(called) == ["also good", "bad", "good"])
    assert "a fault of the thing's own" in caplog.text


class Milliseconds:
    """A loop with uvloop's clock, which calls in the very millisecond that it was asked for."""

    def __init__(self) -> None:
        self.now = 0
        self.call: Callable[[], None] | None = None

    def time(self) -> float:
        return self.now / 1000

    def call_at(self, at: float, call: Callable[[], None]) -> Any:
        self.at, self.call = round(1000 * at), call
        return SimpleNamespace(cancel=lambda: None)

    def go_on(self) -> None:
        self.now, call, self.call = self.at, self.call, None
        assert call is not None
        call()


def test_a_clock_of_whole_milliseconds_makes_no_turn_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Milliseconds()
    monkeypatch.setattr(deadlines_module, "asyncio", SimpleNamespace(get_running_loop=lambda: loop))
    called: list[int] = []
    deadlines = Deadlines[int](called.append)
    for step in range(500):
        deadlines.set(step, step / STEPS_A_SECOND)
    while len(deadlines):
        before = len(called)
        loop.go_on()
        assert len(called) > before
    assert called == list(range(500))
