"""An access policy at two server processes: who may see whom does not depend on where they are connected."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from bench.people import Person
from tests.test_access_on_the_socket import EVERYTHING, NOBODY, POLICY, answers, welcomed
from tests.test_socket import hear

from .site import QUICK, SLACK, Site

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


@pytest.fixture
async def ann(friends: Site) -> AsyncIterator[Person]:
    async with Person(friends.nodes[0].url, "ann") as ann:
        await ann.sign_up()
        yield ann


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
        change = (
            "from django.contrib.auth.models import User; from whosonline import presence;"
            f"User.objects.filter(pk={id}).update(username='abe');"
            "presence.sight_changed(User.objects.get(username='ann').pk)"
        )
        await asyncio.to_thread(second.manage, "shell", "-c", change)
        async with asyncio.timeout(SOON + SLACK):
            told = await hear(socket, users=...)
        assert told["users"] == {id: {"status": "online"}}
