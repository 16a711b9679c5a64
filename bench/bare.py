"""What bare.c does, where there is no C compiler: as little as Python can do."""

from __future__ import annotations

import socket
import sys


def main(count: int) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        print(listener.getsockname()[1], flush=True)
        connections = [listener.accept()[0] for _ in range(count)]
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while size := sys.stdin.buffer.read(2):
        frame = sys.stdin.buffer.read(int.from_bytes(size, "big"))
        for connection in connections:
            connection.send(frame)


if __name__ == "__main__":
    main(int(sys.argv[1]))
