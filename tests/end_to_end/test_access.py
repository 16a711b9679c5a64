"""An access policy at two server processes: who may see whom does not depend on where they are connected."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from bench.people import FormError, Person
from tests.test_access_on_the_socket import EVERYTHING, NOBODY, POLICY, answers, welcomed
from tests.test_socket import closed, hear
from whosonline.testing.client import ClientState, ask, merge

from .site import QUICK, SLACK, Node, Site

SOON = 1.0
"""Seconds in which a change of sight shows."""


@pytest.fixture(scope="module")
def friends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site where those see each other whose names begin alike."""
    folder = tmp_path_factory.mktemp("friends")
    (folder / "own_access.py").write_text(POLICY)
    with Site(folder, nodes=2, policy=QUICK | {"ACCESS_POLICY": "own_access.Policy"}) as site:
        yield site
        assert not site.errors()


@asynccontextmanager
async def somebody(node: Node, name: str) -> AsyncIterator[Person]:
    async with Person(node.url, name) as person:
        try:
            await person.sign_up()
        except FormError:  # an earlier test's
            await person.log_in()
        yield person


@pytest.fixture
async def ann(friends: Site) -> AsyncIterator[Person]:
    async with somebody(friends.nodes[0], "ann") as ann:
        yield ann


async def change_of_mind(node: Node, change: str, of: str) -> None:
    """Change something in the database that nobody is told of, and say that somebody's sight has changed."""
    code = (
        "from django.contrib.auth.models import User; from whosonline import presence;"
        f"{change}; presence.sight_changed(User.objects.get(username={of!r}).pk)"
    )
    await asyncio.to_thread(node.manage, "shell", "-c", code)


class Room:
    """A room as one socket shows it, which has entered it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self._state = ClientState()

    async def enter(self, room: str) -> None:
        watch = {"type": "watch", "room": room}
        self._state = ask(self._state, watch)
        await self.socket.send_json({"type": "enter", "room": room})
        await self.socket.send_json(watch)

    async def shows(self, *people: str) -> None:
        """Wait until its page shows these people, in this order."""
        async with asyncio.timeout(SOON + SLACK):
            while (page := self._state.page) is None or page.rows is None or page.order != list(people):
                self._state = merge(self._state, await self.socket.receive_json())


async def sees_own_row(socket: aiohttp.ClientWebSocketResponse, id: str) -> None:
    """Wait until somebody's own page shows that they are there: the log has told of it."""
    await socket.send_str(EVERYTHING[1])
    while id not in (await hear(socket, page=...))["page"].get("order", ()):
        pass


async def test_a_stranger_at_another_process_is_like_nobody_until_the_policy_says_otherwise(
    ann: Person, friends: Site
):
    _, second = friends.nodes
    socket, me = await welcomed(ann)
    await sees_own_row(socket, me)
    for each in EVERYTHING:  # what is watched already is told again with each answer
        await answers(socket, each.replace("%s", NOBODY))
    before = [await answers(socket, each.replace("%s", NOBODY)) for each in EVERYTHING]
    async with Person(second.url, "stranger") as stranger:
        await stranger.sign_up("Strange Person")
        theirs, id = await welcomed(stranger)
        await sees_own_row(theirs, id)
        during = [
            [told.replace(f'"{id}"', f'"{NOBODY}"') for told in await answers(socket, each.replace("%s", id))]
            for each in EVERYTHING
        ]
        assert during == before

        await socket.send_json({"type": "watch", "users": [id]})
        assert (await hear(socket, users=...))["users"] == {id: {"status": "offline"}}
        await change_of_mind(second, f"User.objects.filter(pk={id}).update(username='abe')", of="ann")
        async with asyncio.timeout(SOON + SLACK):
            told = await hear(socket, users=...)
        assert told["users"] == {id: {"status": "online"}}


async def test_a_room_that_is_closed_to_somebody_by_a_change_of_mind_is_left_at_every_process(
    ann: Person, friends: Site
):
    first, second = friends.nodes
    async with somebody(second, "adam") as adam:
        socket, me = await welcomed(ann)
        elsewhere, id = await welcomed(adam)
        here, there = Room(socket), Room(elsewhere)
        for room in (here, there):
            await room.enter("club")
        for room in (here, there):
            await room.shows(id, me)
        out = "User.objects.filter(username='adam').update(last_name='Out of club')"
        await change_of_mind(first, out, of="adam")
        await here.shows(me)
        await there.shows()
        await there.enter("club")
        assert "'club'" in (await hear(elsewhere, type="error", code="not_allowed"))["detail"]
        await there.enter("open")
        await there.shows(id)


async def test_who_may_not_connect_any_more_is_closed_at_every_process(ann: Person, friends: Site):
    first, second = friends.nodes
    async with somebody(second, "axel") as axel, Person(first.url, "axel") as elsewhere:
        await elsewhere.log_in()
        here, _ = await welcomed(ann)
        sockets = [(await welcomed(person))[0] for person in (axel, elsewhere)]
        barred = "User.objects.filter(username='axel').update(last_name='Barred')"
        await change_of_mind(first, barred, of="axel")
        async with asyncio.timeout(SOON + SLACK):
            assert [await closed(socket) for socket in sockets] == [4403, 4403]
        assert await closed(await axel.socket()) == 4403
        await answers(here, EVERYTHING[0].replace("%s", NOBODY))
