"""A socket lives no longer than its right to: on every node, and whatever ended it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import pytest

from .site import LOGGED_OUT, SLACK, Browser, Site, Visitor, World, until

AT_ONCE = 1.0
"""Seconds in which a socket is closed that has lost its right."""

RECHECK = 300.0
"""So long that nothing is found because everybody is looked up now and then: a test ends long before."""

SOON = 4.0
"""Seconds in which what nobody tells is found, at the site where that is tested."""

GRACE = 20.0
"""So long that whoever goes before it is gone without grace."""


def two_nodes(folder: Path, recheck: float) -> Site:
    return Site(folder, nodes=2, policy={"RECHECK": recheck, "GRACE": GRACE, "TOUCH": GRACE})


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with two_nodes(tmp_path_factory.mktemp("site"), RECHECK) as site:
        yield site
        assert not site.errors()


@pytest.fixture
async def world_looked_at_often(tmp_path: Path) -> AsyncIterator[World]:
    with two_nodes(tmp_path, SOON) as site:
        async with World(site) as world:
            yield world
        assert not site.errors()


@pytest.fixture
async def world(running: Site) -> AsyncIterator[World]:
    async with World(running) as world:
        yield world


def session_key(visitor: Visitor) -> str:
    jar = visitor.at(next(iter(visitor._at)))._browser.cookie_jar
    return next(cookie.value for cookie in jar if cookie.key == "sessionid")


async def run(site: Site, code: str) -> None:
    """Run code beside the site, as an administrator's shell does."""
    models = "from django.contrib.auth.models import User; from django.contrib.sessions.models import Session"
    await asyncio.to_thread(site.nodes[0].manage, "shell", "-c", f"{models}; import sys; {code}")


async def all_see(world: World, *visitors: Visitor) -> None:
    """Wait until every tab is connected and shows these people as online."""
    tabs = [browser for browser in world.browsers if browser.open]
    await until(
        lambda: all(tab.connected and tab.status(who) == "online" for tab in tabs for who in visitors),
        explain=lambda: [(tab.visitor.name, tab.connected, tab.state.users) for tab in tabs],
    )


async def is_put_out(world: World, who: Visitor, tabs: list[Browser], within: float) -> None:
    """Wait until the tabs are closed for good, and everybody else sees that nobody is there."""
    others = [browser for browser in world.browsers if browser not in tabs]
    await until(lambda: all(tab.closes == [LOGGED_OUT] for tab in tabs), within + SLACK)
    await until(lambda: all(other.status(who) == "offline" for other in others), AT_ONCE + SLACK)


SIGNALLED = {
    "the session is deleted": "Session.objects.get(pk={key!r}).delete()",
    "the session is flushed": (
        "from django.contrib.sessions.backends.db import SessionStore; SessionStore({key!r}).flush()"
    ),
    "the user is deactivated": "u = User.objects.get(pk={id}); u.is_active = False; u.save()",
    "the user is deleted": "User.objects.get(pk={id}).delete()",
    "the password is changed by others": "u = User.objects.get(pk={id}); u.set_password('new'); u.save()",
    "an administrator puts the user out": (
        "from django.core.management import call_command; call_command('log_out_everywhere', '{name}')"
    ),
}


@pytest.mark.parametrize("code", SIGNALLED.values(), ids=SIGNALLED)
async def test_all_sockets_close_at_once_on_every_node_when(world: World, code: str):
    first, second = world.site.nodes
    ann, bob = await world.visitors_named("ann", "bob")
    tabs = [world.open(ann, first), world.open(ann, second)]
    world.open(bob, second)
    await all_see(world, ann, bob)
    await run(world.site, code.format(key=session_key(ann), id=ann.id, name=ann.name))
    await is_put_out(world, ann, tabs, AT_ONCE)


async def test_a_log_out_at_one_node_closes_the_sockets_at_every_node(world: World):
    first, second = world.site.nodes
    ann, bob = await world.visitors_named("ann", "bob")
    tabs = [world.open(ann, first), world.open(ann, second)]
    for node in (first, second):
        world.open(bob, node)
    await all_see(world, ann, bob)
    await ann.at(first).log_out()
    await is_put_out(world, ann, tabs, AT_ONCE)


