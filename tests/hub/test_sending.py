"""What is told to many, in slices."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from whosonline.hub import sending
from whosonline.hub.sending import Sending
from whosonline.testing.clock import ManualClock, settle

from .fanning import a_turn_for_each_frame


class Told:
    """Who was told, and how that ended."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.clock = ManualClock()
        self.told: list[int] = []
        self.ends: list[Sending | Exception] = []
        self._fails_at = fails_at
        self.sending = Sending(self._steps(), self.clock, self.ends.append, self.ends.append)

    def _steps(self) -> Iterator[None]:
        for number in range(4):
            if number == self._fails_at:
                raise OSError("nobody answers")
            self.told.append(number)
            yield


@pytest.fixture(autouse=True)
def a_slice_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "time", a_turn_for_each_frame(work=0.25))


async def test_the_first_are_told_at_once_and_the_others_in_turns_of_the_loop():
    each = Told()
    each.sending.go_on()
    assert each.told == [0]
    await asyncio.sleep(0)
    assert each.told == [0, 1]
    await settle()
    assert each.told == [0, 1, 2, 3]
    assert each.ends == [each.sending]
    assert (each.sending.last_slice, each.sending.worked) == (0.25, 1.25)
    assert not each.sending.failed


async def test_after_each_slice_there_is_the_rest_that_its_work_asks_for():
    each = Told()
    each.sending.rest_after = lambda worked: 8 * worked
    each.sending.go_on_soon()
    await each.clock.advance(1.9)
    assert each.told == [0]
    await each.clock.advance(0.2)
    assert each.told == [0, 1]
    await each.clock.advance(6)
    assert each.ends == [each.sending]


@pytest.mark.parametrize("rests", [False, True])
async def test_one_that_is_stopped_tells_nobody_more_and_what_is_left_is_anothers(rests: bool):
    each = Told()
    each.sending.rest_after = (lambda worked: 1) if rests else None
    each.sending.go_on()
    each.sending.stop()
    each.sending.go_on_soon()
    await each.clock.advance(10)
    assert (each.told, each.ends) == ([0], [])
    assert list(each.sending.steps) == [None] * 3
    assert each.told == [0, 1, 2, 3]


async def test_what_is_waited_for_does_not_come_once_it_is_stopped():
    each, came = Told(), list[str]()
    each.sending.wait(1, lambda: came.append("first"))
    await each.clock.advance(1)
    each.sending.wait(1, lambda: came.append("second"))
    each.sending.stop()
    each.sending.wait(1, lambda: came.append("third"))
    await each.clock.advance(2)
    assert came == ["first"]


async def test_a_step_that_fails_ends_it():
    each = Told(fails_at=2)
    each.sending.go_on()
    await settle()
    assert each.told == [0, 1]
    error, ended = each.ends
    assert isinstance(error, OSError)
    assert ended is each.sending
    assert each.sending.failed
