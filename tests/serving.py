"""A real server in a process of its own, with a database of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

DEADLINE = 60.0
"""Seconds that a server may take to begin or to end."""


class Server:
    """``manage.py serve`` (or another command that serves), to be started and ended as often as a test likes.

    Args:
        folder: Where its database and its output go.
        policy: What its WHOSONLINE dict holds.
        command: The command of manage.py, before its address.
        database: The URL of another database than an SQLite in the folder.
    """

    def __init__(
        self,
        folder: Path,
        policy: dict[str, Any] | None = None,
        command: Sequence[str] = ("serve",),
        database: str = "",
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = command
        self._output = folder / "server.log"
        self._environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.server_settings",
            "DATABASE_URL": database or f"sqlite:///{folder / 'lobby.sqlite3'}",
            "WHOSONLINE": json.dumps(policy or {}),
            "SECRET_KEY": "only-for-tests",
            "DEBUG": "1",
            # The folder too: a test may put a module there.
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", ROOT, folder))),
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "default",
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.manage("migrate", "--verbosity", "0")

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None:
            self.stop(signal.SIGKILL)

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it answers."""
        address = ["--port", str(self.port)] if self._command[0] == "serve" else [f"127.0.0.1:{self.port}"]
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", *self._command, *address],
                cwd=ROOT,
                env=self._environment,
                stdout=output,
                stderr=output,
                process_group=0,
            )
        try:
            until_port_answers(self.port, self._process, self.output)
        except RuntimeError:
            self.stop(signal.SIGKILL)
            raise

    def stop(self, by: signal.Signals = signal.SIGINT) -> int:
        """End it by a signal; return its exit code."""
        assert self._process is not None
        process, self._process = self._process, None
        # To all of its group, as a terminal does: the reloader of runserver has a child.
        os.killpg(process.pid, by)
        try:
            return process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise RuntimeError(f"the server did not end:\n{self.output()}") from None

    def output(self) -> str:
        """Return all that it has printed so far."""
        return self._output.read_text() if self._output.exists() else ""

    def open_files(self) -> int:
        """Return how many files its process has open, sockets included."""
        return len(os.listdir(f"/proc/{self.process_id}/fd"))

    @property
    def process_id(self) -> int:
        assert self._process is not None
        return self._process.pid

    def manage(self, *arguments: str) -> str:
        """Run a command of manage.py beside the server; return what it prints."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"manage.py {arguments[0]} failed:\n{done.stdout}{done.stderr}")
        return done.stdout


def until_port_answers(port: int, process: subprocess.Popen[bytes], output: Callable[[], str]) -> None:
    """Wait until somebody listens at a port of this machine, as long as the process runs."""
    deadline = time.monotonic() + DEADLINE
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server did not begin:\n{output()}")
        time.sleep(0.02)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
