"""Limits that are not a message's: each at a running server, and nobody else notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count

import aiohttp
import pytest

from bench.people import Person

from .serving import Server
from .test_socket import bad, closed, hear

POLICY = {
    "CONNECTIONS_PER_ADDRESS": 2,
    "CONNECTIONS_PER_USER": 10,
    "SEND_TIMEOUT": 1,
    "PING": 600,
    "GRACE": 0.5,
}
IMPATIENT = {"FIRST_MESSAGE": 2}
OFFICE, HOME = "203.0.113.5", "2001:db8:1:2::3"
_numbers = count()


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with narrow limits, which takes the tests for its proxy."""
    with Server(tmp_path_factory.mktemp("strict"), POLICY) as server:
        yield server
        assert "Traceback" not in server.output()


@asynccontextmanager
async def somebody(server: Server) -> AsyncIterator[Person]:
    async with Person(server.url, f"somebody{next(_numbers)}") as person:
        await person.sign_up()
        yield person


@pytest.fixture
async def ann(strict: Server) -> AsyncIterator[Person]:
    async with somebody(strict) as person:
        yield person


async def socket_from(person: Person, address: str, **headers: str) -> aiohttp.ClientWebSocketResponse:
    """Open a socket, of which the proxy says where it comes from."""
    headers = {"X-Forwarded-For": address, "Origin": person._origin} | headers
    socket = await person._browser.ws_connect("/users/", headers=headers)
    person._sockets.append(socket)  # one that nobody holds is closed
    return socket


async def lives(socket: aiohttp.ClientWebSocketResponse) -> bool:
    """Return whether a socket is answered."""
    await socket.send_str('{"type":"watch","users":["1"]}')
    return bool(await hear(socket, type="update", users=...))


async def test_an_address_has_as_many_connections_as_are_allowed_whoever_they_are_of(
    ann: Person, strict: Server
):
    async with somebody(strict) as bob:
        first, second = await socket_from(ann, OFFICE), await socket_from(bob, OFFICE)
        await hear(first, type="welcome")
        await hear(second, type="welcome")
        assert await closed(await socket_from(ann, OFFICE)) == 4408
        elsewhere = await socket_from(ann, HOME)
        assert await lives(first)
        assert await lives(elsewhere)
        await second.close()
        assert await lives(await socket_from(bob, OFFICE))


async def test_an_ipv6_network_counts_as_one_address(ann: Person):
    sockets = [await socket_from(ann, f"2001:db8:7:7::{number}") for number in (1, 2)]
    assert all([await lives(socket) for socket in sockets])
    assert await closed(await socket_from(ann, "2001:db8:7:7:ffff::3")) == 4408
    assert await lives(await socket_from(ann, "2001:db8:7:8::3"))


async def test_those_who_are_refused_take_no_place(ann: Person, strict: Server):
    async with Person(strict.url, "nobody") as nobody:
        for _ in range(4):
            assert await closed(await socket_from(nobody, "203.0.113.6")) == 4401
            assert await closed(await socket_from(ann, "203.0.113.6", Origin="https://evil.example")) == 4403
    assert await lives(await socket_from(ann, "203.0.113.6"))


async def test_the_address_is_the_one_that_the_nearest_proxy_saw(ann: Person):
    for forged in ("198.51.100.1", "198.51.100.2"):
        assert await lives(await socket_from(ann, f"{forged}, 203.0.113.7"))
    assert await closed(await socket_from(ann, "198.51.100.3, 203.0.113.7")) == 4408


async def test_a_proxy_that_does_not_say_for_whom_it_asks_is_not_taken_for_one_person(ann: Person):
    sockets = [await ann.socket() for _ in range(4)]
    assert all([await lives(socket) for socket in sockets])


async def test_a_connection_may_enter_as_many_rooms_as_are_allowed(ann: Person):
    socket, other = await ann.socket(), await ann.socket()
    for number in range(20):
        await socket.send_json({"type": "enter", "room": f"room {number}"})
    assert "may enter 20 rooms" in await bad(socket, '{"type":"enter","room":"one more"}')
    await socket.send_json({"type": "leave", "room": "room 7"})
    await socket.send_json({"type": "enter", "room": "one more"})
    assert await lives(socket)
    assert await lives(other)


async def test_a_peer_that_reads_nothing_is_given_up_and_nobody_notices(ann: Person, strict: Server):
    async with somebody(strict) as bob:
        deaf, other = await ann.socket(), await bob.socket()
        me = (await hear(deaf, type="welcome"))["you"]
        await other.send_json({"type": "watch", "users": [me]})
        assert await _status(other, me) == "online"
        assert deaf._response.connection is not None
        transport = deaf._response.connection.transport
        transport.pause_reading()
        flood = asyncio.create_task(_ask_for_more_than_it_takes(deaf))
        while await _status(other, me) != "offline":
            pass
        transport.abort()
        await flood


