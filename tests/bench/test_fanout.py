"""The measurement of the fan-out, in its smallest form: that it runs, and ends what it began."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from bench.frames import masked, split
from tests.serving import ROOT


def run_fanout(*options: str) -> tuple[subprocess.Popen[str], str, str]:
    """Run it in a session of its own; return it, what it printed, and its errors."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.fanout", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        return process, *process.communicate(timeout=100)


def test_it_measures_memory_and_cpu_beside_a_bare_loop() -> None:
    process, output, errors = run_fanout("--sockets", "120", "--rounds", "2")
    assert (process.returncode, errors) == (0, "")
    figures = dict(re.findall(r"^\| ([^|]*) \| ([\d,.]+)", output, re.MULTILINE))
    assert figures["sockets held in one process, none lost"] == "120"
    assert float(figures["memory a socket"]) > 5
    assert 1 < float(figures["CPU a delivered frame"]) < 10_000
    assert float(figures["ratio of the two"]) > 0
    deadline = time.monotonic() + 10
    while left := processes_of_session(process.pid):
        assert time.monotonic() < deadline, f"it left {left} running"
        time.sleep(0.05)


def processes_of_session(session: int) -> list[str]:
    """Return the /proc/PID/stat of each process of a session."""
    stats = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            stats.append(file.read_text())
    return [stat for stat in stats if stat.rpartition(")")[2].split()[3] == str(session)]


@pytest.mark.parametrize("sockets", ["1", "1000000"])
def test_more_or_fewer_sockets_than_can_be_are_refused(sockets: str) -> None:
    process, _, errors = run_fanout("--sockets", sockets)
    assert process.returncode == 2
    assert "--sockets must be from 100 to " in errors


@pytest.mark.parametrize("length", [0, 5, 125, 126, 65_535, 65_536])
def test_frames_are_told_apart_wherever_they_are_cut(length: int) -> None:
    frame = server_frame(b"x" * length)
    stream = frame * 2 + frame[:1]
    for cut in {0, 1, 2, 3, len(frame) - 1, len(frame), len(frame) + 1, 2 * len(frame)}:
        *whole, rest = split(stream[:cut])
        *more, rest = split(rest + stream[cut:])
        assert [*whole, *more] == [frame, frame]
        assert rest == frame[:1]


def server_frame(payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        return bytes([0x81, length]) + payload
    if length < 65_536:
        return bytes([0x81, 126]) + length.to_bytes(2, "big") + payload
    return bytes([0x81, 127]) + length.to_bytes(8, "big") + payload


@pytest.mark.parametrize(
    ("length", "head"), [(3, b"\x81\x83"), (125, b"\x81\xfd"), (126, b"\x81\xfe\x00\x7e")]
)
def test_a_client_masks_what_it_says(length: int, head: bytes) -> None:
    assert masked(b"x" * length) == head + bytes(4) + b"x" * length
