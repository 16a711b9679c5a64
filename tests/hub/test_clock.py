"""The clock that servers use: whether the loop was held up."""

from __future__ import annotations

import asyncio
import time

import pytest
import uvloop

from whosonline.hub import clock
from whosonline.hub.clock import LoopClock

LATE = 0.05


@pytest.mark.parametrize(
    "new_loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"]
)
def test_whoever_had_no_answer_in_time_can_tell_that_the_loop_was_held_up(
    monkeypatch: pytest.MonkeyPatch, new_loop: object
) -> None:
    monkeypatch.setattr(clock, "LATE", LATE)

    async def test() -> None:
        own = LoopClock()
        watch = own.watch()
        assert not own.late_within(60)  # asked now: a busy machine may hold the loop up by itself
        asking = asyncio.create_task(ask(own))
        await asyncio.sleep(0)
        time.sleep(4 * LATE)  # noqa: ASYNC251
        assert await asking
        assert not own.late_within(-1)
        watch.cancel()

    async def ask(own: LoopClock) -> bool:
        try:
            async with asyncio.timeout(LATE / 10):  # it is over before the watch looks again
                await asyncio.Event().wait()
        except TimeoutError:
            return own.late_within(60)
        return False

    with asyncio.Runner(loop_factory=new_loop) as runner:  # type: ignore[arg-type]
        runner.run(asyncio.wait_for(test(), 10))
