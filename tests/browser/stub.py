"""A page in a real browser, and a test that speaks for its server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from playwright.async_api import Page, Route, WebSocketRoute, expect

from lobby.middleware import POLICY

ROOT = Path(__file__).parent.parent.parent
SCRIPTS = {
    "/whosonline.js": ROOT / "src/whosonline/static/whosonline/whosonline.js",
    **{f"/{file.name}": file for file in (ROOT / "lobby/static/lobby").glob("*.js")},
}
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

HEAD = """<!doctype html><title>A page</title>
<script type="module" src="/whosonline.js" data-presence data-socket="/users/" data-idle-after="300"></script>
<script type="module" src="/list.js"></script>"""


class StubSite:
    """A page, and the server's end of its sockets."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.html = HEAD
        self.loads = 0
        self.sockets: list[WebSocketRoute] = []
        self.sent: list[list[dict[str, Any]]] = []
        """What each of the sockets has sent."""
        self.complaints: list[str] = []

    async def start(self) -> None:
        await self.page.clock.install(time=NOW)
        await self.page.route("**/*", self._serve)
        await self.page.route_web_socket(re.compile(r".*/users/(\?.*)?$"), self._accept)
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    async def open(self, body: str, url: str = "http://lobby.test/") -> None:
        """Show a page, and welcome its socket."""
        self.html = HEAD + body
        await self.page.goto(url)
        await self.welcome()

    async def welcome(self, number: int = 1, online: int = 1) -> None:
        """Wait for the page's socket of this number, and welcome it."""
        await self.until(lambda: len(self.sockets) >= number)
        self.tell({"type": "welcome", "protocol": 1, "you": "7", "room": "site", "online": online})
        await self.state("open")

    async def state(self, state: str) -> None:
        """Wait until the page shows this state of its connection."""
        await expect(self.page.locator("html")).to_have_attribute("data-presence-state", state)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that the page does; its time goes on meanwhile, a little."""
        for _ in range(300):
            if condition():
                return
            await self.page.clock.run_for(20)
        raise AssertionError(f"it did not happen; sent was {self.sent}")

    def tell(self, message: dict[str, Any]) -> None:
        self.sockets[-1].send(json.dumps(message))

    def users(self, **users: dict[str, Any]) -> None:
        self.tell({"type": "update", "users": {name.lstrip("u"): state for name, state in users.items()}})

    async def _serve(self, route: Route) -> None:
        path = "/" + route.request.url.split("/", 3)[3]
        if path in SCRIPTS:
            await route.fulfill(path=SCRIPTS[path], content_type="text/javascript")
            return
        self.loads += path == "/"
        await route.fulfill(
            body=self.html,
            content_type="text/html; charset=utf-8",
            headers={"Content-Security-Policy": POLICY.format(socket="ws://lobby.test")},
        )

    def _accept(self, socket: WebSocketRoute) -> None:
        sent: list[dict[str, Any]] = []
        socket.on_message(lambda text: sent.append(json.loads(text)))
        self.sockets.append(socket)
        self.sent.append(sent)
