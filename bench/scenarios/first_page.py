"""The first page of the list, asked for by browsers that keep their connections, with everybody connected:
while nothing else happens, and while people come and go.
"""

from __future__ import annotations

import random
import time
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPResponse, RemoteDisconnected
from itertools import cycle

from ..processes import BenchError
from ..run import Run, percentile
from ..site import Site

ASKED = 50
"""Pages asked of each server, one after the other; the first few are not counted."""

FIRST = 5

EVERY = 0.5
"""Seconds from one page to the next, while people come and go."""


def first_page(run: Run, site: Site) -> None:
    took: list[float] = []
    statements: set[int] = set()
    for port in site.ports:
        with closing(_browser(port)) as browser:
            for turn in range(FIRST + ASKED):
                before = site.statements()
                seconds = _ask(run, browser)
                if turn >= FIRST:
                    took.append(seconds)
                    statements.add(site.statements() - before)
    figure = f"first page of the list, {len(run.accounts):,} users, p99"
    run.add(figure, "< 50 ms", told(took), percentile(took, 99) < 0.05)
    asked = " to ".join(map(str, sorted({min(statements), max(statements)})))
    run.add("SQL statements for each", "constant", asked, len(statements) == 1)


def told(took: list[float]) -> str:
    """Return p99 and p50 of seconds, as the table shows them."""
    return f"{percentile(took, 99) * 1000:.1f} ms (p50 {percentile(took, 50) * 1000:.1f})"


def ask_between(run: Run, site: Site, begin: float, end: float) -> list[float]:
    """Ask the servers by turns, at an even rate, from one moment to another.

    Returns:
        The seconds that each page took from when it was due: people don't wait for each other.
    """
    took: list[float] = []
    with ExitStack() as stack:
        browsers = cycle([stack.enter_context(closing(_browser(port))) for port in site.ports])
        for turn in range(max(1, int((end - begin) / EVERY))):
            due = begin + turn * EVERY
            time.sleep(max(0, due - time.monotonic()))
            _ask(run, next(browsers))
            took.append(time.monotonic() - due)
    return took


def _browser(port: int) -> HTTPConnection:
    return HTTPConnection("127.0.0.1", port, timeout=30)


def _ask(run: Run, browser: HTTPConnection) -> float:
    """Return how many seconds it takes until somebody who is connected has the whole page."""
    account = run.accounts[random.choice(run.cast.residents)]
    began = time.monotonic()
    try:
        answer, page = _get(browser, account.cookie)
    except RemoteDisconnected:  # it had kept the connection for as long as it does; browsers try again
        browser.close()
        answer, page = _get(browser, account.cookie)
    took = time.monotonic() - began
    if answer.status != 200 or page.count(b'data-user="') < min(50, len(run.accounts)):
        raise BenchError(f"the list was answered with {answer.status} {page[:200]!r}")
    return took


def _get(browser: HTTPConnection, cookie: str) -> tuple[HTTPResponse, bytes]:
    browser.request("GET", "/", headers={"Cookie": cookie})
    answer = browser.getresponse()
    return answer, answer.read()
