"""Production: the lobby outside DEBUG behind a real nginx that ends TLS, as docs/nginx.conf has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from itertools import count
from socket import socket as new_socket
from typing import Any

import aiohttp
import pytest

from bench.people import FormError, Person, PersonError
from tests.test_socket import closed, hear
from tests.tls_proxy import Nginx, ProductionServer

STRANGER = "127.0.0.2"
"""An address of this machine that nobody trusts."""

_numbers = count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProductionServer]:
    policy = {"GRACE": 0.2, "CONNECTIONS_PER_ADDRESS": 1}
    with ProductionServer(tmp_path_factory.mktemp("production"), policy) as server:
        yield server
        assert "Traceback" not in server.output(), server.output()


@pytest.fixture(scope="module")
def proxy(server: ProductionServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with Nginx(tmp_path_factory.mktemp("nginx"), server) as nginx:
        yield nginx


@asynccontextmanager
async def somebody(proxy: Nginx, log_in: bool = True) -> AsyncIterator[Person]:
    """A person whose browser knows the proxy's certificate."""
    opened = []

    def open_socket(address: Any) -> Any:
        opened.append(new_socket(*address[:3]))
        return opened[-1]

    try:
        async with Person(proxy.url, f"somebody{next(_numbers)}") as person:
            old = person._browser._connector
            person._browser._connector = aiohttp.TCPConnector(ssl=proxy.trust, socket_factory=open_socket)
            assert old is not None
            await old.close()
            if log_in:
                await person.sign_up()
            yield person
    finally:
        # The end of TLS waits for the proxy's answer, and aiohttp does not wait for that of a WebSocket.
        while any(socket.fileno() >= 0 for socket in opened):
            await asyncio.sleep(0.01)


async def socket_with(person: Person, **headers: str) -> aiohttp.ClientWebSocketResponse:
    headers = {"Origin": person._origin, **headers}
    socket = await person._browser.ws_connect("/users/", headers=headers)
    person._sockets.append(socket)
    return socket


async def get(url: str, path: str = "/log_in/", source: str = "127.0.0.1", **headers: str) -> Any:
    """Ask for a page from one of this machine's addresses; return the answer's status and headers."""
    connector = aiohttp.TCPConnector(local_addr=(source, 0))
    async with (
        aiohttp.ClientSession(connector=connector) as browser,
        browser.get(url + path, headers=headers, allow_redirects=False) as response,
    ):
        return response.status, response.headers


async def test_who_logs_in_over_tls_sees_others_come_and_go_live(proxy: Nginx):
    async with somebody(proxy) as ann, somebody(proxy) as bob:
        await bob.log_out()
        await bob.log_in()
        watching = await ann.socket()
        await hear(watching, type="welcome")
        tab = await bob.socket()
        me = (await hear(tab, type="welcome"))["you"]
        await watching.send_json({"type": "watch", "users": [me]})
        assert await _status(watching, me) == "online"
        await bob.log_out()
        assert await closed(tab) == 4401
        assert await _status(watching, me) == "offline"


async def _status(watching: aiohttp.ClientWebSocketResponse, user: str) -> str:
    return str((await hear(watching, users=...))["users"][user]["status"])


async def test_pages_promise_tls_and_cookies_go_over_nothing_else(proxy: Nginx):
    async with somebody(proxy, log_in=False) as ann:
        cookies: SimpleCookie = SimpleCookie()
        for path in ("/log_in/", "/sign_up/"):
            async with ann._browser.get(path) as response:
                assert response.status == 200
                assert response.headers["Strict-Transport-Security"] == "max-age=2592000"
                policy = response.headers["Content-Security-Policy"]
                assert f"connect-src 'self' wss://{proxy.url.removeprefix('https://')}" in policy
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                assert response.headers["Referrer-Policy"] == "same-origin"
                assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
                cookies.update(response.cookies)
        await ann.sign_up()
        for cookie in ann._browser.cookie_jar:
            cookies[cookie.key] = cookie
        assert cookies.keys() >= {"sessionid", "csrftoken"}
        for cookie in cookies.values():
            assert cookie["secure"], cookie.key
            assert cookie["samesite"] == "Lax"
        assert cookies["sessionid"]["httponly"]


