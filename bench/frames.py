"""What a browser sends and what a server sends back, as bytes, looked at as little as can be."""

from __future__ import annotations

from collections.abc import Iterator

TEXT, CLOSE, PING = 0x81, 0x88, 0x89
"""The first bytes of a frame that is whole."""

CSRF = "QoyrTgsNT5Da5V5cE1tWZ1JCyBCEWEbr"
"""A token of Django's, which only has to be the same in the cookie and in the form."""

GOING_AWAY = b"\x88\x82" + bytes(4) + (1001).to_bytes(2, "big")
"""What a browser says when its tab is closed."""


def handshake(port: int, cookie: str, query: str = "") -> bytes:
    """Return what a browser sends: a server keeps the headers for as long as the socket is open."""
    lines = [
        f"GET /users/{query} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Connection: Upgrade",
        "Pragma: no-cache",
        "Cache-Control: no-cache",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/141.0.0.0 Safari/537.36",
        "Upgrade: websocket",
        f"Origin: http://127.0.0.1:{port}",
        "Sec-WebSocket-Version: 13",
        "Accept-Encoding: gzip, deflate, br, zstd",
        "Accept-Language: en-US,en;q=0.9",
        f"Cookie: csrftoken={CSRF}; {cookie}",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        "Sec-WebSocket-Protocol: whosonline.v1",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def log_out(port: int, cookie: str) -> bytes:
    """Return what a browser sends when the button on the log-out page is pressed."""
    form = f"csrfmiddlewaretoken={CSRF}"
    lines = [
        "POST /log_out/ HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Connection: close",
        f"Origin: http://127.0.0.1:{port}",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(form)}",
        f"Cookie: csrftoken={CSRF}; {cookie}",
    ]
    return "\r\n".join([*lines, "", form]).encode()


def masked(text: bytes) -> bytes:
    """Return a client's text frame of less than 64 KiB, with a mask that changes nothing."""
    if len(text) < 126:
        return bytes([TEXT, 0x80 | len(text)]) + bytes(4) + text
    return bytes([TEXT, 0x80 | 126]) + len(text).to_bytes(2, "big") + bytes(4) + text


def pong(ping: bytes) -> bytes:
    """Return the answer to a ping."""
    return bytes([0x8A, 0x80 | ping[1]]) + bytes(4) + ping[2:]


def payload(frame: bytes) -> bytes:
    """Return what a server's frame holds."""
    return frame[2 if frame[1] < 126 else 4 if frame[1] == 126 else 10 :]


def split(data: bytes) -> Iterator[bytes]:
    """Return the frames in what a server sent, and last what is left over: the beginning of a frame."""
    position = 0
    while len(data) - position >= 2:
        length, start = data[position + 1], position + 2
        if length >= 126:
            start += 2 if length == 126 else 8
            length = int.from_bytes(data[position + 2 : start], "big")
        if start > len(data) or start + length > len(data):
            break
        yield data[position : start + length]
        position = start + length
    yield data[position:]
