"""What one process of the lobby costs: memory a socket, and CPU for each frame that it delivers.

Everybody is connected and looks at the same page of the list. In each round one person steps away or comes
back, and every socket gets a frame about it. The same bytes are then written to as many sockets by a bare
loop in C (bare.c), so that both figures come from one machine at one time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

from .accounts import Account, environment, make_accounts
from .frames import handshake, masked
from .processes import BenchError, compiled, cpu, free_port, memory, running
from .readers import Readers

HERE = Path(__file__).resolve().parent

WARM_UP = 50
"""Sockets opened before memory is first measured: what the first of them make a process load stays loaded."""

WATCHED = 100
"""Users that everybody watches: a page of the list."""

QUIET = 1.5
"""Seconds without a frame after which everything has been told; the online count goes once a second."""

FILES_BESIDE = 100
"""Files that a process may have open beside its sockets."""


class Round(NamedTuple):
    """What it took to tell every socket of one change."""

    cpu: float
    """Seconds of the process that writes, for each frame."""
    latency: float
    """Seconds from the cause to the last frame's arrival."""


class Result(NamedTuple):
    sockets: int
    memory: float
    """Bytes a socket."""
    frame: bytes
    site: list[Round]
    bare: list[Round]
    bare_name: str


def measure(sockets: int, rounds: int) -> Result:
    """Run it all. Raises BenchError if a socket is refused or lost, or a frame does not arrive."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # Who is looked up again gets a new token: a frame that is no answer to what is measured.
        policy = {"DJANGO_SETTINGS_MODULE": "bench.settings", "BENCH_POLICY": json.dumps({"RECHECK": 86400})}
        surroundings = os.environ | environment(folder) | policy
        accounts = make_accounts(sockets, folder, surroundings)
        port = free_port()
        serve = (sys.executable, "manage.py", "serve", "-v0", f"--port={port}")
        site = stack.enter_context(running(*serve, environment=surroundings))
        wait_until_up(site, port)
        requests = [handshake(port, account.cookie) for account in accounts]
        watchers = Readers(port, requests, _greeting(accounts))
        stack.callback(watchers.close)
        each = _fill(site.pid, watchers, sockets)

        bare_command, bare_name = _bare_command(folder)
        bare = stack.enter_context(running(*bare_command, str(sockets)))
        assert bare.stdout is not None
        listeners = Readers(int(bare.stdout.readline()), [])
        stack.callback(listeners.close)
        listeners.open(sockets)

        def step_away_or_come_back() -> None:
            watchers.say(masked(b'{"type":"%s"}' % (b"active" if len(of_site) % 2 else b"idle")))

        def write_the_same() -> None:
            assert bare.stdin is not None
            bare.stdin.write(len(frame).to_bytes(2, "big") + frame)
            bare.stdin.flush()

        of_site: list[Round] = []
        of_bare: list[Round] = []
        for _ in range(rounds):
            watchers.settle(QUIET)
            round_, frame = _round(site.pid, watchers, sockets, step_away_or_come_back)
            of_site.append(round_)
            of_bare.append(_round(bare.pid, listeners, sockets, write_the_same)[0])
        return Result(sockets, each, frame, of_site, of_bare, bare_name)


def _fill(pid: int, watchers: Readers, sockets: int) -> float:
    """Open all sockets; return the bytes of memory that each takes in the process."""
    watchers.open(WARM_UP)
    watchers.settle(QUIET)
    before = memory(pid)
    watchers.open(sockets - WARM_UP)
    watchers.settle(QUIET)
    return (memory(pid) - before) / (sockets - WARM_UP)


def _round(pid: int, readers: Readers, sockets: int, cause: Callable[[], None]) -> tuple[Round, bytes]:
    """Measure a process from a cause until each socket has its frame; return the frame too."""
    due = readers.received().frames + sockets
    before, began = cpu(pid), time.monotonic()
    cause()
    received = readers.received(due)
    spent = cpu(pid) - before
    if received.frames != due or len(received.last) != 1:
        raise BenchError(f"{received.frames - due + sockets} frames of {len(received.last)} kinds came")
    return Round(spent / sockets, received.at - began), received.last[0]


def wait_until_up(process: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise BenchError("the site did not begin")


def _bare_command(folder: Path) -> tuple[list[str], str]:
    """Return the program to compare with, and what it is written in."""
    program = compiled(HERE / "bare.c", folder)
    return ([program], "C") if program else ([sys.executable, str(HERE / "bare.py")], "Python")


def _greeting(accounts: Sequence[Account]) -> bytes:
    """Return what a page of the list says at first: it watches its users, and its part of the list."""
    users = [account.user for account in accounts[:WATCHED]]
    part = {"after": None, "until": f"bench-{WATCHED - 1:06}"}
    watches = [{"type": "watch", "directory": part}, {"type": "watch", "users": users}]
    return b"".join(masked(json.dumps(watch).encode()) for watch in watches)


def report(result: Result) -> str:
    """Return the figures, as a table for RESULTS.md."""
    name, installed = result.bare_name, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    # Round by round: what else runs on the machine then slows both alike.
    ratios = (site.cpu / bare.cpu for site, bare in zip(result.site, result.bare, strict=True))
    return "\n".join(
        [
            f"{os.cpu_count()} cores, {installed:.0f} GiB, {platform.system()} {platform.release()}, "
            f"Python {platform.python_version()}. {len(result.site)} rounds: median (least to most). "
            f"The frame: {len(result.frame)} bytes.",
            "",
            "| figure | measured | goal |",
            "|---|---|---|",
            f"| sockets held in one process, none lost | {result.sockets:,} | |",
            f"| memory a socket | {result.memory / 1000:.1f} KB | ≤ 30 KB |",
            f"| CPU a delivered frame | {_spread(r.cpu * 1e6 for r in result.site)} µs | |",
            f"| the same frame by bare {name} | {_spread(r.cpu * 1e6 for r in result.bare)} µs | |",
            f"| ratio of the two | {_spread(ratios)} | ≤ 2 |",
            f"| from the cause to the last socket | {_spread(r.latency * 1e3 for r in result.site)} ms | |",
            f"| the same by bare {name} | {_spread(r.latency * 1e3 for r in result.bare)} ms | |",
        ]
    )


def _spread(values: Iterable[float]) -> str:
    ordered = sorted(values)
    return f"{median(ordered):.2f} ({ordered[0]:.2f} to {ordered[-1]:.2f})"


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.fanout", description=__doc__)
    parser.add_argument("--sockets", type=int, default=10_000, help="sockets to hold (%(default)s)")
    parser.add_argument("--rounds", type=int, default=21, help="changes to measure (%(default)s)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and so ends what it has begun
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if not WATCHED <= options.sockets <= most - FILES_BESIDE:
        parser.error(
            f"--sockets must be from {WATCHED} to {most - FILES_BESIDE}, as many files as it may open"
        )
    try:
        print(report(measure(options.sockets, options.rounds)))
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
