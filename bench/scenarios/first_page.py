"""The first page of the list, asked for by browsers that keep their connections, with everybody connected:
while nothing else happens, and while people come and go.
"""

from __future__ import annotations

import random
import time
from contextlib import ExitStack, closing
from http.client import HTTPConnection
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
    p99 = percentile(took, 99) * 1000
    figure = f"first page of the list, {len(run.accounts):,} users, p99"
    run.add(figure, "< 50 ms", f"{p99:.1f} ms (p50 {percentile(took, 50) * 1000:.1f})", p99 < 50)
    asked = " to ".join(map(str, sorted({min(statements), max(statements)})))
    run.add("SQL statements for each", "constant", asked, len(statements) == 1)


def ask_until(run: Run, site: Site, end: float) -> list[float]:
    """Ask the servers by turns, at an even rate, until some moment; return the seconds each page took."""
    took: list[float] = []
    with ExitStack() as stack:
        browsers = [stack.enter_context(closing(_browser(port))) for port in site.ports]
        due = time.monotonic()
        for browser in cycle(browsers):
            time.sleep(max(0, min(due, end) - time.monotonic()))
            if time.monotonic() >= end:
                return took
            took.append(_ask(run, browser))
            due += EVERY
    return took


def _browser(port: int) -> HTTPConnection:
    return HTTPConnection("127.0.0.1", port, timeout=30)


def _ask(run: Run, browser: HTTPConnection) -> float:
    """Return how many seconds it takes until somebody who is connected has the whole page."""
    account = run.accounts[random.choice(run.cast.residents)]
    began = time.monotonic()
    browser.request("GET", "/", headers={"Cookie": account.cookie})
    answer = browser.getresponse()
    page = answer.read()
    took = time.monotonic() - began
    if answer.status != 200 or page.count(b'data-user="') < min(50, len(run.accounts)):
        raise BenchError(f"the list was answered with {answer.status} {page[:200]!r}")
    return took
