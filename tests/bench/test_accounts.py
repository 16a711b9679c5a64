"""``manage.py bench_accounts``: users with live sessions, for a load generator."""

from __future__ import annotations

import os
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import models
from django.test import Client
from django.utils import timezone

from whosonline.management.commands import bench_accounts
from whosonline.models import SearchWord

pytestmark = pytest.mark.django_db


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cookies.txt"


def make(number: int, file: Path, **options: Any) -> list[str]:
    """Run the command; return the lines that it wrote."""
    call_command("bench_accounts", number, file, **{"force": True, "verbosity": 0} | options)
    return file.read_text().splitlines()


def who_is_logged_in_by(cookie: str) -> str:
    page = Client(headers={"Cookie": cookie}).get("/")
    return str(page.context["user"]) if page.status_code == 200 else "nobody"


@pytest.mark.parametrize("engine", ["db", "cached_db", "file", "signed_cookies"])
def test_every_line_logs_another_user_in(file, settings, tmp_path, engine):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.SESSION_FILE_PATH = tmp_path
    lines = make(3, file)
    assert [who_is_logged_in_by(line) for line in lines] == ["bench-000000", "bench-000001", "bench-000002"]
    assert User.objects.count() == 3


def test_sessions_in_a_shared_cache_log_in_too(file, settings, tmp_path):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    backend = "django.core.cache.backends.filebased.FileBasedCache"
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": str(tmp_path / "cache")}}
    (line,) = make(1, file)
    assert who_is_logged_in_by(line) == "bench-000000"


def test_a_cache_that_no_other_process_shares_is_refused(file, settings):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    with pytest.raises(CommandError, match="no other process shares"):
        make(1, file)


def test_more_than_one_chunk_of_users_is_made(file, monkeypatch):
    monkeypatch.setattr(bench_accounts, "CHUNK", 2)
    assert len(set(make(5, file))) == 5
    names = User.objects.order_by("pk").values_list("username", flat=True)
    assert list(names) == [f"bench-{number:06}" for number in range(5)]


def test_searches_find_them(file):
    make(2, file)
    user = User.objects.get(username="bench-000001")
    assert list(SearchWord.objects.filter(word="000001").values_list("user", flat=True)) == [user.pk]
    make(3, file)
    assert SearchWord.objects.filter(word="000001").count() == 1


def test_sessions_run_out_when_the_project_s_do(file, settings):
    settings.SESSION_COOKIE_AGE = 1000
    make(1, file)
    left = Session.objects.get().expire_date - timezone.now()
    assert timedelta(seconds=990) < left <= timedelta(seconds=1000)


def test_a_second_run_uses_the_same_users_and_lets_their_sessions_begin_anew(file):
    (line,) = make(1, file)
    Session.objects.update(expire_date=timezone.now() - timedelta(days=1))
    assert who_is_logged_in_by(line) == "nobody"
    assert make(2, file)[0] == line
    assert (User.objects.count(), Session.objects.count()) == (2, 2)
    assert who_is_logged_in_by(line) == "bench-000000"


def test_nobody_can_log_in_as_one_by_a_password(file):
    make(1, file)
    assert not User.objects.get().has_usable_password()


def test_somebody_else_of_that_name_is_not_logged_in(file):
    User.objects.create_user("bench-000001", password="a secret")
    with pytest.raises(CommandError, match="'bench-000001' who can log in"):
        make(2, file)
    assert "sessionid" not in file.read_text()


def test_what_an_earlier_run_wrote_stays_until_there_is_something_new(file):
    before = make(2, file)
    User.objects.create_user("bench-000002", password="a secret")
    with pytest.raises(CommandError):
        make(3, file)
    assert file.read_text().splitlines() == before
    assert make(1, file) == before[:1]


def test_a_file_that_cannot_be_written_is_told_of_before_anybody_is_made(tmp_path):
    for place in (tmp_path, tmp_path / "none" / "cookies"):
        with pytest.raises(CommandError, match=f"{place} cannot be written"):
            make(1, place)
    assert User.objects.count() == 0


def test_what_is_no_file_is_written_to_and_stays_as_it_is(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o644)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    call_command("bench_accounts", 2, pipe, force=True, verbosity=0)
    assert os.read(reader, 1000).count(b"sessionid=") == 2
    os.close(reader)
    assert stat.S_IMODE(pipe.stat().st_mode) == 0o644


def test_a_database_without_tables_is_to_be_migrated(file, monkeypatch):
    monkeypatch.setattr(User._meta, "db_table", "missing")
    with pytest.raises(CommandError, match=r"no such table: missing.*has manage\.py migrate been run"):
        make(1, file)
    assert not file.exists()


def test_a_site_that_may_be_in_use_is_left_alone_unless_forced(file):
    with pytest.raises(CommandError, match="say --force"):
        make(1, file, force=False)
    assert not file.exists()
    assert User.objects.count() == 0


def test_only_the_owner_may_read_the_cookies(file):
    file.touch(0o644)
    make(1, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("number", ["0", "-1", "many", "1000001"])
def test_a_number_that_cannot_work_is_named(file, number):
    with pytest.raises(CommandError, match=f"must be from 1 to 1000000, not '{number}'"):
        make(number, file)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (models.EmailField(unique=True), "bench-000007@example.invalid"),
        (models.CharField(max_length=12), "bench-000007"),
        (models.TextField(), "bench-000007"),
        (models.IntegerField(unique=True), 8),
        (models.BooleanField(), False),
        (models.CharField(max_length=2, default="DE"), "DE"),
    ],
)
def test_what_a_project_s_users_must_have_is_filled_in(field, value):
    assert bench_accounts._value(field, 7) == value


@pytest.mark.parametrize(
    "field", [models.CharField(max_length=3), models.CharField(choices=[("a", "A")]), models.FileField()]
)
def test_what_cannot_be_guessed_is_named(field):
    field.name = "tier"
    with pytest.raises(CommandError, match="requires tier"):
        bench_accounts._value(field, 7)
