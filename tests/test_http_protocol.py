"""A storm of connections is let in so many at a time, with turns of the loop for everything else."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import uvicorn

from whosonline.http_protocol import AT_ONCE, ImpatientHttp, impatient_http

from .serving import free_port

STORM = 20 * AT_ONCE


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
