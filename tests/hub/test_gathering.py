"""What comes seldom goes on at once, and what comes often together."""

from __future__ import annotations

from functools import partial

import pytest

from whosonline.hub.gathering import BURST, GATHER, OFTEN, SEVERAL, Gathering
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
    assert things.gathering.crowded
    await things.clock.advance(0.6 * GATHER)
    assert things.done[BURST:] == [(name, pytest.approx(1 + GATHER)) for name in (*names[BURST:], "late")]
    assert not things.gathering.crowded


async def test_all_are_gathered_as_long_as_several_come(things: Things) -> None:
    for _ in range(BURST + SEVERAL):
        things.come("first")
    for _ in range(5):
        await things.clock.advance(GATHER)
        things.done.clear()
        for name in ("one", "two"):
            things.come(name)
        assert things.done == []


async def test_after_fewer_have_come_the_next_goes_on_at_once(things: Things) -> None:
    for _ in range(BURST + SEVERAL):
        things.come("first")
    await things.clock.advance(GATHER)
    things.come("alone")
    assert things.done[-1] != ("alone", GATHER)
    await things.clock.advance(GATHER)
    assert things.done[-1] == ("alone", 2 * GATHER)
    things.come("next")
    assert things.done[-1] == ("next", 2 * GATHER)


async def test_what_goes_wrong_with_one_is_nothing_to_the_others(things: Things, caplog) -> None:
    for _ in range(BURST):
        things.come("first")
    for name in ("bad", "good"):
        things.come(name)
    await things.clock.advance(GATHER)
    assert [name for name, _ in things.done[BURST:]] == ["bad", "good"]
    assert "ValueError: bad" in caplog.text
