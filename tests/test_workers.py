"""Several processes behind one command. They serve an application of a few lines, which needs no store."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPConnection, HTTPException
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from whosonline.conf import Settings
from whosonline.management.commands import serve

from .polling import until
from .serving import DEADLINE, ROOT, free_port

SITE = """
import os, sys
from functools import partial

if __name__ == "__main__":
    import django
    from whosonline.server import CannotServe, run_workers

    django.setup()
    port, count, spread = sys.argv[1:]
    try:
        run_workers(int(count), host="127.0.0.1", port=int(port), spread=spread == "spread",
                    listening=partial(print, "All serve", flush=True))
    except CannotServe as error:
        sys.exit(f"CannotServe: {error}")
"""

SETTINGS = """
import os
from whosonline import workers

SECRET_KEY = "only-for-tests"
ASGI_APPLICATION = "application.application"
workers.PATIENCE = float(os.environ.get("PATIENCE", workers.PATIENCE))
workers.WAY = float(os.environ.get("WAY", workers.WAY))
"""

APPLICATION = """
import asyncio, os

def note(what):
    with open("notes", "a") as file:
        print(what, os.getpid(), file=file)

note("begun")
if os.path.exists("broken"):
    raise RuntimeError("the application is broken")

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            if event == "lifespan.shutdown":
                while os.path.exists("lingers"):
                    await asyncio.sleep(0.01)
                note("ended")
            elif os.path.exists("mortal"):
                os._exit(7)
            await send({"type": f"{event}.complete"})
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""


class Site:
    """A process that keeps workers, in a folder of its own; all of them are one process group."""

    def __init__(
        self, folder: Path, workers: int = 2, *, spread: bool = False, port: int | None = None, **extra: str
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        for name, source in (("site_", SITE), ("settings_", SETTINGS), ("application", APPLICATION)):
            (folder / f"{name}.py").write_text(source)
        self.arguments = ["site_.py", str(self.port), str(workers), "spread" if spread else "share"]
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "settings_",
            "PYTHONPATH": str(ROOT / "src"),
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "default",
            **extra,
        }

    def __enter__(self) -> Site:
        with (self.folder / "output").open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *self.arguments],
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=output,
                process_group=0,
            )
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def serving(self) -> Site:
        """Wait until all of its workers serve."""
        until(lambda: "All serve" in self.output() or self.process.poll() is not None)
        assert self.process.poll() is None, self.output()
        return self

    def signal(self, by: signal.Signals) -> None:
        self.process.send_signal(by)

    def output(self) -> str:
        return (self.folder / "output").read_text()

    def notes(self) -> list[str]:
        """Return what processes have noted: that they have begun, and that they end as they should."""
        notes = self.folder / "notes"
        return notes.read_text().splitlines() if notes.exists() else []

    def noted(self, what: str) -> list[int]:
        """Return the processes that have noted it."""
        return [int(note.split()[1]) for note in self.notes() if note.startswith(what)]

    def ask(self, port: int | None = None) -> int:
        """Return which process answers a request."""
        connection = HTTPConnection("127.0.0.1", port or self.port, timeout=DEADLINE)
        try:
            connection.request("GET", "/")
            return int(connection.getresponse().read())
        finally:
            connection.close()

    def answering(self, count: int = 2, *, but: set[int] | None = None) -> set[int]:
        """Wait for answers of so many processes, others than given; return them."""
        seen: set[int] = set()

        def enough() -> bool:
            seen.add(self.ask())
            return len(seen - (but or set())) >= count

        until(enough)
        return seen - (but or set())


def lives(pid: int) -> bool:
    """Return whether a process does, and not just waits for somebody to collect its exit code."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return state.stdout.strip()[:1] not in ("", "Z")


def free_ports(count: int) -> int:
    """Return the first of so many ports in a row that nobody listens at."""
    while True:
        first = free_port()
        with ExitStack() as stack, suppress(OSError, OverflowError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two workers at one port, for tests that leave two workers there."""
    with Site(tmp_path_factory.mktemp("site")) as site:
        yield site.serving()
    assert "ERROR" not in site.output()
    assert "Warning" not in site.output()


def test_workers_share_a_port(site: Site):
    assert site.answering(2) == set(site.noted("begun"))


def test_a_worker_that_is_killed_is_replaced_while_the_other_serves(site: Site):
    killed, other = site.answering(2)
    os.kill(killed, signal.SIGKILL)
    assert other in site.answering(2, but={killed})
    assert other not in site.noted("ended")
    assert f"(process {killed}, exit code -9) has died: it is replaced at once" in site.output()


