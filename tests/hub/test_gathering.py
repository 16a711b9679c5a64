"""What comes seldom goes on at once, and what comes often together."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from whosonline.hub.gathering import BURST, GATHER, OFTEN, Gathering
from whosonline.testing.clock import ManualClock


class Things:
    """Things that come to be done, and when they were."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.gathering = Gathering(self.clock)
        self.done: list[tuple[str, float]] = []

    def come(self, name: str) -> None:
        do = partial(self._do, name)
        if self.gathering.take_place():
            do()
        else:
            self.gathering.wait(do)

    def _do(self, name: str) -> None:
        self.done.append((name, self.clock.time()))
        if name == "bad":
            raise ValueError(name)


@pytest.fixture
def things() -> Things:
    return Things()


async def test_what_comes_seldom_goes_on_at_once(things: Things) -> None:
    expected = []
    for number in range(10 * BURST):
        await things.clock.advance(1 / OFTEN + 0.001)
        things.come(str(number))
        expected.append((str(number), things.clock.time()))
    assert things.done == expected


async def test_what_comes_often_goes_on_together_in_its_order(things: Things) -> None:
    await things.clock.advance(1)
    names = [str(number) for number in range(BURST + 5)]
    for name in names:
        things.come(name)
    assert [name for name, _ in things.done] == names[:BURST]
    await things.clock.advance(0.5 * GATHER)
    things.come("late")
    assert len(things.done) == BURST
    await things.clock.advance(0.6 * GATHER)
    assert things.done[BURST:] == [(name, pytest.approx(1 + GATHER)) for name in (*names[BURST:], "late")]


async def test_nothing_is_left_that_waits_for_ever(things: Things) -> None:
    for _ in range(3):
        for number in range(2 * BURST):
            things.come(str(number))
        await things.clock.advance(GATHER)
        assert len(things.done) == 2 * BURST
        things.done.clear()


async def test_after_a_quiet_spell_what_comes_goes_on_at_once(things: Things) -> None:
    for _ in range(BURST + 1):
        things.come("before")
    await things.clock.advance(60)
    things.come("after")
    assert things.done[-1] == ("after", 60)


async def test_what_goes_wrong_with_one_is_nothing_to_the_others(things: Things) -> None:
    seen: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))
    for _ in range(BURST):
        things.come("first")
    for name in ("bad", "good"):
        things.come(name)
    await things.clock.advance(GATHER)
    assert [name for name, _ in things.done[BURST:]] == ["bad", "good"]
    assert [type(context["exception"]) for context in seen] == [ValueError]
