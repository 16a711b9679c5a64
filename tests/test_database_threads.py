"""The threads that ask the database: how many there are, and how long their connections are kept."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connections

from whosonline import database_threads
from whosonline.database_threads import OLDEST, DatabaseThreads

from .polling import until

FOR_EVER = 600.0


class Asked:
    """What a question found: the thread it was asked in, and the connection."""

    def __init__(self) -> None:
        self.thread = threading.current_thread()
        connections["default"].ensure_connection()
        self.connection = connections["default"].connection

    @property
    def closed(self) -> bool:
        try:
            self.connection.execute("SELECT 1")
        except sqlite3.ProgrammingError:
            return True
        return False


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, django_db_blocker: Any) -> Iterator[Any]:
    """A database of its own for threads that begin from here on, and its settings."""
    settings = {**connections.settings["default"], "NAME": str(tmp_path / "database"), "OPTIONS": {}}
    monkeypatch.setitem(connections.settings, "default", settings)
    with django_db_blocker.unblock():
        yield settings


@pytest.fixture
def one(database: Any) -> Iterator[DatabaseThreads]:
    with DatabaseThreads("one", 1, FOR_EVER) as threads:
        yield threads


@pytest.fixture
def two(database: Any) -> Iterator[DatabaseThreads]:
    with DatabaseThreads("two", 2, FOR_EVER) as threads:
        yield threads


def ask(threads: DatabaseThreads) -> Asked:
    return threads.submit(Asked).result(10)


def wait_until_idle(threads: DatabaseThreads) -> None:
    """Wait until a thread has done what it does after an answer."""

    def is_idle() -> bool:
        with threads._changed:
            return threads._idle > 0

    until(is_idle)


def test_an_answer_comes_with_what_was_asked(one: DatabaseThreads) -> None:
    assert one.submit(lambda a, b: (a, b), 1, b=2).result(10) == (1, 2)


def test_a_connection_is_kept_while_questions_come(one: DatabaseThreads) -> None:
    asked = [ask(one) for _ in range(20)]
    assert len({each.thread for each in asked}) == 1
    assert len({each.connection for each in asked}) == 1
    assert not asked[0].closed


def test_a_thread_ends_with_its_connection_when_no_question_comes_and_another_answers_the_next(
    database: Any,
) -> None:
    with DatabaseThreads("short", 1, 0.01) as threads:
        first = ask(threads)
        first.thread.join(10)
        assert first.closed
        assert ask(threads).thread is not first.thread


def test_who_asks_is_told_what_went_wrong_and_a_connection_that_works_is_kept(one: DatabaseThreads) -> None:
    before = ask(one)
    with pytest.raises(ZeroDivisionError):
        one.submit(lambda: 1 / 0).result(10)
    assert ask(one).connection is before.connection


@pytest.mark.parametrize("usable", [True, False])
def test_a_connection_is_looked_at_after_an_error_though_nobody_was_told_of_it(
    one: DatabaseThreads, monkeypatch: pytest.MonkeyPatch, usable: bool
) -> None:
    monkeypatch.setattr(type(connections["default"]), "is_usable", lambda self: usable)
    before = ask(one)

    def swallow() -> None:
        connections["default"].errors_occurred = True

    one.submit(swallow).result(10)
    assert before.closed is not usable
    assert ask(one).closed is False


@pytest.mark.parametrize(("doubtful", "tried"), [(0.0, True), (FOR_EVER, False)])
def test_a_connection_that_may_have_been_lost_in_a_pause_is_tried_before_it_is_used(
    one: DatabaseThreads, monkeypatch: pytest.MonkeyPatch, doubtful: float, tried: bool
) -> None:
    monkeypatch.setattr(database_threads, "DOUBTFUL", doubtful)
    before = ask(one)
    monkeypatch.setattr(type(connections["default"]), "is_usable", lambda self: False)
    after = ask(one)
    assert before.closed is tried
    assert (after.connection is before.connection) is not tried


def test_a_transaction_that_was_left_open_ends_with_the_question(one: DatabaseThreads) -> None:
    before = ask(one)
    one.submit(lambda: connections["default"].set_autocommit(False)).result(10)
    assert before.closed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock that threads go by: it stands at 0.0 until the test sets `now`."""
    clock = SimpleNamespace(monotonic=lambda: clock.now, now=0.0)
    monkeypatch.setattr(database_threads, "time", clock)
    return clock


def test_nobody_is_answered_by_an_old_connection(clock: SimpleNamespace, one: DatabaseThreads) -> None:
    first = ask(one)
    wait_until_idle(one)
    clock.now = OLDEST / 2
    assert ask(one).connection is first.connection
    wait_until_idle(one)
    clock.now = OLDEST
    second = ask(one)
    assert second.connection is not first.connection
    assert first.closed
    wait_until_idle(one)
    clock.now = OLDEST * 1.5
    assert ask(one).connection is second.connection


