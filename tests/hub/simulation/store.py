"""A process's way to the store, and all that may go wrong on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from itertools import cycle
from typing import Any, TypeVar

from whosonline.core.entries import Batch, Cursor
from whosonline.stores.errors import StoreError, StoreSilent, StoreUnavailable
from whosonline.stores.memory import MemoryBackend, MemoryStore
from whosonline.testing.clock import ManualClock

from .loop import settle

Answer = TypeVar("Answer")

NO_DELAY = (0.0,)


class FaultyStore(MemoryStore):
    """A process's way to the store, with all that may go wrong on it.

    What is on its way when the way is cut arrives then, or never: no later call overtakes it.
    """

    def __init__(self, backend: MemoryBackend, clock: ManualClock) -> None:
        super().__init__(backend)
        self._clock = clock
        self._cut = asyncio.get_running_loop().create_future()
        # What is under way; whether it leads to the store, or back.
        self._ways: dict[asyncio.Future[None], bool] = {}
        self._delays = self._log_delays = cycle(NO_DELAY)
        self.longest_delay = 0.0
        self.runs = asyncio.Event()
        """Whether the process runs, and so takes answers."""
        self.runs.set()
        self.outage = False
        """Whether the store is away from everybody."""
        self.cut_off = False
        """Whether it is away from this process."""
        self.answers_lost = False
        self.read: Cursor | None = None
        """How far the process has taken the log."""
        self.gaps = 0
        """How often it took a snapshot, and so may have missed what the log said."""

    # What may go wrong

    async def cut(self, arrives: bool) -> None:
        """Break every call that is on its way; the requests among them arrive all the same, or never."""
        if arrives:
            for way in [way for way, leads_there in self._ways.items() if leads_there]:
                complete(way)
            await settle()
        complete(self._cut)
        self._cut = asyncio.get_running_loop().create_future()

    def slow_down(self, delays: Sequence[float], log_alone: bool) -> None:
        """Have every way to the store and back take this long, one after the other."""
        self._log_delays = cycle(delays)
        if not log_alone:
            self._delays = cycle(delays)
            self.longest_delay = max(delays)

    def mend(self) -> None:
        """Put the way right, but for its delays."""
        self.cut_off = self.answers_lost = False

    async def hurry(self) -> None:
        """Have everything arrive that is under way, and delay nothing from now on."""
        self.slow_down(NO_DELAY, log_alone=False)
        while self._ways:
            for way in list(self._ways):
                complete(way)
            await asyncio.sleep(0)

    # The store's calls

    async def open(self, *arguments: Any) -> None:
        await self._carry(partial(super().open, *arguments))

    async def beat(self, *arguments: Any) -> Any:
        return await self._carry(partial(super().beat, *arguments))

    async def close(self, *arguments: Any) -> None:
        await self._carry(partial(super().close, *arguments))

    async def report(self, *arguments: Any) -> Any:
        return await self._carry(partial(super().report, *arguments))

    async def sweep(self) -> Any:
        return await self._carry(super().sweep)

    async def snapshot(self) -> Any:
        self.gaps += 1
        return await self._carry(super().snapshot)

    async def follow(self, cursor: Cursor) -> AsyncIterator[Batch]:
        self.read = cursor
        batches = super().follow(cursor)
        while True:
            batch = await self._carry(lambda: anext(batches), of_log=True)
            self.read = batch.cursor
            yield batch

    async def _carry(self, call: Callable[[], Awaitable[Answer]], of_log: bool = False) -> Answer:
        try:
            if self.outage or self.cut_off:
                raise StoreUnavailable("out of reach")
            answer = await self._unless_cut(self._there_and_back(call, of_log))
        except Exception:
            await self.runs.wait()
            raise
        await self.runs.wait()
        return answer

    async def _unless_cut(self, work: Awaitable[Answer]) -> Answer:
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait([task, self._cut], return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise StoreSilent("the way was cut")
            return task.result()
        finally:
            task.cancel()

    async def _there_and_back(self, call: Callable[[], Awaitable[Answer]], of_log: bool) -> Answer:
        delays = self._log_delays if of_log else self._delays
        await self._travel(next(delays), there=True)
        answer: Answer | StoreError
        try:
            answer = await call()
        except StoreError as refusal:
            answer = refusal
        await self._travel(next(delays), there=False)
        if self.answers_lost:
            raise StoreUnavailable("the answer was lost")
        if isinstance(answer, StoreError):
            raise answer
        return answer

    async def _travel(self, delay: float, there: bool) -> None:
        if not delay:
            return
        way: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ways[way] = there
        self._clock.call_at(self._clock.time() + delay, partial(complete, way))
        try:
            await way
        finally:
            del self._ways[way]


def complete(future: asyncio.Future[None]) -> None:
    """Let who waits for this go on."""
    if not future.done():
        future.set_result(None)
