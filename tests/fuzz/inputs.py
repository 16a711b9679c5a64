"""What a hostile client may send: nearly right messages, frames of any shape, and requests that are none."""

from __future__ import annotations

import json
import struct
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

# Messages

NASTY = [
    "",
    "\0",
    "\ud800",
    "\udfff\ud800",
    "site",
    "__proto__",
    "1" * 101,
    "é" * 400,
    "\u202e",
    "%00",
    "'--",
]
"""Texts that are trouble somewhere; lone surrogates can be written in JSON, and in no encoding."""

texts = st.sampled_from(NASTY) | st.text(max_size=20) | st.integers(-1, 60).map(str)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts
    | st.sampled_from([10**400, -(2**63), 1e308])
)
values: SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
keys = st.none() | texts
searches = st.none() | texts | st.sampled_from(["w", "WITNESS", "host", " ", "\n\t", "\U0010ffff", "ﬁ", "İ"])
"""Some find one of those who are there, some everybody, some change as their case is folded."""

ranges = st.fixed_dictionaries({}, optional={"after": keys, "until": keys, "search": searches})


def message(
    kind: str, optional: dict[str, SearchStrategy[Any]] | None = None, **fields: SearchStrategy[Any]
) -> SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just(kind), **fields}, optional=optional)


understood = st.one_of(
    message("watch", users=st.lists(texts, max_size=30)),
    message("watch", users=st.integers(0, 600).map(lambda count: [str(number) for number in range(count)])),
    message("watch", {"search": searches}, room=texts, after=keys, limit=st.integers(0, 101)),
    message("watch", room=st.just("site"), limit=st.integers(1, 100), search=searches),
    message("watch", directory=ranges),
    message("unwatch", users=st.just(True)),
    message("unwatch", room=texts),
    message("unwatch", directory=st.just(True)),
    message("idle"),
    message("active"),
    message("enter", room=texts),
    message("leave", room=texts),
)


