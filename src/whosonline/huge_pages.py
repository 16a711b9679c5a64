"""Keep what a process holds in huge pages, so that the processor finds it sooner.

A processor remembers where a few thousand pages lie. A server with thousands of sockets holds a hundred
thousand pages of 4 KiB, several servers share one processor, and each frame goes to another socket: nearly
each look at an object is a search for its page first. Of huge pages, 2 MiB each, there are two hundred.

Python maps its memory in pieces of at most 1 MiB, which Linux makes no huge pages of when they are first
touched. So what is there already is *collapsed* from time to time: the kernel copies 512 pages into one
(MADV_COLLAPSE, from Linux 6.1), and leaves alone what is one already. It also fills what is empty in between.

Nothing is collapsed where the kernel cannot, where huge pages have another size, while the administrator
forbids them ("[never]" in /sys/kernel/mm/transparent_hugepage/enabled), or while part of the process is
swapped out: the kernel would fetch it.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

EVERY = 5.0
"""Seconds from one collapse to the next."""

SELDOM = 600.0
"""The most seconds to the next, while the kernel has no huge page to give: it tries hard each time."""

SIZE = 2 << 20
"""Bytes of a huge page."""

PIECE = 16 * SIZE
"""Bytes that are collapsed in one call, which nothing can end before its time."""

_COLLAPSE = 25  # MADV_COLLAPSE, which module mmap does not name
_SWITCH = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_MAPS = Path("/proc/self/maps")
_STATUS = Path("/proc/self/status")

Advise = Callable[[int, int, int], int]
"""madvise(2): an address, how many bytes from there, and the advice; 0, or else errno is set."""


class HugePages:
    """Collapses this process's memory into huge pages, in a thread of its own, until it is stopped."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="huge pages", daemon=True)

    def start(self) -> None:
        """Begin, if the kernel can."""
        if can_collapse():
            self._thread.start()
        else:
            logger.info("memory is not collapsed into huge pages: the kernel cannot")

    def stop(self) -> None:
        """Collapse no more. What is collapsed stays so."""
        self._stopped.set()

    def _run(self) -> None:
        advise = _madvise()
        wait = EVERY
        while not self._stopped.wait(wait):
            try:
                wait = next_wait(wait, may_collapse() and collapse(advise, self._stopped))
            except OSError:  # no file can be opened just now: it matters less than what has opened them
                wait = next_wait(wait, False)


def next_wait(last: float, done: bool) -> float:
    """Return after how many seconds to collapse again, and longer each time while it fails."""
    return EVERY if done else min(2 * last, SELDOM)


def can_collapse() -> bool:
    """Return whether the kernel knows the advice: it is asked to collapse nothing."""
    return sys.platform == "linux" and _madvise()(0, 0, _COLLAPSE) == 0


def may_collapse() -> bool:
    """Return whether memory may be collapsed now: it is not forbidden, and none of it is swapped out."""
    swapped = [line.split()[1] for line in _STATUS.read_text().splitlines() if line.startswith("VmSwap:")]
    return "[never]" not in _SWITCH.read_text() and swapped in ([], ["0"])


def collapse(advise: Advise, stopped: threading.Event) -> bool:
    """Collapse what this process holds now. Takes milliseconds for each huge page that is new.

    Returns:
        Whether the kernel had all the huge pages that it takes.
    """
    done = True
    for begin, end in regions(_MAPS.read_text().splitlines()):
        for piece in range(begin, end, PIECE):
            if stopped.is_set():
                return done
            # Others use and change the memory meanwhile. What has gone is told as if there were no huge page
            # (ENOMEM), so the rest is tried all the same; whatever else cannot be is left for another time.
            if advise(piece, min(PIECE, end - piece), _COLLAPSE):
                done = done and ctypes.get_errno() not in (errno.ENOMEM, errno.EBUSY)
    return done


def regions(maps: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield where memory that is the process's own begins and ends, as far as huge pages fit into it.

    Args:
        maps: The lines of /proc/PID/maps: addresses, permissions, offset, device, inode, and a name for what
            is a file or has a meaning. What was merely mapped has none, or one that was given to it
            (``[anon: ...]``), and the heap of malloc is ``[heap]``.
    """
    for line in maps:
        addresses, permissions, *_, inode_and_name = line.split(maxsplit=4)
        inode, _, name = inode_and_name.partition(" ")
        name = name.strip()
        if permissions == "rw-p" and inode == "0" and (name in ("", "[heap]") or name.startswith("[anon:")):
            begin, end = (int(each, 16) for each in addresses.split("-"))
            begin, end = -(-begin // SIZE) * SIZE, end // SIZE * SIZE
            if begin < end:
                yield begin, end


def _madvise() -> Advise:
    function = ctypes.CDLL(None, use_errno=True).madvise
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return function
