"""Threads in which the database is asked from asynchronous code.

Django opens a connection for each request and closes it after it, unless it is told to keep some, and so does
what channels offers for asynchronous code with each question. Where many sockets arrive that is most of what
their questions cost: opening one takes longer than to ask. Here a thread keeps its connection for as long as
questions come, and ends with it when there are none. One of a pool goes back to it after each question.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any, TypeVar

from django.db import connections

T = TypeVar("T")

IDLE = 1.0
"""Seconds after the last question at which a thread ends, and closes its connection."""

OLDEST = 60.0
"""Seconds for which a connection is used at most: so a database that moves is followed."""


class DatabaseThreads(Executor):
    """Up to so many threads, each begun when there is something to do for it.

    A connection in which a question failed is closed, since it may be what is broken.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._changed = threading.Condition()
        self._questions: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._threads = self._idle = 0

    def submit(self, ask: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Return what becomes of a question that is asked in one of the threads."""
        answer: Future[T] = Future()
        with self._changed:
            self._questions.append((answer, partial(ask, *args, **kwargs)))
            if len(self._questions) > self._idle and self._threads < self._most:
                self._threads += 1
                threading.Thread(target=self._work, name=self._name).start()
            else:
                self._changed.notify()
        return answer

    def _work(self) -> None:
        opened = time.monotonic()
        try:
            while (question := self._next()) is not None:
                if not _answer(*question) or time.monotonic() - opened > OLDEST:
                    connections.close_all()
                    opened = time.monotonic()
                _return_to_pools()
        finally:
            connections.close_all()

    def _next(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        """Return the next question; None, and count the thread out, if none comes for a while."""
        with self._changed:
            self._idle += 1
            asked = self._changed.wait_for(lambda: bool(self._questions), IDLE)
            self._idle -= 1
            if not asked:
                self._threads -= 1
                return None
            return self._questions.popleft()


def _return_to_pools() -> None:
    for connection in connections.all(initialized_only=True):
        if connection.settings_dict["OPTIONS"].get("pool"):
            connection.close()


def _answer(answer: Future[Any], ask: Callable[[], Any]) -> bool:
    """Ask; return whether that went well."""
    if not answer.set_running_or_notify_cancel():
        return True
    try:
        found = ask()
    except BaseException as error:
        # It is the asker's, who waits for it; a thread has nobody else to tell.
        answer.set_exception(error)
        return False
    answer.set_result(found)
    return True
