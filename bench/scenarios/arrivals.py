"""Thousands arrive within seconds and all look at the same page: how long until all have seen all."""

from __future__ import annotations

import random
import time

from ..cast import greeting
from ..load import Load, loading, told
from ..processes import BenchError
from ..run import Run, spread
from ..sights import View
from ..site import Site, serving

PEOPLE = 5000
"""At most; fewer where the run has fewer sockets."""

RATE = 1000.0
"""Arrivals a second."""

PAGE = 100
"""Users on the page: the most that a page may have."""

LATEST = 120.0
"""Seconds after the last arrival until the run is given up."""


def arrivals(run: Run) -> None:
    people = run.cast.residents[:PEOPLE]
    took: list[float] = []
    policy = {"GRACE": run.options.grace}
    with serving(run.folder, run.options.workers, policy) as site, loading(run.accounts, site.ports) as load:
        load.look([View(greeting({"room": "site", "limit": PAGE}))], dict.fromkeys(people, 0))
        for _ in range(run.options.repeat):
            with run.spending("arriving all at once, same page", site, load, len(people), "arrival"):
                took.append(_arrive(run, load, people))
            _leave(site, load, people)
    what = f"{len(people):,} people arrive in {len(people) / RATE:g} s, all watch the same page"
    met = sorted(took)[len(took) // 2] <= 6 if len(people) == PEOPLE else None
    run.add(f"{what}: all have seen all after", "≤ 6 s", f"{spread(took, 2)} s", met)


def _arrive(run: Run, load: Load, people: list[int]) -> float:
    """Let all arrive; return the seconds from the first until the last of them sees the truth, for good."""
    truth = [run.accounts[number].user for number in people[:PAGE]]  # who is first in name order
    load.ledger("begin_pages")
    begun = load.open(random.sample(people, len(people)), RATE)
    load.wait_until_open(len(people), LATEST)
    deadline = time.monotonic() + LATEST
    while True:
        load.wait_until_quiet(run.options.quiet, LATEST)
        since = [at for part in load.ledger("truths", truth, len(people)) for at in part]
        right: list[float] = [at for at in since if at is not None]
        if len(right) == len(people):
            return max(right) - begun
        if time.monotonic() > deadline:
            wrong = len(people) - len(right)
            raise BenchError(f"{wrong:,} of {len(people):,} have not seen all; {told(load.stats())}")


def _leave(site: Site, load: Load, people: list[int]) -> None:
    """Let all leave, and wait until they have gone for others too."""
    now = time.monotonic()
    load.plan("close", [(now, number) for number in people])
    deadline = now + LATEST
    while site.online():
        if time.monotonic() > deadline:
            raise BenchError(f"{site.online()} are online long after they have left")
        time.sleep(0.2)
