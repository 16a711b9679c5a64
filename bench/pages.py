"""How long the first page of the list takes: in both views, with and without a search, of very many users.

The lobby is served by `manage.py serve`, from a database in a file; a Redis holds who is online: every
second user. One browser asks for one page after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import NamedTuple

from .accounts import environment, make_accounts
from .fanout import wait_until_up
from .processes import ROOT, cpu, free_port, redis_server, running
from .store import _store

PAGES = {
    "everyone": "/",
    "everyone, from the middle": "/?after=user-{middle:06}",
    "everyone, a search that finds all": "/?q=user",
    "everyone, a search that finds the last tenth": "/?q=user-{tenth}",
    "everyone, a search that finds one": "/?q=user-{middle:06}",
    "everyone, a search by a surname": "/?q=smith",
    "online now": "/?view=online",
    "online now, from the middle": "/?view=online&after=user-{middle:06}",
    "online now, a search that finds all": "/?view=online&q=user",
    "online now, a search that finds one": "/?view=online&q=user-{middle:06}",
    "online now, a search by a surname": "/?view=online&q=smith",
}
FIRST_NAMES = ("Ann", "Bob", "Cat", "Dan", "Eve", "Sam", "Zoe")
SURNAMES = ("Jones", "Lee", "Smith", "Zimmer", "O'Neill", "van Dyke", "Müller", "Ray", "Hall", "Ünal", "Fox")


class Times(NamedTuple):
    """Seconds that a page took, from the request to the last byte."""

    median: float
    p99: float
    cpu: float
    """What it took of the server's processor, on the average: the same whatever else the machine does."""


def measure(users: int, rounds: int) -> dict[str, Times]:
    """Ask for each page so many times; return how long each took, by what it is."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ["REDIS_URL"] = url = stack.enter_context(redis_server()).url
        os.environ |= environment(folder)
        cookie = make_accounts(1, folder, os.environ)[0].cookie
        sys.path.insert(0, str(ROOT / "src"))
        import django
        from django.core.management import call_command

        django.setup()
        call_command("collectstatic", verbosity=0, interactive=False)
        ids = _make_users(users)
        port = free_port()
        site = stack.enter_context(running(sys.executable, "manage.py", "serve", "-v0", f"--port={port}"))
        wait_until_up(site, port)
        asyncio.run(_bring_online(url, ids[::2]))
        browser = HTTPConnection("127.0.0.1", port)
        stack.callback(browser.close)
        _wait_until_counted(browser, cookie, len(ids[::2]) + 1)
        part = {"middle": users // 2, "tenth": f"{users - 1:06}"[:2]}
        return {
            what: _times(browser, path.format(**part), cookie, rounds, site.pid)
            for what, path in PAGES.items()
        }


def _make_users(count: int) -> list[str]:
    from django.contrib.auth.models import User

    from whosonline.words import reindex

    users = [
        User(
            username=f"user-{number:06}",
            first_name=FIRST_NAMES[number % len(FIRST_NAMES)],
            last_name=SURNAMES[number % len(SURNAMES)],
        )
        for number in range(count)
    ]
    User.objects.bulk_create(users, batch_size=1000)
    began = time.monotonic()
    for _ in reindex():
        pass
    print(f"reindex: {time.monotonic() - began:.1f} s", file=sys.stderr)
    return [str(user.pk) for user in users]


async def _bring_online(url: str, ids: Iterable[str]) -> None:
    """Let a node that nobody hears of again hold these users, for longer than this takes."""
    from django.contrib.auth.models import User

    from whosonline import directory
    from whosonline.core.entries import Report
    from whosonline.core.statuses import SITE, Status

    wanted = set(ids)
    users = [user async for user in User.objects.all() if str(user.pk) in wanted]
    async with _store(url, "whosonline", lease=3600) as store:
        await store.report(
            [Report(SITE, str(user.pk), Status.ONLINE, directory.profile(user)) for user in users]
        )
        store.close = _stays  # type: ignore[method-assign]


async def _stays(linger: float) -> None:
    """In place of a node's goodbye."""


def _wait_until_counted(browser: HTTPConnection, cookie: str, online: int) -> None:
    deadline = time.monotonic() + 60
    while f">{online}<" not in _get(browser, "/?view=online&q=nobody", cookie):
        assert time.monotonic() < deadline, "the site does not know who is online"
        time.sleep(0.2)


def _times(browser: HTTPConnection, path: str, cookie: str, rounds: int, pid: int) -> Times:
    for _ in range(3):
        _get(browser, path, cookie)
    taken, spent = [], cpu(pid)
    for _ in range(rounds):
        began = time.perf_counter()
        _get(browser, path, cookie)
        taken.append(time.perf_counter() - began)
    spent = (cpu(pid) - spent) / rounds
    ordered = sorted(taken)
    return Times(median(ordered), ordered[min(rounds - 1, int(rounds * 0.99))], spent)


def _get(browser: HTTPConnection, path: str, cookie: str) -> str:
    browser.request("GET", path, headers={"Cookie": cookie})
    answer = browser.getresponse()
    text = answer.read().decode()
    assert answer.status == 200, f"{path}: {answer.status}"
    return text


def report(figures: dict[str, Times]) -> str:
    """Return the figures, as a table for RESULTS.md."""
    rows = [
        f"| {what} | {_ms(taken.median)} | {_ms(taken.p99)} | < 50 ms | {_ms(taken.cpu)} |"
        for what, taken in figures.items()
    ]
    return "\n".join(["| page | median | p99 | goal | CPU |", "|---|---|---|---|---|", *rows])


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.pages", description=__doc__)
    parser.add_argument("--users", type=int, default=100_000, help="users in the list (%(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=200, help="times that each page is asked for (%(default)s)"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and so ends what it has begun
    print(report(measure(options.users, options.rounds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
