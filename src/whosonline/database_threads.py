"""Threads in which the database is asked from asynchronous code.

Django opens a connection for each request and closes it after it, unless it is told to keep some, and so does
what channels offers for asynchronous code with each question. Where many sockets arrive that is most of what
their questions cost: opening one takes longer than to ask. Here a thread keeps its connections for as long as
questions come, and ends with them when none has come for a while. Those of a pool go back to it after each
question.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any, TypeVar

from django.db import connections

logger = logging.getLogger(__name__)

T = TypeVar("T")

DOUBTFUL = 1.0
"""Seconds without a question after which a connection is tried before it is used: it may have been lost."""

OLDEST = 60.0
"""Seconds after which a connection is closed, and another opened: so a database that moves is followed, and
no router on the way has forgotten the connection by the time that somebody asks."""

LEAVING = 1.0
"""Seconds that :meth:`DatabaseThreads.shutdown` waits at most for what is still being asked."""


Question = tuple[Future[Any], Callable[[], Any]]

PAUSE: Question = (Future(), lambda: None)
"""Stands for a question where there is none: it is time to see to the connections."""


class DatabaseThreads(Executor):
    """Up to so many threads, each begun when there is something to do for it.

    Args:
        idle: Seconds after its last question at which a thread ends, and closes its connections.
    """

    def __init__(self, name: str, most: int, idle: float) -> None:
        self._name = name
        self._most = most
        self._ends_after = idle
        self._changed = threading.Condition()
        self._questions: deque[Question] = deque()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._ended = False
        # A process that ends without a word to its hub waits for no thread that has nothing to do.
        atexit.register(self.shutdown)

    def submit(self, ask: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Return what becomes of a question that is asked in one of the threads.

        Raises:
            RuntimeError: it was shut down; or there is no thread, and none can begin.
        """
        answer: Future[T] = Future()
        with self._changed:
            if self._ended:
                raise RuntimeError("these threads were shut down")
            self._questions.append((answer, partial(ask, *args, **kwargs)))
            if len(self._questions) > self._idle and len(self._threads) < self._most:
                self._begin_thread()
            else:
                self._changed.notify()
        return answer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ask nothing more; end the threads, and their connections, once what was asked for is answered.

        That is waited for, if at all, for a second: the process ends without what takes longer.
        """
        atexit.unregister(self.shutdown)
        with self._changed:
            self._ended = True
            if cancel_futures:
                for answer, _ in self._questions:
                    answer.cancel()
            threads = list(self._threads)
            self._changed.notify_all()
        deadline = time.monotonic() + LEAVING
        for thread in threads if wait else ():
            thread.join(max(0.0, deadline - time.monotonic()))

    def _begin_thread(self) -> None:
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._threads:
                self._questions.pop()  # nobody would ever ask
                raise
        else:
            self._threads.add(thread)

    def _work(self) -> None:
        opened = answered = time.monotonic()
        while (question := self._next(answered + self._ends_after, opened + OLDEST)) is not None:
            now = time.monotonic()
            if question is PAUSE:
                _renew_connections()
                opened = time.monotonic()
            else:
                doubtful = now - max(answered, opened) >= DOUBTFUL
                if now - opened >= OLDEST:  # there was no pause
                    _tend_connections(keep=False)
                    opened = now
                _answer(*question, doubtful=doubtful)
                answered = time.monotonic()
            del question  # while it waits for the next
        _tend_connections(keep=False)

    def _next(self, ends: float, renews: float) -> Question | None:
        """Return the next question; or else PAUSE when it is time to renew the connections, and None when it
        is time to end: then the thread is counted out.
        """
        with self._changed:
            self._idle += 1
            seconds = max(min(ends, renews) - time.monotonic(), 0)
            self._changed.wait_for(lambda: self._questions or self._ended, seconds)
            self._idle -= 1
            if self._questions:
                return self._questions.popleft()
            if renews < ends and not self._ended:
                return PAUSE
            self._threads.discard(threading.current_thread())
            return None


def _answer(answer: Future[Any], ask: Callable[[], Any], *, doubtful: bool) -> None:
    if not answer.set_running_or_notify_cancel():
        return
    try:
        try:
            if doubtful:
                _close_lost_connections()
            found = ask()
        finally:
            _tend_connections(keep=True)
    except BaseException as error:
        # It is the asker's, who waits for it; a thread has nobody else to tell.
        answer.set_exception(error)
    else:
        answer.set_result(found)
    finally:
        del answer  # else the error's traceback holds it, and it the error


def _close_lost_connections() -> None:
    for connection in connections.all(initialized_only=True):
        if connection.connection is not None and not connection.is_usable():
            connection.close()


def _renew_connections() -> None:
    """Close this thread's connections and open them again, while nobody asks for anything."""
    opened = [each for each in connections.all(initialized_only=True) if each.connection is not None]
    _tend_connections(keep=False)
    for connection in opened:
        try:
            connection.ensure_connection()
        except Exception:
            # Whoever asks next is told, if it is so still.
            logger.debug("the database %r could not be reached again", connection.alias, exc_info=True)
            _tend_connections(keep=False)  # it may be half open


def _tend_connections(keep: bool) -> None:
    """Close this thread's connections; or else, but for their age, do what Django does after a request."""
    for connection in connections.all(initialized_only=True):
        try:
            if not keep or connection.settings_dict["OPTIONS"].get("pool"):
                connection.close()
            else:
                connection.close_at = None
                connection.close_if_unusable_or_obsolete()
        except Exception:
            logger.exception("a connection to the database %r could not be closed", connection.alias)
