"""Everybody connected: what a socket costs, and what holding them all takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..cast import ROWS, list_view, page_of
from ..load import Load, loading
from ..processes import BenchError
from ..run import Options, Run
from ..sights import View
from ..site import Site, serving

WARM_UP = 20
"""Tabs for each process opened before memory is first weighed: what the first make it load stays loaded."""

SETTLED = 2.0
"""Seconds without an SQL statement after which what the arrivals brought about has been done."""

MOST_FOR_ONE = 200
"""Arrivals that one statement may serve; if there were fewer statements, they are not counted right."""

OPENING = 0.05
"""Seconds that opening a tab may take on average, before the run is given up."""


@contextmanager
def connected(run: Run) -> Iterator[tuple[Site, Load]]:
    """Open all residents' tabs; measure memory and what an arrival takes on the way."""
    residents = run.cast.residents
    policy = {"GRACE": run.options.grace, "RECHECK": run.options.recheck}
    with serving(run.folder, run.options.workers, policy) as site, loading(run.accounts, site.ports) as load:
        look_at_pages(run, load)
        weights = _fill(run, site, load)
        (first, least), (last, most) = weights[0], weights[-1]
        each = (most - least) / (last - first) / 1000
        run.curves["memory"] = [(sockets, weight / 1e6) for sockets, weight in weights]
        run.add("memory a socket, all processes together", "≤ 30 KB", f"{each:.1f} KB", each <= 30)
        run.add(
            f"Redis' memory with {len(residents):,} people present", "", f"{site.redis_memory() / 1e6:.0f} MB"
        )
        yield site, load


def look_at_pages(run: Run, load: Load, counting: bool = True) -> None:
    """Let residents and visitors look at pages of the list; what happens to visitors counts for residents."""
    visiting, people = set(run.cast.visitors), run.cast.observers[0]
    blocks = [range(start, min(start + ROWS, people)) for start in range(0, people, ROWS)]
    counted = [
        list_view(run.accounts, block, [number for number in block if number in visiting]) for block in blocks
    ]
    uncounted = [View(view.greeting) for view in counted]
    of = {number: page_of(number, len(blocks)) for number in range(people)}
    for number in visiting if counting else of:
        of[number] += len(blocks)
    load.look([*counted, *uncounted], of)


def _fill(run: Run, site: Site, load: Load) -> list[tuple[int, int]]:
    """Open all tabs; return how many bytes the site had with how many of them."""
    residents, weights, begun = run.cast.residents, list[tuple[int, int]](), 0
    first = min(WARM_UP * run.options.workers, len(residents) // 4)
    with run.spending("arriving, one after the other", site, load, len(residents), "arrival"):
        for quarter in range(5):
            until = max(first, len(residents) * quarter // 4)
            load.fill(residents[begun:until], 30 + OPENING * (until - begun))
            begun = until
            load.wait_until_quiet(run.options.quiet, 60)
            weights.append((until, site.memory()))
            run.tell(f"{until:,} tabs open, {weights[-1][1] / 1e6:,.0f} MB")
    return weights


def hold(run: Run, site: Site, load: Load) -> None:
    """Do nothing for a long time; see that no socket is lost, and that nothing is asked meanwhile."""
    count, seconds = len(run.cast.residents), run.options.hold
    _settle(run, site, load)
    asked_before = site.spent().statements
    if asked_before * MOST_FOR_ONE < count:
        raise BenchError(f"{asked_before} SQL statements for {count} arrivals: they are not counted")
    with run.spending("held, idle", site, load, count * seconds, "socket and second"):
        before = site.spent()
        until = time.monotonic() + seconds
        load.wait_until("held", lambda _: time.monotonic() >= until, seconds + 60)
        spent = site.spent().since(before)
    load.wait_until_open(count, 1)
    met = _full(run, count >= 100_000)
    run.add(f"sockets held for {seconds:g} s, none lost", "100,000", f"{count:,}", met)
    rate = spent.operations / spent.at
    run.add("Redis operations a second, all idle", "< 50", f"{rate:.1f}", rate < 50)
    seldom = run.options.recheck >= Options().recheck
    goal, met = ("0", spent.statements == 0) if seldom else ("", None)
    run.add(f"SQL statements meanwhile, RECHECK={run.options.recheck:g}", goal, f"{spent.statements:,}", met)
    cost = spent.servers / spent.at
    run.add("CPU of the servers meanwhile, of one core", "", f"{100 * cost:.1f} %")


def _full(run: Run, met: bool) -> bool | None:
    return met if met or run.options.sockets >= 100_000 else None


def _settle(run: Run, site: Site, load: Load) -> None:
    """Wait until what the arrivals brought about has been done."""
    load.wait_until_quiet(run.options.quiet, 60)
    deadline = time.monotonic() + 60
    before = -1
    while (now := site.spent().statements) != before:
        if time.monotonic() > deadline:
            raise BenchError("the site still asks its database, a minute after the last arrival")
        before = now
        time.sleep(SETTLED)
