"""The first page of the list, asked for by browsers that keep their connections, with everybody connected."""

from __future__ import annotations

import random
import time
from http.client import HTTPConnection

from ..processes import BenchError
from ..run import Run, percentile
from ..site import Site

ASKED = 50
"""Pages asked of each server, one after the other; the first few are not counted."""

FIRST = 5


def first_page(run: Run, site: Site) -> None:
    took: list[float] = []
    statements: set[int] = set()
    for port in site.ports:
        browser = HTTPConnection("127.0.0.1", port, timeout=30)
        for turn in range(FIRST + ASKED):
            account = run.accounts[random.choice(run.cast.residents)]
            before = site.statements()
            began = time.monotonic()
            browser.request("GET", "/", headers={"Cookie": account.cookie})
            answer = browser.getresponse()
            page = answer.read()
            if turn >= FIRST:
                took.append(time.monotonic() - began)
                statements.add(site.statements() - before)
            if answer.status != 200 or page.count(b'data-user="') < min(50, len(run.accounts)):
                raise BenchError(f"the list was answered with {answer.status} {page[:200]!r}")
        browser.close()
    p99 = percentile(took, 99) * 1000
    figure = f"first page of the list, {len(run.accounts):,} users, p99"
    run.add(figure, "< 50 ms", f"{p99:.1f} ms (p50 {percentile(took, 50) * 1000:.1f})", p99 < 50)
    asked = " to ".join(map(str, sorted({min(statements), max(statements)})))
    run.add("SQL statements for each", "constant", asked, len(statements) == 1)