@st.composite
def spoilt(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a message of which a field, maybe one of the part of the list that it names, is wrong.

    It is missing, of another kind, or one too many.
    """
    made = dict(draw(understood))
    part = made.get("directory")
    fields = part if isinstance(part, dict) and draw(st.booleans()) else made
    others = ["type", "users", "room", "after", "until", "limit", "search", "directory", "x"]
    field = draw(st.sampled_from([*fields, *others]))
    if draw(st.booleans()):
        fields.pop(field, None)
    else:
        fields[field] = draw(values)
    return made


@st.composite
def torn(draw: st.DrawFn) -> str:
    """Draw the text of a message with something cut out, put in, or said twice."""
    text = json.dumps(draw(understood))
    start, end = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
    put = draw(
        st.sampled_from(["", text, "{", "[" * 50, '"', "\\u", "\\ud800", "NaN", " " * 100])
        | st.text(max_size=5)
    )
    return text[:start] + put + text[end:]


HUGE = {
    "deep lists": "[" * 30_000,
    "deep objects": '{"a":' * 6_000,
    "too large a type": '{"type":"' + "x" * 33_000 + '"}',
    "the largest number": "1" * 32_768,
    "a byte too many": "é" * 16_384 + "x",
    "spaces": " " * 32_768,
}
huge = st.sampled_from(sorted(HUGE)).map(HUGE.__getitem__)

messages = st.one_of(
    understood.map(json.dumps), spoilt().map(json.dumps), values.map(json.dumps), torn(), st.text(), huge
).filter(lambda text: not any("\ud800" <= letter <= "\udfff" for letter in text))


# Frames, as RFC 6455 draws them (5.2)


def frame(
    opcode: int, payload: bytes, *, first: int = 0x80, mask: bytes | None = b"\1\2\3\4", lie: int = 0
) -> bytes:
    """Return a frame's bytes.

    Args:
        first: The bits FIN and RSV1 to RSV3.
        mask: None leaves the payload unmasked, which no client may.
        lie: By how much the length that it names is wrong.
    """
    size, masked = max(len(payload) + lie, 0), 0x80 if mask else 0
    head = bytes([first | opcode])
    if size < 126:
        head += bytes([masked | size])
    elif size < 2**16:
        head += struct.pack("!BH", masked | 126, size)
    else:
        head += struct.pack("!BQ", masked | 127, size)
    if mask:
        payload = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return head + (mask or b"") + payload


payloads = (
    messages.map(lambda text: text.encode()[:1000])
    | st.binary(max_size=140)
    | st.sampled_from([b"\xff\xfe", b"\xed\xa0\x80", b"\x03\xe8", b"\x03\xe8\xff", b"\x00", b"\x0f\xa0bye"])
)
odd_frames = st.builds(
    frame,
    st.integers(0, 15),
    payloads,
    first=st.integers(0, 15).map(lambda bits: bits << 4),
    mask=st.none() | st.binary(min_size=4, max_size=4),
    lie=st.sampled_from([0, 0, 0, -1, 1, 100, 2**16, 2**31, 2**62]),
)
fair_frames = st.builds(
    frame, st.sampled_from([0, 1, 1, 1, 2, 8, 9, 10]), payloads, first=st.sampled_from([0, 0x80, 0x80])
)
frames = st.tuples(st.lists(fair_frames, max_size=3), odd_frames | st.binary(max_size=60)).map(
    lambda drawn: [*drawn[0], drawn[1]]
)
"""Some that may pass, then one that hardly does: that ends the connection, with all that follows."""


# Requests

HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
NAMES = [
    *HANDSHAKE,
    "Host",
    "Origin",
    "Cookie",
    "Content-Length",
    "Transfer-Encoding",
    "Expect",
    "X-Forwarded-For",
]
NAMES += ["X-Forwarded-Proto", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"]
odd_values = st.sampled_from(
    ["", "null", "x" * 5000, "13", "0", "-1", "99999999999999999999", "chunked", "100-continue", "http://[::1",
     "sessionid=x", "sessionid=" + "é" * 50, "sessionid=\"; ;=;", "[::1", "a, b", "::", "permessage-deflate",
     "whosonline.v1", "https", "wss", "keep-alive, Upgrade"]
) | st.text(st.characters(min_codepoint=31, max_codepoint=255), max_size=30)  # fmt: skip
paths = st.sampled_from(
    ["/users/", "/users/?idle=1", "/users/?resume=x", "/users/?resume=%ff&&==", "/users/?" + "r" * 4000,
     "/users", "/users/#x", "http://x/users/", "/", "/log_in/", "/healthz", "//", "/%00", "/%ff/", "*"]
) | st.text(st.characters(min_codepoint=33, max_codepoint=127), max_size=20)  # fmt: skip


@st.composite
def requests(draw: st.DrawFn, fair: dict[str, str]) -> bytes:
    """Draw a request that begins as a fair one, and is changed in some places."""
    headers = [*fair.items()]
    for name, value in draw(st.lists(st.tuples(st.sampled_from(NAMES), odd_values), max_size=3)):
        if draw(st.booleans()):
            headers = [(known, said) for known, said in headers if known != name]
        headers.append((name, value))
    method = draw(st.sampled_from(["GET"] * 6 + ["POST", "HEAD", "OPTIONS", "CONNECT", "get", "\0"]))
    version = draw(st.sampled_from(["HTTP/1.1"] * 6 + ["HTTP/1.0", "HTTP/2.0", "HTTP/9", ""]))
    lines = [f"{method} {draw(paths)} {version}", *(f"{name}: {value}" for name, value in headers), "", ""]
    text = "\r\n".join(lines).encode("latin-1")
    cut = draw(st.none() | st.integers(0, len(text)))
    return text[:cut] + b"".join(draw(frames) if draw(st.booleans()) else [])


noise = st.binary(max_size=200)
