"""One process of the load, against a server that this test is."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

import bench.load
from bench.accounts import Account
from bench.load import Load, loading
from bench.processes import BenchError
from bench.reader import NOBODY, QuickReader, compiled_reader
from bench.sights import Ledger, View, change
from bench.tabs import LONG_NAP, NAP, Browser, Crowd
from tests.polling import until
from whosonline.hub.connection import frame

SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


def text(payload: bytes) -> bytes:
    """Return a text as a server sends it."""
    return frame(payload.decode()).data


class Site:
    """Answers each connection with the next of these bytes, and ends it if told to."""

    def __init__(self, *answers: bytes | None) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.requests: list[bytes] = []
        self.open: list[socket.socket] = []
        self._answers = answers
        self._thread = Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        for answer in self._answers:
            connection, _ = self.listener.accept()
            self.requests.append(connection.recv(4096))
            if answer is None:
                connection.close()
            else:
                connection.sendall(answer)
                self.open.append(connection)

    def close(self) -> None:
        self._thread.join(20)
        for connection in [*self.open, self.listener]:
            connection.close()


@pytest.fixture
def sites() -> Iterator[list[Site]]:
    made: list[Site] = []
    yield made
    for site in made:
        site.close()


def begin(sites: list[Site], *answers: bytes | None) -> Site:
    sites.append(Site(*answers))
    return sites[-1]


def load_on(site: Site) -> Any:
    return loading([Account("1", "sessionid=abc")], [site.port])


def is_open(load: Load) -> None:
    load.wait_until("open", lambda stats: stats.open == 1, 20)


WELCOME = SWITCHING + text(b'{"type":"welcome","you":"1","resume":"a/b"}')


def test_a_tab_that_is_sent_away_returns_with_its_token(sites: list[Site]) -> None:
    going = WELCOME + b"\x88\x02" + (1012).to_bytes(2, "big")
    site = begin(sites, going, WELCOME)
    with load_on(site) as load:
        load.returning(True)
        load.open([0], 1)
        is_open(load)
        assert load.stats().closed == {1012: 1}
    assert site.requests[0].startswith(b"GET /users/ HTTP/1.1\r\n")
    assert b"Cookie: csrftoken=QoyrTgsNT5Da5V5cE1tWZ1JCyBCEWEbr; sessionid=abc\r\n" in site.requests[0]
    assert site.requests[1].startswith(b"GET /users/?resume=a/b HTTP/1.1\r\n")


def test_a_tab_that_is_refused_tries_again_and_that_is_counted(sites: list[Site]) -> None:
    refusal = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"
    later = SWITCHING + b"\x88\x02" + (1013).to_bytes(2, "big")
    site = begin(sites, refusal, None, later, WELCOME)
    with load_on(site) as load:
        load.returning(True)
        load.open([0], 1)
        is_open(load)
        assert load.stats().refused == {
            "HTTP/1.1 503 Service Unavailable": 1,
            "closed with 1006": 1,
            "closed with 1013": 1,
        }


def test_a_tab_that_is_refused_where_none_may_be_ends_the_measurement(sites: list[Site]) -> None:
    with load_on(begin(sites, None)) as load:
        load.open([0], 1)
        with pytest.raises(BenchError, match=r"1 tabs should be open: 0 open.*1 refused: closed with 1006"):
            load.wait_until_open(1, 20)


def test_a_tab_answers_pings_and_says_what_it_looks_at(sites: list[Site]) -> None:
    site = begin(sites, WELCOME + b"\x89\x02hi")
    with load_on(site) as load:
        load.look([View(b"greeting")], {0: 0})
        load.open([0], 1)
        is_open(load)
        site.open[0].settimeout(20)
        heard = b""
        while len(heard) < len(b"greeting") + 8:
            heard += site.open[0].recv(100)
        assert heard == b"greeting" + b"\x8a\x82" + bytes(4) + b"hi"


@pytest.mark.parametrize("compiles", [True, False])
def test_what_an_open_tab_is_told_is_seen(
    sites: list[Site], monkeypatch: pytest.MonkeyPatch, compiles: bool
) -> None:
    if not compiles:
        monkeypatch.setattr(bench.load, "compiled_reader", lambda _: None)
    statuses = [text(b'{"users":{"7":{"status":"%s"}}}' % each) for each in (b"offline", b"online")]
    site = begin(sites, WELCOME + statuses[0])
    with load_on(site) as load:
        load.look([View(places={"7": 0}, numbers=[70])], {0: 0})
        load.open([0], 1)
        is_open(load)
        load.begin()
        site.open[0].settimeout(20)
        site.open[0].send(b"\x89\x01a" + statuses[1][:9])
        assert site.open[0].recv(100) == b"\x8a\x81" + bytes(4) + b"a"
        site.open[0].send(statuses[1][9:] + b"\x89\x01b")
        assert site.open[0].recv(100) == b"\x8a\x81" + bytes(4) + b"b"
        site.open[0].send(statuses[0] + b"\x88\x02" + (4401).to_bytes(2, "big"))
        load.wait_until("logged out", lambda stats: stats.closed == {4401: 1}, 20)
        stats = load.stats()
        assert load.seen() == 2
        assert list(load.harvest().changes) == [change(70, 1), change(70, 2)]
        assert stats.frames == 4
        assert stats.received == len(WELCOME + b"".join(statuses) + statuses[0]) + 10


@contextmanager
def living(site: Site, folder: Path, people: int = 1) -> Iterator[tuple[Browser, Callable[..., Any]]]:
    """Let tabs live in a thread; return them, and what asks them for something."""
    library = compiled_reader(folder)
    if library is None:
        pytest.skip("there is no compiler")
    accounts = {number: Account(str(number), "sessionid=abc") for number in range(people)}
    browser = Browser(accounts, [site.port], 1, "127.0.0.2", library)
    ours, its_own = Pipe()

    def live() -> None:
        with suppress(EOFError):
            browser.serve(its_own)

    def ask(name: str, *arguments: Any) -> Any:
        ours.send((name, arguments))
        return ours.recv()

    thread = Thread(target=live)
    thread.start()
    try:
        yield browser, ask
    finally:
        ours.close()
        thread.join(20)


def close_with(code: int) -> bytes:
    return b"\x88\x02" + code.to_bytes(2, "big")


def test_a_crowd_is_many_texts_a_second_in_the_last_whole_span() -> None:
    crowd = Crowd(many=10, span=2.0)
    assert not crowd.is_one(0, now=100.0)
    assert not crowd.is_one(20, now=101.9)
    assert crowd.is_one(20, now=102.0)
    assert crowd.is_one(39, now=103.9)
    assert not crowd.is_one(39, now=104.0)
    assert not crowd.is_one(139, now=105.9)
    assert not crowd.is_one(139, now=115.0)  # many, but long ago
    assert crowd.is_one(159, now=117.0)


def test_amid_a_crowd_of_frames_the_sockets_are_looked_at_less_often(
    sites: list[Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        time.sleep(0.001)

    def send_and_look() -> bool:
        site.open[0].send(text(b"{}"))
        return LONG_NAP in naps

    monkeypatch.setattr("bench.tabs.time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
    monkeypatch.setattr("bench.tabs.CROWD", 10)
    site = begin(sites, WELCOME)
    with living(site, tmp_path) as (browser, ask):
        ask("open", [(0.0, 0)])
        until(lambda: browser.stats().open, 20)
        assert set(naps) == {NAP}
        until(send_and_look, 20)
        before = len(naps)
        until(lambda: NAP in naps[before:], 20)
        site.open[0].send(close_with(4401))
        until(lambda: browser.stats().closed, 20)


def test_what_comes_to_a_tab_is_read_in_c(sites: list[Site], tmp_path: Path) -> None:
    site = begin(sites, WELCOME)
    with living(site, tmp_path) as (browser, ask):
        ask("open", [(0.0, 0)])
        assert isinstance(browser._reader, QuickReader)
        whose = browser._reader._whose
        until(lambda: NOBODY in whose, 20)
        site.open[0].send(text(b"{}") + close_with(4401))
        until(lambda: browser.stats().closed, 20)
        assert not any(whose)
    assert (browser._reader.received, browser._received) == (len(WELCOME) + 8, 0)
    assert browser.stats().frames == 2


def test_what_a_tab_was_told_is_not_taken_for_what_the_next_with_its_file_was(
    sites: list[Site], tmp_path: Path
) -> None:
    site = begin(sites, WELCOME, WELCOME)
    with living(site, tmp_path, people=2) as (browser, ask):
        ledger = browser.ledger
        ledger.catch_up = lambda most=None: None if most else Ledger.catch_up(ledger)  # type: ignore[method-assign]
        ask("look", [View(places={"7": 0}, numbers=[number]) for number in (70, 71)], {0: 0, 1: 1})
        files = []
        for number in (0, 1):
            ask("open", [(0.0, number)])
            until(lambda: browser.stats().open, 20)
            files.append(list(browser._by_file))
            if number == 0:
                ask("ledger_call", "begin", False)
            for status in (b"offline", b"online"):
                site.open[number].send(text(b'{"users":{"7":{"status":"%s"}}}' % status))
            site.open[number].send(close_with(4401))
            until(lambda: not browser.stats().open, 20)
        assert files[0] == files[1]
        assert ledger.behind == 2 + 3  # the second welcome too
        changes = list(ask("ledger_call", "harvest").changes)
    assert changes == [change(70, 1), change(71, 1)]


def test_a_tab_that_finds_nobody_who_listens_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    with loading([Account("1", "sessionid=abc")], [port]) as load:
        load.open([0], 1)
        stats = load.wait_until("refused", lambda stats: bool(stats.refused), 20)
    assert (stats.refused, stats.open, stats.under_way) == ({"closed with 1006": 1}, 0, 0)


def test_a_tab_that_breaks_off_resets_its_connection(sites: list[Site]) -> None:
    site = begin(sites, WELCOME)
    with load_on(site) as load:
        load.open([0], 1)
        is_open(load)
        load.drop([0])
        site.open[0].settimeout(20)
        with pytest.raises(ConnectionResetError):
            site.open[0].recv(1)


def test_what_a_process_of_the_load_fails_of_is_told(sites: list[Site]) -> None:
    with load_on(begin(sites, WELCOME)) as load:
        load.open([0], 1)
        is_open(load)
        load.open([0], 1)
        with pytest.raises(BenchError, match="tab 0 is opened while it is open"):
            load.wait_until("never", lambda stats: False, 20)
