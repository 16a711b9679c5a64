"""The lobby's settings outside DEBUG: what is said of them, and where the secret comes from."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.redis_servers import RedisServer
from tests.serving import ROOT

OURS = {"SECRET_KEY", "DEBUG", "PLAIN_HTTP", "DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "HOST"}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh clone, as far as the settings go."""
    shutil.copytree(ROOT / "lobby", tmp_path / "clone" / "lobby")
    shutil.copy(ROOT / "manage.py", tmp_path / "clone")
    return tmp_path / "clone"


def python(clone: Path, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=clone,
        env={name: value for name, value in os.environ.items() if name not in OURS}
        | {"PYTHONPATH": os.pathsep.join((str(clone), str(ROOT / "src")))}
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def secret(clone: Path, **environment: str) -> str:
    return python(clone, "-c", "from lobby.settings import SECRET_KEY; print(SECRET_KEY)", **environment)


def test_the_checks_for_production_find_nothing(clone: Path, tmp_path: Path) -> None:
    with RedisServer(tmp_path) as redis:
        said = python(clone, "manage.py", "check", "--deploy", "--fail-level", "WARNING", REDIS_URL=redis.url)
    assert "System check identified no issues" in said


def test_the_checks_are_not_silenced_into_finding_nothing(clone: Path, tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path) as redis,
        pytest.raises(AssertionError, match=r"security\.W012.*not set to True"),
    ):
        python(
            clone,
            *("manage.py", "check", "--deploy", "--fail-level", "WARNING"),
            REDIS_URL=redis.url,
            PLAIN_HTTP="1",
        )


def test_a_first_run_makes_a_secret_that_stays_and_that_nobody_else_has(clone: Path, tmp_path: Path) -> None:
    key = secret(clone)
    assert len(key.strip()) >= 50
    assert secret(clone) == key
    assert stat.S_IMODE((clone / ".secret_key").stat().st_mode) == 0o600
    another = tmp_path / "another"
    shutil.copytree(clone / "lobby", another / "lobby")
    assert secret(another) != key


def test_a_secret_in_the_environment_is_taken_and_written_nowhere(clone: Path) -> None:
    assert secret(clone, SECRET_KEY="from the environment") == "from the environment\n"
    assert not (clone / ".secret_key").exists()


def test_the_repository_keeps_no_secret() -> None:
    assert "/.secret_key*" in (ROOT / ".gitignore").read_text().splitlines()
