"""The load on a site: processes full of browser tabs (:mod:`bench.tabs`), told what to do from here."""

from __future__ import annotations

import math
import multiprocessing
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from . import tabs
from .accounts import Account
from .processes import BenchError, cpu
from .reader import compiled_reader
from .sights import Harvest, View
from .tab import Stats

TABS = 18_500
"""Tabs in a process at most, not all of them open; it may open 20,000 files."""

ANSWER = 120.0
"""Seconds that a process may take to answer: it may be busy with frames."""

AT_ONCE = 300
"""Tabs that are being opened at the same time while a site is filled."""

SOON = 0.3
"""Seconds until what is planned begins: until all processes know."""

NO_STATS = Stats(0, 0, Counter(), Counter(), 0, 0, 0, 0.0)


class Load:
    """All tabs, by the numbers of their people. Made by :func:`loading`.

    Args:
        library: reader.c, compiled; None if it cannot be.
    """

    def __init__(self, accounts: Sequence[Account], ports: Sequence[int], library: str | None) -> None:
        self.accounts = accounts
        self.count = max(2, math.ceil(len(accounts) / TABS))
        self._processes = []
        self._pipes = []
        context = multiprocessing.get_context("spawn")
        for which in range(self.count):
            pipe, its_end = context.Pipe()
            own = {number: accounts[number] for number in range(which, len(accounts), self.count)}
            arguments = (its_end, own, ports, self.count, f"127.0.0.{which + 2}", library)
            process = context.Process(target=tabs.run, args=arguments, daemon=True)
            process.start()
            its_end.close()
            self._processes.append(process)
            self._pipes.append(pipe)

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.join()

    # What tabs do

    def look(self, views: Sequence[View], of: Mapping[int, int]) -> None:
        """Decide which view each tab has when it opens next."""
        shares: list[dict[int, int]] = [{} for _ in self._pipes]
        for number, view in of.items():
            shares[number % self.count][number] = view
        self._ask("look", [(views, share) for share in shares])

    def open(self, numbers: Iterable[int], rate: float) -> float:
        """Open tabs, so many a second; return when the first is opened."""
        begin = time.monotonic() + SOON
        self.plan("open", [(begin + turn / rate, number) for turn, number in enumerate(numbers)])
        return begin

    def plan(self, what: str, schedule: Sequence[tuple[float, int]]) -> None:
        """Let tabs be opened or closed, or people be logged out, each at its time."""
        shares: list[list[tuple[float, int]]] = [[] for _ in self._pipes]
        for at, number in schedule:
            shares[number % self.count].append((at, number))
        self._ask(what, [(share,) for share in shares])

    def fill(self, numbers: Sequence[int], seconds: float) -> None:
        """Open tabs as fast as the site takes them, and wait until all are open."""
        count, waiting = self.stats().open + len(numbers), list(reversed(numbers))

        def go_on(stats: Stats) -> bool:
            if waiting and stats.under_way < AT_ONCE:
                self.open([waiting.pop() for _ in range(min(AT_ONCE, len(waiting)))], 10 * AT_ONCE)
                return False
            return not waiting and not stats.under_way

        self.wait_until(f"{len(numbers):,} more tabs open", go_on, seconds)
        self.wait_until_open(count, 1)

    def drop(self, numbers: Iterable[int]) -> float:
        """Break the connections of tabs, all at once; return when."""
        at = time.monotonic() + SOON
        shares: list[list[int]] = [[] for _ in self._pipes]
        for number in numbers:
            shares[number % self.count].append(number)
        self._ask("drop", [(share, at) for share in shares])
        return at

    def returning(self, returns: bool) -> None:
        """Say whether tabs that lose their server come back."""
        self.all("returning", returns)
        self.all("forget")

    # What has come of it

    def all(self, what: str, *arguments: Any) -> list[Any]:
        """Ask each process for the same; return their answers."""
        return self._ask(what, [arguments] * self.count)

    def ledger(self, what: str, *arguments: Any) -> list[Any]:
        """Ask the ledger of each process for the same."""
        return self.all("ledger_call", what, *arguments)

    def cpu(self) -> float:
        """Return the CPU seconds that all its processes have used."""
        return sum(cpu(process.pid) for process in self._processes if process.pid is not None)

    def stats(self) -> Stats:
        total = NO_STATS
        for stats in self.all("stats"):
            total = total.plus(stats)
        return total

    def begin(self, all_told: bool = True) -> None:
        """Note from now on what the tabs cause and see.

        Raises:
            BenchError: one of them was not told all that it watches.
        """
        untold = sum(self.ledger("begin", all_told))
        if untold:
            raise BenchError(f"{untold:,} times a user's status has not been told to a tab that watches it")

    def seen(self) -> int:
        """Return how many sights of changes were noted since the ledgers began."""
        return sum(self.ledger("seen"))

    def harvest(self) -> Harvest:
        """Return what was caused and seen since the ledgers began."""
        whole = Harvest({}, array("I"), array("d"))
        for part in self.ledger("harvest"):
            whole.causes.update(part.causes)
            whole.changes.extend(part.changes)
            whole.times.extend(part.times)
        return whole

    def wait_until(self, what: str, reached: Callable[[Stats], bool], seconds: float) -> Stats:
        """Wait for the tabs to come to something. Raises BenchError if they don't within so many seconds."""
        deadline = time.monotonic() + seconds
        while not reached(stats := self.stats()):
            if time.monotonic() > deadline:
                raise BenchError(f"{what}: not within {seconds:g} s; {told(stats)}")
            time.sleep(0.1)
        return stats

    def wait_until_open(self, count: int, seconds: float) -> Stats:
        """Wait until so many tabs are open, and none is under way; none may have been refused or lost."""
        stats = self.wait_until(f"{count} tabs open", lambda stats: not stats.under_way, seconds)
        if stats.open != count or stats.refused or stats.closed:
            raise BenchError(f"{count} tabs should be open: {told(stats)}")
        return stats

    def wait_until_quiet(self, quiet: float, seconds: float) -> None:
        """Wait until no frame has come for so long."""
        self.wait_until("quiet", lambda stats: time.monotonic() - stats.last > quiet, seconds)

    def _ask(self, what: str, shares: Sequence[tuple[Any, ...]]) -> list[Any]:
        for pipe, share in zip(self._pipes, shares, strict=True):
            with suppress(BrokenPipeError):  # it has ended, and has said why
                pipe.send((what, share))
        answers = []
        for pipe in self._pipes:
            if not pipe.poll(ANSWER):
                raise BenchError(f"the load does not answer within {ANSWER:g} s")
            try:
                answer = pipe.recv()
            except (EOFError, ConnectionResetError):
                raise BenchError("a process of the load has ended") from None
            if isinstance(answer, BenchError):
                raise answer
            answers.append(answer)
        return answers


def told(stats: Stats) -> str:
    """Return in a line what tabs have come to."""
    text = f"{stats.open:,} open, {stats.under_way:,} under way"
    for word, counts in (("refused", stats.refused), ("closed", stats.closed)):
        text += "".join(f"; {number:,} {word}: {why}" for why, number in counts.most_common(3))
    return text


@contextmanager
def loading(accounts: Sequence[Account], ports: Sequence[int]) -> Iterator[Load]:
    """Make the processes with a tab for each account, and end them."""
    with TemporaryDirectory(prefix="bench-") as folder:
        load = Load(accounts, ports, compiled_reader(Path(folder)))
        try:
            yield load
        finally:
            load.end()
