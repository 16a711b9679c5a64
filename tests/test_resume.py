"""Sockets that come back with a resume token, at a running server; and a server that has no room."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest

from bench.people import Person
from whosonline.core.entries import Position, Profile
from whosonline.hub.resumption import Token
from whosonline.resume import read, write

from .serving import Server
from .test_socket import closed, hear

_numbers = count()

TOKEN = Token("s", "7", Profile("zoë", "Zoë"), 1.5, 2.5, True, (Position("e", 3), Position("f", 4)))


def test_a_token_says_what_was_written_to_the_session_that_it_is_for():
    text = write(TOKEN)
    assert read(text, "s") == TOKEN
    assert read(text, "another session") is None
    assert quote(text, safe="") == text.replace(":", "%3A")


@pytest.mark.parametrize(
    "spoil", [lambda t: t[:-1], lambda t: "x" + t, lambda t: "", lambda t: "é", str.upper]
)
def test_a_token_that_is_not_ours_says_nothing(spoil):
    assert read(spoil(write(TOKEN)), "s") is None


def test_a_token_signed_with_an_old_secret_key_is_ours(settings):
    text, old = write(TOKEN), settings.SECRET_KEY
    settings.SECRET_KEY = "a new one"
    assert read(text, "s") is None
    settings.SECRET_KEY_FALLBACKS = [old]
    assert read(text, "s") == TOKEN


@pytest.fixture
async def ann(server: Server) -> AsyncIterator[Person]:
    """Somebody new, who is logged in."""
    async with Person(server.url, f"returning{next(_numbers)}") as person:
        await person.sign_up()
        yield person


async def token_of(person: Person) -> str:
    socket = await person.socket()
    return str((await hear(socket, type="welcome"))["resume"])


async def returning(person: Person, token: str) -> aiohttp.ClientWebSocketResponse:
    return await person.socket(f"/users/?resume={quote(token)}")


def forget_session(server: Server, person: Person) -> None:
    """Delete the session behind Django's back, so that nothing but a look-up can tell."""
    key = next(cookie.value for cookie in person._browser.cookie_jar if cookie.key == "sessionid")
    code = f"Session.objects.filter(pk={key!r})._raw_delete('default')"
    server.manage("shell", "-c", f"from django.contrib.sessions.models import Session; {code}")


async def test_a_socket_with_a_token_is_let_in_without_a_look_up(ann: Person, server: Server):
    token = await token_of(ann)
    await asyncio.to_thread(forget_session, server, ann)
    welcome = await hear(await returning(ann, token))
    assert welcome["type"] == "welcome"
    assert await closed(await ann.socket()) == 4401  # without the token it is looked up


async def test_a_page_that_is_loaded_has_the_list_read_again_and_one_that_comes_back_has_not(
    ann: Person, server: Server
):
    part = {"type": "watch", "directory": {"after": ann.name, "until": ann.name + "~"}}

    async def told(socket: aiohttp.ClientWebSocketResponse) -> list[str]:
        return [user["name"] for user in (await hear(socket, type="directory"))["added"]]

    before = await ann.socket()
    token = (await hear(before, type="welcome"))["resume"]
    await before.send_json(part)
    assert await told(before) == []
    await before.close()
    name = f"{ann.name}-by-sql"  # of whom the log says nothing
    code = f"User.objects.bulk_create([User(username={name!r})])"
    shell = f"from django.contrib.auth.models import User; {code}"
    await asyncio.to_thread(server.manage, "shell", "-c", shell)

    back = await returning(ann, token)
    await back.send_json(part)
    assert await told(back) == []
    assert name in await ann.page("/?q=" + name)  # time enough to read it again
    await back.send_json({"type": "watch", "users": ["0"]})
    assert (await hear(back, type=...))["type"] == "update"
    await back.close()

    loaded = await ann.socket()
    await loaded.send_json(part)
    assert await told(loaded) == []
    assert await told(loaded) == [name]


@pytest.mark.parametrize("token", ["", "made up", "x" * 5000, "é"])
async def test_with_a_token_that_is_worth_nothing_one_is_looked_up(ann: Person, token: str):
    assert (await hear(await returning(ann, token)))["type"] == "welcome"


