"""What a process holds is collapsed into huge pages, where the kernel can and the administrator lets it."""

from __future__ import annotations

import errno
import mmap
import re
import sys
from pathlib import Path
from threading import Event

import pytest

from whosonline import huge_pages
from whosonline.huge_pages import (
    EVERY,
    PIECE,
    SELDOM,
    HugePages,
    can_collapse,
    collapse,
    may_collapse,
    next_wait,
    regions,
)

from .polling import until

SIZE = 2 << 20

needs_them = pytest.mark.skipif(
    not can_collapse() or not may_collapse(), reason="the kernel has no huge pages, or they are forbidden"
)


def held_in_them() -> int:
    """Return how many bytes of this process lie in huge pages."""
    found = re.search(r"AnonHugePages: +(\d+) kB", Path("/proc/self/smaps_rollup").read_text())
    assert found
    return int(found[1]) * 1024


def new_memory() -> mmap.mmap:
    """Return 32 MiB that the process has just got, touched everywhere.

    Objects would not do: Python may have room for them in what is collapsed already.
    """
    memory = mmap.mmap(-1, 16 * SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.write(b"x" * len(memory))
    return memory


@needs_them
def test_what_a_process_holds_is_collapsed() -> None:
    collapse(huge_pages._madvise(), Event())
    before = held_in_them()
    memory = new_memory()
    assert collapse(huge_pages._madvise(), Event())
    assert held_in_them() - before > 8 * SIZE
    assert memory[:] == b"x" * len(memory)


@needs_them
def test_a_server_goes_on_collapsing_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huge_pages, "EVERY", 0.01)
    collapse(huge_pages._madvise(), Event())
    pages, kept = HugePages(), []
    pages.start()
    for _ in range(2):
        before = held_in_them()
        kept.append(new_memory())
        until(lambda before=before: held_in_them() - before > 8 * SIZE)
    pages.stop()
    pages._thread.join(10)
    assert not pages._thread.is_alive()


@pytest.mark.parametrize(
    ("switch", "swap", "may"),
    [
        ("always [madvise] never", "VmSwap:\t       0 kB", True),
        ("[always] madvise never", "VmSwap:\t       0 kB", True),
        ("always [madvise] never", "", True),
        ("always madvise [never]", "VmSwap:\t       0 kB", False),
        ("always [madvise] never", "VmSwap:\t      40 kB", False),
    ],
)
def test_nothing_is_collapsed_while_it_is_forbidden_or_swapped_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, switch: str, swap: str, may: bool
) -> None:
    for name, text in (("_SWITCH", f"{switch}\n"), ("_STATUS", f"Name:\tpython\n{swap}\nThreads:\t1\n")):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(huge_pages, name, tmp_path / name)
    assert may_collapse() is may


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is done at all")
def test_nothing_is_begun_where_the_kernel_does_not_know_the_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huge_pages, "_COLLAPSE", 250)
    assert not can_collapse()
    pages = HugePages()
    pages.start()
    assert not pages._thread.is_alive()


@needs_them
def test_a_failure_is_not_the_end_and_it_is_tried_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[float] = []

    def no_file() -> bool:
        tried.append(0)
        raise OSError(errno.EMFILE, "too many files")

    def longer(last: float, done: bool) -> float:
        assert not done
        tried[-1] = last
        return last + 0.001

    monkeypatch.setattr(huge_pages, "EVERY", 0.01)
    monkeypatch.setattr(huge_pages, "may_collapse", no_file)
    monkeypatch.setattr(huge_pages, "next_wait", longer)
    pages = HugePages()
    pages.start()
    until(lambda: len(tried) > 3)
    pages.stop()
    pages._thread.join(10)
    assert tried[:3] == pytest.approx([0.01, 0.011, 0.012])


@pytest.mark.parametrize(
    ("error", "done"),
    [(errno.ENOMEM, False), (errno.EBUSY, False), (errno.EAGAIN, True), (errno.EINVAL, True)],
)
def test_what_cannot_be_collapsed_now_keeps_nothing_else_from_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: int, done: bool
) -> None:
    asked: list[tuple[int, int]] = []

    def advise(begin: int, size: int, advice: int) -> int:
        asked.append((begin, size))
        return -1 if len(asked) < 3 else 0

    three_maps(monkeypatch, tmp_path)
    errors = iter([error, errno.EINVAL])
    monkeypatch.setattr(huge_pages.ctypes, "get_errno", lambda: next(errors))
    assert collapse(advise, Event()) is done
    assert asked == [(2 * SIZE, SIZE), (6 * SIZE, PIECE), (6 * SIZE + PIECE, SIZE)]


def test_whoever_stops_it_waits_for_one_piece_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stopped, asked = Event(), []

    def advise(begin: int, size: int, advice: int) -> int:
        asked.append(begin)
        stopped.set()
        return 0

    three_maps(monkeypatch, tmp_path)
    assert collapse(advise, stopped)
    assert asked == [2 * SIZE]


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
        ("400000-c00000 rw-p 00000000 00:00 0          [anon: an allocator's]", [(0x400000, 0xC00000)]),
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


def three_maps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have the process hold a huge page, some memory that is none of its own, and a piece and a huge page."""
    ends = (2 * SIZE, 3 * SIZE, 6 * SIZE, 7 * SIZE + PIECE)
    maps = "{0:x}-{1:x} rw-p 0 00:00 0\n{1:x}-{2:x} r--p 0 00:00 0\n{2:x}-{3:x} rw-p 0 00:00 0\n"
    (tmp_path / "maps").write_text(maps.format(*ends))
    monkeypatch.setattr(huge_pages, "_MAPS", tmp_path / "maps")