def test_a_restart_replaces_every_worker_and_leaves_no_request_without_an_answer(site: Site):
    old = site.answering(2)
    failed: list[Exception] = []
    answered: list[int] = []
    enough = threading.Event()

    def stream() -> None:
        while not enough.is_set():
            try:
                answered.append(site.ask())
            except (OSError, HTTPException) as error:
                failed.append(error)

    streams = [threading.Thread(target=stream) for _ in range(4)]
    for thread in streams:
        thread.start()
    try:
        until(lambda: answered)
        site.signal(signal.SIGHUP)
        until(lambda: old <= set(site.noted("ended")))
        already = len(answered)
        until(lambda: len(set(answered[already:]) - old) == 2)
    finally:
        enough.set()
        for thread in streams:
            thread.join()
    assert not failed
    assert not old & set(answered[already + len(streams) :])
    until(lambda: "the restart is done: 2 workers were replaced" in site.output())
    # One after the other, and none before another is there in its place.
    assert [note.split()[0] for note in site.notes()[-4:]] == ["begun", "ended"] * 2


def test_a_restart_to_a_broken_application_leaves_the_old_workers_there(site: Site):
    old = site.answering(2)
    (site.folder / "broken").touch()
    site.signal(signal.SIGHUP)
    until(lambda: "did not come up: the restart is given up" in site.output())
    (site.folder / "broken").unlink()
    assert site.answering(2) == old
    assert not old & set(site.noted("ended"))


def test_workers_that_are_spread_have_a_port_each(tmp_path: Path):
    first = free_ports(3)
    with Site(tmp_path, 3, spread=True, port=first) as site:
        site.serving()
        pids = [site.ask(port) for port in range(first, first + 3)]
        assert sorted(pids) == sorted(site.noted("begun"))
        assert [site.ask(port) for port in range(first, first + 3)] == pids
        os.kill(pids[1], signal.SIGKILL)
        until(lambda: site.ask(first + 1) not in pids)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_of_them_once(tmp_path: Path, by: signal.Signals):
    with Site(tmp_path) as site:
        site.serving()
        os.killpg(site.process.pid, by)  # as a terminal does
        assert site.process.wait(DEADLINE) == (0 if by is signal.SIGINT else -signal.SIGTERM)
        assert sorted(site.noted("ended")) == sorted(site.noted("begun"))
        assert site.output() == "All serve\n"


def refuses(port: int) -> bool:
    with socket.socket() as peer:
        return peer.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def test_a_site_that_ends_takes_no_connection_that_nobody_would_answer(tmp_path: Path):
    with Site(tmp_path, PATIENCE=str(10 * DEADLINE)) as site:
        site.serving()
        (tmp_path / "lingers").touch()
        site.signal(signal.SIGTERM)
        until(lambda: refuses(site.port))
        assert site.process.poll() is None
        (tmp_path / "lingers").unlink()
        assert site.process.wait(DEADLINE) == -signal.SIGTERM


def test_a_worker_leaves_what_the_terminal_says_to_the_process_that_keeps_it(tmp_path: Path):
    with Site(tmp_path, 1) as site:
        for wait_for in (lambda: site.noted("begun"), site.serving):
            until(wait_for)
            [worker] = site.noted("begun")
            os.kill(worker, signal.SIGINT)
            os.kill(worker, signal.SIGHUP)
        assert site.ask() == worker
        assert site.output() == "All serve\n"


def test_a_worker_that_does_not_end_is_killed(tmp_path: Path):
    with Site(tmp_path, PATIENCE="0.5") as site:
        stuck = site.serving().ask()
        os.kill(stuck, signal.SIGSTOP)
        site.signal(signal.SIGTERM)
        assert site.process.wait(DEADLINE) == -signal.SIGTERM
        assert f"(process {stuck}) has not ended within 0.5 s: it is killed" in site.output()
        assert not lives(stuck)


def test_a_worker_that_does_not_give_way_is_ended(tmp_path: Path):
    with Site(tmp_path, 1, WAY="0.5", PATIENCE="0.5") as site:
        stuck = site.serving().ask()
        os.kill(stuck, signal.SIGSTOP)
        site.signal(signal.SIGHUP)
        until(lambda: "the restart is done" in site.output())
        assert f"(process {stuck}) has not given way within 0.5 s: it is ended" in site.output()
        assert not lives(stuck)
        assert site.ask() != stuck


def is_told(process: int, by: signal.Signals) -> bool:
    """Return whether a signal waits for a stopped process."""
    status = Path(f"/proc/{process}/status").read_text()
    pending = next(line for line in status.splitlines() if line.startswith("ShdPnd:"))
    return bool(int(pending.split()[1], 16) & 1 << by - 1)


def test_a_new_worker_that_dies_while_the_old_one_gives_way_is_replaced(tmp_path: Path):
    with Site(tmp_path, 1) as site:
        old = site.serving().ask()
        os.kill(old, signal.SIGSTOP)  # it takes its time
        site.signal(signal.SIGHUP)
        until(lambda: len(site.noted("begun")) == 2)
        new = site.answering(1, but={old}).pop()
        until(lambda: is_told(old, signal.SIGUSR1))  # that the new one is there in its place
        os.kill(new, signal.SIGKILL)
        until(lambda: f"(process {new}, exit code -9) has died: it is replaced at once" in site.output())
        assert site.answering(1, but={old, new})
        os.kill(old, signal.SIGCONT)
        until(lambda: "the restart is done" in site.output())
        assert len(site.noted("begun")) == 3