async def test_a_token_is_worth_nothing_with_another_session(ann: Person, server: Server):
    token = await token_of(ann)
    async with Person(server.url, f"{ann.name}-thief") as thief:
        assert await closed(await returning(thief, token)) == 4401
        await thief.sign_up()
        me = (await hear(await returning(thief, token), type="welcome"))["you"]
        assert me != (await hear(await ann.socket(), type="welcome"))["you"]


async def test_a_token_is_refused_after_the_log_out(ann: Person):
    token = await token_of(ann)
    key = next(cookie.value for cookie in ann._browser.cookie_jar if cookie.key == "sessionid")
    await ann.log_out()
    ann._browser.cookie_jar.update_cookies({"sessionid": key})
    assert await closed(await returning(ann, token)) == 4401


@pytest.mark.parametrize(
    "change", ["u.set_password('another')", "u.is_active = False", "u.username += '-renamed'"]
)
async def test_a_token_is_not_believed_after_a_change_of_the_user(tmp_path: Path, change: str):
    # In Redis: the change is made by another process.
    from tests.redis_servers import RedisServer

    redis = RedisServer(tmp_path)
    redis.start()
    try:
        server = Server(tmp_path)
        server._environment["REDIS_URL"] = redis.url
        with server:
            async with Person(server.url, "ann") as ann:
                await ann.sign_up()
                token = await token_of(ann)
                code = f"u = User.objects.get(username='ann'); {change}; u.save()"
                shell = f"from django.contrib.auth.models import User; {code}"
                await asyncio.to_thread(server.manage, "shell", "-c", shell)
                socket = await returning(ann, token)
                if "renamed" in change:
                    await hear(socket, type="welcome")
                    await socket.send_json({"type": "watch", "room": "site"})
                    (row,) = (await hear(socket, page=...))["page"]["put"]
                    assert row["name"] == "ann-renamed"
                else:
                    assert await closed(socket) == 4401
    finally:
        redis.kill()


# A server without room


async def test_a_full_server_tells_arrivals_to_try_later_and_takes_them_when_there_is_room(tmp_path: Path):
    with Server(tmp_path, {"CONNECTIONS_PER_NODE": 2}) as server:
        async with Person(server.url, "ann") as ann:
            await ann.sign_up()
            first, second = await ann.socket(), await ann.socket()
            await hear(first, type="welcome")
            await hear(second, type="welcome")
            assert await closed(await ann.socket()) == 1013
            await first.close()
            assert (await hear(await ann.socket()))["type"] == "welcome"
            await second.send_json({"type": "watch", "users": ["1"]})
            await hear(second, users={"1": {"status": "online"}})


STORM = 8.0
"""Seconds that a storm lasts."""

SOON = 2.0
"""Seconds in which those who are in are answered amid it, on busy cores that the storm's clients share."""


async def test_a_storm_is_let_in_as_far_as_its_queue_goes_and_those_who_are_in_do_not_notice(tmp_path: Path):
    policy = {"ARRIVALS_WAITING": 1, "CONNECTIONS_PER_USER": 500, "MESSAGE_RATE": 10_000}
    with Server(tmp_path, policy | {"MESSAGE_BURST": 10_000}) as server:
        async with Person(server.url, "ann") as ann:
            await ann.sign_up()
            inside = await ann.socket()
            await hear(inside, type="welcome")
            storm = asyncio.create_task(_storm(ann))
            answers = 0
            while not storm.done():
                await inside.send_json({"type": "watch", "users": ["1"]})
                async with asyncio.timeout(SOON):
                    await hear(inside, users={"1": {"status": "online"}})
                answers += 1
            assert answers >= STORM / SOON
            assert (await storm).keys() == {"welcome", 1013}


async def _storm(person: Person) -> Counter[object]:
    """Have sockets arrive, many at a time, as long as the storm lasts; return what they were told."""
    told: Counter[object] = Counter()
    end = time.monotonic() + STORM
    while time.monotonic() < end:
        sockets = await asyncio.gather(*(person.socket() for _ in range(80)))
        told.update([await _answer(socket) for socket in sockets])
        await asyncio.gather(*(socket.close() for socket in sockets))
    return told


async def _answer(socket: aiohttp.ClientWebSocketResponse) -> object:
    message = await socket.receive()
    return message.json()["type"] if message.type is aiohttp.WSMsgType.TEXT else message.data
