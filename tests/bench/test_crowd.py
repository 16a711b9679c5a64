"""The simulated crowd, as a person starts it: in a process of its own, against a real server."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bench.crowd import SettingError, read_settings
from tests.serving import ROOT, Server, free_port


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("site")) as server:
        yield server


def start_crowd(url: str, people: int, seconds: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench.crowd"],
        cwd=ROOT,
        env={**os.environ, "URL": url, "PEOPLE": str(people), "SECONDS": str(seconds)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_people_come_and_go_and_the_site_counts_them(site: Server) -> None:
    with start_crowd(site.url, people=3, seconds=7) as crowd:
        output, errors = crowd.communicate(timeout=60)
    assert (crowd.returncode, errors) == (0, "")
    assert re.search(r"^ +5 s: [0-3] online, \d tabs open, [3-9] log-ins, 0 errors$", output, re.MULTILINE)
    assert re.search(r"^They have all gone: \d+ log-ins, 0 errors\.$", output, re.MULTILINE)
    assert site.manage("shell", "-v0", "-c", ACCOUNTS).split() == ["guest-001", "guest-002", "guest-003"]


ACCOUNTS = (
    "from django.contrib.auth.models import User; print(*User.objects.values_list('username', flat=True))"
)


def test_the_next_crowd_logs_in_to_the_same_accounts(site: Server) -> None:
    for _ in range(2):
        with start_crowd(site.url, people=1, seconds=3) as crowd:
            output, _ = crowd.communicate(timeout=60)
        assert " 0 errors." in output


def test_ctrl_c_ends_it_without_a_traceback(site: Server) -> None:
    with start_crowd(site.url, people=2, seconds=60) as crowd:
        assert crowd.stdout is not None
        while "online" not in (line := crowd.stdout.readline()):
            assert line, "it ended by itself"
        crowd.send_signal(signal.SIGINT)
        output, errors = crowd.communicate(timeout=30)
    assert (crowd.returncode, output, errors) == (0, "", "")


def test_a_site_that_does_not_answer_is_told_in_one_sentence() -> None:
    with start_crowd(f"http://127.0.0.1:{free_port()}", people=1, seconds=1) as crowd:
        output, errors = crowd.communicate(timeout=30)
    assert (crowd.returncode, output) == (1, "")
    assert errors.startswith("Nothing answers at ")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    "url",
    ["http://example.com", "http://10.0.0.1:8000", "http://127.0.0.1.example.com/", "ftp://127.0.0.1", ""],
)
def test_a_site_on_another_machine_is_refused(url: str) -> None:
    with pytest.raises(SettingError, match="goes to this machine alone"):
        read_settings({"URL": url})


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost:1234/", "http://[::1]:8000"])
def test_a_site_on_this_machine_is_visited(url: str) -> None:
    assert read_settings({"URL": url}).url == url


@pytest.mark.parametrize("number", ["0", "-1", "many", "1.5", ""])
def test_a_number_that_cannot_work_is_named(number: str) -> None:
    with pytest.raises(SettingError, match="PEOPLE must be a whole number above 0"):
        read_settings({"PEOPLE": number})
