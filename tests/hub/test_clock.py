"""The clock that servers use: the loop's own time, and whether the loop was held up."""

from __future__ import annotations

import asyncio
import time

import pytest

from whosonline.hub import clock
from whosonline.hub.clock import LoopClock


@pytest.mark.parametrize("how", ["a timer", "a sleep"])
async def test_it_notes_when_something_is_done_too_late_because_the_loop_was_held_up(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(clock, "LATE", 0.05)
    own, done = LoopClock(), asyncio.Event()
    await own.sleep(0)
    assert not own.late_within(60)
    if how == "a timer":
        own.call_at(own.time() + 0.001, done.set)
    else:
        asyncio.create_task(own.sleep(0.001)).add_done_callback(lambda _: done.set())
        await asyncio.sleep(0)
    time.sleep(0.1)  # noqa: ASYNC251
    await done.wait()
    assert own.late_within(60)
    assert not own.late_within(-1)
