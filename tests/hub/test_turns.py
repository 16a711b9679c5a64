"""So many things in one turn of the loop, the others later."""

from __future__ import annotations

import asyncio

from whosonline.hub.turns import Turns

AT_ONCE = 10


async def test_so_many_enter_in_one_turn_and_the_others_in_their_order_in_the_next() -> None:
    door, entered = Turns(AT_ONCE), list[int]()
    for number in range(3 * AT_ONCE + 1):
        if door.take_place():
            entered.append(number)
        else:
            door.wait(lambda number=number: entered.append(number))
    lengths = [len(entered)]
    while lengths[-1] < 3 * AT_ONCE + 1:
        await asyncio.sleep(0)
        lengths.append(len(entered))
    assert entered == list(range(3 * AT_ONCE + 1))
    assert max(now - before for before, now in zip([0, *lengths], lengths, strict=False)) <= AT_ONCE
    await asyncio.sleep(0)
    assert door.take_place()


async def test_who_has_gone_while_waiting_is_passed_over_and_the_next_comes_in() -> None:
    entered = list[str]()
    door = Turns(AT_ONCE)
    while door.take_place():
        pass
    door.wait(lambda: None)  # what a protocol does whose peer has gone
    door.wait(lambda: entered.append("next"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert entered == ["next"]


async def test_who_waits_goes_on_in_turn_and_who_gives_up_takes_no_place_of_another() -> None:
    turns, gone_on = Turns(2), list[int]()

    async def come(number: int) -> None:
        await turns.come()
        gone_on.append(number)

    tasks = [asyncio.create_task(come(number)) for number in range(7)]
    await asyncio.sleep(0)
    assert gone_on == [0, 1]
    tasks[3].cancel()
    await asyncio.wait(tasks)
    assert gone_on == [0, 1, 2, 4, 5, 6]
    assert not turns.crowded
