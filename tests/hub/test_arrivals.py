"""Sockets that arrive together are looked up together, and a queue that is full says so."""

from __future__ import annotations

import asyncio

import pytest

from whosonline.hub import arrivals as module
from whosonline.hub.arrivals import TOGETHER, Arrivals, TryLater
from whosonline.testing.clock import settle


class Door:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.answers = asyncio.Event()
        self.failing = False

    async def look_up(self, keys: list[str]) -> dict[str, str]:
        self.asked.append(keys)
        await self.answers.wait()
        if self.failing:
            raise OSError("the database is away")
        return {key: f"who has {key}" for key in keys if key != "nobody's"}


@pytest.fixture
def door() -> Door:
    return Door()


async def test_a_single_socket_waits_for_no_other(door: Door, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "GATHER", 60)
    monkeypatch.setattr(module, "LONGEST_GATHER", 60)
    door.answers.set()
    arrivals = Arrivals(door.look_up, most=10, timeout=5)
    assert await arrivals.who("a") == "who has a"
    assert door.asked == [["a"]]


async def test_nobody_is_found_who_is_not_known(door: Door, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "GATHER", 0)
    door.answers.set()
    arrivals = Arrivals(door.look_up, most=10, timeout=10)
    assert await arrivals.who("nobody's") is None
    assert await arrivals.who("a") == "who has a"


@pytest.mark.parametrize(("together", "most"), [(3, 10), (200, 3)])
async def test_who_comes_in_a_moment_after_others_is_asked_about_together_with_who_comes_next(
    door: Door, monkeypatch: pytest.MonkeyPatch, together: int, most: int
):
    monkeypatch.setattr(module, "GATHER", 60)
    monkeypatch.setattr(module, "LONGEST_GATHER", 60)
    monkeypatch.setattr(module, "TOGETHER", together)
    door.answers.set()
    arrivals = Arrivals(door.look_up, most=most, timeout=10)
    await arrivals.who("first")
    coming = [asyncio.create_task(arrivals.who("second"))]
    await settle()
    coming += [asyncio.create_task(arrivals.who("third"))]
    await settle()
    assert door.asked == [["first"]]
    async with asyncio.timeout(5):
        await arrivals.who("fourth")  # as many as one question takes wait for nobody
    await asyncio.gather(*coming)
    assert door.asked == [["first"], ["second", "third", "fourth"]]
    coming = [asyncio.create_task(arrivals.who("fifth"))]
    await settle()
    assert len(door.asked) == 2  # and the next wait again
    for task in coming:
        task.cancel()


async def test_there_is_no_rest_while_as_many_wait_as_one_question_takes(
    door: Door, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "GATHER", 60)
    monkeypatch.setattr(module, "LONGEST_GATHER", 60)
    monkeypatch.setattr(module, "TOGETHER", 3)
    arrivals = Arrivals(door.look_up, most=10, timeout=10)
    coming = [asyncio.create_task(arrivals.who("first"))]
    await settle()
    coming += [asyncio.create_task(arrivals.who(str(number))) for number in range(3)]
    await settle()
    door.answers.set()
    async with asyncio.timeout(5):
        await asyncio.gather(*coming)
    assert [len(keys) for keys in door.asked] == [1, 3]


@pytest.mark.parametrize(("before", "waits"), [(1, 1), (3, 3), (8, 5)])
async def test_the_more_were_asked_about_the_longer_the_next_are_gathered(
    door: Door, monkeypatch: pytest.MonkeyPatch, before: int, waits: float
):
    waited: list[float] = []
    timeout = asyncio.timeout
    monkeypatch.setattr(module, "GATHER", 1)
    monkeypatch.setattr(module, "LONGEST_GATHER", 5)
    arrivals = Arrivals(door.look_up, most=10, timeout=10)
    coming = [asyncio.create_task(arrivals.who(str(number))) for number in range(before)]
    await settle()
    monkeypatch.setattr(module.asyncio, "timeout", lambda seconds: waited.append(seconds) or timeout(0))
    door.answers.set()
    await asyncio.gather(*coming)
    await settle()
    assert waited == [waits]


async def test_who_comes_while_a_look_up_runs_is_in_the_next_with_all_others(door: Door):
    arrivals = Arrivals(door.look_up, most=1000, timeout=10)
    coming = [asyncio.create_task(arrivals.who(str(number))) for number in range(TOGETHER + 10)]
    await settle()
    assert len(door.asked) <= 1
    door.answers.set()
    assert await asyncio.gather(*coming) == [f"who has {number}" for number in range(TOGETHER + 10)]
    assert len(door.asked) <= 3
    assert max(map(len, door.asked)) <= TOGETHER


async def test_past_the_end_of_the_queue_arrivals_are_told_to_try_later(door: Door):
    arrivals = Arrivals(door.look_up, most=4, timeout=10)
    coming = [asyncio.create_task(arrivals.who("first"))]
    await settle()  # its look-up has begun: it waits in the queue no more
    coming += [asyncio.create_task(arrivals.who("second"))]
    await settle()
    coming += [asyncio.create_task(arrivals.who(str(number))) for number in range(3)]
    await settle()
    with pytest.raises(TryLater):
        await arrivals.who("one too many")
    door.answers.set()
    assert None not in await asyncio.gather(*coming)
    assert await arrivals.who("later") == "who has later"


async def test_who_has_waited_too_long_is_told_to_try_later_and_is_not_looked_up(door: Door):
    arrivals = Arrivals(door.look_up, most=10, timeout=0.02)
    slow = asyncio.create_task(arrivals.who("a"))
    await settle()
    with pytest.raises(TryLater):
        await arrivals.who("c")
    with pytest.raises(TryLater):
        await slow
    door.answers.set()
    await settle()
    assert ["c"] not in door.asked
    assert len(door.asked) == 1


async def test_who_could_not_be_looked_up_is_told_to_try_later_and_the_next_is_asked_for_anew(door: Door):
    door.failing = True
    door.answers.set()
    arrivals = Arrivals(door.look_up, most=10, timeout=10)
    with pytest.raises(TryLater):
        await arrivals.who("a")
    door.failing = False
    assert await arrivals.who("a") == "who has a"


@pytest.mark.parametrize("turns", range(12))
async def test_who_comes_just_when_the_last_question_is_done_with_is_asked_about_too(
    door: Door, turns: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "GATHER", 0)
    door.answers.set()
    arrivals = Arrivals(door.look_up, most=10, timeout=1)
    first = asyncio.create_task(arrivals.who("a"))
    for _ in range(turns):
        await asyncio.sleep(0)
    assert await arrivals.who("b") == "who has b"
    assert await first == "who has a"
