"""An access policy at a running server: friends see each other, and strangers do not exist."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote

import aiohttp
import pytest

from bench.people import FormError, Person

from .serving import Server
from .test_socket import DEADLINE, closed, hear

POLICY = """
from django.contrib.auth.models import User

from whosonline.access import AccessPolicy


class Policy(AccessPolicy):
    '''Friends are those whose names begin alike.'''

    def may_connect(self, user):
        return not user.username.startswith("x") and user.last_name != "Barred"

    async def visible(self, viewer, ids):
        mine = (await User.objects.aget(pk=viewer)).username[0]
        return [str(user.pk) async for user in User.objects.filter(pk__in=ids, username__startswith=mine)]

    def may_enter(self, user, room):
        out = User.objects.filter(pk=user, last_name=f"Out of {room}")
        return room != "closed" and not out.exists()

    may_watch = may_enter
"""

NOBODY, FENCE = "999999", "888888"
"""Ids that nobody has."""

LAST_QUESTION = f'{{"type":"watch","users":["{FENCE}"]}}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "own_access.py").write_text(POLICY)
    with Server(folder, {"GRACE": 1, "MESSAGE_BURST": 200, "ACCESS_POLICY": "own_access.Policy"}) as server:
        yield server
    assert "Traceback" not in server.output(), server.output()


@pytest.fixture
async def ann(server: Server) -> AsyncIterator[Person]:
    async with Person(server.url, "ann") as person:
        try:
            await person.sign_up()
        except FormError:  # an earlier test's
            await person.log_in()
        yield person


async def answers(socket: aiohttp.ClientWebSocketResponse, asked: str) -> list[str]:
    """Ask for something; return all that is told up to the answer to a last question."""
    whole = '"reset":true' if '"room"' in asked or '"directory"' in asked else '"users"'
    told: list[str] = []
    async with asyncio.timeout(DEADLINE):
        for message, answer in ((asked, whole), (LAST_QUESTION, f'"users":{{"{FENCE}"')):
            await socket.send_str(message)
            told.append(await socket.receive_str())
            while answer not in told[-1]:
                told.append(await socket.receive_str())
    return [message for message in told if '"type":"resume"' not in message]


async def page(person: Person, path: str) -> str:
    """Return a page without what differs each time."""
    return re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", await person.page(path))


async def welcomed(person: Person) -> tuple[aiohttp.ClientWebSocketResponse, str]:
    """Open a socket; return it, and whose it is."""
    socket = await person.socket()
    welcome = await hear(socket, type="welcome")
    assert "online" not in welcome
    return socket, welcome["you"]


async def row_in_both(
    socket: aiohttp.ClientWebSocketResponse, name: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Return somebody's row in the list of all users and in the page of those online, once both were told."""
    listed: dict[str, dict[str, str]] = {}
    online: dict[str, dict[str, str]] = {}
    async with asyncio.timeout(DEADLINE):
        while name not in listed or name not in online:
            message = await socket.receive_json()
            listed |= {row["name"]: row for row in message.get("added", ())}
            online |= {row["name"]: row for row in message.get("page", {}).get("put", ())}
    return listed[name], online[name]


EVERYTHING = (
    '{"type":"watch","users":["%s"]}',
    '{"type":"watch","room":"site"}',
    '{"type":"watch","room":"site","search":"s"}',
    '{"type":"watch","directory":{}}',
    '{"type":"watch","directory":{"search":"str"}}',
)
PAGES = ("/", "/?view=online", "/?q=str", "/?view=online&q=str")


async def test_a_stranger_is_told_of_byte_for_byte_like_somebody_who_does_not_exist(
    ann: Person, server: Server
):
    socket, _ = await welcomed(ann)
    for each in EVERYTHING:  # what is watched already is told again with each answer
        await answers(socket, each.replace("%s", NOBODY))
    before = [await answers(socket, each.replace("%s", NOBODY)) for each in EVERYTHING]
    pages = [await page(ann, path) for path in PAGES]
    async with Person(server.url, "stranger") as stranger:
        await stranger.sign_up("Strange Person")
        theirs, id = await welcomed(stranger)
        # Their own page shows that all of this has been told: who is in it has been seen to.
        assert '"stranger"' in str(await answers(theirs, EVERYTHING[1]))
        during = [
            [told.replace(f'"{id}"', f'"{NOBODY}"') for told in await answers(socket, each.replace("%s", id))]
            for each in EVERYTHING
        ]
        assert during == before
        assert [await page(ann, path) for path in PAGES] == pages
        assert "stranger" not in str(pages)
    after = [await answers(socket, each.replace("%s", NOBODY)) for each in EVERYTHING]
    assert after == before


async def test_friends_see_each_other_on_the_socket_and_on_pages(ann: Person, server: Server):
    socket, _ = await welcomed(ann)
    for each in (EVERYTHING[3], EVERYTHING[1]):
        await answers(socket, each)
    async with Person(server.url, "abe") as abe:
        await abe.sign_up()
        # In either order: the log-in counts as online already.
        listed, online = await row_in_both(socket, "abe")
        _, id = await welcomed(abe)
        assert listed == {"id": id, "name": "abe"}
        assert online == {"id": id, "name": "abe", "status": "online"}
        await socket.send_json({"type": "watch", "users": [id]})
        assert (await hear(socket, users=...))["users"] == {id: {"status": "online"}}
        assert ">abe<" in await page(ann, "/")


async def test_a_room_that_is_closed_is_refused_by_name_and_the_connection_stays(ann: Person):
    socket, _ = await welcomed(ann)
    for _ in range(12):  # which of bad messages would be too many
        await socket.send_json({"type": "enter", "room": "closed"})
        assert "'closed'" in (await hear(socket, type="error", code="not_allowed"))["detail"]
    await socket.send_json({"type": "enter", "room": "open"})
    await socket.send_json({"type": "watch", "room": "open"})
    assert (await hear(socket, page=...))["page"]["room"] == "open"
    await socket.send_json({"type": "watch", "room": "closed"})
    told = await hear(socket, page=...)
    while told["page"]["room"] != "closed":
        told = await hear(socket, page=...)
    assert told["page"]["order"] == []


async def test_who_may_not_connect_is_let_in_and_closed_so_that_a_browser_can_tell(server: Server):
    async with Person(server.url, "xerxes") as xerxes:
        await xerxes.sign_up()
        assert await closed(await xerxes.socket()) == 4403


async def test_a_resume_token_spares_nobody_the_question_whether_they_may_connect(server: Server):
    async with Person(server.url, "nora") as nora:
        await nora.sign_up()
        welcome = await hear(await nora.socket(), type="welcome")
        address = f"/users/?resume={quote(welcome['resume'])}"
        assert (await hear(await nora.socket(address)))["type"] == "welcome"
        # Of what is changed so, nobody is told.
        update = "User.objects.filter(username='nora').update(last_name='Barred')"
        models = "from django.contrib.auth.models import User"
        await asyncio.to_thread(server.manage, "shell", "-c", f"{models}; {update}")
        assert await closed(await nora.socket(address)) == 4403
