"""What those who run a site see: how it begins, whether it is well, and what is unsafe about it."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command

from bench.people import Person
from whosonline import runtime
from whosonline.management.commands import whosonline as status_command
from whosonline.stores.base import NodeStatus, StoreStatus

from .polling import eventually
from .redis_servers import RedisServer
from .serving import Server, free_port
from .test_socket import hear

OPERATIONS = (Path(__file__).parent.parent / "docs" / "operations.md").read_text()

POLICY = {"BEAT": 0.5, "LEASE": 2, "SWEEP": 0.5}


@pytest.fixture
def redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        monkeypatch.setenv("REDIS_URL", server.url)
        yield server


async def answer(server: Server, path: str) -> tuple[int, object]:
    # Asked by a name that no setting knows, as a load balancer does.
    asked = aiohttp.request("GET", server.url + path, headers={"Host": "10.0.0.1"})
    async with asked as response:
        return response.status, await response.json()


async def until_answered(server: Server, path: str, status: int) -> None:
    async def answers() -> bool:
        return (await answer(server, path))[0] == status

    await eventually(answers)


async def test_a_load_balancer_learns_whether_a_server_is_alive_and_whether_it_is_ready(
    redis: RedisServer, tmp_path: Path
):
    with Server(tmp_path, POLICY) as server:
        await until_answered(server, "/readyz", 200)
        await asyncio.to_thread(redis.kill)
        await until_answered(server, "/readyz", 503)
        assert await answer(server, "/healthz") == (200, {"ok": True})
        await asyncio.to_thread(redis.start)
        await until_answered(server, "/readyz", 200)
        assert "Traceback" not in server.output()


async def test_the_status_of_a_running_site_is_shown_by_a_command(redis: RedisServer, tmp_path: Path):
    with Server(tmp_path, POLICY, ("serve", "--workers", "2")) as server:
        async with Person(server.url, "ann") as ann:
            await ann.sign_up()
            tabs = [await ann.socket() for _ in range(2)]
            for tab in tabs:
                await hear(tab, type="welcome")
            async with asyncio.timeout(20):
                while True:
                    status = json.loads(
                        await asyncio.to_thread(server.manage, "whosonline", "status", "--json")
                    )
                    if [node["behind"] for node in status["nodes"]] == [0, 0]:
                        break
            assert status["online"] == 1
            assert [0 < node["lease"] <= 2 for node in status["nodes"]] == [True, True]
            assert [node["behind"] for node in status["nodes"]] == [0, 0]
            text = await asyncio.to_thread(server.manage, "whosonline", "status")
            assert "1 online" in text
            assert "CONNECTIONS" in text
        await asyncio.to_thread(server.stop, signal.SIGTERM)
        await asyncio.to_thread(redis.kill)
        away = f"CommandError: the store {re.escape(redis.url)} cannot be reached: "
        with pytest.raises(RuntimeError, match=away):
            await asyncio.to_thread(server.manage, "whosonline", "status")


class Known:
    """A store with one node that lives, one that leaves, one that is dead, and one that has just begun."""

    def status(self) -> StoreStatus:
        nodes = [
            NodeStatus("a", 8.04, "host:1", 40, 30, 0),
            NodeStatus("b", 3.5, "host:2", 0, 12, 0, leaving=True),
            NodeStatus("c", -0.2, "host:3", 25, 20, 7),
            NodeStatus("d", 9.9, "host:4", 0, 0, None),
        ]
        return StoreStatus(nodes, 61, 1, 900)


def test_a_node_that_leaves_on_purpose_is_told_from_one_that_is_lost(
    monkeypatch: pytest.MonkeyPatch, settings: Any
):
    settings.WHOSONLINE = {"STORE": "redis://localhost"}
    monkeypatch.setattr(status_command, "sync_store", Known)
    output = StringIO()
    call_command("whosonline", "status", stdout=output, skip_checks=True)
    header, *rows = [re.split(" {2,}", line.strip()) for line in output.getvalue().splitlines()[1:]]
    assert header == ["NODE", "LEASE", "CONNECTIONS", "USERS", "BEHIND"]
    assert rows == [
        ["host:1", "8.0 s", "40", "30", "0"],
        ["host:2", "leaving, 3.5 s", "0", "12", "0"],
        ["host:3", "ran out", "25", "20", "7"],
        ["host:4", "9.9 s", "0", "0", "unknown"],
    ]
    output = StringIO()
    call_command("whosonline", "status", "--json", stdout=output, skip_checks=True)
    told = json.loads(output.getvalue())
    assert [node["leaving"] for node in told["nodes"]] == [False, True, False, False]
    # What the page for those who run a site says of it.
    for field in (*told, *told["nodes"][0]):
        assert f"`{field}`" in OPERATIONS, field


def test_who_forgets_what_to_ask_is_told_what_there_is():
    with pytest.raises(CommandError, match="required: status"):
        call_command("whosonline", skip_checks=True)


def test_the_status_of_a_store_in_memory_cannot_be_seen_from_outside(tmp_path: Path):
    with pytest.raises(RuntimeError, match="cannot be seen from here"):
        Server(tmp_path).manage("whosonline", "status")


async def test_a_store_that_is_not_there_yet_is_told_in_a_line_and_waited_for(
    redis: RedisServer, tmp_path: Path
):
    redis.kill()
    with Server(tmp_path, POLICY) as server:
        assert f"The store {redis.url} cannot be reached" in server.output()
        async with Person(server.url, "ann") as ann:
            await ann.sign_up()
            assert "Unknown" in await ann.page("/")
            tab = await ann.socket()
            await hear(tab, type="notice", state="degraded")
            await asyncio.to_thread(redis.start)
            await hear(tab, type="notice", state="ok")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://:guess@127.0.0.1:{port}/0", "refuses: "),
        ("redis://127.0.0.1:{port}/99", "refuses: "),
        ("redis+cluster://127.0.0.1:{port}", "cannot be reached|refuses: "),
        ("tcp://127.0.0.1:{port}", "is no address of a Redis"),
        ("redis://127.0.0.1:{port}?bogus=1", "redis-py knows no option 'bogus'"),
    ],
)
def test_a_wrong_address_of_the_store_is_told_in_a_sentence(
    redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, told: str
):
    server = Server(tmp_path)
    monkeypatch.setitem(server._environment, "REDIS_URL", url.format(port=redis.port))
    with pytest.raises(RuntimeError, match=told) as refused:
        server.manage("serve", "--port", str(free_port()))
    assert "Traceback" not in str(refused.value)


def test_a_store_that_refuses_is_told_alike_by_every_command(tmp_path: Path):
    with RedisServer(tmp_path, password="secret") as server:
        site = Server(tmp_path)
        site._environment["REDIS_URL"] = server.url.replace(":secret@", "")
        for command in (("whosonline", "status"), ("serve", "--port", str(free_port()))):
            with pytest.raises(RuntimeError) as refused:
                site.manage(*command)
            last = str(refused.value).splitlines()[-1]
            assert last == (
                f"CommandError: the store redis://127.0.0.1:{server.port}/0 refuses: "
                "Authentication required: the address gives no password"
            )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_taken_is_told_before_a_store_that_is_away(
    redis: RedisServer, tmp_path: Path, workers: str
):
    redis.kill()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = Server(tmp_path)
        with pytest.raises(RuntimeError, match="cannot listen at") as refused:
            server.manage("serve", "--port", str(taken.getsockname()[1]), "--workers", workers)
    assert "cannot be reached" not in str(refused.value)


def test_the_line_about_a_store_that_is_away_is_of_whole_sentences(redis: RedisServer, tmp_path: Path):
    redis.kill()
    with Server(tmp_path, POLICY) as server:
        assert "refused. Serving without it; statuses are unknown until it is there." in server.output()
        assert ".." not in server.output()


def test_a_server_says_at_its_start_what_its_pages_still_lack(tmp_path: Path):
    server = Server(tmp_path)
    # As whoever follows the page on running it in production, and forgets half of it.
    server._environment |= {"DEBUG": "0", "PLAIN_HTTP": "0", "DJANGO_SETTINGS_MODULE": "bare_settings"}
    (tmp_path / "bare_settings.py").write_text(
        f"from tests.server_settings import *\nSTATIC_ROOT = {str(tmp_path / 'static')!r}\n"
    )
    with server:
        assert "Plain HTTP is redirected to HTTPS (SECURE_SSL_REDIRECT)" in server.output()
        assert "PLAIN_HTTP=1" in server.output()
        assert "manage.py collectstatic" in server.output()
    server._environment["PLAIN_HTTP"] = "1"
    server.manage("collectstatic", "--noinput", "--verbosity", "0")
    (tmp_path / "server.log").unlink()
    with server:
        assert server.output().splitlines() == [f"Serving at {server.url}/ (Ctrl-C ends it)"]


@pytest.fixture
def deploy_checks(settings) -> Iterator[Callable[[str], list[str]]]:
    """Returns the ids of what `check --deploy` says of a store."""

    def check(store: str) -> list[str]:
        settings.WHOSONLINE = {"STORE": store}
        runtime.sync_store.cache_clear()
        messages = run_checks(include_deployment_checks=True)
        return [str(message.id) for message in messages if str(message.id).startswith("whosonline.")]

    yield check
    runtime.sync_store.cache_clear()


def test_what_is_unsafe_about_the_store_in_production_is_named(deploy_checks, tmp_path: Path):
    assert deploy_checks("memory://") == ["whosonline.W003"]
    with RedisServer(tmp_path) as server:
        assert deploy_checks(server.url) == []
        server.cli("CONFIG SET", "maxmemory-policy", "allkeys-lru")
        assert deploy_checks(server.url) == ["whosonline.W005"]
    assert deploy_checks(server.url) == ["whosonline.W006"]
    assert deploy_checks("redis://no.such.host.invalid") == ["whosonline.W004", "whosonline.W006"]
