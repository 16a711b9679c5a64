"""One Chromium for all. Stub sites for the scripts alone; for all else a lobby that runs, and visitors."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from bench.people import LoggedOutError, Person
from tests.serving import Server

from .stub import StubSite
from .visitor import DEADLINE, Visitor, status

Visit = Callable[..., Awaitable[Visitor]]
Arrive = Callable[..., Awaitable[list[Visitor]]]

_numbers = count(1)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    expect.set_options(timeout=DEADLINE * 1000)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"),
            args=["--no-sandbox"] if os.geteuid() == 0 else [],
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def site(browser: Browser) -> AsyncIterator[StubSite]:
    """A site of which only the browser's side is real; a complaint of the browser fails the test."""
    page = await browser.new_page()
    site = StubSite(page)
    await site.start()
    yield site
    await page.close()
    assert site.complaints == []


@pytest.fixture(scope="module")
def lobby(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A lobby with the module's POLICY. Its tests share it; each leaves nobody online."""
    with Server(tmp_path_factory.mktemp("lobby"), request.module.POLICY) as server:
        yield server
        server.stop()
        assert "Traceback" not in server.output(), server.output()


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser, lobby: Server) -> AsyncIterator[Visit]:
    """Opens a browser for somebody: ``visit(name, url, **options)``.

    A number is put behind the name, as other tests have users in the same list. A complaint of any of the
    browsers fails the test.
    """
    visitors: list[Visitor] = []
    number = next(_numbers)

    async def visit(name: str, url: str = lobby.url, **options: Any) -> Visitor:
        visitor = Visitor(browser, url, f"{name}{number}", **options)
        await visitor.start()
        visitors.append(visitor)
        return visitor

    yield visit
    await asyncio.gather(*(visitor.stop() for visitor in visitors))
    assert [complaint for visitor in visitors for complaint in visitor.complaints] == []


@pytest_asyncio.fixture(loop_scope="session")
async def arrive(visit: Visit) -> Arrive:
    """Lets people join: ``arrive(*names)``. All have the list open, and see each other online."""

    async def arrive(*names: str) -> list[Visitor]:
        visitors = [await visit(name) for name in names]
        await asyncio.gather(*(visitor.join() for visitor in visitors))
        for visitor in visitors:
            for other in visitors:
                await expect(status(visitor.page, other.name)).to_have_text("Online")
        return visitors

    return arrive


@pytest_asyncio.fixture(loop_scope="session")
async def dan(lobby: Server) -> AsyncIterator[Person]:
    """Somebody without a browser. When his going is seen, all that came before it would have been."""
    async with Person(lobby.url, f"dan{next(_numbers)}") as dan:
        await dan.sign_up()
        yield dan
        with suppress(LoggedOutError):
            await dan.log_out()


@pytest_asyncio.fixture(loop_scope="session")
async def admin(visit: Visit, lobby: Server) -> Visitor:
    """Somebody who may do anything in the admin."""
    admin = await visit("zz-admin")
    await admin.join()
    mine = f"User.objects.filter(username='{admin.name}')"
    await in_shell(lobby, f"{mine}.update(is_staff=True, is_superuser=True)")
    return admin


async def in_shell(lobby: Server, code: str) -> None:
    """Do something to users in a process of its own, of which the server is not told."""
    code = f"from django.contrib.auth.models import User; {code}"
    await asyncio.to_thread(lobby.manage, "shell", "-c", code)
