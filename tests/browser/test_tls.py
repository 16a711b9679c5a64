"""A real browser at the lobby in production: behind nginx, over TLS, with its static files collected."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.async_api import expect

from tests.tls_proxy import Nginx, ProductionServer

from .conftest import Visit
from .visitor import status

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="module")
def lobby(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder = tmp_path_factory.mktemp("production")
    with ProductionServer(folder, {"GRACE": 0.5}) as server, Nginx(folder, server) as nginx:
        yield nginx
        assert "Traceback" not in server.output(), server.output()


async def test_people_see_each_other_come_and_go_over_tls(visit: Visit, lobby: Nginx):
    ann, bob = [await visit(name, ignore_https_errors=True) for name in ("ann", "bob")]
    sockets: list[str] = []
    ann.page.on("websocket", lambda socket: sockets.append(socket.url))
    for visitor in (ann, bob):
        await visitor.join()
    await expect(status(ann.page, bob.name)).to_have_text("Online")
    await bob.page.goto("about:blank")
    await expect(status(ann.page, bob.name)).to_have_text("Offline")
    assert sockets
    assert all(url.startswith(lobby.url.replace("https:", "wss:")) for url in sockets)
