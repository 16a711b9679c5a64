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
from dataclasses import dataclass
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


UNREAD, NOBODY, ALL_LEFT = 0, -1, -2
"""What a reader knows of a socket, where it does not know the number of who looks at its texts: that it reads
nothing of it; that nobody looks at its texts, which it counts; that it leaves all that it reads."""

_CAME = struct.Struct("@dii")
_READY, _BROKEN = -2, -1


@dataclass(frozen=True, slots=True)
class Noted:
    """Texts that came, in their order, as the reader wrote them down: unpacked only when they are looked at.

    For each there is a time, the number of who looks at it, and the whole frame.
    """

    records: bytes = b""
    frames: bytes = b""

    def __len__(self) -> int:
        return len(self.records) // _CAME.size

    def __iter__(self) -> Iterator[tuple[float, int, bytes]]:
        begin = 0
        for at, whose, size in _CAME.iter_unpack(self.records):
            end = begin + size
            yield at, whose, self.frames[begin:end]
            begin = end


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
    noted: Noted = Noted()
    """Texts that somebody looks at."""
    texts: int = 0
    """How many texts came, also those that nobody looks at, and without those that are left."""
    last: float = 0.0
    """When the last of them came."""


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

    def read_for(self, file: int, whose: int) -> None:
        """Say who looks at the texts that come to a socket: UNREAD, NOBODY, ALL_LEFT, or any other number.

        Unless all is left, it has to be at the beginning of a frame.
        """
        ...


class PlainReader:
    """Reads nothing itself."""

    received = sent = 0

    def __init__(self, poll: select.epoll) -> None:
        self._poll = poll

    def look(self, wait: float) -> Found:
        return Found([file for file, _ in self._poll.poll(wait, MOST)])

    def read_for(self, file: int, whose: int) -> None:
        pass


class _Came(ctypes.Structure):
    _fields_ = (("at", ctypes.c_double), ("whose", ctypes.c_int), ("size", ctypes.c_int))


class _InC(ctypes.Structure):
    _fields_ = (
        ("whose", ctypes.c_void_p),
        ("received", ctypes.c_long),
        ("sent", ctypes.c_long),
        ("last", ctypes.c_double),
        ("texts", ctypes.c_int),
        ("noted_count", ctypes.c_int),
        ("left_count", ctypes.c_int),
        ("noted_size", ctypes.c_int),
        ("left_size", ctypes.c_int),
        ("noted", _Came * NOTED),
        ("left", _Came * MOST),
        ("noted_bytes", ctypes.c_char * (MOST * READ)),
        ("left_bytes", ctypes.c_char * (MOST * READ)),
    )


class QuickReader:
    """Reads whole texts from sockets, and answers their pings, in C.

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
        self._whose = (ctypes.c_int * min(files, FILES))()
        self._found.whose = ctypes.addressof(self._whose)

    @property
    def received(self) -> int:
        return int(self._found.received)

    @property
    def sent(self) -> int:
        return int(self._found.sent)

    def look(self, wait: float) -> Found:
        if self._look(self._poll, math.ceil(wait * 1000)) < 0 and ctypes.get_errno() != errno.EINTR:
            raise OSError(ctypes.get_errno(), "epoll_wait")
        ready, left = self._left() if self._found.left_count else ([], [])
        if not self._found.texts:
            return Found(ready, left)
        return Found(ready, left, Noted(*self._copies("noted")), self._found.texts, self._found.last)

    def _left(self) -> tuple[list[int], list[Left]]:
        """Return what is ready, and what is left."""
        records, together = self._copies("left")
        ready: list[int] = []
        left: list[Left] = []
        begin = 0
        for at, file, size in _CAME.iter_unpack(records):
            if size == _READY:
                ready.append(file)
            elif size == _BROKEN:
                left.append(Left(file, at, None))
            else:
                left.append(Left(file, at, together[begin : begin + size]))
                begin += size
        return ready, left

    def _copies(self, which: str) -> tuple[bytes, bytes]:
        """Return the records of what is noted or left, and all bytes: the next look overwrites them."""
        records = _CAME.size * getattr(self._found, f"{which}_count")
        size = getattr(self._found, f"{which}_size")
        return self._copy(which, records), self._copy(f"{which}_bytes", size)

    def _copy(self, name: str, size: int) -> bytes:
        return ctypes.string_at(ctypes.addressof(self._found) + getattr(_InC, name).offset, size)

    def read_for(self, file: int, whose: int) -> None:
        self._whose[file] = whose


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
