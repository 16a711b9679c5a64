"""A real PostgreSQL server, a process of its own with databases of its own.

It listens at a socket in a folder that is its user's alone, and at no port; it keeps nothing, and ends with
the ``with`` statement, or with the thread that began it, however that ends. Every call blocks.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

DEADLINE = 60.0
"""Seconds that anything here may take."""

OLDEST = 15
"""The first version whose databases may be in an order other than that of the code points anywhere."""

UNPRIVILEGED = ("postgres", "nobody")
"""PostgreSQL refuses to run as root: whose process it is instead."""

QUICK = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}


class PostgresServer:
    """One PostgreSQL, in whose databases an "a" comes before a "B", as in those of most people.

    Raises:
        LookupError: there is none on this machine, or none that is new enough; the text says so.
    """

    def __init__(self) -> None:
        self._programs = programs()
        user = _unprivileged() if os.geteuid() == 0 else None
        # Not in a test's folder: for a socket's address that may be too long, and it is root's alone.
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._log = self.folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._who: dict[str, Any] = {}
        if user:
            self._who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(self.folder, user.pw_uid, user.pw_gid)

    def __enter__(self) -> Self:
        try:
            self._make()
            self._start()
        except BaseException as error:
            error.add_note(self.output())
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        process, self._process = self._process, None
        try:
            if process is not None:
                process.send_signal(signal.SIGQUIT)  # at once, its own processes too
                process.wait(DEADLINE)
        finally:
            shutil.rmtree(self.folder)

    def database(self, name: str) -> str:
        """Make an empty database; return its URL."""
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self._address(name)

    def output(self) -> str:
        """Return all that it has logged so far."""
        return self._log.read_text() if self._log.exists() else ""

    def _address(self, database: str) -> str:
        return f"postgres://tests@{quote(str(self.folder), safe='')}/{database}"

    def _make(self) -> None:
        command = [str(self._programs / "initdb"), "--pgdata", str(self.folder / "data")]
        command += ["--username", "tests", "--auth", "trust", "--no-sync", "--encoding", "UTF8"]
        command += ["--locale", "C", "--locale-provider", "icu", "--icu-locale", "en"]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False, **self._who
        )
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")

    def _start(self) -> None:
        command = [str(self._programs / "postgres"), "-D", str(self.folder / "data")]
        command += ["-k", str(self.folder), "-c", "listen_addresses="]
        for setting, value in QUICK.items():
            command += ["-c", f"{setting}={value}"]
        if shutil.which("setpriv"):
            command = ["setpriv", "--pdeathsig", "QUIT", *command]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
                **self._who,
            )
        deadline = time.monotonic() + DEADLINE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("PostgreSQL did not begin")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._address("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True


def programs() -> Path:
    """Return the folder of PostgreSQL's programs. Debian keeps those of each version outside the PATH.

    Raises:
        LookupError: there is none.
    """
    found = [Path(program).parent for program in [shutil.which("initdb")] if program]
    found += Path("/usr/lib/postgresql").glob("*/bin")
    versions = {_version(folder): folder for folder in reversed(found)}
    if not versions:
        raise LookupError("there is no PostgreSQL here")
    newest = max(versions)
    if newest < OLDEST:
        raise LookupError(f"the PostgreSQL here is of version {newest}: {OLDEST} or newer is needed")
    return versions[newest]


def _version(folder: Path) -> int:
    try:
        told = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return 0
    number = re.search(r"\d+", told.stdout)
    return int(number[0]) if number else 0


def _unprivileged() -> pwd.struct_passwd:
    for name in UNPRIVILEGED:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            pass
    raise LookupError(f"PostgreSQL refuses to run as root, and there is no user {' or '.join(UNPRIVILEGED)}")