def test_a_connection_is_renewed_while_nobody_asks_and_the_next_who_does_finds_it_open(
    one: DatabaseThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = pauses(monkeypatch)
    first = ask(one)
    assert paused.wait(10)
    assert first.closed
    thread, found = one.submit(
        lambda: (threading.current_thread(), connections["default"].connection)
    ).result(10)
    assert found is not None
    assert found is not first.connection
    assert thread is first.thread


def test_a_connection_that_nobody_asked_for_is_not_opened_in_a_pause(
    one: DatabaseThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = pauses(monkeypatch)
    one.submit(lambda: connections["default"].close()).result(10)
    assert paused.wait(10)
    assert one.submit(lambda: connections["default"].connection).result(10) is None


def test_a_connection_that_cannot_be_opened_in_a_pause_is_the_next_question_s_affair(
    one: DatabaseThreads, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "whosonline.database_threads")
    init = type(connections["default"]).init_connection_state
    with monkeypatch.context() as away:
        paused = pauses(monkeypatch)
        first = one.submit(lambda: break_with(away, Asked())).result(10)
        assert paused.wait(10)
    assert first.closed
    assert "could not be reached again" in caplog.text
    assert type(connections["default"]).init_connection_state is init
    assert one.submit(lambda: connections["default"].connection).result(10) is None  # not half open
    assert ask(one).thread is first.thread


def test_a_thread_ends_in_its_time_though_it_has_renewed_its_connection(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = pauses(monkeypatch)
    with DatabaseThreads("short", 1, 0.2) as threads:
        asked = ask(threads)
        assert paused.wait(10)
        asked.thread.join(10)
        assert not asked.thread.is_alive()


def break_with(away: pytest.MonkeyPatch, asked: Asked) -> Asked:
    """Have no further connection be opened but by half."""
    away.setattr(type(connections["default"]), "init_connection_state", lambda self: 1 / 0)
    return asked


def pauses(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Have connections become old soon, once; return what tells when those of a thread have been renewed."""
    renew, paused = database_threads._renew_connections, threading.Event()

    def note() -> None:
        renew()
        monkeypatch.setattr(database_threads, "OLDEST", FOR_EVER)
        paused.set()

    monkeypatch.setattr(database_threads, "_renew_connections", note)
    monkeypatch.setattr(database_threads, "OLDEST", 0.05)
    return paused


def test_a_connection_of_a_pool_is_back_before_the_answer_comes(one: DatabaseThreads, database: Any) -> None:
    before = ask(one)
    database["OPTIONS"]["pool"] = True
    one.submit(int).result(10)
    assert before.closed


def test_a_connection_that_cannot_be_closed_keeps_nobody_from_an_answer(
    one: DatabaseThreads, database: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ask(one)
    with monkeypatch.context() as broken:
        broken.setattr(type(connections["default"]), "close", lambda self: 1 / 0)
        database["OPTIONS"]["pool"] = True
        assert one.submit(int).result(10) == 0
        assert one.submit(int).result(10) == 0
    assert "could not be closed" in caplog.text


def test_there_are_as_many_threads_as_questions_and_no_more_than_allowed(two: DatabaseThreads) -> None:
    both, go_on = threading.Barrier(3), threading.Event()

    def meet() -> None:
        both.wait(10)
        go_on.wait(10)

    first = [two.submit(meet) for _ in range(2)]
    both.wait(10)  # both threads are busy
    third = two.submit(int)
    assert not wait([third], 0.05).done
    go_on.set()
    assert not wait([*first, third], 10).not_done
    # Those who are idle by now are asked again, two at the same time.
    more: list[Future[Any]] = [two.submit(both.wait, 10) for _ in range(2)]
    both.wait(10)
    assert not wait(more, 10).not_done


def test_two_who_ask_at_once_where_one_thread_is_idle_are_not_left_to_that_one(two: DatabaseThreads) -> None:
    ask(two)
    wait_until_idle(two)
    both = threading.Barrier(2)
    with two._changed:  # which the idle thread needs, to begin
        answers: list[Future[Any]] = [two.submit(both.wait, 10) for _ in range(2)]
    assert not wait(answers, 10).not_done


def test_who_gives_up_before_being_heard_is_not_asked_for(one: DatabaseThreads) -> None:
    held, asked = threading.Event(), list[int]()
    busy = one.submit(held.wait, 10)
    given_up = one.submit(asked.append, 1)
    assert given_up.cancel()
    held.set()
    assert busy.result(10)
    ask(one)
    assert asked == []


def test_a_thread_that_cannot_begin_is_told_of_and_tried_again(
    two: DatabaseThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_more(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as crowded:
        crowded.setattr(threading.Thread, "start", no_more)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="can't start"):
                two.submit(int)
    held = threading.Event()
    busy = two.submit(held.wait, 10)
    with monkeypatch.context() as crowded:
        crowded.setattr(threading.Thread, "start", no_more)
        second = two.submit(int)  # which waits for the one that there is
    held.set()
    assert busy.result(10)
    assert second.result(10) == 0


def test_whoever_is_shut_down_leaves_at_once_and_answers_nobody_more(
    one: DatabaseThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_threads, "LEAVING", 60.0)
    asked = ask(one)
    one.shutdown()
    assert not asked.thread.is_alive()
    assert asked.closed
    with pytest.raises(RuntimeError):
        one.submit(int)


def test_what_was_asked_for_before_is_answered_unless_it_is_called_off(
    one: DatabaseThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_threads, "LEAVING", 0.0)  # it is busy yet
    begun, held = threading.Barrier(2), threading.Event()

    def hold() -> bool:
        begun.wait(10)
        return held.wait(10)

    for threads, called_off in ((one, False), (DatabaseThreads("other", 1, FOR_EVER), True)):
        busy, second = threads.submit(hold), threads.submit(int)
        begun.wait(10)
        threads.shutdown(cancel_futures=called_off)
        held.set()
        assert busy.result(10)
        assert wait([second], 10).done
        assert second.cancelled() is called_off
        held.clear()


PROGRAM = """
import atexit, threading
from django.conf import settings
from whosonline.database_threads import DatabaseThreads

settings.configure()
atexit.register(lambda: print("threads at the end:", threading.active_count()))
threads = DatabaseThreads("one", 1, 600.0)
threads.submit(int).result()
"""


def test_a_process_that_ends_waits_for_no_thread_that_has_nothing_to_do_and_lets_it_end() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "threads at the end: 1\n", "")
