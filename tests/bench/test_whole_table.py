"""``make bench`` in its smallest form: that it measures all, writes it down, and ends what it began."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.cast import make_cast
from bench.processes import BenchError
from bench.run import Options, Run
from bench.scenarios import churn as churn_module
from bench.scenarios.churn import churn
from bench.scenarios.connected import connected
from tests.bench.test_fanout import processes_of_session
from tests.serving import ROOT

FIGURES = [
    "memory a socket, all processes together",
    "Redis' memory with 60 people present",
    "sockets held for 1 s, none lost",
    "Redis operations a second, all idle",
    "SQL statements meanwhile, RECHECK=86400",
    "CPU of the servers meanwhile, of one core",
    "first page of the list, 165 users, p99",
    "SQL statements for each",
    "60 connected, 50-row views, 1 comings and goings a second: p99 until seen",
    "the same, p50",
    "the same, sights that were due, all of which came",
    "first page of the list meanwhile, N asked for, p99",
    "60 people arrive in 0.06 s, all watch the same page: all have seen all after",
    "one arrival, from its socket's opening, until seen by 60 watchers, p99",
    "one arrival, from its socket's opening, until seen by 60 watchers, p50",
    "one log-out, from the posted form, until seen by 60 watchers, p99",
    "one log-out, from the posted form, until seen by 60 watchers, p50",
    "sights of these that never came",
    "CPU of the servers a frame, all that they do meanwhile",
    "memory a socket with so few (60)",
    "all 60 drop at once: all back, none refused, nobody seen flapping",
    "all 2 servers are restarted, one after the other: the same",
    "CPU a delivered frame, one process, 100 sockets: ratio to bare C",
    "the same, of ours",
]

SMALL = Options(sockets=60, repeat=1, hold=1, window=2, workers=2, stay=0.5, grace=0.5, turns=2, quiet=0.3)


def run_bench(folder: Path, *options: str) -> tuple[subprocess.Popen[str], str, str]:
    """Run it in a session of its own; return it, what it printed, and its errors."""
    command = [sys.executable, "-m", "bench", "--results", str(folder / "RESULTS.md"), *options]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "src:.", "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        return process, *process.communicate(timeout=220)


@pytest.mark.timeout(240)  # half a minute on a machine that has nothing else to do
def test_it_measures_the_whole_table_and_writes_it_down(tmp_path: Path) -> None:
    small = [f"--{name}={value}" for name, value in SMALL._asdict().items()]
    process, output, errors = run_bench(tmp_path, *small)
    # 1: a goal was missed, as happens on a machine that has other things to do.
    assert (process.returncode in (0, 1), errors) == (True, "")
    assert "failed" not in output
    written = (tmp_path / "RESULTS.md").read_text()
    rows = re.findall(r"^\| ([^|]*) \| ([^|]*) \| ([^|]*) \| [^|]* \| ([^|]*) \|$", written, re.MULTILINE)
    measured = {figure: value for figure, _, value, _ in rows[1:]}
    figures = [re.sub(r"\d+ asked", "N asked", figure) for figure in measured]
    assert [figure.replace("bare Python", "bare C") for figure in figures] == FIGURES
    assert measured["sockets held for 1 s, none lost"] == "60"
    assert measured["SQL statements meanwhile, RECHECK=86400"] == "0"
    assert measured["sights of these that never came"] == "none"
    assert [figure for figure, _, _, yardstick in rows[1:] if yardstick] == FIGURES[13:20]
    for plot in ("latency", "memory", "storm"):
        assert f"![{plot}](plots/{plot}.svg)" in written
        assert (tmp_path / "plots" / f"{plot}.svg").read_text().rstrip().endswith("</svg>")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["RESULTS.md", "plots"]
    assert_nothing_is_left(process.pid)


def assert_nothing_is_left(session: int) -> None:
    deadline = time.monotonic() + 10
    while left := processes_of_session(session):
        assert time.monotonic() < deadline, f"it left {left} running"
        time.sleep(0.05)


@pytest.mark.parametrize("sockets", ["59", "110001"])
def test_more_or_fewer_sockets_than_can_be_are_refused(tmp_path: Path, sockets: str) -> None:
    process, _, errors = run_bench(tmp_path, "--sockets", sockets)
    assert process.returncode == 2
    assert "--sockets must be from 60 to 110000" in errors


def test_no_repetition_at_all_is_refused(tmp_path: Path) -> None:
    process, _, errors = run_bench(tmp_path, "--repeat", "0")
    assert process.returncode == 2
    assert "--repeat must be at least 1, not 0" in errors


@pytest.mark.timeout(240)
def test_servers_are_restarted_also_under_nohup(tmp_path: Path) -> None:
    small = [f"--{name}={value}" for name, value in SMALL._asdict().items()]
    command = ["nohup", sys.executable, "-m", "bench", *small, "--only=storm"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "src:.", "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        output, _ = process.communicate(timeout=220)
    assert "failed" not in output
    assert "servers are restarted, one after the other: the same" in output


def test_one_part_is_measured_alone_and_ends_early_when_it_is_told_to(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "--sockets=60", "--workers=2", "--only=connected", "--hold=600"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "src:.", "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        while "holding all sockets" not in (line := process.stdout.readline()):
            assert line, "it ended by itself"
        process.terminate()
        assert process.wait(60) == 143
    assert list(tmp_path.iterdir()) == []
    assert_nothing_is_left(process.pid)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(SMALL, tmp_path, make_cast(SMALL.sockets), [])
    run.renew_accounts()
    return run


def test_a_watcher_who_misses_something_fails_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(churn_module, "LATEST", 1)
    with connected(run) as (site, load):
        churn(run, site, load)
        load.drop(run.cast.residents[:1])
        load.wait_until("one fewer", lambda stats: stats.open == 59, 10)
        with pytest.raises(BenchError, match="60 tabs should be open: 59 open"):
            churn(run, site, load)
    missed = run.rows[-1]
    assert re.match(r"failed: \d+ of \d+ sights came; 59 open", missed.measured)
    assert missed.met is False