def test_workers_end_when_the_process_that_keeps_them_is_killed(tmp_path: Path):
    with Site(tmp_path) as site:
        site.serving()
        site.signal(signal.SIGKILL)
        site.process.wait()
        until(lambda: sorted(site.noted("ended")) == sorted(site.noted("begun")))
        until(lambda: not any(map(lives, site.noted("begun"))))


def test_workers_end_when_their_terminal_is_closed(tmp_path: Path):
    terminal, its_side = os.openpty()
    site = Site(tmp_path)
    site.process = subprocess.Popen(
        [sys.executable, *site.arguments],
        cwd=tmp_path,
        env=site.environment,
        preexec_fn=lambda: os.login_tty(its_side),
    )
    os.close(its_side)
    try:
        until(lambda: len(site.noted("begun")) == 2)
        os.close(terminal)
        assert site.process.wait(DEADLINE) == -signal.SIGHUP
        assert not any(map(lives, site.noted("begun")))
    finally:
        site.__exit__()


def test_a_worker_that_dies_of_its_start_is_replaced_at_growing_intervals(tmp_path: Path):
    with Site(tmp_path) as site:
        killed = site.serving().ask()
        (tmp_path / "mortal").touch()
        killed_at = time.monotonic()
        os.kill(killed, signal.SIGKILL)
        until(lambda: "it is replaced in 2 s" in site.output())
        delays = [line.partition("replaced ")[2] for line in site.output().splitlines() if "died" in line]
        assert delays == ["at once", "in 0.5 s", "in 1 s", "in 2 s"]
        (tmp_path / "mortal").unlink()
        site.answering(2)
        assert time.monotonic() - killed_at > 0.5 + 1 + 2
        assert len(site.noted("begun")) == 2 + len(delays)


def test_an_application_that_is_broken_ends_everything_and_is_told_once(tmp_path: Path):
    (tmp_path / "broken").touch()
    with Site(tmp_path, 3) as site:
        assert site.process.wait(DEADLINE) == 1
        assert site.output().count("RuntimeError: the application is broken") == 1
        assert site.output().splitlines()[-1].startswith("CannotServe: worker 1 (process ")
        assert len(site.noted("begun")) == 1


@pytest.mark.parametrize("spread", [False, True])
def test_a_port_that_is_taken_is_told_in_a_sentence(tmp_path: Path, spread: bool):
    first = free_ports(3)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first + spread))
        taken.listen()
        with Site(tmp_path, 3, spread=spread, port=first) as site:
            assert site.process.wait(DEADLINE) == 1
            told = f"CannotServe: cannot listen at 127.0.0.1:{first + spread}: "
            assert site.output().startswith(told)
            assert len(site.output().splitlines()) == 1
            assert not site.noted("begun")


@pytest.mark.parametrize(
    ("workers", "told"),
    [(2, "--workers 2 needs a store that all share"), (0, "--workers must be 1 or more, not 0")],
)
def test_workers_that_cannot_be_are_refused(monkeypatch: pytest.MonkeyPatch, workers: int, told: str):
    monkeypatch.setattr(serve, "run_workers", lambda *args, **options: None)
    with pytest.raises(CommandError, match=told):
        call_command("serve", workers=workers, skip_checks=True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--port", "65536"], "cannot listen at 127.0.0.1:65536: the last port is 65535"),
        (["--port", "-1"], "cannot listen at 127.0.0.1:-1: "),
        (
            ["--port", "65535", "--workers", "2", "--spread"],
            "cannot listen at 127.0.0.1:65536: the last port is 65535",
        ),
    ],
)
def test_a_port_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str):
    monkeypatch.setattr(serve, "get_settings", lambda: Settings(store="redis://a-store-that-all-share"))
    monkeypatch.setattr(serve, "run_workers", lambda *args, **options: None)
    monkeypatch.setattr(serve, "run", lambda *args, **options: None)
    with pytest.raises(CommandError, match=told):
        call_command("serve", *arguments, skip_checks=True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--workers", "2"], "http://127.0.0.1:8000/ (2 workers; "),
        (["--workers", "2", "--spread"], "http://127.0.0.1:8000/ http://127.0.0.1:8001/ (2 workers; "),
        (["--spread"], "http://127.0.0.1:8000/ (Ctrl-C"),
    ],
)
def test_the_line_at_the_start_names_every_address(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
):
    monkeypatch.setattr(serve, "get_settings", lambda: Settings(store="redis://a-store-that-all-share"))
    monkeypatch.setattr(serve, "run_workers", lambda *args, listening, **options: listening())
    monkeypatch.setattr(serve, "run", lambda *args, listening, **options: listening())
    output = StringIO()
    call_command("serve", *arguments, stdout=output, skip_checks=True)
    assert output.getvalue().startswith(f"Serving at {told}")
