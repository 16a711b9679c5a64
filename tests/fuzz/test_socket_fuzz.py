"""Whatever anybody sends: nothing escapes, nobody else notices, and nothing stays in memory.

Some thousands of inputs in every run; ``make fuzz`` sends more than 100,000 (FUZZ_INPUTS of each kind).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import select
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from bench.people import Person
from tests.serving import Server

from . import inputs

INPUTS = int(os.environ.get("FUZZ_INPUTS", "1000"))
"""So many of each kind."""

pytestmark = [
    pytest.mark.timeout(max(INPUTS // 10, 120)),
    # What fails may be large, and is to be shown all the same.
    pytest.mark.filterwarnings("ignore:Generating overly large repr"),
]

TOGETHER = 20
"""Inputs in one of Hypothesis' examples, after which the others are looked after."""

ANSWERED = 0.2
"""Seconds after which a request that is not answered is taken for one that never will be."""

DEADLINE = 20.0

POLICY = {
    # So that what is sent is looked at, and not refused for its number.
    "BAD_MESSAGES": 10**9,
    "MESSAGE_RATE": 10**9,
    "MESSAGE_BURST": 10**9,
    "CONNECTIONS_PER_USER": 100,
    "GRACE": 0.2,
    "REQUEST_TIMEOUT": 5,
}

MOST_GROWTH = 12 * 1024 * 1024
"""Bytes that the server may grow by after it has warmed up."""

KNOWN = {"welcome", "update", "directory", "notice", "resume", "error"}

