"""The commands that serve the site: how they begin, and how they end."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from bench.people import NoAnswerError, Person
from whosonline.huge_pages import EVERY, can_collapse, may_collapse

from .polling import until
from .serving import Server
from .test_socket import closed, hear

QUIET = ("Traceback", "Exception", "Warning", "ERROR")


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
async def test_a_server_that_is_ended_tells_every_socket_to_come_back(tmp_path: Path, by: signal.Signals):
    with Server(tmp_path) as server:
        async with Person(server.url, "ann") as ann:
            await ann.sign_up()
            await ann.page("/static/whosonline/whosonline.js")
            tabs = [await ann.socket() for _ in range(3)]
            for tab in tabs:
                await hear(tab, type="welcome")
            ending = asyncio.create_task(asyncio.to_thread(server.stop, by))
            assert [await closed(tab) for tab in tabs] == [1012] * 3
            assert await ending == (0 if by is signal.SIGINT else -signal.SIGTERM)
        assert not any(word in server.output() for word in QUIET), server.output()


async def test_sockets_that_are_talking_when_the_server_ends_are_told_to_come_back_too(tmp_path: Path):
    async def talk(tab: aiohttp.ClientWebSocketResponse) -> None:
        # What is on its way when the server hangs up has the kernel reset the connection, unless it waits.
        with suppress(ConnectionError):
            while not tab.closed:
                await tab.ping()
                await asyncio.sleep(0)

    with Server(tmp_path, {"CONNECTIONS_PER_USER": 30}) as server:
        async with Person(server.url, "ann") as ann:
            await ann.sign_up()
            tabs = [await ann.socket() for _ in range(30)]
            async with asyncio.TaskGroup() as talking:
                for tab in tabs:
                    await hear(tab, type="welcome")
                    talking.create_task(talk(tab))
                ending = talking.create_task(asyncio.to_thread(server.stop))
                codes = await asyncio.gather(*(closed(tab) for tab in tabs))
            assert codes == [1012] * len(tabs)
            assert await ending == 0


async def test_a_peer_that_reads_nothing_does_not_hold_up_the_end(tmp_path: Path):
    with Server(tmp_path, {"SEND_TIMEOUT": 2}) as server:
        async with Person(server.url, "ann") as ann:
            await ann.sign_up()
            tab = await ann.socket()
            await hear(tab, type="welcome")
            transport = tab.get_extra_info("socket")
            assert transport is not None
            assert tab._response.connection is not None
            tab._response.connection.transport.pause_reading()
            ending = asyncio.create_task(asyncio.to_thread(server.stop))
            async with asyncio.timeout(15):
                assert await ending == 0
            tab._response.connection.transport.abort()


async def test_the_memory_of_who_was_online_when_the_server_ended_is_kept(tmp_path: Path):
    server = Server(tmp_path)
    with server:
        async with Person(server.url, "ann") as ann, Person(server.url, "bob") as bob:
            await ann.sign_up()
            await bob.sign_up()
            await hear(await ann.socket(), type="welcome")
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            socket = await bob.socket()
            await socket.send_json({"type": "watch", "users": ["1"]})
            while "last_seen" not in (
                seen := (await hear(socket, type="update")).get("users", {}).get("1", {})
            ):
                pass
            assert seen["status"] == "offline"


@pytest.mark.skipif(not can_collapse() or not may_collapse(), reason="the kernel has no huge pages for us")
def test_a_server_keeps_what_it_holds_in_huge_pages(tmp_path: Path):
    with Server(tmp_path) as server:
        memory = Path(f"/proc/{server.pid}/smaps_rollup")
        until(lambda: re.search(r"AnonHugePages: +[1-9]", memory.read_text()), EVERY + 30)


async def test_a_port_that_is_taken_is_told_in_a_sentence(tmp_path: Path):
    server = Server(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RuntimeError, match=rf"CommandError: cannot listen at 127.0.0.1:{port}"):
            server.manage("serve", "--port", str(port))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--port", "99999"], "cannot listen at 127.0.0.1:99999"),
        (["--host", "no such host"], "cannot listen at"),
    ],
)
def test_an_address_that_cannot_be_is_told_in_a_sentence(tmp_path: Path, arguments: list[str], told: str):
    with pytest.raises(RuntimeError, match=f"CommandError: {told}"):
        Server(tmp_path).manage("serve", *arguments)


async def test_runserver_serves_pages_files_and_sockets(tmp_path: Path):
    with Server(tmp_path, command=("runserver",)) as server:
        async with Person(server.url, "ann") as ann:
            await ann.sign_up()
            assert "ann" in await ann.page("/")
            assert "export" in await ann.page("/static/whosonline/whosonline.js")
            assert (await hear(await ann.socket()))["type"] == "welcome"
        server.stop()
        assert "Traceback" not in server.output()


async def test_runserver_begins_anew_when_a_file_is_edited(tmp_path: Path):
    # A module of its own, so that no file of the project is touched.
    module = tmp_path / "extra_settings.py"
    module.write_text("")
    with Server(tmp_path, command=("runserver",)) as server:
        async with Person(server.url, "ann") as ann:
            await ann.sign_up()
            tab = await ann.socket()
            await hear(tab, type="welcome")
            editing = asyncio.create_task(_edit_again_and_again(module))
            assert await closed(tab) in (1006, 1012)
            editing.cancel()
            async with asyncio.timeout(20):
                while server.output().count("Serving pages and sockets") < 2:
                    await asyncio.sleep(0.02)
                assert (await hear(await _socket_of_restarted(ann)))["type"] == "welcome"


async def _edit_again_and_again(module: Path) -> None:
    # Django's reloader takes what it finds at its first look for unedited, and nobody can see when that was.
    while True:
        await asyncio.to_thread(module.write_text, "EDITED = True")
        await asyncio.sleep(0.5)


async def _socket_of_restarted(person: Person) -> aiohttp.ClientWebSocketResponse:
    while True:
        try:
            return await person.socket()
        except NoAnswerError:
            await asyncio.sleep(0.02)