async def test_the_end_of_one_session_leaves_the_user_s_others(world: World):
    first, second = world.site.nodes
    ann, bob = await world.visitors_named("ann", "bob")
    laptop = world.open(ann, first)
    await until(lambda: laptop.connected)
    key = session_key(ann)
    ann.at(first)._browser.cookie_jar.clear()
    await ann.at(first).log_in()
    phone, watcher = world.open(ann, second), world.open(bob, first)
    await all_see(world, ann, bob)
    assert laptop.open
    watcher.offline.clear()
    await run(world.site, f"Session.objects.get(pk={key!r}).delete()")
    await until(lambda: laptop.closes == [LOGGED_OUT], AT_ONCE + SLACK)
    await all_see(world, ann, bob)
    assert phone.open
    assert not phone.closes
    assert not watcher.showed_offline([ann])


def session_ends_in(site: Site, who: Visitor, seconds: float) -> datetime:
    """Give somebody's session so many seconds from now on; return when it ends."""
    end = datetime.now(UTC) + timedelta(seconds=seconds)
    # By hand: a shell takes a good part of that time to begin, on a busy machine all of it.
    with closing(sqlite3.connect(site.database, timeout=20)) as database, database:
        values = (end.replace(tzinfo=None).isoformat(" "), session_key(who))
        changed = database.execute("UPDATE django_session SET expire_date = ? WHERE session_key = ?", values)
        assert changed.rowcount == 1
    return end


CLEARED = """
from threading import Event
from django.core.management import call_command

while Session.objects.filter(pk={key!r}).exists():
    call_command("clearsessions")
    Event().wait(0.05)
"""
"""Clears the session away as soon as its time is over."""


@pytest.mark.parametrize("cleared", [False, True], ids=["over", "cleared away"])
async def test_a_socket_closes_when_its_session_s_time_is_over(world: World, cleared: bool):
    first, second = world.site.nodes
    ann, bob = await world.visitors_named("ann", "bob")
    end = session_ends_in(world.site, ann, 6)
    tabs = [world.open(ann, first), world.open(ann, second)]
    world.open(bob, first)
    await all_see(world, ann, bob)
    left = (end - datetime.now(UTC)).total_seconds()
    assert left > 0
    clearing = asyncio.create_task(run(world.site, CLEARED.format(key=session_key(ann)))) if cleared else None
    await is_put_out(world, ann, tabs, left + AT_ONCE)
    assert datetime.now(UTC) >= end
    if clearing is not None:
        await clearing
        assert (await ann.at(second)._request("GET", "/"))[0] == HTTPStatus.FOUND


async def test_what_is_deleted_by_sql_is_found_by_the_next_look(world_looked_at_often: World):
    world = world_looked_at_often
    first, second = world.site.nodes
    ann, bob = await world.visitors_named("ann", "bob")
    tabs = [world.open(ann, first), world.open(ann, second)]
    world.open(bob, first)
    await all_see(world, ann, bob)
    await run(world.site, f"Session.objects.filter(pk={session_key(ann)!r})._raw_delete('default')")
    await is_put_out(world, ann, tabs, 2 * SOON)


async def test_who_changes_the_own_password_stays_and_is_put_out_elsewhere(world: World):
    first, second = world.site.nodes
    ann, bob = await world.visitors_named("ann", "bob")
    elsewhere = world.open(ann, first)
    await until(lambda: elsewhere.connected)
    ann.at(first)._browser.cookie_jar.clear()
    await ann.at(first).log_in()
    here, watcher = world.open(ann, first), world.open(bob, second)
    await all_see(world, ann, bob)
    watcher.offline.clear()
    person = ann.at(first)
    await person._fill_in(
        "/password/", old_password=person.password, new_password1="new-horse-1", new_password2="new-horse-1"
    )
    await until(lambda: elsewhere.closes == [LOGGED_OUT], AT_ONCE + SLACK)
    await all_see(world, ann, bob)
    assert here.open
    assert LOGGED_OUT not in here.closes
    assert not watcher.showed_offline([ann])