many = settings(
    max_examples=max(INPUTS // TOGETHER, 1),
    deadline=None,
    database=None,
    # What fails is shown as it is: each try to make it smaller would cost a reconnection.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def some(each: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(each, min_size=TOGETHER, max_size=TOGETHER)


class Target:
    """The server under fire: one connection that must not notice, and as many hostile ones as wanted."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._stack = ExitStack()
        self.handshake = inputs.HANDSHAKE | {"Host": f"127.0.0.1:{server.port}", "Origin": server.url}
        self._witness_cookie, _ = asyncio.run(self._sign_up("witness"))
        self.cookie, self.hostile = asyncio.run(self._sign_up("hostile"))
        self._witness = self.connect(self._witness_cookie)
        self._asked = 0

    async def _sign_up(self, name: str) -> tuple[str, str]:
        async with Person(self.server.url, name) as person:
            await person.sign_up()
            tab = await person.socket()
            me = (await tab.receive_json())["you"]
            key = next(c.value for c in person._browser.cookie_jar if c.key == "sessionid")
        return f"sessionid={key}", me

    def connect(self, cookie: str) -> ClientConnection:
        opened = connect(
            f"ws://127.0.0.1:{self.server.port}/users/",
            origin=self.server.url,  # type: ignore[arg-type]
            additional_headers={"Cookie": cookie},
            compression=None,
            max_size=None,
            ping_interval=None,  # it would draw random numbers in a thread, which Hypothesis forbids
        )
        connection = self._stack.enter_context(opened)
        assert json.loads(connection.recv(DEADLINE))["type"] == "welcome"
        return connection

    def raw(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.port), DEADLINE)

    def upgraded(self, count: int) -> list[socket.socket]:
        """Return connections whose handshake is over."""
        headers = self.handshake | {"Cookie": self.cookie}
        lines = ["GET /users/ HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        opened = [self.raw() for _ in range(count)]
        for raw in opened:
            raw.sendall("\r\n".join(lines).encode())
        for raw in opened:
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += raw.recv(1)
            assert answer.startswith(b"HTTP/1.1 101 ")
        return opened

    def answers(self, connection: ClientConnection) -> None:
        """Ask for something new, and see it answered; all that comes before it must be messages."""
        self._asked += 1
        user = f"asked {self._asked}"
        connection.send(json.dumps({"type": "watch", "users": [user]}))
        while True:
            told = json.loads(connection.recv(DEADLINE))
            assert told["type"] in KNOWN
            if user in told.get("users", {}):
                return

    def unharmed(self) -> None:
        """See that the connection that sent nothing wrong is still there, and is answered."""
        self.answers(self._witness)

    def forgets(self) -> None:
        """See that nothing of the hostile connections is left."""
        watch = json.dumps({"type": "watch", "users": [self.hostile]})
        while True:
            self._witness.send(watch)
            told = json.loads(self._witness.recv(DEADLINE))
            if told.get("users", {}).get(self.hostile, {}).get("status") == "offline":
                return

    def memory(self) -> int:
        """Return the bytes of memory that the server has."""
        pages = Path(f"/proc/{self.server.process_id}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with Server(tmp_path_factory.mktemp("target"), POLICY) as server:
        target = Target(server)
        yield target
        target.forgets()
        target.close()
        server.stop()
        assert not trouble(server.output())


def trouble(output: str) -> list[str]:
    """Return the records that tell of something that escaped.

    Two faults of a client's are logged as errors: a host that is not allowed, and text that is none.
    """
    signs = re.compile(r"Traceback|Exception|CRITICAL|never (retrieved|awaited)|ERROR")
    clients = re.compile(r"\S+ \S+ ERROR django\.security\.DisallowedHost|ERROR: +Invalid UTF-8 sequence")
    records = re.split(r"^(?=\d{4}-\d\d-\d\d |[A-Z]+: )", output, flags=re.MULTILINE)
    return [record for record in records if signs.search(record) and not clients.match(record)]


class Steady:
    """Fails if the server goes on growing after the first fifth of a test's inputs."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._base = 0
        self.count = 0

    def counted(self, number: int) -> None:
        self.count += number
        if not self._base and self.count >= INPUTS / 5:
            self._base = self._target.memory()

    def check(self) -> None:
        assert self.count >= INPUTS
        assert self._target.memory() < self._base + MOST_GROWTH


@pytest.fixture
def steady(target: Target) -> Iterator[Steady]:
    steady = Steady(target)
    yield steady
    steady.check()


def say(opened: list[socket.socket], texts: Iterable[bytes]) -> None:
    """Send something to each, and give the server the time to answer those that it will answer."""
    waiting = set()
    for raw, text in zip(opened, texts, strict=True):
        with suppress(OSError):  # the server may have been first
            raw.sendall(text)
            waiting.add(raw)
    deadline = time.monotonic() + ANSWERED
    while waiting and (left := deadline - time.monotonic()) > 0:
        waiting -= set(select.select(waiting, [], [], left)[0])


def let_go(raw: socket.socket) -> bytes:
    """Say that nothing more comes, and wait until the server has let go; return what it said."""
    said = b""
    with raw, suppress(ConnectionError):
        with suppress(OSError):
            raw.shutdown(socket.SHUT_WR)
        while some := raw.recv(65536):
            said += some
    return said


def test_a_message_is_obeyed_or_refused_and_the_connection_stays(target: Target, steady: Steady):
    connections: list[ClientConnection] = [target.connect(target.cookie)]

    @many
    @given(some(inputs.messages))
    def check(sent: list[str]) -> None:
        (connection,) = connections
        for text in sent:
            try:
                connection.send(text)
            except ConnectionClosed as error:
                pytest.fail(f"closed with {error} after {sent}")
        target.answers(connection)
        target.unharmed()
        steady.counted(len(sent))

    check()
    connections[0].close()


def test_frames_of_any_shape_end_a_connection_at_worst(target: Target, steady: Steady):
    @many
    @given(some(inputs.frames))
    def check(sent: list[list[bytes]]) -> None:
        opened = target.upgraded(len(sent))
        say(opened, [b"".join(frames) for frames in sent])
        for raw in opened:
            let_go(raw)
        target.unharmed()
        steady.counted(len(sent))

    check()


def test_a_request_that_is_none_is_answered_or_cut(target: Target, steady: Steady):
    fair = target.handshake | {"Cookie": target.cookie}

    @many
    @given(some(inputs.requests(fair) | inputs.noise))
    def check(sent: list[bytes]) -> None:
        opened = [target.raw() for _ in sent]
        say(opened, sent)
        for raw, request in zip(opened, sent, strict=True):
            said = let_go(raw)
            assert not said or said.startswith(b"HTTP/1.1 "), said
            assert not said.startswith(b"HTTP/1.1 500"), request
        target.unharmed()
        steady.counted(len(sent))

    check()
