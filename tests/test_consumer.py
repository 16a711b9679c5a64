"""The socket's application by itself, with a server that fails where a real one seldom does."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from tests.hub.conftest import World, world
from whosonline import consumer
from whosonline.consumer import PresenceConsumer
from whosonline.core.entries import Profile
from whosonline.hub.hub import LEAVE_AT_ONCE
from whosonline.sessions import Visitor, session_name
from whosonline.testing.clock import settle

__all__ = ["world"]

SCOPE = {
    "type": "websocket",
    "scheme": "ws",
    "headers": [
        (b"host", b"testserver"),
        (b"origin", b"http://testserver"),
        (b"cookie", b"sessionid=ann-s-key"),
    ],
}


async def test_who_takes_not_even_the_welcome_is_counted_out_again(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    async def look_up(keys: list[str]) -> dict[str, Visitor]:
        return {key: Visitor("ann", Profile("ann", "Ann")) for key in keys}

    sent: list[str] = []

    async def send(event: dict[str, Any]) -> None:
        sent.append(event["type"])
        if event["type"] == "websocket.send":
            raise OSError("the peer is gone")

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    monkeypatch.setattr(world.people, "look_up", look_up)
    hub = await world.node()
    monkeypatch.setattr(consumer, "get_hub", lambda: hub)
    watcher = await world.tab(hub, "bob")
    await watcher.say('{"type":"watch","users":["ann"]}')
    async with asyncio.timeout(10):
        await PresenceConsumer(SCOPE, receive, send).run()
    assert sent == ["websocket.accept", "websocket.send", "websocket.close"]
    await settle()
    await world.clock.advance(hub.policy.grace + 1)
    told = [update["users"]["ann"]["status"] for update in watcher.take("update") if "users" in update]
    assert told[-1] == "offline"
    assert world.sync.count("site") == 1


async def test_who_is_lost_together_is_counted_out_so_many_in_a_turn_of_the_loop_and_each_for_sure(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    """Ten thousand at once would be seconds in which the store's answers seem to be late."""
    people, lost = 4 * LEAVE_AT_ONCE, asyncio.Event()

    async def look_up(keys: list[str]) -> dict[str, Visitor]:
        return {key: Visitor(key, Profile(key, key)) for key in keys}

    async def send(event: dict[str, Any]) -> None:
        pass

    def socket(number: int) -> PresenceConsumer:
        events = iter(["websocket.connect"])

        async def receive() -> dict[str, Any]:
            for kind in events:
                return {"type": kind}
            await lost.wait()
            return {"type": "websocket.disconnect"}

        headers = [*SCOPE["headers"][:2], (b"cookie", f"sessionid=key{number}".encode())]
        return PresenceConsumer(SCOPE | {"headers": headers}, receive, send)

    monkeypatch.setattr(world.people, "look_up", look_up)
    hub = await world.node()
    monkeypatch.setattr(consumer, "get_hub", lambda: hub)
    tasks = [asyncio.create_task(socket(number).run()) for number in range(people)]
    async with asyncio.timeout(10):
        while hub._connections.count() < people:
            await asyncio.sleep(0)
        lost.set()
        counts = [people]
        while counts[-1]:
            await asyncio.sleep(0)
            counts.append(hub._connections.count())
            if len(counts) == 3:
                tasks[-1].cancel()  # a server that waits no longer
                hub.expel(session_name(f"key{people - 2}"))  # a log-out meanwhile
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(end) for end in ended] == [type(None)] * (people - 1) + [asyncio.CancelledError]
    most = max(before - now for before, now in pairwise(counts))
    assert most <= LEAVE_AT_ONCE + 2  # those two wait for no turn
