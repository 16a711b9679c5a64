"""A real server with each session engine of Django: what closes the sockets of a session, and when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bench.people import Person

from .serving import Server
from .test_socket import closed, hear

ENGINES = ["db", "cached_db", "cache", "file", "signed_cookies"]
ROWS = {"db", "cached_db"}

AT_ONCE = 10.0
"""Seconds in which what is told is done, on a busy machine too; nothing else here would do it so soon."""

LONG = 60
"""Seconds for which nobody is asked about, and for which people linger who are not gone for good."""

SLOW = {"RECHECK": 10 * LONG, "GRACE": LONG, "TOUCH": LONG}
AGE = 6
"""Seconds that a session lasts in the tests of its end."""


def server_with(engine: str, folder: Path, policy: dict[str, Any], **environment: str) -> Server:
    (folder / "sessions").mkdir()
    server = Server(folder, policy)
    server._environment |= {
        "SESSION_ENGINE": f"django.contrib.sessions.backends.{engine}",
        "SESSION_FILE_PATH": str(folder / "sessions"),
        **environment,
    }
    return server


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def lobby(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A lobby that looks nobody up again by itself."""
    with server_with(engine, tmp_path_factory.mktemp(engine), SLOW) as server:
        yield server
        assert "Traceback" not in server.output(), server.output()


def keep_cookie(person: Person) -> str:
    """Return the cookie that a page of this person holds now."""
    return next(cookie.value for cookie in person._browser.cookie_jar if cookie.key == "sessionid")


async def with_cookie(person: Person, key: str) -> aiohttp.ClientWebSocketResponse:
    """Open a socket as a page does that holds this cookie."""
    person._browser.cookie_jar.update_cookies({"sessionid": key})
    return await person.socket()


async def tab_of(person: Person) -> tuple[aiohttp.ClientWebSocketResponse, str]:
    """Open a socket; return it, and whose it is."""
    socket = await person.socket()
    return socket, str((await hear(socket, type="welcome"))["you"])


async def watching(person: Person, user: str) -> aiohttp.ClientWebSocketResponse:
    socket, _ = await tab_of(person)
    await socket.send_json({"type": "watch", "users": [user]})
    while (await hear(socket, users=...))["users"][user]["status"] != "online":
        pass
    return socket


async def goes_offline(watcher: aiohttp.ClientWebSocketResponse, user: str) -> None:
    while (await hear(watcher, users=...))["users"].get(user, {}).get("status") != "offline":
        pass


async def test_a_log_out_closes_the_sockets_at_once_and_nobody_sees_its_user_linger(lobby: Server):
    async with Person(lobby.url, "ann") as ann, Person(lobby.url, "bob") as bob:
        await ann.sign_up()
        await bob.sign_up()
        tab, me = await tab_of(ann)
        watcher, key = await watching(bob, me), keep_cookie(ann)
        async with asyncio.timeout(AT_ONCE):
            await ann.log_out()
            assert await closed(tab) == 4401
            await goes_offline(watcher, me)
        # For a cookie that was kept too. (A signed one is good again after a minute; for pages it always is.)
        assert await closed(await with_cookie(ann, key)) == 4401


async def test_a_closed_tab_leaves_no_log_in_behind_though_the_session_has_no_key_of_its_own(tmp_path: Path):
    with server_with("signed_cookies", tmp_path, SLOW | {"GRACE": 0}) as server:
        async with Person(server.url, "ann") as ann, Person(server.url, "bob") as bob:
            await ann.sign_up()
            await bob.sign_up()
            tab, me = await tab_of(ann)
            watcher = await watching(bob, me)
            async with asyncio.timeout(AT_ONCE):
                await tab.close()
                await goes_offline(watcher, me)


async def test_a_new_password_closes_the_sockets_of_the_other_sessions_at_once(engine: str, lobby: Server):
    async with Person(lobby.url, "cy") as phone, Person(lobby.url, "cy") as laptop:
        await phone.sign_up()
        await laptop.log_in()
        elsewhere, _ = await tab_of(phone)
        here, _ = await tab_of(laptop)
        async with asyncio.timeout(AT_ONCE):
            new = {"new_password1": "new-horse-1", "new_password2": "new-horse-1"}
            await laptop._fill_in("/password/", old_password=laptop.password, **new)
            assert await closed(elsewhere) == 4401
            # The page whose session goes on under a new key comes back; without rows it is reloaded for that.
            assert await closed(here) == (1012 if engine in ROWS else 4401)
        assert await closed(await phone.socket()) == 4401
        assert (await hear(await laptop.socket()))["type"] == "welcome"


async def test_the_end_of_its_time_closes_a_socket_at_once_or_by_the_next_look(engine: str, tmp_path: Path):
    policy = SLOW | {"RECHECK": 600 if engine in ROWS else 2}
    with server_with(engine, tmp_path, policy, SESSION_COOKIE_AGE=str(AGE)) as server:
        async with Person(server.url, "ann") as ann:
            await ann.sign_up()
            began = time.monotonic()
            tab, _ = await tab_of(ann)
            key = keep_cookie(ann)
            async with asyncio.timeout(AGE + 1 + 2 * 2 + AT_ONCE):
                assert await closed(tab) == 4401
            assert time.monotonic() - began > AGE - 2
            assert await closed(await with_cookie(ann, key)) == 4401


async def test_a_session_file_that_is_removed_is_missed_by_the_next_look(tmp_path: Path):
    with server_with("file", tmp_path, SLOW | {"RECHECK": 2}) as server:
        async with Person(server.url, "ann") as ann:
            await ann.sign_up()
            tab, _ = await tab_of(ann)
            for file in (tmp_path / "sessions").iterdir():
                file.unlink()
            async with asyncio.timeout(2 * 2 + AT_ONCE):
                assert await closed(tab) == 4401
