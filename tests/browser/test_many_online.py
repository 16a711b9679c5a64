"""Online now with hundreds of people: the page stays small, and watches what is on the screen."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import pytest
from playwright.async_api import Route, expect

from tests.polling import eventually
from tests.redis_servers import RedisServer
from tests.serving import Server

from .conftest import Visit, in_shell
from .visitor import keys, live, row

pytestmark = pytest.mark.asyncio(loop_scope="session")

MANY = 400
MOST = 300
"""Rows that a page may hold."""
PAGE = 100
"""Rows of those online that are watched at once."""

IMPORTS = "from whosonline.runtime import sync_store; from whosonline.directory import profile"
COME = "[sync_store().touch(str(u.pk), profile(u), f's{u.pk}', 3600) for u in User.objects.all()]"


@pytest.fixture(scope="module")
def lobby(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A lobby where hundreds are online, though only on paper: as after log-ins whose pages never came."""
    folder = tmp_path_factory.mktemp("lobby")
    server = Server(folder, {"GRACE": 3})
    with RedisServer(folder) as redis:
        server._environment["REDIS_URL"] = redis.url
        users = f"User(username=f'user{{n:03}}') for n in range({MANY})"
        code = f"User.objects.bulk_create({users}); {IMPORTS}; {COME}"
        server.manage("shell", "-c", f"from django.contrib.auth.models import User; {code}")
        with server:
            yield server
            server.stop()
            assert "Traceback" not in server.output(), server.output()


async def test_a_page_that_comes_when_the_socket_has_told_its_rows_changes_nothing(visit: Visit) -> None:
    ann = await visit("aa")
    await ann.join()
    may_come = asyncio.Event()

    # The ends of the last two pages before the last, which holds one: ann comes before all the others.
    last_but_one, last = f"user{MANY - 52:03}", f"user{MANY - 2:03}"

    async def hold_back(route: Route) -> None:
        if last not in route.request.url:
            await may_come.wait()
            await route.continue_()

    await ann.page.route(re.compile(f"after=({last_but_one}|{last})"), hold_back)
    await ann.page.goto("/?view=online")
    await live(ann.page)
    await ann.page.mouse.move(500, 500)

    async def waits_for_the_page() -> bool:
        await ann.page.mouse.wheel(0, 600)
        shown = await ann.page.evaluate("() => ({ ...document.getElementById('users').dataset })")
        # Without an end if the socket has told it already.
        return shown.get("fetching") == "next" and shown.get("until", last_but_one) == last_but_one

    async def is_told_the_end() -> bool:
        return (await keys(ann.page))[-1] == f"user{MANY - 1}"

    await eventually(waits_for_the_page)
    # As the page itself does where the screen ends a little farther up or down.
    await ann.page.evaluate(f"() => whosonline.watchPage('site', 'user{MANY - 80}', {PAGE}, null)")
    await eventually(is_told_the_end)
    may_come.set()
    await expect(ann.page.locator("#users")).not_to_have_attribute("data-fetching", "next")
    listed = await keys(ann.page)
    assert listed == sorted(listed)
    assert listed[-1] == f"user{MANY - 1}"


async def test_online_now_releases_rows_out_of_sight_and_watches_those_on_the_screen(
    visit: Visit, lobby: Server
) -> None:
    ann = await visit("aa")
    await ann.join()
    await ann.page.goto("/?view=online")
    await live(ann.page)
    await ann.page.mouse.move(500, 500)
    seen: set[str] = set()

    async def turned(down: bool) -> list[str]:
        await ann.page.mouse.wheel(0, 1200 if down else -1200)
        listed = await keys(ann.page)
        assert listed == sorted(listed)
        assert len(listed) <= MOST
        seen.update(listed)
        return listed

    async def at_the_end() -> bool:
        return (await turned(down=True))[-1] == f"user{MANY - 1}"

    async def at_the_beginning() -> bool:
        return ann.name in await turned(down=False) and await ann.page.evaluate("() => scrollY") == 0

    async def watches_the_screen() -> bool:
        watched = await ann.page.evaluate("() => (whosonline.page ?? []).map((row) => row.id)")
        users = await ann.page.evaluate("() => [...whosonline.state.users.keys()]")
        shown = await ann.page.evaluate(
            """() => [...document.querySelectorAll("#users > li")].filter((item) => {
                const { top, bottom } = item.getBoundingClientRect();
                return bottom > 0 && top < innerHeight;
            }).map((item) => item.dataset.user)"""
        )
        return set(shown) <= set(watched) and max(len(watched), len(users)) <= PAGE

    await eventually(at_the_end)
    assert seen >= {f"user{n:03}" for n in range(MANY)}
    assert "user000" not in await keys(ann.page)
    await eventually(watches_the_screen)
    await eventually(at_the_beginning)
    assert f"user{MANY - 1}" not in await keys(ann.page)
    await eventually(watches_the_screen)
    goes = "u = User.objects.get(username='user001'); sync_store().expel(f's{u.pk}', str(u.pk))"
    await in_shell(lobby, f"{IMPORTS}; {goes}")
    await expect(row(ann.page, "user001")).to_have_count(0)
