"""A network between a browser and the server that a test may break."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Network:
    """Carries connections from a port of its own to that of a server.

    Used with ``async with``.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._works = True
        self._writers: set[asyncio.StreamWriter] = set()
        self._carriers: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Network:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        self.freeze()
        self.cut()
        self._listener.close()

    def cut(self) -> None:
        """End all connections, and take no others until :meth:`restore`."""
        self._works = False
        for writer in self._writers:
            writer.transport.abort()

    def restore(self) -> None:
        self._works = True

    def freeze(self) -> None:
        """Let nothing through any more on the connections of now, without a word to either end."""
        for carrier in self._carriers:
            carrier.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if not self._works:
                raise ConnectionRefusedError
            ahead = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(ahead[1])
        for source, target in ((reader, ahead[1]), (ahead[0], writer)):
            carrier = asyncio.create_task(_carry(source, target))
            self._carriers.add(carrier)
            carrier.add_done_callback(self._carriers.discard)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
