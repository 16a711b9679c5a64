"""The same on PostgreSQL: what the database itself does, and the lobby served from it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import psycopg
import pytest

from bench.people import Person

from .postgres_server import PostgresServer
from .serving import ROOT, Server
from .test_socket import hear

pytestmark = pytest.mark.timeout(300)

DATABASE_S_OWN = [
    "test_query_plans.py",
    "test_search.py",
    "test_directory.py",
    "test_last_seen.py",
    "test_sessions.py",
    "test_privacy.py",
    "lobby/test_list.py",
    "lobby/test_paging.py",
    "lobby/test_views_and_search.py",
    "lobby/test_visibility.py",
]
"""Tests in which the database answers: in its order, by its indexes, and with what it refuses."""


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    try:
        server = PostgresServer()
    except LookupError as error:
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture(scope="module")
def database(postgres: PostgresServer) -> str:
    """The address of the lobby's database."""
    return postgres.database("lobby")


@pytest.fixture(scope="module")
def lobby(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("lobby"), {"GRACE": 0.2}, database=database) as server:
        yield server
    assert "Traceback" not in server.output(), server.output()


def test_lists_searches_pages_and_times_are_the_same_on_postgresql(postgres: PostgresServer) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        + [str(ROOT / "tests" / name) for name in DATABASE_S_OWN],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": postgres.database("lists")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout, done.stdout


async def test_the_lobby_served_from_postgresql_shows_who_comes_who_leaves_and_whom_a_search_finds(
    lobby: Server,
) -> None:
    async with Person(lobby.url, "Zoe") as zoe, Person(lobby.url, "bob") as bob:
        await zoe.sign_up("Zoe Zachary")
        watching = await zoe.socket()
        await hear(watching, type="welcome")
        await watching.send_json({"type": "watch", "directory": {"search": "smi"}})
        await hear(watching, type="directory", reset=True)
        await watching.send_json({"type": "watch", "room": "site", "search": "SMITH"})
        await hear(watching, type="update", page=...)

        await bob.sign_up("Bob Smith")
        (row,) = (await hear(watching, type="directory", added=...))["added"]
        assert (row["name"], row["key"]) == ("Bob Smith", "bob")
        tab = await bob.socket()
        me = (await hear(tab, type="welcome"))["you"]
        page = (await hear(watching, type="update", page=...))["page"]
        assert [put["id"] for put in page["put"]] == [row["id"]] == [me]

        everybody = await bob.page("/")
        assert everybody.index("Zoe Zachary") < everybody.index("Bob Smith"), "Z is before b, by code point"
        found = await bob.page("/?q=zach")
        assert "Zoe Zachary" in found
        assert f'data-presence-user="{me}"' not in found

        await tab.close()
        assert (await hear(watching, type="update", page=...))["page"]["drop"] == [me]
        await watching.send_json({"type": "watch", "users": [me]})
        while "last_seen" not in (
            seen := (await hear(watching, type="update", users=...))["users"].get(me, {})
        ):
            pass
        assert seen["status"] == "offline"


async def test_what_postgresql_refuses_to_compare_with_is_answered_all_the_same(lobby: Server) -> None:
    async with Person(lobby.url, "carol") as carol:
        await carol.sign_up()
        tab = await carol.socket()
        await hear(tab, type="welcome")
        for search in ("\0", "x\0", "\ud7ff", "\U0010ffff", "%", "'\\_", "x" * 100):
            await tab.send_json({"type": "watch", "directory": {"after": "\U0010ffff", "search": search}})
            await hear(tab, type="directory", reset=True)
        nobody = ["\0", "é", "1" * 100, str(2**31), str(2**63 - 1), str(2**63), "-1"]
        await tab.send_json({"type": "watch", "users": nobody})
        assert set((await hear(tab, type="update", users=...))["users"]) == set(nobody)
        assert "carol" in await carol.page("/?q=caro%00&after=%00")


def test_two_processes_that_write_down_the_same_people_wait_for_each_other_in_turn(
    lobby: Server, database: str
) -> None:
    first, second = 8001, 8008
    make = f"""
from django.contrib.auth.models import User
from whosonline.models import LastSeen
from whosonline import last_seen
User.objects.bulk_create(User(pk=pk, username=str(pk)) for pk in ({first}, {second}))
last_seen.save({{"{second}": 100}})
last_seen.save({{"{first}": 100}})
"""
    # A statement that says nothing of an order takes the rows as they lie there: the other way round.
    save = f"""
from django.db import connection
from whosonline import last_seen
connection.cursor().execute("SET enable_indexscan = off; SET enable_bitmapscan = off")
last_seen.save({{"{second}": 200, "{first}": 200}})
"""
    seen = "UPDATE whosonline_lastseen SET at = now() WHERE user_id = %s"
    lobby.manage("shell", "-c", make)
    with ThreadPoolExecutor(1) as pool, psycopg.connect(database) as another:
        another.execute(seen, [first])
        saving = pool.submit(lobby.manage, "shell", "-c", save)
        until_it_waits(saving, another)
        another.execute(seen, [second])
        another.commit()
        saving.result(60)


async def test_who_is_renamed_while_the_words_are_written_anew_is_found_by_the_new_name(
    lobby: Server, database: str
) -> None:
    async with Person(lobby.url, "erin") as erin:
        await erin.sign_up()
        with ThreadPoolExecutor(1) as pool, psycopg.connect(database) as another:
            another.execute("UPDATE auth_user SET username = 'frida' WHERE username = 'erin'")
            another.execute(
                "UPDATE whosonline_searchword SET word = 'frida', key = 'frida' WHERE key = 'erin'"
            )
            writing = pool.submit(lobby.manage, "whosonline", "reindex")
            until_it_waits(writing, another)
            another.commit()
            writing.result(60)
        with psycopg.connect(database) as another:
            words = "SELECT word FROM whosonline_searchword WHERE word IN ('erin', 'frida')"
            assert another.execute(words).fetchall() == [("frida",)]


def until_it_waits(work: Future[str], another: psycopg.Connection) -> None:
    """Wait until what is done meanwhile waits for another's transaction."""
    deadline = time.monotonic() + 60
    while not another.execute("SELECT FROM pg_locks WHERE NOT granted").fetchall():
        assert not work.done(), work.result()
        assert time.monotonic() < deadline
        time.sleep(0.02)
