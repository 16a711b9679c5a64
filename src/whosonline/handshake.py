"""A WebSocket's handshake as browsers send it.

uvicorn has HTTP's parser read it, writes down what that has read, and has websockets read it once more, and
check what no browser gets wrong. What is taken here is no more than a browser's handshake can be; all others
are left to those, which know what to answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from websockets.utils import accept_key

ORDINARY = 8_192
"""Bytes of a handshake that need no second look."""

HEAD = re.compile(
    rb"GET (?P<target>/[!-~]*) HTTP/1\.1\r\n"
    rb"(?P<headers>(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~]*\r\n)+)"
    rb"\r\n"
)
"""A request in ASCII, with each header in a line (RFC 9112)."""

HEADER = re.compile(rb"([^:]+):[\t ]*([^\r]*)\r\n")
"""One of these."""

MOST = 100
"""Headers that a browser sends at the most."""

KEY = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")
"""Sixteen random bytes, as RFC 6455 wants them."""

SUBPROTOCOLS = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:, ?[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
"""Names with commas between them."""

LINE_END = re.compile(r"[\r\n\0]")

BODY = {b"content-length", b"transfer-encoding"}
"""What a handshake does not have."""


class Handshake(NamedTuple):
    """What uvicorn asks of a request that is read."""

    path: str
    headers: Head


class Head:
    """The headers of a handshake, each of which stands there once; the names are in lower case."""

    def __init__(self, headers: dict[bytes, bytes]) -> None:
        self._headers = headers

    def raw_items(self) -> Iterator[tuple[str, str]]:
        for name, value in self._headers.items():
            yield name.decode("ascii"), value.decode("ascii")

    def get_all(self, name: str) -> list[str]:
        value = self._headers.get(name.lower().encode())
        return [] if value is None else [value.decode("ascii")]

    def clear(self) -> None:
        self._headers = {}


class Answer:
    """What uvicorn and websockets ask of the answer that lets a socket in."""

    status_code, reason_phrase, body = 101, "Switching Protocols", b""

    def __init__(self, key: str) -> None:
        self.headers = AnswerHead(
            [
                ("Upgrade", "websocket"),
                ("Connection", "Upgrade"),
                ("Sec-WebSocket-Accept", accept_key(key)),
            ]
        )

    def serialize(self) -> bytes:
        lines = "".join([f"{name}: {value}\r\n" for name, value in self.headers.raw_items()])
        return f"HTTP/1.1 {self.status_code} {self.reason_phrase}\r\n{lines}\r\n".encode("latin-1")


class AnswerHead:
    """The headers of the answer, to which uvicorn adds those that the application wants."""

    def __init__(self, headers: list[tuple[str, str]]) -> None:
        self._headers = headers

    def update(self, headers: Iterable[tuple[str, str]]) -> None:
        """Add headers. Raises ValueError for one that would be more than one."""
        for header in headers:
            if LINE_END.search("".join(header)):
                raise ValueError(f"{header!r} is no header")
            self._headers.append(header)

    def __delitem__(self, name: str) -> None:
        """Do nothing: it is the date that uvicorn takes out, to put in its own, and here is none."""

    def raw_items(self) -> Iterator[tuple[str, str]]:
        return iter(self._headers)

    def clear(self) -> None:
        self._headers.clear()


def read_handshake(request: bytes) -> tuple[Handshake, Answer] | None:
    """Return a handshake as browsers send it, and its answer; None for whatever looks different.

    Args:
        request: All that a peer has said so far.
    """
    if len(request) > ORDINARY or (head := HEAD.fullmatch(request)) is None:
        return None
    headers = HEADER.findall(head["headers"])
    named = {name.lower(): value for name, value in headers}
    key = named.get(b"sec-websocket-key", b"")
    ordinary = (
        len(named) == len(headers) <= MOST  # none is there twice
        and named.get(b"upgrade", b"").lower() == b"websocket"
        and b"upgrade" in [each.strip() for each in named.get(b"connection", b"").lower().split(b",")]
        and named.get(b"sec-websocket-version") == b"13"
        and KEY.fullmatch(key)
        and SUBPROTOCOLS.fullmatch(named.get(b"sec-websocket-protocol", b"none"))
        and named.keys().isdisjoint(BODY)
        and not any(value[-1:].isspace() for value in named.values())  # which would be none of it
    )
    if not ordinary:
        return None
    return Handshake(head["target"].decode("ascii"), Head(named)), Answer(key.decode("ascii"))
