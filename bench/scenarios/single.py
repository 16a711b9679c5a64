"""One person comes, and logs out, while a thousand watch: how long until each of them knows."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from dataclasses import replace
from typing import NamedTuple

from ..cast import list_view
from ..load import SOON, Load, loading, told
from ..processes import BenchError
from ..run import Run, percentile, spread
from ..sights import View
from ..site import Site, serving

WATCHERS = 1000
"""At most; fewer where the run has fewer sockets."""

BETWEEN = (0.5, 0.8)
"""Seconds between two causes, so that each comes at another moment of whatever goes on."""

PHOENIX = 0.017
"""Seconds: the p99 of Phoenix Presence on such a machine."""

TUTORIAL = "bench.tutorial_settings"


class Found(NamedTuple):
    """What was measured of one site."""

    memory: float
    """Bytes a socket."""
    comings: list[list[float]]
    """Seconds from a cause to each sight of it; a list for each repetition."""
    goings: list[list[float]]
    cpu: float
    """Seconds of the servers for each frame that they sent, whatever else they did."""
    lost: int
    """Sights that never came."""


def single(run: Run) -> None:
    """Measure this site, and the tutorial's way beside it."""
    with serving(run.folder, run.options.workers) as site, loading(run.accounts, site.ports) as load:
        here = _measure(run, site, load, "one comes or logs out, all watch", all_told=True)
    if here.lost:
        raise BenchError(f"{here.lost} sights of somebody who came or logged out have not come")
    run.renew_accounts()
    with (
        serving(run.folder, run.options.workers, settings=TUTORIAL) as site,
        loading(run.accounts, site.ports) as load,
    ):
        there = _measure(run, site, load, "the same, the tutorial's way", all_told=False)
    run.renew_accounts()
    _tell(run, here, there)


def _tell(run: Run, here: Found, there: Found) -> None:
    watchers = min(WATCHERS, len(run.cast.residents))
    for what, ours, theirs in (
        ("one arrival, from its socket's opening", here.comings, there.comings),
        ("one log-out, from the posted form", here.goings, there.goings),
    ):
        for which in (99, 50):
            mine, yardstick = (
                [percentile(times, which) * 1000 for times in each if times] for each in (ours, theirs)
            )
            goal = f"≤ {PHOENIX * 1000:g} ms" if which == 99 and ours is here.comings else ""
            met = sorted(mine)[len(mine) // 2] <= PHOENIX * 1000 if goal else None
            figure = f"{what}, until seen by {watchers:,} watchers, p{which}"
            other = f"{spread(yardstick)} ms" if yardstick else "never"
            run.add(figure, goal, f"{spread(mine)} ms", met, other)
    lost = str(there.lost) if there.lost else "none"
    run.add("sights of these that never came", "0", "none", True, lost)
    cpu = (f"{found.cpu * 1e6:.0f} µs" for found in (here, there))
    run.add("CPU of the servers a frame, all that they do meanwhile", "", next(cpu), None, next(cpu))
    memory = (f"{found.memory / 1000:.1f} KB" for found in (here, there))
    run.add(f"memory a socket with so few ({watchers:,})", "", next(memory), None, next(memory))


def _measure(run: Run, site: Site, load: Load, scenario: str, all_told: bool) -> Found:
    newcomers = run.cast.newcomers
    watchers = run.cast.residents[:WATCHERS]
    view = list_view(run.accounts, newcomers, newcomers)
    if not all_told:
        view = replace(view, greeting=b"", query="?quiet", silent=True)
    load.look([view, View(view.greeting)], dict.fromkeys(watchers, 0) | dict.fromkeys(newcomers, 1))
    warm_up = watchers[: len(watchers) // 5]
    load.fill(warm_up, 60)
    load.wait_until_quiet(run.options.quiet, 60)
    before = site.memory()
    load.fill(watchers[len(warm_up) :], 120)
    load.wait_until_quiet(run.options.quiet, 60)
    memory = (site.memory() - before) / (len(watchers) - len(warm_up))
    comings, goings, lost, spent, frames = list[list[float]](), list[list[float]](), 0, 0.0, 0
    turns = run.options.turns
    for turn in range(run.options.repeat):
        chosen = newcomers[turn * turns : (turn + 1) * turns]
        load.begin(all_told)
        with run.spending(scenario, site, load, 2 * len(chosen), "coming or log-out"):
            missing = _come_and_log_out(load, chosen, len(watchers))
        come, gone = _latencies(load)
        comings.append(come)
        goings.append(gone)
        lost += missing
        spent += run.costs[-1].servers
        frames += run.costs[-1].frames
    return Found(memory, comings, goings, spent / max(frames, 1), lost)


def _come_and_log_out(load: Load, newcomers: list[int], watchers: int) -> int:
    """Let one after the other come and log out; return how many sights of that are missing."""
    at = time.monotonic() + SOON
    opens, posts = [], []
    for number in newcomers:
        opens.append((at, number))
        at += random.uniform(*BETWEEN)
        posts.append((at, number))
        at += random.uniform(*BETWEEN)
    load.plan("open", opens)
    load.plan("log_out", posts)
    # Not asked before: to count what was seen holds up the reading of what comes.
    time.sleep(max(0, at - time.monotonic()))
    due, deadline = 2 * len(newcomers) * watchers, at + 10
    while (seen := load.seen()) < due and time.monotonic() < deadline:
        time.sleep(0.1)
    stats = load.stats()
    if stats.refused or stats.open < watchers:
        raise BenchError(f"somebody was turned away: {told(stats)}")
    return due - seen


def _latencies(load: Load) -> tuple[list[float], list[float]]:
    """Return the seconds from each cause to each sight of it: of comings, and of goings."""
    harvest = load.harvest()
    taken: dict[int, list[float]] = defaultdict(list)
    for change, at in zip(harvest.changes, harvest.times, strict=True):
        taken[change & 1].append(at - harvest.causes[change])
    return taken[1], taken[0]