async def _status(watching: aiohttp.ClientWebSocketResponse, user: str) -> str:
    return str((await hear(watching, users=...))["users"][user]["status"])


async def _ask_for_more_than_it_takes(socket: aiohttp.ClientWebSocketResponse) -> None:
    ids = [str(number) * 20 for number in range(500)]
    while not socket.closed:
        try:
            await socket.send_json({"type": "watch", "users": ids})
        except (ConnectionError, aiohttp.ClientError):
            return
        await asyncio.sleep(0.05)


# Who is believed


async def test_what_a_peer_that_is_no_trusted_proxy_forwards_is_not_believed(
    tmp_path_factory: pytest.TempPathFactory,
):
    folder = tmp_path_factory.mktemp("untrusting")
    command = ("serve", "--forwarded-allow-ips", "192.0.2.1")
    with Server(folder, {"CONNECTIONS_PER_ADDRESS": 1}, command) as server:
        async with somebody(server) as ann:
            first, second = await socket_from(ann, OFFICE), await socket_from(ann, OFFICE)
            assert await lives(first)
            assert await lives(second)
            https = {"X-Forwarded-Proto": "https", "Origin": server.url.replace("http:", "https:")}
            assert await closed(await socket_from(ann, OFFICE, **https)) == 4403


async def test_a_trusted_proxy_says_whether_a_socket_came_over_tls(ann: Person, strict: Server):
    over_tls = {"X-Forwarded-Proto": "https", "Origin": strict.url.replace("http:", "https:")}
    assert await lives(await socket_from(ann, HOME, **over_tls))
    plain = {"X-Forwarded-Proto": "https", "Origin": strict.url}
    assert await closed(await socket_from(ann, "2001:db8:9::1", **plain)) == 4403


@pytest.mark.parametrize("hosts", ["*", "127.0.0.1"])
async def test_allowing_every_host_lets_no_foreign_page_in(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, hosts: str
):
    monkeypatch.setenv("ALLOWED_HOSTS", hosts)
    with Server(tmp_path_factory.mktemp("hosts")) as server:
        async with somebody(server) as ann:
            port = server.port
            for origin in (
                "http://evil.example",
                f"http://evil.example:{port}",
                f"https://127.0.0.1:{port}",
                f"http://127.0.0.1:{port + 1}",
                "http://127.0.0.1",
                "null",
            ):
                assert await closed(await socket_from(ann, HOME, Origin=origin)) == 4403, origin
            # By a name that is not the site's own a browser has none of its cookies.
            rebound = {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"}
            async with Person(server.url, "nobody") as nobody:
                expected = 4401 if hosts == "*" else 4403
                assert await closed(await socket_from(nobody, HOME, **rebound)) == expected
            assert await lives(await socket_from(ann, HOME))


async def test_pages_of_trusted_origins_get_in_and_those_of_another_scheme_or_port_do_not(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CSRF_TRUSTED_ORIGINS", "https://app.example.org, https://*.example.net:8443")
    with Server(tmp_path_factory.mktemp("trusting")) as server:
        async with somebody(server) as ann:
            for origin in ("https://app.example.org", "https://a.b.example.net:8443", server.url):
                assert await lives(await socket_from(ann, HOME, Origin=origin)), origin
            for origin in (
                "http://app.example.org",
                "https://app.example.org:8443",
                "https://example.org",
                "http://a.example.net:8443",
                "https://a.example.net",
                "https://example.net:8443",
            ):
                assert await closed(await socket_from(ann, HOME, Origin=origin)) == 4403, origin
            # A trusted page speaks for whoever is logged in, and for nobody else.
            async with Person(server.url, "nobody") as nobody:
                trusted = await socket_from(nobody, HOME, Origin="https://app.example.org")
                assert await closed(trusted) == 4401
        assert "Traceback" not in server.output()


async def test_who_says_nothing_in_time_is_closed_and_who_does_may_be_silent_from_then_on(
    tmp_path_factory: pytest.TempPathFactory,
):
    with Server(tmp_path_factory.mktemp("impatient"), IMPATIENT) as server:
        async with somebody(server) as ann, somebody(server) as bob:
            speaks = await bob.socket()
            await speaks.send_str('{"type":"watch","users":["1"]}')
            await hear(speaks, users=...)
            silent = await ann.socket()
            assert await closed(silent) == 4408
            again = await ann.socket()
            assert await closed(again) == 4408  # two seconds later
            assert await lives(speaks)
        assert "Traceback" not in server.output()
