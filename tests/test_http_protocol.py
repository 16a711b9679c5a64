"""A storm of connections is let in so many at a time, with turns of the loop for everything else."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import uvicorn

from whosonline.http_protocol import AT_ONCE, Door, ImpatientHttp, impatient_http

from .serving import free_port

STORM = 20 * AT_ONCE


async def test_so_many_enter_in_one_turn_and_the_others_in_their_order_in_the_next() -> None:
    door, entered = Door(), list[int]()
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
    door = Door()
    while door.take_place():
        pass
    door.wait(lambda: None)  # what a protocol does whose peer has gone
    door.wait(lambda: entered.append("next"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert entered == ["next"]


async def test_a_storm_is_answered_whole_and_between_its_requests_the_loop_has_turns() -> None:
    """Each request is answered; no turn of the loop begins more of them than may come in at once."""
    turn, begun = 0, dict[int, int]()
    protocol = impatient_http(20)

    class Counted(protocol):  # type: ignore[misc, valid-type]
        def _take(self, data: bytes) -> None:
            begun[turn] = begun.get(turn, 0) + 1
            super()._take(data)

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    port = free_port()
    config = uvicorn.Config(application, port=port, http=Counted, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0)
    counting = asyncio.create_task(count_turns())
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as client, asyncio.timeout(60):

        async def ask() -> int:
            async with client.get(f"http://127.0.0.1:{port}/") as answer:
                return answer.status

        answers = await asyncio.gather(*(ask() for _ in range(STORM)))
    counting.cancel()
    server.should_exit = True
    await serving
    assert answers == [204] * STORM
    assert sum(begun.values()) == STORM
    assert max(begun.values()) <= 2 * AT_ONCE  # those who come, and those who waited


def test_each_server_has_a_door_of_its_own() -> None:
    first, second = impatient_http(1), impatient_http(2)
    assert len({first.door, second.door, ImpatientHttp.door}) == 3
