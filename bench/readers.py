"""Thousands of sockets that only read, in a process of its own, as cheaply as Python can."""

from __future__ import annotations

import multiprocessing
import select
import socket
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import NamedTuple

from .frames import PING, TEXT, pong, split
from .processes import BenchError

OPENED_TOGETHER = 50
"""Handshakes under way at once."""

NAP = 0.005
"""Seconds between two looks. A frame that wakes its reader costs its writer more than the writing does, and
the more the slower the writer is; readers on other machines, as a site has them, are woken by nobody here."""


class Received(NamedTuple):
    """What all sockets together have received."""

    frames: int
    at: float
    """When the last of them came, by the monotonic clock."""
    last: list[bytes]
    """The last frame of each socket, without repetition: one, if all have got the same."""


class Readers:
    """Sockets in another process.

    Args:
        port: Where they connect to, at 127.0.0.1.
        requests: The handshake of each; empty, if nothing is said at all.
        greeting: What each sends after its handshake.
    """

    def __init__(self, port: int, requests: Sequence[bytes], greeting: bytes = b"") -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, end = context.Pipe()
        self._process = context.Process(target=_run, args=(end, port, requests, greeting), daemon=True)
        self._process.start()
        end.close()

    def open(self, count: int) -> None:
        """Open so many more, and wait until each handshake is done."""
        self._pipe.send(("open", count))
        self._answer(30 + count / 20)

    def say(self, message: bytes) -> None:
        """Send a message from the first of the sockets."""
        self._pipe.send(("say", message))

    def received(self, at_least: int = 0, timeout: float = 60) -> Received:
        """Return what was received, once it is at least so many frames."""
        self._pipe.send(("wait", at_least))
        return self._answer(timeout)

    def settle(self, quiet: float, timeout: float = 60) -> None:
        """Wait until nothing has come for so many seconds."""
        deadline = time.monotonic() + timeout
        while time.monotonic() - self.received().at < quiet:
            if time.monotonic() > deadline:
                raise BenchError(f"frames still come after {timeout:g} s of waiting for quiet")
            time.sleep(0.1)

    def close(self) -> None:
        self._process.kill()
        self._process.join()

    def _answer(self, timeout: float) -> Received:
        if not self._pipe.poll(timeout):
            raise BenchError(f"what was waited for did not come within {timeout:g} s")
        try:
            answer: Received | str = self._pipe.recv()
        except EOFError:
            raise BenchError("the process that reads has ended") from None
        if isinstance(answer, str):
            raise BenchError(answer)
        return answer


class _Reader:
    __slots__ = ("last", "rest", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.rest = b""
        self.last = b""


class _Process:
    """The other process's side."""

    def __init__(self, port: int, requests: Sequence[bytes], greeting: bytes) -> None:
        self._port = port
        self._requests = requests
        self._greeting = greeting
        self._readers: dict[int, _Reader] = {}
        self._poll = select.epoll()
        self._frames = 0
        self._at = time.monotonic()

    def serve(self, pipe: Connection) -> None:
        waiting: int | None = None
        while True:
            if pipe.poll(NAP):
                match pipe.recv():
                    case "open", count:
                        self._open(count)
                        waiting = 0
                    case "say", message:
                        next(iter(self._readers.values())).socket.send(message)
                    case "wait", frames:
                        waiting = frames
            self._read_all()
            if waiting is not None and self._frames >= waiting:
                waiting = None
                last = {reader.last for reader in self._readers.values()}
                pipe.send(Received(self._frames, self._at, list(last)))

    def _open(self, count: int) -> None:
        for start in range(0, count, OPENED_TOGETHER):
            opened = [_Reader(self._port) for _ in range(min(OPENED_TOGETHER, count - start))]
            if self._requests:
                first = len(self._readers)
                for number, reader in enumerate(opened, first):
                    reader.socket.sendall(self._requests[number])
                for reader in opened:
                    self._shake_hands(reader)
            for reader in opened:
                reader.socket.setblocking(False)
                self._readers[reader.socket.fileno()] = reader
                self._poll.register(reader.socket, select.EPOLLIN)
                self._take(reader, b"")
            self._read_all()

    def _shake_hands(self, reader: _Reader) -> None:
        reader.socket.settimeout(60)
        answer = b""
        while b"\r\n\r\n" not in answer:
            data = reader.socket.recv(4096)
            if not data:
                raise BenchError(f"the handshake ended with {answer!r}")
            answer += data
        head, _, reader.rest = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            raise BenchError(f"the handshake was answered with {head!r}")
        reader.socket.sendall(self._greeting)

    def _read_all(self) -> None:
        """Read from every socket that has something."""
        for file, _ in self._poll.poll(0, len(self._readers) + 1):  # by default it stops at 1,023
            reader = self._readers[file]
            data = reader.socket.recv(65536)
            if not data:
                raise BenchError("the server closed a socket")
            self._take(reader, data)

    def _take(self, reader: _Reader, data: bytes) -> None:
        *frames, reader.rest = split(reader.rest + data)
        for frame in frames:
            if frame[0] == TEXT:
                self._frames += 1
                self._at = time.monotonic()
                reader.last = frame
            elif frame[0] == PING:
                reader.socket.send(pong(frame))
            else:
                raise BenchError(f"the server sent {frame!r}")


def _run(pipe: Connection, port: int, requests: Sequence[bytes], greeting: bytes) -> None:
    try:
        _Process(port, requests, greeting).serve(pipe)
    except (BenchError, OSError) as error:
        pipe.send(f"{type(error).__name__}: {error}")
    except (EOFError, KeyboardInterrupt):
        pass  # the other side has gone
