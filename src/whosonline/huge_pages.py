"""Keep what a process holds in huge pages, so that the processor finds it sooner.

A processor remembers where a few thousand pages lie. A server with thousands of sockets holds a hundred
thousand pages of 4 KiB, several servers share one processor, and each frame goes to another socket: nearly
each look at an object is a search for its page first. Of huge pages, 2 MiB each, there are some hundred.

Python maps its memory in pieces of at most 1 MiB, which Linux makes no huge pages of when they are first
touched. So what is there already is *collapsed* from time to time: the kernel copies 512 pages into one
(MADV_COLLAPSE, from Linux 6.1), and leaves alone what is one already, and the stacks of threads.

Nothing is collapsed where the kernel cannot, or where the administrator forbids huge pages ("never" in
/sys/kernel/mm/transparent_hugepage/enabled).
"""

from __future__ import annotations

import ctypes
import errno
import logging
import mmap
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

EVERY = 5.0
"""Seconds from one collapse to the next."""

SELDOM = 600.0
"""The most seconds to the next, while the kernel has no huge page to give: it tries hard each time."""

SIZE = 2 << 20
"""Bytes of a huge page. Where they are larger the kernel does nothing with what is smaller."""

_COLLAPSE = 25  # MADV_COLLAPSE, which module mmap does not name
_SWITCH = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_MAPS = Path("/proc/self/maps")
_NONE_TO_GIVE = (errno.ENOMEM, errno.EBUSY)


class HugePages:
    """Collapses this process's memory into huge pages, in a thread of its own, until it is stopped."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="huge pages", daemon=True)

    def start(self) -> None:
        """Begin, if it can be done here."""
        if can_collapse():
            self._thread.start()
        else:
            logger.info("memory is not collapsed into huge pages: the kernel cannot, or it is forbidden")

    def stop(self) -> None:
        """Collapse no more. What is collapsed stays so."""
        self._stopped.set()

    def _run(self) -> None:
        wait = EVERY
        while not self._stopped.wait(wait):
            try:
                wait = next_wait(wait, collapse())
            except Exception:
                # Nothing depends on it: the server is as right without, only slower.
                logger.exception("memory is not collapsed into huge pages any more")
                return


def next_wait(last: float, done: bool) -> float:
    """Return after how many seconds to collapse again, and longer each time while it fails."""
    return EVERY if done else min(2 * last, SELDOM)


def can_collapse() -> bool:
    """Return whether memory can be collapsed here, and may be; find out with one huge page for a moment."""
    if sys.platform != "linux":
        return False
    try:
        if "[never]" in _SWITCH.read_text():
            return False
        with mmap.mmap(-1, 2 * SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as tried:
            for page in range(0, 2 * SIZE, mmap.PAGESIZE):
                tried[page] = 1
            tried.madvise(_COLLAPSE)
    except OSError as error:  # no such file, or no such advice; or just none to give at this moment
        return error.errno in _NONE_TO_GIVE
    return True


def collapse() -> bool:
    """Collapse what this process holds now. Takes milliseconds for each huge page that is new.

    Returns:
        Whether the kernel had all the huge pages that it takes.
    """
    advise = ctypes.CDLL(None, use_errno=True).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for begin, end in regions(_MAPS.read_text().splitlines()):
        # Others use and change the memory meanwhile: whatever is no longer as it was is left alone.
        if advise(begin, end - begin, _COLLAPSE) and ctypes.get_errno() in _NONE_TO_GIVE:
            return False
    return True


def regions(maps: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield where memory that is the process's own begins and ends, as far as huge pages fit into it.

    Args:
        maps: The lines of /proc/PID/maps: addresses, permissions, offset, device, inode, and a name for what
            is a file or has a meaning. What was merely mapped has none, and the heap of malloc is ``[heap]``.
    """
    for line in maps:
        addresses, permissions, *_, inode_and_name = line.split(maxsplit=4)
        inode, _, name = inode_and_name.partition(" ")
        if permissions == "rw-p" and inode == "0" and name.strip() in ("", "[heap]"):
            begin, end = (int(each, 16) for each in addresses.split("-"))
            begin, end = -(-begin // SIZE) * SIZE, end // SIZE * SIZE
            if begin < end:
                yield begin, end
