"""A node's calls of Redis: each bounded in time, and with one kind of error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import redis

from .addresses import Address, aclose
from .failures import told_as_unavailable
from .layout import Layout, milliseconds

READ_CHUNK = 1000
"""Entries, or records, that are read at once."""

CANCEL_AGAIN = 0.1
"""Seconds after which a call that has not ended is told so once more."""

RawEntry = tuple[bytes, dict[bytes, bytes]]
"""As the stream has it."""


class Calls:
    """The clients of one node, and the layout that they work on.

    Args:
        timeout: Seconds that an answer of one server may take; a call takes twice as long at most.
    """

    def __init__(self, address: Address, layout: Layout, timeout: float) -> None:
        self.layout = layout
        self.partitions = range(layout.partitions)
        self._address = address
        self._timeout = timeout
        # By how long they wait for an answer: a client takes a longer silence than its own for a failure.
        self._clients: dict[float, Any] = {}
        self._aside_tasks: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """End all connections; a later call makes new ones."""
        while self._aside_tasks:
            # Again, if one of them was cancelled and has not noticed.
            for task in self._aside_tasks:
                task.cancel()
            await asyncio.wait(self._aside_tasks, timeout=CANCEL_AGAIN)
        clients, self._clients = self._clients, {}
        with told_as_unavailable(self._address.shown):
            for client in clients.values():
                await aclose(client)

    async def run(self, name: str, partition: int, *arguments: Any) -> Any:
        """Run a script in a partition. Raises StoreUnavailable."""
        by_hash, whole = self.layout.calling(name, partition, *arguments)
        async with self._bounded():
            try:
                try:
                    return await self._client().execute_command(*by_hash)
                except redis.exceptions.NoScriptError:
                    return await self._client().execute_command(*whole)
            except redis.ReadOnlyError:
                # A server that was demoted and kept its connections: the next call asks anew who is master.
                await self._client().aclose()
                raise

    async def run_in_all(self, name: str, *arguments: tuple[Any, ...]) -> list[Any]:
        """Run a script in every partition, with the arguments for each, or the same for all."""
        each = arguments if len(arguments) > 1 else arguments * len(self.partitions)
        return await asyncio.gather(
            *(self.run(name, partition, *these) for partition, these in enumerate(each))
        )

    async def epoch(self, partition: int) -> str | None:
        """Return the epoch's name; None where there is nothing at all."""
        async with self._bounded():
            epoch = await self._client().hget(self.layout.keys(partition)[0], "epoch")
        return epoch.decode() if epoch is not None else None

    async def scan(self, partition: int, step: int) -> tuple[int, dict[bytes, bytes]]:
        """Return some records of present users, and the step that goes on; 0 at the end."""
        async with self._bounded():
            answer: tuple[int, dict[bytes, bytes]] = await self._client().hscan(
                self.layout.keys(partition)[2], step, count=READ_CHUNK
            )
        return answer

    async def read(self, partition: int, after: int, wait: float = 0.0) -> list[RawEntry]:
        """Return entries with greater sequence numbers; none if none came within so many seconds."""
        log = self.layout.keys(partition)[1]
        block = milliseconds(wait) if wait else None
        async with self._bounded(wait):
            # Behind every entry of this number, whatever its time.
            reading = self._client(wait).xread({log: f"{after}-{2**64 - 1}"}, READ_CHUNK, block)
            answer = await (self._aside(reading) if wait else reading)
        return answer[0][1] if answer else []

    async def _aside(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Await a call that may take long; when cancelled, wait no more, whatever becomes of the call."""
        task = asyncio.create_task(call)
        self._aside_tasks.add(task)
        task.add_done_callback(self._end_aside)
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            raise
        return task.result()

    def _end_aside(self, task: asyncio.Task[Any]) -> None:
        self._aside_tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited for it may be gone, and it is nobody's then

    @asynccontextmanager
    async def _bounded(self, wait: float = 0.0) -> AsyncIterator[None]:
        """Bound a call, and give its errors one name. A client of several servers may try each."""
        task = asyncio.current_task()
        assert task is not None
        cancelled_before = task.cancelling()
        try:
            with told_as_unavailable(self._address.shown):
                async with asyncio.timeout(wait + 2 * self._timeout):
                    yield
        finally:
            # asyncio.wait_for, in which redis-py writes, swallows one that comes amid it (Python 3.11). The
            # call goes on then: one that may take long is made aside.
            if task.cancelling() > cancelled_before:
                raise asyncio.CancelledError

    def _client(self, wait: float = 0.0) -> Any:
        if wait not in self._clients:
            self._clients[wait] = self._address.async_client(wait + self._timeout)
        return self._clients[wait]
