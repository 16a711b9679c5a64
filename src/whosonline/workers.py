"""Several processes that serve, kept by one that serves nothing: it starts, replaces and ends them.

It knows neither Django nor the server: a *worker* is a process that calls a function with a socket.
Workers are spawned, not forked, so a new one runs the code as it is by then.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import Any, NoReturn

logger = logging.getLogger("whosonline.workers")

Serve = Callable[[socket.socket, Callable[[], None]], None]
"""What a worker does until SIGTERM, or REPLACED, given its socket and what to call once it accepts.
It is pickled."""

REPLACED = getattr(signal, "SIGUSR1", signal.SIGTERM)
"""Tells a worker that another has taken its place: it sends its peers there, without haste, and ends."""

START = 60.0
"""Seconds that a worker may take until it accepts."""

PATIENCE = 10.0
"""Seconds that a worker may take to end: more than the server waits for its peers."""

WAY = 300.0
"""Seconds that one that was replaced may take for that."""

STEADY = 10.0
"""Seconds after which a worker that dies has not died of its start."""

DELAYS = (0.5, 30.0)
"""Seconds until a replacement that died of its start is replaced: at first, and at most."""


class WorkerFailed(Exception):
    """A worker did not come up. It has said why itself."""


def supervise(
    serve: Serve, listeners: Sequence[socket.socket], started: Callable[[], None]
) -> signal.Signals:
    """Keep a worker for each listener until a signal ends them all; return that signal.

    SIGINT and SIGTERM end them. SIGHUP replaces one after the other, each by one that accepts already.

    Args:
        listeners: Bound sockets; they are closed in the end. One that workers share is here once for each.
        started: Called once, when all accept.

    Raises:
        WorkerFailed: One did not come up at the beginning; the others have been ended.
    """
    return asyncio.run(_Supervisor(serve, listeners).run(started))


class _Supervisor:
    def __init__(self, serve: Serve, listeners: Sequence[socket.socket]) -> None:
        self._serve = serve
        self._listeners = listeners
        self._slots: list[_Worker] = []
        self._alive: set[_Worker] = set()
        self._restart = asyncio.Event()
        self._terminal = _has_terminal()

    async def run(self, started: Callable[[], None]) -> signal.Signals:
        loop = asyncio.get_running_loop()
        self._end: asyncio.Future[signal.Signals] = loop.create_future()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._end_by, number)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # which is how nohup asks to live on
            loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        keeping = asyncio.create_task(self._keep_all(started))
        either: set[asyncio.Future[Any]] = {self._end, keeping}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        failed = keeping.done()
        keeping.cancel()
        await asyncio.wait({keeping})
        # Else the kernel would take connections for as long as this process lives, that no worker accepts.
        for listener in self._listeners:
            listener.close()
        await asyncio.gather(*(worker.end() for worker in self._alive))
        return keeping.result() if failed else self._end.result()

    def _end_by(self, number: signal.Signals) -> None:
        if not self._end.done():
            self._end.set_result(number)

    def _hang_up(self) -> None:
        # A terminal that closes sends the same signal, and nobody would know of what lives on without it.
        if self._terminal and not _has_terminal():
            self._end_by(signal.SIGHUP)
        else:
            self._restart.set()

    def _reap(self) -> None:
        self._alive = {worker for worker in self._alive if not worker.is_over()}

    def _start(self, slot: int) -> _Worker:
        worker = _Worker(slot + 1, self._serve, self._listeners[slot])
        if not worker.is_over():
            self._alive.add(worker)
        return worker

    async def _keep_all(self, started: Callable[[], None]) -> NoReturn:
        for slot in range(len(self._listeners)):
            self._slots.append(self._start(slot))
            if slot == 0:  # alone: what is wrong for all is told once
                await self._slots[0].come_up()
        for worker in self._slots:
            await worker.come_up()
        started()
        async with asyncio.TaskGroup() as group:
            keepers = [group.create_task(self._keep(slot)) for slot in range(len(self._slots))]
            while True:
                await self._restart.wait()
                self._restart.clear()
                await self._replace_all(group, keepers)

    async def _keep(self, slot: int) -> NoReturn:
        """Replace the worker of a slot when it dies: at once, but not at once again and again."""
        delay = 0.0
        while True:
            worker = self._slots[slot]
            await worker.ended.wait()
            if time.monotonic() - worker.began >= STEADY:
                delay = 0.0
            if self._slots[slot] is worker:
                when = f"in {delay:g} s" if delay else "at once"
                logger.warning("%s has died: it is replaced %s", worker, when)
                await asyncio.sleep(delay)
                delay = min(max(2 * delay, DELAYS[0]), DELAYS[1])
            if self._slots[slot] is worker:  # still: a restart may have put another there
                self._slots[slot] = self._start(slot)

    async def _replace_all(self, group: asyncio.TaskGroup, keepers: list[asyncio.Task[NoReturn]]) -> None:
        began = time.monotonic()
        for slot in range(len(self._slots)):
            new = self._start(slot)
            try:
                await new.come_up()
            except WorkerFailed as error:
                logger.warning("%s: the restart is given up, and the one it was to replace stays", error)
                return
            old, self._slots[slot] = self._slots[slot], new
            # The new one may die while the old one still gives way.
            keepers[slot].cancel()
            keepers[slot] = group.create_task(self._keep(slot))
            await old.give_way()
            logger.info("%s serves in place of %s", new, old)
        # A warning, as what else happens to workers is: who asked for it is to see that it is over.
        took = time.monotonic() - began
        logger.warning("the restart is done: %d workers were replaced in %.1f s", len(self._slots), took)


class _Worker:
    """One process, from its start to its end."""

    def __init__(self, number: int, serve: Serve, listener: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self.began = time.monotonic()
        self.ended = asyncio.Event()
        self._up: asyncio.Future[bool] = self._loop.create_future()
        self._link, its_end = socket.socketpair()
        self._loop.add_reader(self._link, self._hear)
        self._process = multiprocessing.get_context("spawn").Process(
            target=_work, name=f"worker {number}", args=(serve, listener, its_end)
        )
        with its_end, _deaf_to_the_terminal():
            try:
                self._process.start()
            except OSError as error:  # too many processes, too little memory
                logger.warning("no process can be started: %s", error)

    def __str__(self) -> str:
        code = self._process.exitcode
        ended = "" if code is None else f", exit code {code}"
        return f"{self._process.name} (process {self._process.pid}{ended})"

    def _hear(self) -> None:
        self._loop.remove_reader(self._link)
        if self._link.recv(1):  # else it is ending
            self._up.set_result(True)

    def is_over(self) -> bool:
        """Return whether it has ended. If so it lets go of all; do not ask again."""
        if self._process.is_alive():
            return False
        self._loop.remove_reader(self._link)
        self._link.close()
        if not self._up.done():
            self._up.set_result(False)
        self.ended.set()
        return True

    async def come_up(self) -> None:
        """Wait until it accepts. Raises WorkerFailed when it has ended instead."""
        await asyncio.wait({self._up}, timeout=START)
        if not (self._up.done() and self._up.result()):
            await self.end()
            raise WorkerFailed(f"{self} did not come up")

    async def give_way(self) -> None:
        """Have it end in its own time, since another accepts in its place; if it takes too long, end it."""
        if not self.ended.is_set() and self._process.pid is not None:
            os.kill(self._process.pid, REPLACED)
        try:
            await asyncio.wait_for(self.ended.wait(), WAY)
        except TimeoutError:
            logger.warning("%s has not given way within %g s: it is ended", self, WAY)
            await self.end()

    async def end(self) -> None:
        """End it, by force if it takes too long."""
        if not self.ended.is_set():
            self._process.terminate()
        try:
            await asyncio.wait_for(self.ended.wait(), PATIENCE)
        except TimeoutError:
            logger.warning("%s has not ended within %g s: it is killed", self, PATIENCE)
            self._process.kill()
            await self.ended.wait()


def _work(serve: Serve, listener: socket.socket, link: socket.socket) -> None:
    """The life of a worker, in its process."""
    threading.Thread(target=_end_with, args=(link,), daemon=True).start()

    def up() -> None:
        with suppress(OSError):  # nobody hears it any more
            link.send(b"\n")

    serve(listener, up)


def _end_with(supervisor: socket.socket) -> None:
    """End this process when the one that keeps it has gone, whatever has killed it."""
    with suppress(OSError):
        supervisor.recv(1)  # nothing is ever sent
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def _deaf_to_the_terminal() -> Iterator[None]:
    """Let processes start that never hear Ctrl-C or a hang-up: the terminal tells everybody in it.

    From their first moment, which no handler of theirs could cover.
    """
    resource_tracker.ensure_running()  # now, since it unblocks SIGINT when it begins
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
