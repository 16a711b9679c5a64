"""What the load's reader does itself with what came, and what it leaves: in C, and where that cannot be."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bench.reader import (
    ALL_LEFT,
    NOBODY,
    READ,
    UNREAD,
    Found,
    PlainReader,
    QuickReader,
    compiled_reader,
    events,
)
from bench.reader import reader as reader_of

from .test_tabs import text

WATCHER = 70_000


class Pair:
    """Two ends of a connection, the first of which a reader looks at."""

    def __init__(self, poll: select.epoll, reader: Any, whose: int = WATCHER) -> None:
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.far.settimeout(20)
        poll.register(self.near, events())
        self.file = self.near.fileno()
        reader.read_for(self.file, whose)

    def close(self) -> None:
        self.near.close()
        self.far.close()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    library = compiled_reader(tmp_path_factory.mktemp("reader"))
    if library is None:
        pytest.skip("there is no compiler")
    return library


@pytest.fixture
def poll() -> Iterator[select.epoll]:
    with select.epoll() as poll:
        yield poll


@pytest.fixture
def reader(poll: select.epoll, library: str) -> QuickReader:
    return QuickReader(poll, library)


@pytest.fixture
def pair(poll: select.epoll, reader: QuickReader) -> Iterator[Pair]:
    pair = Pair(poll, reader)
    yield pair
    pair.close()


def look(reader: QuickReader) -> Found:
    return reader.look(0)


def noted(found: Found) -> list[bytes]:
    return [frame for _, _, frame in found.noted]


@pytest.mark.parametrize("payload", [b"", b"{}", b"x" * 125, b"x" * 126, b"x" * 4000])
def test_whole_texts_are_noted_with_their_time(reader: QuickReader, pair: Pair, payload: bytes) -> None:
    before, read = time.monotonic(), reader.received
    pair.far.send(text(payload))
    found = look(reader)
    assert (found.ready, found.left) == ([], [])
    [(at, whose, frame)] = found.noted
    assert (whose, frame) == (WATCHER, text(payload))
    assert before <= at <= time.monotonic()
    assert (found.texts, found.last) == (1, at)
    assert reader.received - read == len(text(payload))


def test_texts_of_all_sockets_are_noted_in_their_order(poll: select.epoll, reader: QuickReader) -> None:
    pairs = [Pair(poll, reader, whose) for whose in (1, 2, 3)]
    for whose, pair in enumerate(pairs, 1):
        pair.far.send(text(b"%d" % whose) + text(b"%d again" % whose))
    found = look(reader)
    assert found.texts == len(found.noted) == 6
    for number, pair in enumerate(pairs, 1):
        heard = [frame for _, whose, frame in found.noted if whose == number]
        assert heard == [text(b"%d" % number), text(b"%d again" % number)]
        pair.close()


def test_what_was_noted_stays_whatever_comes_to_the_file_later(reader: QuickReader, pair: Pair) -> None:
    pair.far.send(text(b"a"))
    before = look(reader).noted
    reader.read_for(pair.file, WATCHER + 1)
    pair.far.send(text(b"b"))
    after = look(reader).noted
    assert [each[1:] for each in before] == [(WATCHER, text(b"a"))]
    assert [each[1:] for each in after] == [(WATCHER + 1, text(b"b"))]


def test_texts_that_nobody_looks_at_are_counted_and_not_kept(reader: QuickReader, pair: Pair) -> None:
    reader.read_for(pair.file, NOBODY)
    before = time.monotonic()
    pair.far.send(text(b"a") + text(b"b") + b"\x88\x00")
    found = look(reader)
    assert (len(found.noted), found.texts) == (0, 2)
    assert before <= found.last <= time.monotonic()
    assert [each.data for each in found.left] == [b"\x88\x00"]
    assert look(reader).texts == 0


def test_of_a_socket_of_which_all_is_left_nothing_is_noted(reader: QuickReader, pair: Pair) -> None:
    reader.read_for(pair.file, ALL_LEFT)
    pair.far.send(text(b"a") + text(b"b"))
    found = look(reader)
    assert (len(found.noted), found.texts) == (0, 0)
    assert [(each.file, each.data) for each in found.left] == [(pair.file, text(b"a") + text(b"b"))]


def test_pings_are_answered_also_amid_texts(reader: QuickReader, pair: Pair) -> None:
    before = reader.sent
    pair.far.send(text(b"a") + b"\x89\x02hi" + text(b"b") + b"\x89\x00")
    found = look(reader)
    assert noted(found) == [text(b"a"), text(b"b")]
    assert not found.left
    assert pair.far.recv(100) == b"\x8a\x82\0\0\0\0hi" + b"\x8a\x80\0\0\0\0"
    assert reader.sent - before == 14


@pytest.mark.parametrize(
    "left",
    [
        b"\x88\x02\x03\xf4",
        text(b'{"resume":"abc"}'),
        b"\x81\x7dcut off",
        b"\x81",
        b"\x81\x7e\x00",
        b"\x82\x01x",
        b"\x01\x01x",
        b"\x81\x7f" + (70_000).to_bytes(8, "big"),
        b"\x89\x7e\x00\x80" + b"x" * 128,
    ],
)
def test_what_needs_a_thought_is_left_with_all_that_follows(
    reader: QuickReader, pair: Pair, left: bytes
) -> None:
    pair.far.send(text(b"a") + left + text(b"b"))
    found = look(reader)
    assert noted(found) == [text(b"a")]
    assert [(each.file, each.data) for each in found.left] == [(pair.file, left + text(b"b"))]


def test_more_than_is_read_at_once_is_left_whole(reader: QuickReader, pair: Pair) -> None:
    pair.far.send(text(b"a") + text(b"x" * READ))
    found = look(reader)
    assert not noted(found)
    assert found.left[0].data == (text(b"a") + text(b"x" * READ))[:READ]


@pytest.mark.parametrize("last", [b"", text(b"a")])
def test_a_connection_that_ends_is_left_unread(reader: QuickReader, pair: Pair, last: bytes) -> None:
    pair.far.send(last)
    pair.far.close()
    assert look(reader) == Found([pair.file], [])
    assert pair.near.recv(100) == last


def test_a_broken_connection_is_left_unread(reader: QuickReader, pair: Pair) -> None:
    pair.near.send(b"unread by the other side, so that its end is a reset")
    pair.far.close()
    assert look(reader) == Found([pair.file], [])


def test_what_is_left_of_several_sockets_is_told_apart(poll: select.epoll, reader: QuickReader) -> None:
    pairs = [Pair(poll, reader) for _ in range(3)]
    poll.modify(pairs[1].near, select.EPOLLIN | select.EPOLLET)  # so that its end is found by reading alone
    pairs[0].far.send(text(b"a") + b"\x88\x00")
    pairs[1].far.shutdown(socket.SHUT_WR)
    pairs[2].far.send(b"\x88\x02\x03\xf4")
    left = {each.file: each.data for each in look(reader).left}
    assert left == {
        pairs[0].file: b"\x88\x00",
        pairs[1].file: None,
        pairs[2].file: b"\x88\x02\x03\xf4",
    }
    for pair in pairs:
        pair.close()


def test_a_ping_that_cannot_be_answered_is_a_broken_connection(reader: QuickReader, pair: Pair) -> None:
    with suppress(BlockingIOError):
        while True:
            pair.near.send(bytes(10_000))  # which the other side does not read
    pair.far.send(b"\x89\x00")
    assert [(each.file, each.data) for each in look(reader).left] == [(pair.file, None)]


def test_of_a_socket_that_is_not_to_be_read_nothing_is(reader: QuickReader, pair: Pair) -> None:
    reader.read_for(pair.file, UNREAD)
    pair.far.send(text(b"a"))
    assert look(reader) == Found([pair.file], [])
    assert pair.near.recv(100) == text(b"a")


def test_where_there_is_no_compiler_nothing_is_read(poll: select.epoll) -> None:
    reader = PlainReader(poll)
    pair = Pair(poll, reader)
    pair.far.send(text(b"a"))
    assert reader.look(0) == Found([pair.file])
    assert (reader.received, reader.sent) == (0, 0)
    pair.close()


def test_what_cannot_be_loaded_is_done_without(poll: select.epoll, library: str, tmp_path: Path) -> None:
    assert isinstance(reader_of(poll, None), PlainReader)
    assert isinstance(reader_of(poll, str(tmp_path / "missing")), PlainReader)
    assert isinstance(reader_of(poll, library), QuickReader)


@pytest.mark.parametrize("program", [None, "#!/bin/sh\nexit 1\n"])
def test_where_no_compiler_can_there_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str | None
) -> None:
    if program is not None:
        (tmp_path / "cc").write_text(program)
        (tmp_path / "cc").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert compiled_reader(tmp_path) is None
