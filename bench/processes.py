"""Processes of a measurement: begun, weighed, and ended whatever happens."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class BenchError(Exception):
    """A measurement failed: something was refused or lost, or did not come in time."""


def cpu(pid: int) -> float:
    """Return the CPU seconds that a process has used, in all its threads, to the nanosecond."""
    return time.clock_gettime((~pid << 3) | 2)  # what clock_getcpuclockid(3) returns on Linux


def cpu_with_children(pid: int) -> float:
    """Return the CPU seconds of a process and of all its children, also of those that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ended = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    total = ended + cpu(pid)
    for child in children(pid):
        with suppress(OSError):  # it has ended meanwhile, and is among those another time
            total += cpu(child)
    return total


def memory(pid: int) -> int:
    """Return the bytes of a process's proportional set size."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("Linux tells Pss there")


def children(pid: int) -> list[int]:
    """Return the processes that a process has begun."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def compiled(source: Path, folder: Path, *options: str) -> str | None:
    """Compile a program in C into a folder; return its path, or None where no compiler can."""
    program = folder / source.stem
    with suppress(OSError):  # there is none
        subprocess.run(["cc", "-O2", *options, "-o", program, source], check=False)
    return str(program) if program.exists() else None


@contextmanager
def _hang_ups_heard() -> Iterator[None]:
    """Let what is begun hear SIGHUP, which restarts a site, also where nohup has this program ignore it."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    if ignored:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        yield
    finally:
        if ignored:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)


@contextmanager
def running(
    *command: str,
    environment: Mapping[str, str] | None = None,
    program: str | None = None,
    errors: IO[bytes] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program beside this one, and end it: politely, if it has children to end."""
    with _hang_ups_heard():
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            executable=program,
            stdin=subprocess.PIPE,
            # Nobody reads a pipe while much is printed into it.
            stdout=errors or subprocess.PIPE,
            stderr=errors,
            process_group=0,
        )
    try:
        yield process
    finally:
        if process.poll() is None and children(process.pid):
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.communicate()


def manage(environment: Mapping[str, str], *arguments: str) -> str:
    """Run a command of manage.py; return what it prints."""
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"manage.py {arguments[0]} failed: {done.stderr[-500:]}")
    return done.stdout


def free_port() -> int:
    return free_ports(1)


def free_ports(count: int) -> int:
    """Return the first of so many free ports in a row, below those that the kernel gives to clients."""
    for _ in range(200):
        first = random.randrange(15_000, 32_000 - count)
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise BenchError(f"there are no {count} free ports in a row")


class Redis(NamedTuple):
    url: str
    pid: int


@contextmanager
def redis_server() -> Iterator[Redis]:
    """Run a Redis that keeps nothing, and end it."""
    # Debian's redis-tools has the same program under another name.
    program = shutil.which("redis-server") or shutil.which("redis-check-rdb")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        options = f"--bind 127.0.0.1 --port {port} --dir {folder} --maxclients 5000 --save".split()
        with running("redis-server", *options, "", program=program) as process:
            if not any(b"Ready to accept" in line for line in process.stdout or ()):
                raise BenchError("Redis did not begin")
            yield Redis(f"redis://127.0.0.1:{port}/0", process.pid)
