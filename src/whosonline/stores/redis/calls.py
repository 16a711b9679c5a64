"""A node's calls of Redis: each bounded in time, and with one kind of error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import redis

from ..errors import StoreSilent
from .addresses import Address, aclose
from .failures import told_as_unavailable
from .layout import Layout, milliseconds

READ_CHUNK = 1000
"""Entries, or records, that are read at once."""

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
        # By how long the server may wait with its answer.
        self._clients: dict[float, Any] = {}

    async def close(self) -> None:
        """End all connections; a later call makes new ones."""
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
        try:
            async with self._bounded(wait):
                # Behind every entry of this number, whatever its time.
                answer = await self._client(wait).xread({log: f"{after}-{2**64 - 1}"}, READ_CHUNK, block)
        except StoreSilent:
            if wait:
                # It has no patience of its own that would make it ask anew where the partition is.
                async with self._bounded():
                    await self._client(wait).aclose()
            raise
        return answer[0][1] if answer else []

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
            # asyncio.wait_for, in which redis-py writes, swallows one that comes amid it (Python 3.11).
            if task.cancelling() > cancelled_before:
                raise asyncio.CancelledError

    def _client(self, wait: float = 0.0) -> Any:
        if wait not in self._clients:
            # Who waits long for an answer is not to wait for it after it was cancelled: see _bounded.
            self._clients[wait] = self._address.async_client(None if wait else self._timeout)
        return self._clients[wait]
