"""A site that is measured: several processes that serve, on a Redis of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import redis

from whosonline.core.statuses import SITE
from whosonline.stores.redis.keys import keys_of

from .accounts import environment
from .processes import BenchError, children, cpu, cpu_with_children, free_ports, memory, redis_server, running
from .statements import statements_run

LOBBY = "bench.settings"

START = 120.0
"""Seconds that all its processes may take to begin."""


class Spent(NamedTuple):
    """What a site has used since its start."""

    at: float
    """By the monotonic clock."""
    servers: float
    """CPU seconds of all processes that serve."""
    redis: float
    """CPU seconds of Redis."""
    operations: int
    """Commands that Redis has run, those inside scripts included."""
    statements: int
    """Of SQL."""

    def since(self, before: Spent) -> Spent:
        return Spent(
            self.at - before.at,
            self.servers - before.servers,
            self.redis - before.redis,
            self.operations - before.operations,
            self.statements - before.statements,
        )


class Site:
    """A site that runs. Made by :func:`serving`."""

    def __init__(
        self, process: subprocess.Popen[bytes], ports: list[int], redis_pid: int, folder: Path
    ) -> None:
        self.ports = ports
        self._process = process
        self._redis_pid = redis_pid
        self._folder = folder
        self._redis: Any = None

    def connect(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url, decode_responses=True)

    def spent(self) -> Spent:
        """Return what it has used so far. Asking counts as one operation of Redis, which is left out."""
        calls = sum(of["calls"] for of in self._redis.info("commandstats").values())
        asked = self._redis.incr("bench:asked") * 2  # itself, and the question above
        return Spent(
            time.monotonic(),
            cpu_with_children(self._process.pid),
            cpu(self._redis_pid),
            calls - asked + 2,
            self.statements(),
        )

    def statements(self) -> int:
        """Return how many statements of SQL its processes have run."""
        return statements_run(self._folder)

    def memory(self) -> int:
        """Return the bytes that its processes take together, without Redis."""
        pid = self._process.pid
        return sum(memory(each) for each in [pid, *children(pid)])

    def redis_memory(self) -> int:
        """Return the bytes of Redis."""
        return memory(self._redis_pid)

    def online(self) -> int:
        """Return how many are online, as the store has it."""
        *_, order, _ = keys_of("whosonline", 0)
        return int(self._redis.zcard(order + SITE))

    def restart(self) -> None:
        """Have each of its processes replaced, one after the other; returns at once."""
        self._process.send_signal(signal.SIGHUP)

    def workers(self) -> set[int]:
        """Return the processes that serve now."""
        lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children(self._process.pid)}
        return {pid for pid, line in lines.items() if b"resource_tracker" not in line}

    def check(self) -> None:
        """Raise BenchError if it has ended."""
        if self._process.poll() is not None:
            raise BenchError(f"the site has ended: {self.output()}")

    def output(self) -> str:
        """Return the end of what it has printed."""
        return (self._folder / "site.log").read_text()[-2000:]


@contextmanager
def serving(
    folder: Path, workers: int, policy: Mapping[str, Any] | None = None, settings: str = LOBBY
) -> Iterator[Site]:
    """Run a site on the database in the folder, with a Redis of its own, and end both.

    Args:
        workers: Processes that serve, each at a port of its own.
        policy: What its WHOSONLINE setting holds, beside the store.
        settings: Which site it is.
    """
    counters = folder / f"site-{time.monotonic_ns()}"
    counters.mkdir()
    with ExitStack() as stack:
        its_redis = stack.enter_context(redis_server())
        surroundings = os.environ | environment(folder)
        surroundings |= {
            "DJANGO_SETTINGS_MODULE": settings,
            "REDIS_URL": its_redis.url,
            "BENCH_POLICY": json.dumps(dict(policy or {})),
            "BENCH_SQL": str(counters),
        }
        first = free_ports(workers)
        command = ["manage.py", "serve", "-v0", "--port", str(first), "--workers", str(workers), "--spread"]
        output = stack.enter_context((counters / "site.log").open("wb"))
        process = stack.enter_context(
            running(sys.executable, *command, environment=surroundings, errors=output)
        )
        site = Site(process, list(range(first, first + workers)), its_redis.pid, counters)
        site.connect(its_redis.url)
        _wait_until_up(site, "/readyz" if settings == LOBBY else "/healthz")
        yield site
        site.check()


def _wait_until_up(site: Site, path: str) -> None:
    deadline = time.monotonic() + START
    for port in site.ports:
        while not _answers(port, path):
            site.check()
            if time.monotonic() > deadline:
                raise BenchError(f"the site did not begin within {START:g} s: {site.output()}")
            time.sleep(0.1)


def _answers(port: int, path: str) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
