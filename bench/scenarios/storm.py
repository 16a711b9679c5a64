"""Everybody loses the server and comes back: how long that takes, and whether anybody is seen to have gone.

The site's grace is longer here than by default: with 5 s people who take longer to return are rightly seen
offline meanwhile. A site of this size on so few cores sets it so.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from ..cast import WATCHED, users_view
from ..load import Load, loading, told
from ..processes import BenchError
from ..run import Run, curve, spread
from ..site import Site, serving
from .connected import OPENING, look_at_pages

GRACE = 60
"""Seconds."""

GOAL = 60
"""Seconds until all are back."""

LATEST = 600.0
"""Seconds until the run is given up."""

SETTLED = 30.0
"""Seconds of quiet within which all must be seen again."""

BETWEEN = 4
"""Times the quiet before a storm: a browser that was connected for 5 s comes back with its shortest delay."""


class Storm(NamedTuple):
    """What one of them came to."""

    seconds: float
    """Until the last was back."""
    refused: int
    flaps: int
    """Times that somebody was seen to go or to come who was only returning."""
    late: float
    """Seconds from when no frame came any more until all were seen again; 0 as a rule."""


def storm(run: Run) -> None:
    """Break all connections at once; then restart all servers."""
    residents, observers = run.cast.residents, run.cast.observers
    policy = {"GRACE": GRACE, "TOUCH": GRACE}
    with serving(run.folder, run.options.workers, policy) as site, loading(run.accounts, site.ports) as load:
        _look_at_all(run, load)
        load.fill(observers, 60)
        load.fill(residents, 30 + OPENING * len(residents))
        load.wait_until_quiet(run.options.quiet, 60)
        storms = [_drop(run, site, load) for _ in range(run.options.repeat)]
        what = f"all {len(residents):,} drop at once: all back, none refused, nobody seen flapping"
        run.add(what, f"≤ {GOAL} s", *_judged(storms))
        restarts = [_restart(run, site, load)]
        servers = f"all {run.options.workers} servers are restarted, one after the other"
        run.add(f"{servers}: the same", "none refused or flapping", *_judged(restarts, None))


def _judged(storms: Sequence[Storm], goal: float | None = GOAL) -> tuple[str, bool]:
    """Return what is to be said of the storms, and whether they went as they should."""
    took = [storm.seconds for storm in storms]
    refused, flaps = sum(storm.refused for storm in storms), sum(storm.flaps for storm in storms)
    text = f"{spread(took)} s"
    text += f"; {refused:,} attempts refused" if refused else ""
    text += f"; {flaps:,} times somebody was seen to go or come" if flaps else ""
    late = max(storm.late for storm in storms)
    text += f"; all seen again {late:.1f} s after it was quiet" if late else ""
    return text, not refused and not flaps and (goal is None or max(took) <= goal)


def _look_at_all(run: Run, load: Load) -> None:
    look_at_pages(run, load, counting=False)
    residents, observers = run.cast.residents, run.cast.observers
    parts = [residents[start : start + WATCHED] for start in range(0, len(residents), WATCHED)]
    views = [users_view(run.accounts, part) for part in parts]
    load.look(views, {number: part for part, number in enumerate(observers)})


def _drop(run: Run, site: Site, load: Load) -> Storm:
    """Break the residents' connections; wait until the last of them is back."""
    residents = run.cast.residents
    time.sleep(BETWEEN * run.options.quiet)
    load.begin()
    load.returning(True)
    with run.spending("all drop and return", site, load, len(residents), "return"):
        at = load.drop(residents)
        back = _wait_until_back(run, load, at)
    run.curves["storm"] = [(when - at, share) for when, share in curve(back)]
    return _end(run, site, load, max(back) - at)


def _restart(run: Run, site: Site, load: Load) -> Storm:
    """Have all servers replaced; wait until the last who was sent away is back."""
    before = site.workers()
    time.sleep(BETWEEN * run.options.quiet)
    load.begin()
    load.returning(True)
    at = time.monotonic()
    with run.spending("servers restarted", site, load, len(run.cast.residents), "return"):
        site.restart()
        while before & site.workers():
            if time.monotonic() - at > LATEST:
                raise BenchError("the servers were not replaced")
            time.sleep(0.2)
        back = _wait_until_back(run, load, at)
    run.curves["restart"] = [(when - at, share) for when, share in curve(back)]
    return _end(run, site, load, max(back) - at)


def _wait_until_back(run: Run, load: Load, at: float) -> list[float]:
    """Wait until all tabs are open; return when each that was welcomed after a time was."""
    residents = len(run.cast.residents)
    count = residents + len(run.cast.observers)
    back: list[float] = []
    while len(back) < residents:  # until what breaks the connections has begun, all are open still
        load.wait_until("all back", lambda stats: stats.open == count and not stats.under_way, LATEST)
        back = [when for part in load.all("welcomed") for when in part if when > at]
        if time.monotonic() > at + LATEST:
            raise BenchError(f"{len(back):,} of {residents:,} have come back; {told(load.stats())}")
    return back


def _end(run: Run, site: Site, load: Load, seconds: float) -> Storm:
    """See that everybody is seen again. Raises BenchError if not."""
    load.wait_until_quiet(run.options.quiet, LATEST)
    quiet = time.monotonic()
    late = 0.0
    while True:
        stats, online = load.stats(), site.online()
        missing = sum(load.ledger("places_offline"))
        if not missing and online == stats.open:
            break
        if late > SETTLED:
            unseen = f"{missing:,} of those who are back are not seen, {online:,} are online"
            raise BenchError(f"{unseen}; {told(stats)}")
        time.sleep(0.5)
        late = time.monotonic() - quiet
    load.returning(False)
    return Storm(seconds, stats.refused.total(), load.seen(), late)
