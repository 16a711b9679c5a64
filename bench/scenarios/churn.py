"""Everybody connected, and people come and go all the time: how long until each who looks at them knows."""

from __future__ import annotations

import random
import time
from collections import Counter
from statistics import median
from typing import NamedTuple

from ..cast import ROWS, page_of
from ..load import SOON, Load, told
from ..plots import CHURN
from ..processes import BenchError
from ..run import Run, curve, percentile, spread
from ..sights import Harvest
from ..site import Site
from . import first_page

PER_SOCKET = 1000 / 100_000
"""Comings and goings a second."""

SEEN_WITHIN = 1.0
"""Seconds."""

TRIES = 4
"""Each with half as many comings and goings as the one before, as long as they are seen too late."""

HALVED_FROM = 5000
"""People connected: with fewer it is not the rate that makes it late."""

LATEST = 60.0
"""Seconds after the last of them until all must have been seen."""


class Plan(NamedTuple):
    opens: list[tuple[float, int]]
    closes: list[tuple[float, int]]
    steady: float
    """From when on as many come as go."""


class Behind(BenchError):
    """The site could not keep up."""


def churn(run: Run, site: Site, load: Load) -> None:
    """Measure it at the rate that is to be reached; where that is too much, at half of it, and so on."""
    connected = len(run.cast.residents)
    for part in range(TRIES if connected >= HALVED_FROM else 1):
        rate = connected * PER_SOCKET / 2**part
        figure = f"{connected:,} connected, {ROWS}-row views, {rate:,.0f} comings and goings a second"
        # Below that rate there is no goal.
        goal, judged = (f"≤ {SEEN_WITHIN:g} s", True) if part == 0 else ("", False)
        try:
            seen = _seen(run, site, load, rate)
        except Behind as error:
            run.add(f"{figure}: p99 until seen", goal, f"failed: {error}", False if judged else None)
            _come_to_rest(run, load)
            continue
        met = median(seen.p99) <= SEEN_WITHIN
        run.add(f"{figure}: p99 until seen", goal, f"{spread(seen.p99, 3)} s", met if judged else None)
        run.add("the same, p50", "", f"{spread(seen.p50, 3)} s")
        sights = f"{seen.due:,} ({seen.timed:,} of them timed)"
        run.add("the same, sights that were due, all of which came", "", sights)
        pages = first_page.told(seen.pages)
        run.add(f"first page of the list meanwhile, {len(seen.pages)} asked for, p99", "", pages)
        if met:
            break
    load.ledger("rest")


class Seen(NamedTuple):
    """Seconds until each sight, for each repetition, and how many sights there were."""

    p50: list[float]
    p99: list[float]
    due: int
    timed: int
    pages: list[float]
    """Seconds that each page of the list took which was asked for meanwhile."""


def _seen(run: Run, site: Site, load: Load, rate: float) -> Seen:
    """Let people come and go at a rate, and see who sees it when."""
    options = run.options
    load.begin()
    plan = _plan(run, rate / 2)
    due = _sights_due(run, plan)
    run.tell(f"{rate:,.0f} a second: {len(plan.opens):,} visits, {due:,} sights due")
    scenario = f"comings and goings, {rate:,.0f} a second"
    with run.spending(scenario, site, load, 2 * len(plan.opens), "coming or going"):
        load.plan("open", plan.opens)
        load.plan("close", plan.closes)
        pages = _pages(run, site, plan)
        _wait(run, load, plan, due)
    windows = _latencies(load.harvest(), plan, options.grace, options.window, options.repeat)
    run.curves[f"{CHURN}{rate:,.0f}"] = curve(latency for window in windows for latency in window)
    p50, p99 = ([percentile(window, which) for window in windows] for which in (50, 99))
    return Seen(p50, p99, due, sum(map(len, windows)), pages)


def _come_to_rest(run: Run, load: Load) -> None:
    """Wait until what was too much has been done with; those who live there must all be there still."""
    load.wait_until("all visitors gone", lambda stats: not stats.under_way, LATEST)
    load.wait_until_quiet(run.options.quiet + run.options.grace, LATEST)
    load.all("forget")
    load.wait_until_open(len(run.cast.residents), 1)


def _plan(run: Run, rate: float) -> Plan:
    """Plan visits: so many begin a second, by one visitor after the other."""
    options, visitors = run.options, list(run.cast.visitors)
    random.Random(1).shuffle(visitors)
    cycle = len(visitors) / rate
    if cycle <= options.stay + options.grace:
        raise BenchError("a visitor would be back before being gone: fewer must come, or more must visit")
    begin = time.monotonic() + SOON + 1
    span = options.stay + options.grace + options.repeat * options.window
    opens = [
        (begin + turn / rate, visitors[turn % len(visitors)]) for turn in range(max(1, int(span * rate)))
    ]
    closes = [(at + options.stay, number) for at, number in opens]
    return Plan(opens, closes, begin + options.stay + options.grace)


def _sights_due(run: Run, plan: Plan) -> int:
    """Return how often somebody will see somebody come or go."""
    pages = -(-run.cast.observers[0] // ROWS)
    looking = Counter(page_of(number, pages) for number in run.cast.residents)
    return sum(2 * looking[number // ROWS] for _, number in plan.opens)


def _pages(run: Run, site: Site, plan: Plan) -> list[float]:
    """Ask for pages while as many go as come. Raises Behind if one is not answered."""
    try:
        return first_page.ask_between(
            run, site, plan.steady, plan.steady + run.options.repeat * run.options.window
        )
    except (OSError, BenchError) as error:
        raise Behind(f"a page of the list was not answered: {error}") from error


def _wait(run: Run, load: Load, plan: Plan, due: int) -> None:
    """Wait until all has been seen. Raises BenchError if it has not, or somebody was turned away."""
    # Not asked before: to count what was seen holds up the reading of what comes.
    over = plan.closes[-1][0] + run.options.grace
    time.sleep(max(0, over - time.monotonic()))
    deadline = over + LATEST
    while (seen := load.seen()) < due and time.monotonic() < deadline:
        time.sleep(0.5)
    stats = load.stats()
    if seen != due or stats.closed or stats.refused or stats.open != len(run.cast.residents):
        raise Behind(f"{seen:,} of {due:,} sights came; {told(stats)}")


def _latencies(harvest: Harvest, plan: Plan, grace: float, window: float, windows: int) -> list[list[float]]:
    """Return the seconds from each cause to each sight of it, for each window.

    A going is caused by the end of the grace period: until then the person has not gone.
    """
    causes = {change: at if change & 1 else at + grace for change, at in harvest.causes.items()}
    taken: list[list[float]] = [[] for _ in range(windows)]
    for change, at in zip(harvest.changes, harvest.times, strict=True):
        cause = causes[change]
        which = int((cause - plan.steady) // window)
        if 0 <= which < windows:
            taken[which].append(at - cause)
    # A run so small that nobody happens to come in a window counts all of it.
    everything = [at - causes[change] for change, at in zip(harvest.changes, harvest.times, strict=True)]
    return taken if all(taken) else [everything]
