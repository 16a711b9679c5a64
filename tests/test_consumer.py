"""The socket's application by itself, with a server that fails where a real one seldom does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.hub.conftest import World, world
from whosonline import consumer
from whosonline.consumer import PresenceConsumer
from whosonline.core.entries import Profile
from whosonline.sessions import Visitor
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
