"""Accepting connections, by both loops that a server may run on."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import uvloop

from whosonline import acceptor
from whosonline.acceptor import BEGIN_AT_ONCE, Acceptor

DEADLINE = 10.0

Run = Callable[..., None]
Test = Callable[["Crowd"], Awaitable[None]]


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Run a test with a crowd, whose listening socket may be of another kind."""

    async def within_time(test: Test, kind: type[socket.socket] = socket.socket) -> None:
        with ExitStack() as stack:
            await asyncio.wait_for(test(Crowd(stack, kind)), DEADLINE)

    with asyncio.Runner(loop_factory=request.param) as runner:
        yield lambda *arguments: runner.run(within_time(*arguments))


class FailsAtFirst(socket.socket):
    """A listening socket for which no file is left, once."""

    failures = 1

    def accept(self) -> tuple[socket.socket, object]:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


class Crowd:
    """Peers of a listening socket, and the connections to them."""

    def __init__(self, stack: ExitStack, kind: type[socket.socket]) -> None:
        self._stack = stack
        self.listener = stack.enter_context(kind(proto=socket.IPPROTO_TCP))  # as the server's
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(4 * BEGIN_AT_ONCE)
        self.listener.setblocking(False)
        self.transports: list[Any] = []
        self.heard: list[bytes] = []

    def connect(self) -> socket.socket:
        return self._stack.enter_context(socket.create_connection(self.listener.getsockname()))

    def create_protocol(self) -> asyncio.BaseProtocol:
        return Noted(self)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0)

    async def leave(self, acceptor: Acceptor) -> None:
        acceptor.close()
        await acceptor.wait_closed()
        for transport in self.transports:
            transport.abort()
        await asyncio.sleep(0)


class Noted(asyncio.Protocol):
    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd

    def connection_made(self, transport: Any) -> None:  # uvloop's are none of asyncio's
        self._crowd.transports.append(transport)

    def data_received(self, data: bytes) -> None:
        self._crowd.heard.append(data)


def test_all_who_wait_are_accepted_at_once_and_begin_so_many_in_a_turn_of_the_loop(
    run: Run,
) -> None:
    async def test(crowd: Crowd) -> None:
        for _ in range(2 * BEGIN_AT_ONCE):
            crowd.connect()
        taken: Counter[int] = Counter()
        turn = 0

        def create_protocol() -> asyncio.BaseProtocol:
            taken[turn] += 1
            return crowd.create_protocol()

        accepting = Acceptor(crowd.listener, create_protocol)
        await crowd.until(lambda: taken.total() > 0)
        with pytest.raises(BlockingIOError):
            crowd.listener.accept()
        while taken.total() < 2 * BEGIN_AT_ONCE:
            turn += 1
            await asyncio.sleep(0)
        assert max(taken.values()) == BEGIN_AT_ONCE
        await crowd.leave(accepting)

    run(test)


def test_who_shares_a_listening_socket_accepts_no_more_than_it_begins(
    run: Run,
) -> None:
    async def test(crowd: Crowd) -> None:
        for _ in range(BEGIN_AT_ONCE + 1):
            crowd.connect()
        accepting = Acceptor(crowd.listener, crowd.create_protocol, shared=True)
        await crowd.until(lambda: bool(accepting._beginning))
        accepting.close()
        crowd.listener.accept()[0].close()
        await crowd.leave(accepting)
        assert len(crowd.transports) == BEGIN_AT_ONCE

    run(test)


def test_who_waits_for_a_turn_when_it_is_closed_begins_all_the_same(
    run: Run,
) -> None:
    async def test(crowd: Crowd) -> None:
        for _ in range(3 * BEGIN_AT_ONCE):
            crowd.connect()
        accepting = Acceptor(crowd.listener, crowd.create_protocol)
        await crowd.until(lambda: bool(accepting._beginning))
        accepting.close()
        await accepting.wait_closed()
        assert len(crowd.transports) == 3 * BEGIN_AT_ONCE
        await crowd.leave(accepting)

    run(test)


def test_who_is_accepted_is_heard_and_known_by_address_and_gets_small_messages_at_once(
    run: Run,
) -> None:
    async def test(crowd: Crowd) -> None:
        accepting = Acceptor(crowd.listener, crowd.create_protocol)
        peer = crowd.connect()
        peer.sendall(b"hello")
        await crowd.until(lambda: bool(crowd.heard))
        assert crowd.heard == [b"hello"]
        (transport,) = crowd.transports
        assert transport.get_extra_info("peername") == peer.getsockname()
        assert transport.get_extra_info("sockname") == crowd.listener.getsockname()
        server_s_end = transport.get_extra_info("socket")
        assert server_s_end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await crowd.leave(accepting)

    run(test)


def test_a_closed_acceptor_keeps_who_is_connected_and_leaves_others_to_the_next(
    run: Run,
) -> None:
    async def test(crowd: Crowd) -> None:
        old = Acceptor(crowd.listener, crowd.create_protocol)
        first = crowd.connect()
        await crowd.until(lambda: len(crowd.transports) == 1)
        old.close()
        await old.wait_closed()
        crowd.connect().sendall(b"later")
        first.sendall(b"still here")
        await crowd.until(lambda: bool(crowd.heard))
        assert crowd.heard == [b"still here"]
        new = Acceptor(crowd.listener, crowd.create_protocol)
        await crowd.until(lambda: len(crowd.heard) == 2)
        assert crowd.heard == [b"still here", b"later"]
        await crowd.leave(new)

    run(test)


def test_where_no_file_is_left_it_is_said_and_tried_again(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(acceptor, "PAUSE", 0.01)

    async def test(crowd: Crowd) -> None:
        accepting = Acceptor(crowd.listener, crowd.create_protocol)
        crowd.connect()
        await crowd.until(lambda: bool(crowd.transports))
        await crowd.leave(accepting)

    with caplog.at_level(logging.ERROR):
        run(test, FailsAtFirst)
    assert ["Too many open files" in record.getMessage() for record in caplog.records] == [True]


def test_closed_while_it_waits_for_a_file_it_accepts_no_more(
    run: Run,
) -> None:
    async def test(crowd: Crowd) -> None:
        accepting = Acceptor(crowd.listener, crowd.create_protocol)
        crowd.connect()
        await crowd.until(lambda: accepting._pause is not None)
        accepting.close()
        assert accepting._pause is not None
        assert accepting._pause.cancelled()
        await crowd.leave(accepting)

    run(test, FailsAtFirst)


def test_a_connection_that_cannot_begin_is_closed_and_the_others_go_on(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(crowd: Crowd) -> None:
        failures = iter([ValueError("no protocol")])

        def create_protocol() -> asyncio.BaseProtocol:
            for failure in failures:
                raise failure
            return crowd.create_protocol()

        accepting = Acceptor(crowd.listener, create_protocol)
        first = crowd.connect()
        assert await asyncio.to_thread(first.recv, 1) == b""
        crowd.connect().sendall(b"I am well")
        await crowd.until(lambda: crowd.heard == [b"I am well"])
        await crowd.leave(accepting)

    run(test)
    assert [record.getMessage() for record in caplog.records] == ["a connection could not begin"]


def test_who_is_gone_before_the_connection_begins_does_no_harm(
    run: Run,
) -> None:
    async def test(crowd: Crowd) -> None:
        gone = crowd.connect()
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
        gone.close()
        accepting = Acceptor(crowd.listener, crowd.create_protocol)
        crowd.connect().sendall(b"I am well")
        await crowd.until(lambda: crowd.heard == [b"I am well"])
        await crowd.leave(accepting)

    run(test)
