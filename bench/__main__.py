"""``make bench``: the whole table of what this project is to reach, measured on this machine.

Prints the figures beside their goals, and writes them into RESULTS.md, with plots beside it; those of a short
run into short/RESULTS.md, which nobody keeps.
Ends with 1 if something failed or fell short, 2 if what was asked for cannot be done.
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from . import plots, table
from .cast import make_cast
from .processes import BenchError
from .run import Options, Run
from .scenarios.arrivals import arrivals
from .scenarios.churn import churn
from .scenarios.connected import connected, hold
from .scenarios.first_page import first_page
from .scenarios.frames import frames
from .scenarios.single import single
from .scenarios.storm import storm

LEAST, MOST = 60, 110_000
"""Sockets: below, there is nothing to share out; above, six processes may not open as many files."""

OVERTIME = 60
"""Seconds for each part that is left when a run has taken too long."""

FULL = 20_000
"""Sockets from which on a run is a full one: it holds them for ten minutes, and repeats things."""


def measure(run: Run, only: str | None) -> None:
    """Measure everything, or one part. What fails is a row that says why, and the rest goes on."""
    run.tell(f"making {run.cast.total:,} accounts")
    run.renew_accounts()
    for name, (title, scenario) in SCENARIOS.items():
        if only in (None, name):
            attempt(run, title, scenario)


def everybody(run: Run) -> None:
    with connected(run) as (site, load):
        attempt(run, "holding all sockets", lambda run: hold(run, site, load))
        attempt(run, "the first page of the list", lambda run: first_page(run, site))
        attempt(run, "comings and goings", lambda run: churn(run, site, load))


SCENARIOS: dict[str, tuple[str, Callable[[Run], None]]] = {
    "connected": ("everybody connected", everybody),
    "arrivals": ("thousands arrive at once", arrivals),
    "single": ("one arrival, one log-out", single),
    "storm": ("the storm", storm),
    "frames": ("CPU a delivered frame", frames),
}


def attempt(run: Run, what: str, scenario: Callable[[Run], None]) -> None:
    run.tell(f"{what} ...")
    try:
        scenario(run)
    except (BenchError, OSError) as error:
        run.add(what, "", f"failed: {str(error) or type(error).__name__}", False)


def bound(seconds: float) -> None:
    """Give up whatever is being measured after so long, and what is left soon; the rest is written down."""

    def give_up(number: int, frame: FrameType | None) -> None:
        signal.alarm(OVERTIME)
        raise BenchError(f"the run has taken more than {seconds:g} s")

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(int(seconds))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and so ends what it has begun


def read_options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    defaults = Options()
    add = parser.add_argument
    add("--sockets", type=int, default=defaults.sockets, help="sockets to hold (%(default)s)")
    add("--repeat", type=int, help="how often what can be repeated is (3; in a short run once)")
    add("--hold", type=float, help="seconds that they are held idle (600; in a short run 4)")
    add("--window", type=float, help="seconds of comings and goings, each time (20; in a short run 4)")
    add("--stay", type=float, help="seconds that a visitor stays (6; in a short run 3)")
    add("--grace", type=float, default=defaults.grace, help="the site's grace period (%(default)s)")
    add("--recheck", type=float, default=defaults.recheck, help="the site's RECHECK meanwhile (%(default)s)")
    add("--turns", type=int, help="people who come one by one, each time (15; in a short run 3)")
    add("--quiet", type=float, default=defaults.quiet, help="seconds of quiet before things (%(default)s)")
    add("--workers", type=int, default=defaults.workers, help="processes that serve (%(default)s)")
    add("--results", type=Path, help="what is written (RESULTS.md; of a short run short/RESULTS.md)")
    add("--only", choices=SCENARIOS, help="measure this alone, and write nothing")
    options = parser.parse_args(arguments)
    if not LEAST <= options.sockets <= MOST:
        parser.error(f"--sockets must be from {LEAST} to {MOST}, not {options.sockets}")
    if options.repeat is not None and options.repeat < 1:
        parser.error(f"--repeat must be at least 1, not {options.repeat}")
    if not (shutil.which("redis-server") or shutil.which("redis-check-rdb")):
        parser.error("this needs a Redis server. Debian, Ubuntu: apt-get install redis-tools")
    full = options.sockets >= FULL
    options.repeat = options.repeat or (3 if full else 1)
    options.hold = options.hold or (600.0 if full else 4.0)
    options.turns = options.turns or (15 if full else 3)
    options.stay = options.stay or (6.0 if full else 3.0)
    folder = Path(__file__).parent if full else Path(__file__).with_name("short")
    options.results = options.results or folder / "RESULTS.md"
    options.window = options.window or (20.0 if full else 4.0)
    return options


def main(arguments: list[str]) -> int:
    options = read_options(arguments)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asked = Options(**{name: getattr(options, name) for name in Options._fields})
    bound(600 + options.hold + options.repeat * (300 + options.sockets / 40))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        run = Run(asked, Path(folder), make_cast(options.sockets), [])
        try:
            measure(run, options.only)
        except KeyboardInterrupt:
            return 130
    if options.only is None:
        write(run, options, time.monotonic() - began)
    print(f"\n{table.missed(run.rows)}\n\n{table.table(run.rows)}\n\n{table.costs(run.costs)}")
    return int(any(row.met is False for row in run.rows))


def write(run: Run, options: argparse.Namespace, took: float) -> None:
    """Write down what was measured in so many seconds."""
    chosen = [f"{name.upper()}={getattr(options, name):g}" for name in ("sockets", "repeat", "hold")]
    command = shlex.join(["make", "bench", *chosen])
    drawn = plots.draw(run.curves, options.results.parent / "plots")
    names = [os.path.relpath(plot, options.results.parent) for plot in drawn]
    day = time.strftime("%Y-%m-%d")
    text = table.section(command, day, took, run.rows, run.costs, names)
    table.write(options.results, text)
    run.tell(f"{options.results} is written")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
