"""The threads that ask the database: how many there are, and how long their connections are kept."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait
from typing import Any

import pytest
from django.db import connections

from whosonline import database_threads
from whosonline.database_threads import DatabaseThreads


class Site:
    """Threads, and what became of the connections in them."""

    def __init__(self, threads: DatabaseThreads) -> None:
        self.threads = threads
        self.closed = threading.Semaphore(0)

    def ask(self) -> int:
        """Return which thread it was that answered."""
        return self.threads.submit(threading.get_ident).result(10)

    def was_closed(self, seconds: float = 10) -> bool:
        return self.closed.acquire(timeout=seconds)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    site = Site(DatabaseThreads("site", 2))
    close_all = connections.close_all

    def close() -> None:
        close_all()
        site.closed.release()

    monkeypatch.setattr(connections, "close_all", close)
    yield site
    for thread in threading.enumerate():
        if thread.name == "site":
            thread.join(10)


def test_an_answer_comes_with_what_was_asked(site: Site) -> None:
    assert site.threads.submit(lambda a, b: (a, b), 1, b=2).result(10) == (1, 2)


def test_a_connection_is_kept_while_questions_come_and_closed_with_its_thread_when_none_do(
    site: Site,
) -> None:
    assert len({site.ask() for _ in range(20)}) == 1
    assert not site.was_closed(0)
    assert site.was_closed()
    assert site.ask()  # another thread answers


def test_a_connection_in_which_a_question_failed_is_closed_and_the_asker_is_told(site: Site) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    here = site.ask()
    with pytest.raises(ZeroDivisionError):
        site.threads.submit(fail).result(10)
    assert site.ask() == here  # what was to be done after the failure is done
    assert site.was_closed(0)
    assert not site.was_closed(0)


def test_an_old_connection_is_closed_though_it_is_used(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_threads, "OLDEST", 0.0)
    assert site.ask() == site.ask()
    assert site.was_closed(0)


@pytest.mark.parametrize("pooled", [True, False])
def test_a_connection_of_a_pool_goes_back_to_it_after_each_question_and_others_are_kept(
    site: Site, monkeypatch: pytest.MonkeyPatch, pooled: bool
) -> None:
    monkeypatch.setitem(connections.settings["default"]["OPTIONS"], "pool", pooled)
    returned = threading.Semaphore(0)
    monkeypatch.setattr(type(connections["default"]), "close", lambda self: returned.release())
    site.threads.submit(lambda: connections["default"]).result(10)
    site.ask()  # what was to be done after the other question is done
    assert returned.acquire(blocking=False) == pooled


def test_there_are_as_many_threads_as_questions_and_no_more_than_allowed(site: Site) -> None:
    both, go_on = threading.Barrier(3), threading.Event()

    def meet() -> None:
        both.wait(10)
        go_on.wait(10)

    first = [site.threads.submit(meet) for _ in range(2)]
    both.wait(10)  # both threads are busy
    third = site.threads.submit(threading.get_ident)
    assert not wait([third], 0.05).done
    go_on.set()
    assert not wait([*first, third], 10).not_done
    # Those who are idle by now are asked again, two at the same time.
    more: list[Future[Any]] = [site.threads.submit(both.wait, 10) for _ in range(2)]
    both.wait(10)
    assert not wait(more, 10).not_done


def test_two_who_ask_at_once_where_one_thread_is_idle_are_not_left_to_that_one(site: Site) -> None:
    site.ask()
    both = threading.Barrier(2)
    with site.threads._changed:  # which the idle thread needs, to begin
        answers: list[Future[Any]] = [site.threads.submit(both.wait, 10) for _ in range(2)]
    assert not wait(answers, 10).not_done


def test_who_gives_up_before_being_heard_is_not_asked_for(site: Site) -> None:
    held, asked = threading.Event(), []
    busy = [site.threads.submit(held.wait, 10) for _ in range(2)]
    given_up = site.threads.submit(asked.append, 1)
    assert given_up.cancel()
    held.set()
    assert not wait(busy, 10).not_done
    assert site.ask()
    assert asked == []
