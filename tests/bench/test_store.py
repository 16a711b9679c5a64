"""The measurement of the Redis store, in its smallest form: that it runs, and ends what it began."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

from tests.bench.test_fanout import processes_of_session
from tests.serving import ROOT

FIGURES = [
    "operations a second, 6 idle nodes",
    "of them calls by the nodes",
    *(f"changes a second, {batch} a report" for batch in (1, 10, 100)),
    *(f"from a report to a replica, 6 nodes, 200 changes a second, {part}" for part in ("p50", "p99")),
    *(f"key {key}, a user, at 1,000 and at 2,000" for key in ("present", "order:site", "holds:1")),
    "key log, at both",
    "the other keys together",
    "used memory a user, from the one to the other",
    "a snapshot of 2,000 users",
    "memory of a replica of 2,000, a user",
    *(f"a report of {size} who come or leave holds Redis" for size in (100, 250)),
    "a sweep of 250 users of a dead node holds Redis",
]


def test_it_measures_the_redis_store() -> None:
    few = ["--users", "2000", "--rounds", "1", "--latency", "0.5", "--idle", "3"]
    with subprocess.Popen(
        [sys.executable, "-m", "bench.store", *few],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "src"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    figures = dict(re.findall(r"^\| ([^|]*) \| ([\d,.]+)", output, re.MULTILINE))
    assert list(figures) == FIGURES
    assert [name for name, figure in figures.items() if float(figure.replace(",", "")) <= 0] == []
    assert float(figures["operations a second, 6 idle nodes"]) < 50
    deadline = time.monotonic() + 10
    while left := processes_of_session(process.pid):
        assert time.monotonic() < deadline, f"it left {left} running"
        time.sleep(0.05)
