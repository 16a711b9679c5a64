"""The table of a run, as people read it; and its place in RESULTS.md."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

from .run import Cost, Row

HEADING = "## The whole table"
"""Of the section that a run writes; what else stands in the file stays."""

VERDICTS = {True: "yes", False: "**no**"}


def table(rows: Sequence[Row]) -> str:
    """Return the figures beside their goals."""
    lines = ["| figure | goal | measured | met | the tutorial's way |", "|---|---|---|---|---|"]
    lines += [
        f"| {row.figure} | {row.goal} | {row.measured} | {_verdict(row)} | {row.yardstick} |" for row in rows
    ]
    return "\n".join(lines)


def _verdict(row: Row) -> str:
    if row.met is None:
        return "not judged" if row.goal else ""
    return VERDICTS[row.met]


def costs(of: Sequence[Cost]) -> str:
    """Return what each scenario took, for whoever reckons what another size would take."""
    lines = [
        "| while | seconds | CPU of the servers | a unit | of Redis | of the clients "
        "| frames | to clients | from them |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_cost(cost) for cost in of]
    return "\n".join(lines)


def _cost(cost: Cost) -> str:
    each = cost.servers / cost.units * 1e6
    return (
        f"| {cost.scenario} | {cost.seconds:,.1f} | {cost.servers:,.1f} s "
        f"| {each:,.{0 if each >= 10 else 2}f} µs of {cost.units:,.0f}: {cost.unit} "
        f"| {cost.redis:,.2f} s | {cost.load:,.1f} s | {cost.frames:,} "
        f"| {cost.received / 1e6:,.1f} MB | {cost.sent / 1e6:,.1f} MB |"
    )


def missed(rows: Sequence[Row]) -> str:
    """Return what fell short, first of all that is to be read."""
    short = [row for row in rows if row.met is False]
    if not short:
        return "Every goal that this run could judge was met."
    return "\n".join(["What falls short:", "", *map(_short, short)])


def _short(row: Row) -> str:
    goal = f"; the goal is {row.goal}" if row.goal else ""
    return f"- **{row.figure}**: {row.measured}{goal}"


def machine() -> str:
    """Return in a line what it ran on, and how busy that is."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[2]
    return (
        f"{os.cpu_count()} cores, {installed:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; clients, servers and Redis on the same machine; "
        f"load average at the end {load:.1f}."
    )


def section(
    command: str, when: str, took: float, rows: Sequence[Row], of: Sequence[Cost], plots: Sequence[str]
) -> str:
    """Return the section of RESULTS.md about a run.

    Args:
        command: How it was started.
        when: The day.
        took: Seconds.
        plots: Files beside RESULTS.md.
    """
    parts = [
        HEADING,
        f"`{command}`, {when}, {took / 60:.0f} minutes. {machine()} "
        "Medians, with the least and the most where there are several runs.",
        missed(rows),
        table(rows),
        "What it took:",
        costs(of),
        *(f"![{Path(plot).stem}]({plot})" for plot in plots),
        HOW,
    ]
    return "\n\n".join(parts) + "\n"


HOW = """\
How it is measured:

- The site is the lobby as `manage.py serve --workers 6 --spread` serves it, on a Redis of its own that keeps
  nothing, with its default settings but for GRACE in the storm, and RECHECK while all are connected, which is
  a day unless `--recheck` says otherwise. By default everybody's session is looked at once in five minutes,
  200 by three or four statements, which would hide what else is asked.
  Every person has an account and a session in SQLite, sends a browser's headers, and watches what a page of
  the list watches: 50 users, and their part of the list.
- The clients are processes of their own, with source addresses of their own; most of what comes to them is
  read in C where there is a compiler, else in Python. A frame's time is that at which it was read, by the
  clock that all processes share; they look every millisecond, and every 20 amid a crowd of
  frames (3,000 a second and more in a process), which is in every figure. Everybody who stays counts as a
  watcher, and one sight of a change that does not come to one fails the run; visitors watch too, but what
  they see is not counted.
- Comings and goings are as many windows of one run as it is repeated; two pages of the list a second are
  asked for meanwhile. What is one figure was measured once: memory, what is held, first pages, the restart.
- Memory is the proportional set size of all server processes, as it grows from the first sockets to the last.
  CPU is that of all threads of all processes that serve. The kernel's buffers are in neither.
- A coming is timed from the call that connects its socket, a log-out from when its form is posted, a going
  from the end of the grace period (5 s after its socket was closed): until then nobody has gone.
- Visitors are one in thirteen, spread over the name order. They come at an even rate and stay for some
  seconds; what is timed begins when as many go as come.
- The page of those who arrive all at once holds 100 rows. It counts as seen once its rows, their order, their
  statuses and the online count are the truth, and stay so.
- SQL statements are counted by SQLite's own trace in all threads of all servers, operations of Redis by Redis
  itself, those inside scripts included.
- The storm: connections are reset all at once and come back as the browser module comes back. The site's
  GRACE is 60 s there; with the default of 5 s whoever takes longer to return is rightly seen offline. For the
  restart every server is replaced by SIGHUP. Sockets that, together, look at everybody must see nobody go.
- The tutorial's way is bench/tutorial.py: one group, one message a socket; the same server, Redis, clients.
"""


def write(file: Path, section: str) -> None:
    """Put the section into RESULTS.md in place of its last edition, or else before the other sections."""
    text = file.read_text() if file.exists() else "# Measured\n"
    old = re.compile(rf"^{re.escape(HEADING)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if old.search(text):
        text = old.sub(lambda _: section + "\n", text, count=1)
    else:
        before, heading, after = text.partition("\n## ")
        text = f"{before.rstrip()}\n\n{section}" + (f"{heading}{after}" if heading else "")
    file.write_text(text.rstrip() + "\n")
