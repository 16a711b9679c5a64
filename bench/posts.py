"""A form that is sent by a browser tab, beside its socket."""

from __future__ import annotations

import socket

from .processes import BenchError


class Post:
    """A request that is under way.

    Args:
        socket: What it goes through, connecting still.
        request: All of it.
    """

    def __init__(self, socket: socket.socket, request: bytes) -> None:
        self.socket = socket
        self._request = request

    def go_on(self) -> bool:
        """Do what can be done, now that something has happened; return whether it has been answered.

        Raises:
            BenchError: the answer is not that the form was accepted.
        """
        if self._request:
            self.socket.send(self._request)  # it has just been connected
            self._request = b""
            return False
        try:
            answer = self.socket.recv(4096)
        except BlockingIOError:
            return False
        if not answer.startswith(b"HTTP/1.1 302 "):
            raise BenchError(f"a log-out was answered with {answer[:200]!r}")
        return True
