"""How a server begins among others, and gives way to another; the processes' side is in test_workers.py."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest
import uvicorn

from whosonline import uvicorn_server
from whosonline.door import door
from whosonline.http_protocol import ImpatientHttp
from whosonline.hub.gathering import GATHER, Gathering
from whosonline.testing.clock import ManualClock, settle
from whosonline.uvicorn_server import (
    COLLECT_AFTER,
    COLLECT_AFTER_MORE,
    FAREWELL,
    KNOWN_WITHIN,
    SENT_AWAY,
    Server,
)


async def application(scope: Any, receive: Any, send: Any) -> None:
    while True:
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return


class Hub:
    """What a server asks of the module that has the hub, and when that answers."""

    def __init__(self, fails: bool = False) -> None:
        self.asked: list[tuple[str, float]] = []
        self.go_on = asyncio.Event()
        self._fails = fails

    async def wait_until_known(self, most: float) -> None:
        await self._note("wait", most)

    async def send_away(self, a_second: float = float("inf")) -> None:
        await self._note("send away", a_second)

    async def _note(self, what: str, figure: float) -> None:
        self.asked.append((what, figure))
        if self._fails:
            raise RuntimeError("no")
        await self.go_on.wait()


@pytest.fixture
def listener() -> Any:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.setblocking(False)
        yield listener


async def begin(
    hub: Hub,
    listener: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    *,
    huge_pages: bool = False,
    http: Any = "auto",
) -> tuple[Server, list[int]]:
    """Return a worker that has begun, and where it notes that it has said so."""
    monkeypatch.setattr(uvicorn_server, "_spare_the_collector", lambda: None)
    monkeypatch.setitem(sys.modules, "whosonline.runtime", hub)  # type: ignore[arg-type]
    config = uvicorn.Config(application, log_config=None, lifespan="on", http=http)
    config.load()
    said: list[int] = []
    server = Server(config, listener, lambda: said.append(1), huge_pages=huge_pages)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    await asyncio.sleep(0)
    return server, said


async def end(server: Server) -> None:
    for task in server._tasks:
        task.cancel()
    await server._accept_no_more()
    await server.lifespan.shutdown()


async def test_a_worker_says_that_it_serves_once_its_hub_knows_who_is_there(listener, monkeypatch):
    hub = Hub()
    server, said = await begin(hub, listener, monkeypatch)
    assert (hub.asked, said) == ([("wait", KNOWN_WITHIN)], [])
    hub.go_on.set()
    await asyncio.gather(*server._tasks)
    assert said == [1]
    await end(server)


@pytest.mark.parametrize("wanted", [True, False])
async def test_what_a_server_holds_is_kept_in_huge_pages_if_that_is_wanted(listener, monkeypatch, wanted):
    noted: list[str] = []
    pages = SimpleNamespace(start=lambda: noted.append("start"), stop=lambda: noted.append("stop"))
    monkeypatch.setattr(uvicorn_server, "HugePages", lambda: pages)
    server, _ = await begin(Hub(), listener, monkeypatch, huge_pages=wanted)
    assert noted == ["start"] * wanted
    monkeypatch.setattr(server, "_send_away", AsyncMock())
    await server.shutdown()
    assert noted == ["start", "stop"] * wanted


async def test_one_that_ends_waits_for_the_handshakes_that_it_gathers(listener, monkeypatch):
    clock, hub = ManualClock(), Hub()

    class ItsDoor(door(20)):  # type: ignore[misc]
        handshakes = Gathering(clock)

    server, _ = await begin(hub, listener, monkeypatch, http=ItsDoor)
    hub.go_on.set()
    ItsDoor.handshakes.wait(lambda: None)
    sending_away = asyncio.create_task(server._send_away())
    await settle()
    assert not sending_away.done()
    await clock.advance(GATHER)
    async with asyncio.timeout(FAREWELL / 2):  # by itself, and not because it waits no longer
        await sending_away
    await end(server)


async def test_one_that_is_ended_before_that_never_says_so(listener, monkeypatch):
    server, said = await begin(Hub(), listener, monkeypatch)
    for task in server._tasks:
        task.cancel()
    await asyncio.gather(*server._tasks, return_exceptions=True)
    assert said == []
    await end(server)


async def test_one_whose_hub_fails_serves_all_the_same(listener, monkeypatch):
    server, said = await begin(Hub(fails=True), listener, monkeypatch)
    await asyncio.gather(*server._tasks)
    assert said == [1]
    await end(server)


@pytest.mark.parametrize("fails", [False, True])
async def test_one_that_is_replaced_hears_nobody_new_sends_its_sockets_away_bit_by_bit_and_then_ends(
    listener, monkeypatch, fails: bool
):
    monkeypatch.setattr(uvicorn_server, "SETTLE", 0.0)
    ended: list[int] = []
    hub = Hub()
    server, _ = await begin(hub, listener, monkeypatch)
    hub.go_on.set()
    await asyncio.gather(*server._tasks)
    hub.go_on.clear()
    hub._fails = fails
    config, state = server.config, server.server_state
    kept = ImpatientHttp(config, state, {})  # a connection that a proxy keeps for its next request
    kept.cycle = SimpleNamespace(response_complete=True)
    begun = ImpatientHttp(config, state, {})  # one whose first is here in part
    early: Any = server._create_protocol()  # one that has said nothing yet
    for each in (kept, begun, early):
        each.connection_made(Transport())
    monkeypatch.setattr(signal, "raise_signal", ended.append)
    asyncio.get_running_loop().call_soon(server._begin, server._give_way, server._end)
    while len(hub.asked) < 2:
        await asyncio.sleep(0)
    assert hub.asked[-1] == ("send away", SENT_AWAY)
    assert listener.fileno() == -1
    assert [each.transport.closed for each in (kept, begun, early)] == [True, False, False]
    assert fails or not ended
    hub.go_on.set()
    await asyncio.gather(*server._tasks)
    assert ended == [signal.SIGTERM]
    await end(server)


class Transport(asyncio.Transport):
    closed = False

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


async def test_garbage_is_looked_for_when_connections_are_many_more_or_many_have_come(listener, monkeypatch):
    looked: list[int] = []
    monkeypatch.setattr(uvicorn_server.gc, "collect", looked.append)
    config = uvicorn.Config(application, http=door(20), log_config=None)
    config.load()
    server = Server(config, listener)
    server.lifespan = SimpleNamespace(state={})
    here = server.server_state.connections

    def come(number: int) -> int:
        """Let so many come; return how often it was looked."""
        looked.clear()
        for _ in range(number):
            here.add(server._create_protocol())
        assert looked == [1] * len(looked)  # among the youngest
        return len(looked)

    ends: set[tuple[int, int]] = set()
    begun = 0

    def randrange(start: int, stop: int) -> int:
        ends.add((start, stop))
        return begun

    monkeypatch.setattr(uvicorn_server, "random", SimpleNamespace(randrange=randrange))
    assert come(5 * COLLECT_AFTER_MORE + 1) == 5
    here.clear()
    assert come(COLLECT_AFTER_MORE) == 0
    assert come(1) == 1  # of those that are fewer than before as many more have come
    for _ in range(COLLECT_AFTER - 1):
        here.pop()
        assert come(1) == 0
    here.pop()
    begun = COLLECT_AFTER // 4
    assert come(1) == 1
    for _ in range(COLLECT_AFTER - begun - 1):
        here.pop()
        assert come(1) == 0
    here.pop()
    assert come(1) == 1
    assert ends == {(-(COLLECT_AFTER // 4), COLLECT_AFTER // 4)}
