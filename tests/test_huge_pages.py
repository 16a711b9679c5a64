"""What a process holds is collapsed into huge pages, where the kernel can and the administrator lets it."""

from __future__ import annotations

import errno
import gc
import logging
import mmap
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from whosonline import huge_pages
from whosonline.huge_pages import EVERY, SELDOM, HugePages, can_collapse, collapse, next_wait, regions

SIZE = 2 << 20

needs_them = pytest.mark.skipif(not can_collapse(), reason="the kernel has no huge pages, or gives none")


def held_in_them() -> int:
    """Return how many bytes of this process lie in huge pages."""
    found = re.search(r"AnonHugePages: +(\d+) kB", Path("/proc/self/smaps_rollup").read_text())
    assert found
    return int(found[1]) * 1024


@pytest.fixture
def many_objects() -> list[object]:
    """32 MB of small objects, as Python maps them."""
    gc.collect()
    return [bytes(100) for _ in range(250_000)]


@needs_them
def test_what_a_process_holds_is_collapsed(many_objects: list[object]) -> None:
    before = held_in_them()
    assert collapse()
    assert held_in_them() - before > 16 * SIZE // 2
    assert all(each == bytes(100) for each in many_objects)


@needs_them
def test_a_server_goes_on_collapsing_until_it_is_stopped(
    monkeypatch: pytest.MonkeyPatch, many_objects: list[object]
) -> None:
    monkeypatch.setattr(huge_pages, "EVERY", 0.01)
    before = held_in_them()
    pages = HugePages()
    pages.start()
    wait_until(lambda: held_in_them() - before > 16 * SIZE // 2)
    pages.stop()
    pages._thread.join(10)
    assert not pages._thread.is_alive()


def test_whoever_forbids_huge_pages_is_obeyed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    switch = tmp_path / "enabled"
    switch.write_text("always madvise [never]\n")
    monkeypatch.setattr(huge_pages, "_SWITCH", switch)
    assert not can_collapse()
    pages = HugePages()
    pages.start()
    assert not pages._thread.is_alive()
    pages.stop()


def test_nothing_is_done_where_the_kernel_has_no_huge_pages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(huge_pages, "_SWITCH", tmp_path / "missing")
    assert not can_collapse()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is done at all")
def test_nothing_is_done_where_the_kernel_does_not_know_the_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huge_pages, "_COLLAPSE", 250)
    assert not can_collapse()


@needs_them
def test_a_moment_without_a_huge_page_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(mmap.mmap):
        def madvise(self, *_: int) -> None:
            raise OSError(errno.ENOMEM, "none to give")

    monkeypatch.setattr(huge_pages.mmap, "mmap", Full)
    assert can_collapse()


def test_a_failure_ends_the_collapsing_and_not_the_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> bool:
        raise RuntimeError("no")

    monkeypatch.setattr(huge_pages, "EVERY", 0.01)
    monkeypatch.setattr(huge_pages, "can_collapse", lambda: True)
    monkeypatch.setattr(huge_pages, "collapse", fail)
    pages = HugePages()
    pages.start()
    pages._thread.join(10)
    assert not pages._thread.is_alive()
    assert [record.levelno for record in caplog.records if "huge pages" in record.message] == [logging.ERROR]


@pytest.mark.parametrize("error", [errno.ENOMEM, errno.EBUSY])
def test_a_kernel_that_has_none_to_give_is_asked_for_no_further_ones(
    monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    asked = advise_with(monkeypatch, error)
    assert not collapse()
    assert len(asked) == 1


def test_what_cannot_be_collapsed_now_keeps_nothing_else_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = advise_with(monkeypatch, errno.EINVAL)
    assert collapse()
    assert asked == [(2 * SIZE, SIZE), (6 * SIZE, 2 * SIZE)]


def test_it_is_tried_less_often_the_longer_it_fails() -> None:
    waits = [EVERY]
    for _ in range(9):
        waits.append(next_wait(waits[-1], False))
    assert waits == [5, 10, 20, 40, 80, 160, 320, 600, 600, 600]
    assert SELDOM == 600
    assert next_wait(waits[-1], True) == EVERY


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("400000-c00000 rw-p 00000000 00:00 0", [(0x400000, 0xC00000)]),
        ("400000-c00000 rw-p 00000000 00:00 0          [heap]", [(0x400000, 0xC00000)]),
        ("3ff000-c01000 rw-p 00000000 00:00 0 ", [(0x400000, 0xC00000)]),
        ("401000-7ff000 rw-p 00000000 00:00 0", []),
        ("400000-600000 rw-p 00000000 00:00 0", [(0x400000, 0x600000)]),
        ("400000-c00000 r--p 00000000 00:00 0", []),
        ("400000-c00000 ---p 00000000 00:00 0", []),
        ("400000-c00000 rw-s 00000000 00:00 0", []),
        ("400000-c00000 rw-p 00000000 00:00 0          [stack]", []),
        ("400000-c00000 rw-p 00000000 fe:00 13  /a library with blanks", []),
    ],
)
def test_only_memory_of_its_own_is_collapsed(line: str, found: list[tuple[int, int]]) -> None:
    assert list(regions([line])) == found


def advise_with(monkeypatch: pytest.MonkeyPatch, error: int) -> list[tuple[int, int]]:
    """Have all advice fail with an error; return where it is noted."""
    asked: list[tuple[int, int]] = []

    def madvise(begin: int, size: int, advice: int) -> int:
        asked.append((begin, size))
        return -1

    libc = SimpleNamespace(madvise=madvise)
    monkeypatch.setattr(huge_pages.ctypes, "CDLL", lambda name, use_errno: libc)
    monkeypatch.setattr(huge_pages.ctypes, "get_errno", lambda: error)
    maps = "400000-600000 rw-p 0 00:00 0\n600000-700000 r--p 0 00:00 0\nc00000-1000000 rw-p 0 00:00 0\n"
    monkeypatch.setattr(huge_pages, "_MAPS", SimpleNamespace(read_text=lambda: maps))
    return asked


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
