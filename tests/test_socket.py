"""The socket of a running server: who is let in, and what bad input gets."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import aiohttp
import pytest

from bench.people import Person

from .serving import Server

DEADLINE = 20.0
_numbers = count()


@pytest.fixture
async def ann(server: Server) -> AsyncIterator[Person]:
    """Somebody new, who is logged in."""
    async with Person(server.url, f"ann{next(_numbers)}") as person:
        await person.sign_up()
        yield person


async def hear(socket: aiohttp.ClientWebSocketResponse, **wanted: Any) -> dict[str, Any]:
    """Return the next message that has these parts; ``...`` stands for anything."""
    async with asyncio.timeout(DEADLINE):
        while True:
            message = await socket.receive_json()
            if all(part in message and value in (..., message[part]) for part, value in wanted.items()):
                return message


async def closed(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    """Wait until the server closes the socket; return the code."""
    async with asyncio.timeout(DEADLINE):
        while not socket.closed:
            message = await socket.receive()
            if message.type is aiohttp.WSMsgType.CLOSE:
                # Not close_code: that is 1006 when the server was gone before it had our answer.
                return int(message.data)
    return socket.close_code


async def bad(socket: aiohttp.ClientWebSocketResponse, message: str | bytes) -> str:
    """Send a bad message; return what the error says."""
    await (socket.send_bytes(message) if isinstance(message, bytes) else socket.send_str(message))
    error = await hear(socket, type="error", code="bad_message")
    return str(error["detail"])


async def test_who_is_logged_in_is_welcomed_with_the_subprotocol(ann: Person):
    socket = await ann.socket()
    assert (await hear(socket))["type"] == "welcome"
    assert socket.protocol == "whosonline.v1"


async def test_the_subprotocol_is_not_required(ann: Person, server: Server):
    socket = await ann._browser.ws_connect("/users/", origin=server.url)
    assert (await hear(socket))["type"] == "welcome"
    assert socket.protocol is None


async def test_who_is_not_logged_in_is_let_in_and_closed_so_that_a_browser_can_tell(server: Server):
    async with Person(server.url, "nobody") as nobody:
        assert await closed(await nobody.socket()) == 4401


async def test_a_made_up_session_is_nobodys(server: Server):
    async with Person(server.url, "nobody") as nobody:
        for key in ("x", "a" * 32, "é", "'; drop table--", "x" * 4000):
            nobody._browser.cookie_jar.update_cookies({"sessionid": key})
            assert await closed(await nobody.socket()) == 4401


@pytest.mark.parametrize("origin", ["http://evil.example", "null", None, "https://127.0.0.1"])
async def test_a_foreign_origin_is_not_allowed(ann: Person, origin: str | None):
    assert await closed(await ann._browser.ws_connect("/users/", origin=origin)) == 4403


async def test_an_unknown_path_is_refused(ann: Person):
    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        await ann._browser.ws_connect("/elsewhere/", origin="http://127.0.0.1")
    assert error.value.status == 403


async def test_a_session_that_logs_out_has_its_sockets_closed_at_once(ann: Person):
    first, second = await ann.socket(), await ann.socket()
    await hear(first)
    await hear(second)
    await ann.log_out()
    assert await closed(first) == 4401
    assert await closed(second) == 4401
    assert await closed(await ann.socket()) == 4401


async def test_a_log_in_ends_with_the_tab_that_it_led_to(ann: Person, server: Server):
    async with Person(server.url, f"{ann.name}-watcher") as watcher:
        await watcher.sign_up()
        socket = await ann.socket()
        me = (await hear(socket, type="welcome"))["you"]
        watching = await watcher.socket()
        await watching.send_json({"type": "watch", "users": [me]})
        await hear(watching, users={me: {"status": "online"}})
        await socket.close()
        left = (await hear(watching, users=...))["users"][me]
        # Long before the 30 s that a log-in counts without a page.
        assert left["status"] == "offline"


async def test_a_user_who_is_deactivated_or_deleted_is_closed(server: Server):
    for name, code in (
        ("gone1", "User.objects.filter(username='gone1').delete()"),
        ("gone2", "u = User.objects.get(username='gone2'); u.is_active = False; u.save()"),
    ):
        async with Person(server.url, name) as person, Person(server.url, f"{name}-admin") as admin:
            await person.sign_up()
            await admin.sign_up()
            socket = await person.socket()
            me = (await hear(socket, type="welcome"))["you"]
            server.manage(
                "shell",
                "-c",
                "from django.contrib.auth.models import User;"
                f"User.objects.filter(username='{name}-admin').update(is_staff=True, is_superuser=True)",
            )
            if "delete" in code:
                await admin._fill_in(f"/admin/auth/user/{me}/delete/", post="yes")
            else:
                form = {
                    "username": name,
                    "date_joined_0": "2026-01-01",
                    "date_joined_1": "00:00:00",
                }
                await admin._fill_in(f"/admin/auth/user/{me}/change/", **form)  # unticks "active"
            assert await closed(socket) == 4401


async def test_more_sockets_than_allowed_are_refused(ann: Person):
    sockets = [await ann.socket() for _ in range(20)]
    for socket in sockets:
        await hear(socket, type="welcome")
    assert await closed(await ann.socket()) == 4408
    await sockets[0].close()
    assert (await hear(await ann.socket()))["type"] == "welcome"


BAD = {
    "": "truncated",
    "hello": "JSON is malformed",
    "{": "truncated",
    "7": "Expected `object`",
    "[]": "Expected `object`",
    "{}": "type",
    '{"type":"explode"}': "explode",
    '{"type":7}': "Expected `str`",
    '{"type":"watch"}': "exactly one",
    '{"type":"watch","users":[1]}': r"Expected `str`, got `int` - at `\$\.users\[",
    '{"type":"watch","users":"1"}': "Expected `array`",
    '{"type":"watch","users":["' + "1" * 101 + '"]}': "length <= 100",
    '{"type":"watch","user":["1"]}': "unknown field `user`",
    '{"type":"watch","users":["1"],"room":"site"}': "exactly one",
    '{"type":"watch","room":""}': "length >= 1",
    '{"type":"watch","room":"site","limit":101}': "limit 101",
    '{"type":"enter","room":"site"}': "neither entered nor left",
    json.dumps({"type": "watch", "users": [str(id) for id in range(501)]}): "501 users",
    "x" * 33 * 1024: "larger than 32768 bytes",
    "[" * 20_000: "nested|Expected `object`",
}


@pytest.mark.parametrize("message", BAD, ids=lambda message: message[:30])
async def test_a_bad_message_is_answered_with_its_fault_and_the_connection_stays(ann: Person, message: str):
    socket = await ann.socket()
    assert re.search(BAD[message], await bad(socket, message))
    await socket.send_str('{"type":"watch","users":["1"]}')
    await hear(socket, type="update")


async def test_a_binary_frame_is_not_understood(ann: Person):
    assert "JSON text" in await bad(await ann.socket(), b'{"type":"idle"}')


async def test_a_text_frame_that_is_no_text_ends_the_connection_and_no_other(ann: Person):
    socket, other = await ann.socket(), await ann.socket()
    await socket._writer.send_frame(b"\xff\xfe", aiohttp.WSMsgType.TEXT)
    assert await closed(socket) == 1007
    await other.send_str('{"type":"watch","users":["1"]}')
    await hear(other, type="update")


async def test_the_tenth_bad_message_in_a_minute_closes_the_connection_and_no_other(ann: Person):
    socket, other = await ann.socket(), await ann.socket()
    for _ in range(9):
        await bad(socket, "x")
    await socket.send_str("x")
    assert await closed(socket) == 4400
    await other.send_str('{"type":"watch","users":["1"]}')
    await hear(other, type="update")


async def test_a_flood_is_told_that_it_is_too_fast_and_then_closed(ann: Person):
    socket = await ann.socket()
    for _ in range(120):
        await socket.send_str('{"type":"active"}')
    assert "messages a second" in (await hear(socket, type="error", code="too_fast"))["detail"]
    assert await closed(socket) == 4400


async def test_a_frame_far_too_large_ends_the_connection_and_no_other(ann: Person):
    socket, other = await ann.socket(), await ann.socket()
    await socket.send_str("x" * 1024 * 1024)
    assert await closed(socket) == 1009
    await other.send_str('{"type":"watch","users":["1"]}')
    await hear(other, type="update")


async def test_ids_that_are_nobodys_are_just_offline(ann: Person):
    socket = await ann.socket()
    ids = ["0", "-1", "07", " 7", "abc", "9" * 30, "\u0000", "<b>", "1e3", "٣"]
    await socket.send_json({"type": "watch", "users": ids})
    update = await hear(socket, type="update", users={key: {"status": "offline"} for key in ids})
    assert update["users"]


async def test_names_with_any_characters_show_exactly(server: Server):
    async with Person(server.url, "Zoë.@+-_名前") as person:
        await person.sign_up('<b>Zoë</b> & "co" \u202e\'%s{{x}}')
        socket = await person.socket()
        await socket.send_json({"type": "watch", "room": "site", "after": "Zoa", "limit": 1})
        (row,) = (await hear(socket, page=...))["page"]["put"]
        assert row["key"] == "Zoë.@+-_名前"
        assert row["name"] == '<b>Zoë</b> & "co" \u202e\'%s{{x}}'


async def test_a_socket_may_begin_idle(ann: Person):
    socket = await ann.socket("/users/?idle=1")
    me = (await hear(socket, type="welcome"))["you"]
    await socket.send_json({"type": "watch", "users": [me]})
    assert await hear(socket, users={me: {"status": "away"}})
