"""The ASGI application: pages, sockets and the server's life in one."""

from __future__ import annotations

import pytest

from whosonline import runtime
from whosonline.asgi import get_asgi_application, lifespan
from whosonline.database_threads import DatabaseThreads


class Server:
    """The server's side of a lifespan."""

    def __init__(self, *events: str) -> None:
        self._events = list(events)
        self.sent: list[str] = []
        self.hubs: list[object] = []

    async def receive(self) -> dict:
        return {"type": self._events.pop(0)}

    async def send(self, event: dict) -> None:
        self.sent.append(event["type"])
        self.hubs.append(runtime._Running.hub)


@pytest.mark.django_db(transaction=True)
async def test_the_hub_lives_as_long_as_the_server():
    server = Server("lifespan.startup", "lifespan.shutdown")
    await lifespan({}, server.receive, server.send)
    assert server.sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    started, ended = server.hubs
    assert started is not None
    assert ended is None


@pytest.mark.django_db(transaction=True)
async def test_connections_to_the_database_outlast_a_pause_where_the_server_tells_of_its_end_alone(
    monkeypatch: pytest.MonkeyPatch,
):
    kept = list[float]()

    class Threads(DatabaseThreads):
        def __init__(self, name: str, most: int, idle: float) -> None:
            super().__init__(name, most, idle)
            kept.append(idle)

    monkeypatch.setattr(runtime, "DatabaseThreads", Threads)
    server = Server("lifespan.startup", "lifespan.shutdown")
    await lifespan({}, server.receive, server.send)
    assert min(kept) == runtime.KEPT
    kept.clear()
    runtime.get_hub()
    await runtime.stop_hub()
    assert max(kept) == runtime.KEPT_UNTOLD < 1


def test_pages_sockets_and_the_lifespan_each_have_their_application():
    assert set(get_asgi_application().application_mapping) == {"http", "websocket", "lifespan"}
