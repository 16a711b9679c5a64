"""Looks at thousands of sockets at once, and reads those whose frames need no thought: in C if it can be.

The load shares its processor with the site that it measures, so what it takes is missing there.
"""

from __future__ import annotations

import ctypes
import errno
import math
import resource
import select
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from .processes import BenchError, compiled

MOST, READ = 4096, 4096
"""Sockets that are looked at in one look, and bytes that are read of each."""

NOTED = MOST * READ // 64
"""Texts that are noted in one look."""

FILES = 1 << 20
"""No process of a load has a file with such a number: reader.c would read beyond its array."""

HERE = Path(__file__).resolve().parent


class Noted(NamedTuple):
    """Texts that came, each a whole frame, with their files and times."""

    files: Sequence[int]
    times: Sequence[float]
    frames: Sequence[bytes]


class Left(NamedTuple):
    """Something that came and needs a thought."""

    file: int
    at: float
    data: bytes | None
    """What was read; None if the connection is broken."""


class Found(NamedTuple):
    """What a look has found."""

    ready: Sequence[int]
    """Files that have something to be read, or can be written to."""
    left: Sequence[Left] = ()
    noted: Noted = Noted((), (), ())


class Reader(Protocol):
    """Looks at the files of an epoll object."""

    @property
    def received(self) -> int:
        """How many bytes it has read."""
        ...

    @property
    def sent(self) -> int:
        """How many bytes of pongs it has sent."""
        ...

    def look(self, wait: float) -> Found:
        """Wait so many seconds at most until there is something, and look at it."""
        ...

    def be_quick(self, file: int, quick: bool) -> None:
        """Say whether the reader may read from a file itself: a socket, at the beginning of a frame."""
        ...


class PlainReader:
    """Reads nothing itself."""

    received = sent = 0

    def __init__(self, poll: select.epoll) -> None:
        self._poll = poll

    def look(self, wait: float) -> Found:
        return Found([file for file, _ in self._poll.poll(wait, MOST)])

    def be_quick(self, file: int, quick: bool) -> None:
        pass


_CAME = struct.Struct("@dii")
_READY, _BROKEN = -2, -1


class _InC(ctypes.Structure):
    _fields_ = (
        ("quick", ctypes.c_void_p),
        ("received", ctypes.c_long),
        ("sent", ctypes.c_long),
        ("noted_count", ctypes.c_int),
        ("left_count", ctypes.c_int),
        ("noted_size", ctypes.c_int),
        ("left_size", ctypes.c_int),
        ("noted", ctypes.c_char * (_CAME.size * NOTED)),
        ("left", ctypes.c_char * (_CAME.size * MOST)),
        ("noted_bytes", ctypes.c_char * (MOST * READ)),
        ("left_bytes", ctypes.c_char * (MOST * READ)),
    )


class QuickReader:
    """Reads whole texts from quick sockets, and answers their pings, in C.

    Args:
        library: reader.c, compiled. A process can have one such reader.
    """

    def __init__(self, poll: select.epoll, library: str) -> None:
        self._poll = poll.fileno()
        loaded = ctypes.CDLL(library, use_errno=True)
        if ctypes.c_size_t.in_dll(loaded, "found_size").value != ctypes.sizeof(_InC):
            raise BenchError("reader.c and reader.py disagree about what is found")
        self._look = loaded.look
        self._look.argtypes = (ctypes.c_int, ctypes.c_int)
        self._found = _InC.in_dll(loaded, "found")
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._quick = (ctypes.c_ubyte * min(files, FILES))()
        self._found.quick = ctypes.addressof(self._quick)

    @property
    def received(self) -> int:
        return int(self._found.received)

    @property
    def sent(self) -> int:
        return int(self._found.sent)

    def look(self, wait: float) -> Found:
        if self._look(self._poll, math.ceil(wait * 1000)) < 0 and ctypes.get_errno() != errno.EINTR:
            raise OSError(ctypes.get_errno(), "epoll_wait")
        ready, left = [], []
        for at, file, size, data in self._came("left"):
            if size == _READY:
                ready.append(file)
            else:
                left.append(Left(file, at, None if size == _BROKEN else data))
        if not self._found.noted_count:
            return Found(ready, left)
        times, files, _, frames = zip(*self._came("noted"), strict=True)
        return Found(ready, left, Noted(files, times, frames))

    def _came(self, which: str) -> Iterator[tuple[float, int, int, bytes]]:
        length = _CAME.size * getattr(self._found, f"{which}_count")
        together = ctypes.string_at(self._address(f"{which}_bytes"), getattr(self._found, f"{which}_size"))
        begin = 0
        for at, file, size in _CAME.iter_unpack(ctypes.string_at(self._address(which), length)):
            end = begin + max(size, 0)
            yield at, file, size, together[begin:end]
            begin = end

    def _address(self, name: str) -> int:
        return ctypes.addressof(self._found) + int(getattr(_InC, name).offset)

    def be_quick(self, file: int, quick: bool) -> None:
        self._quick[file] = quick


def compiled_reader(folder: Path) -> str | None:
    """Compile reader.c into a folder; return the library, or None where no compiler can."""
    sizes = (f"-DMOST={MOST}", f"-DREAD={READ}", f"-DNOTED={NOTED}")
    return compiled(HERE / "reader.c", folder, "-shared", "-fPIC", *sizes)


def reader(poll: select.epoll, library: str | None) -> Reader:
    """Return the reader of an epoll object that is quicker; at most one of a process is."""
    if library is not None:
        with suppress(OSError):  # from where it is nothing may be executed
            return QuickReader(poll, library)
    return PlainReader(poll)


def events() -> int:
    """Return what of a socket is to be told, once each: its end too, with which a reader does nothing."""
    return select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