async def test_without_tls_one_is_sent_to_where_there_is(proxy: Nginx, server: ProductionServer):
    status, headers = await get(proxy.plain_url, "/?after=x")
    assert (status, headers["Location"]) == (301, "https://127.0.0.1/?after=x")
    status, headers = await get(server.url)
    assert (status, headers["Location"]) == (301, server.url.replace("http:", "https:") + "/log_in/")
    assert "Strict-Transport-Security" not in headers


async def test_a_socket_over_tls_is_not_open_to_pages_that_came_without_or_from_elsewhere(proxy: Nginx):
    host = proxy.url.removeprefix("https://")
    async with somebody(proxy) as ann:
        for origin in (f"http://{host}", "https://127.0.0.1", "https://evil.example", "null"):
            assert await closed(await socket_with(ann, Origin=origin)) == 4403, origin
        assert (await hear(await socket_with(ann)))["type"] == "welcome"


async def test_a_visitor_s_forwarded_headers_do_not_get_past_the_proxy(proxy: Nginx):
    async with somebody(proxy) as ann:
        forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "http"}
        # Were the address believed, the second would be one too many of it; were the scheme, a foreign one.
        sockets = [await socket_with(ann, **forged) for _ in range(2)]
        for socket in sockets:
            assert (await hear(socket))["type"] == "welcome"


async def test_what_somebody_forwards_who_is_no_trusted_proxy_is_not_believed(
    proxy: Nginx, server: ProductionServer
):
    forged = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
    assert (await get(server.url, **forged))[0] == 200, "the trusted proxy's address is believed"
    assert (await get(server.url, source=STRANGER, **forged))[0] == 301

    origin = server.url.replace("http:", "https:")
    connector = aiohttp.TCPConnector(local_addr=(STRANGER, 0))
    async with aiohttp.ClientSession(connector=connector) as stranger:
        headers = {"Origin": origin, **forged}
        async with stranger.ws_connect(f"{server.url}/users/", headers=headers) as socket:
            assert await closed(socket) == 4403
    async with (
        aiohttp.ClientSession() as trusted,
        trusted.ws_connect(f"{server.url}/users/", headers={"Origin": origin, **forged}) as socket,
    ):
        assert await closed(socket) == 4401, "the origin is right, and nobody is logged in"


async def test_who_guesses_is_told_to_wait_though_the_address_it_sends_is_another_each_time(proxy: Nginx):
    async with somebody(proxy) as ann, somebody(proxy, log_in=False) as thief:
        thief.name, thief.password = ann.name, "guess"
        for number in range(9):
            thief._browser.headers["X-Forwarded-For"] = f"203.0.113.{number}"
            with pytest.raises(FormError, match="correct username and password"):
                await thief.log_in()
        with pytest.raises(PersonError, match=r"429 Too Many Requests .*Wait 15 minutes"):
            await thief.log_in()
        thief.password = ann.password
        with pytest.raises(PersonError, match="429"):
            await thief.log_in()


async def test_the_proxy_answers_with_502_while_the_server_is_away_and_serves_when_it_is_back(
    proxy: Nginx, server: ProductionServer
):
    async with somebody(proxy) as ann:
        tab = await ann.socket()
        await hear(tab, type="welcome")
        await asyncio.to_thread(server.stop)
        assert await closed(tab) == 1012
        with pytest.raises(PersonError, match="502"):
            await ann.page()
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(20):
            while True:  # nginx asks again when its own time-out for a server that failed is over
                try:
                    await ann.page()
                except PersonError:
                    await asyncio.sleep(0.1)
                else:
                    break
        assert (await hear(await ann.socket()))["type"] == "welcome"
