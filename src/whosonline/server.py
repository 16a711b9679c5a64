"""uvicorn, with the settings that matter for many sockets that are open for long."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.utils.module_loading import import_string

from .conf import get_settings
from .workers import WorkerFailed, supervise

GRACEFUL_SHUTDOWN = 5
"""Seconds until a server that is going stops waiting for peers that read nothing."""

BACKLOG = 4096
"""Connections that may wait to be accepted: everybody comes back at once after a restart."""

UNSENT = 16 * 1024
"""Bytes that the kernel takes for a peer beyond those that are on their way."""


class CannotServe(Exception):
    """Why the site cannot be served, and what to do."""


def load_application() -> Any:
    """Return the application that ASGI_APPLICATION names.

    Raises:
        CannotServe: it is not set, or knows no sockets.
    """
    path = getattr(settings, "ASGI_APPLICATION", None)
    if not path:
        raise CannotServe(
            "ASGI_APPLICATION is not set: name the module that calls "
            "whosonline.asgi.get_asgi_application(), as in 'mysite.asgi.application'"
        )
    application = import_string(path)
    if isinstance(application, ASGIHandler):
        raise CannotServe(
            f"{path} is Django's own application, which knows no sockets: "
            "there, import get_asgi_application from whosonline.asgi"
        )
    return application


def run(
    application: Any,
    *,
    host: str,
    port: int,
    listening: Callable[[], None],
    bound: Callable[[], None] = lambda: None,
    access_log: bool = False,
    trusted_proxies: str | None = None,
) -> None:
    """Serve an ASGI application until a signal ends it.

    Args:
        bound: Called once before it, when it is sure that the address is free.
        listening: Called once, when the address is bound.
        trusted_proxies: Addresses, separated by commas, that are believed about who asks, and how.

    Raises:
        CannotServe: uvicorn is not installed, or the address cannot be bound.
    """
    config = configure(application, access_log=access_log, trusted_proxies=trusted_proxies)
    # Bound here and not by uvicorn, which would log the error and exit by itself.
    with _listen(host, port) as listener:
        bound()
        listening()
        serve_on(listener, config)


def run_workers(
    count: int,
    *,
    host: str,
    port: int,
    listening: Callable[[], None],
    bound: Callable[[], None] = lambda: None,
    spread: bool = False,
    access_log: bool = False,
    trusted_proxies: str | None = None,
) -> None:
    """Serve the application that ASGI_APPLICATION names in several processes, until a signal ends them.

    SIGHUP replaces one after the other, without a gap. This process serves nothing, and imports no
    application: each worker has its own, as it is when the worker starts.

    Args:
        listening: Called once, when all of them accept.
        bound: Called once before they are started, when it is sure that the addresses are free.
        spread: Give each worker a port of its own, from ``port`` on; otherwise they share it.
        trusted_proxies: Addresses, separated by commas, that are believed about who asks, and how.

    Raises:
        CannotServe: an address cannot be bound, or a worker does not come up.
    """
    if sys.platform == "win32":
        raise CannotServe("several workers need what Windows does not have: let one serve")
    shared = count > 1 and not spread
    work = partial(_work, shared=shared, access_log=access_log, trusted_proxies=trusted_proxies)
    with ExitStack() as stack:
        ports = range(port, port + count) if spread else [port]
        listeners = [stack.enter_context(_listen(host, each)) for each in ports]
        bound()
        try:
            ended_by = supervise(work, listeners if spread else listeners * count, listening)
        except WorkerFailed as error:
            raise CannotServe(f"{error}; why stands above") from None
    if ended_by != signal.SIGINT:
        signal.raise_signal(ended_by)  # as uvicorn does, so that whoever waits for this process knows


def _work(
    listener: socket.socket,
    accepting: Callable[[], None],
    *,
    shared: bool,
    access_log: bool,
    trusted_proxies: str | None,
) -> None:
    django.setup()
    try:
        config = configure(load_application(), access_log=access_log, trusted_proxies=trusted_proxies)
    except CannotServe as error:
        sys.exit(str(error))
    serve_on(listener, config, accepting, shared=shared)


def serve_on(
    listener: socket.socket,
    config: Any,
    accepting: Callable[[], None] | None = None,
    *,
    shared: bool = False,
) -> None:
    """Serve on a bound socket until a signal ends it.

    Args:
        accepting: Makes it one of several workers: called once it accepts, and knows who is online.
        shared: Whether others accept from the same socket.
    """
    from .uvicorn_server import Server

    _open_all_files()
    server = Server(config, listener, accepting, shared=shared, huge_pages=get_settings().huge_pages)
    try:
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(server.serve(sockets=[listener]))
    except KeyboardInterrupt:
        pass  # uvicorn raises it again after it has ended cleanly


def _open_all_files() -> None:
    """Raise the number of files that this process may open as far as it is allowed to."""
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(ValueError, OSError):  # some systems allow less than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def configure(application: Any, *, access_log: bool = False, trusted_proxies: str | None = None) -> Any:
    """Return uvicorn's configuration for an application."""
    try:
        import uvicorn

        from .door import door
    except ImportError:
        raise CannotServe(
            "uvicorn, httptools or websockets is not installed: they come with this package's extra 'serve'"
        ) from None
    from .websocket_protocol import protocol

    policy = get_settings().policy
    ws = protocol()
    # The door was tried out together with the sockets: it leads to them.
    http = "auto" if ws == "auto" else door(policy.request_timeout)
    config = uvicorn.Config(
        application,
        http=http,
        ws=ws,
        # One compressor a socket costs more memory than all else of it; messages are small.
        ws_per_message_deflate=False,
        # The consumer refuses large messages by name; this bounds what it can be made to hold.
        ws_max_size=2 * policy.message_size,
        ws_ping_interval=policy.ping,
        ws_ping_timeout=policy.ping_timeout,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN,
        backlog=BACKLOG,
        lifespan="on",
        access_log=access_log,
        log_level="info" if access_log else "warning",
        proxy_headers=True,
        forwarded_allow_ips=trusted_proxies,
    )
    logging.getLogger("uvicorn.error").addFilter(_without_client_s_traceback)
    return config


def _without_client_s_traceback(record: logging.LogRecord) -> bool:
    """Take the traceback off the line about a text frame that is no text: it is the client's fault alone."""
    if record.exc_info and isinstance(record.exc_info[1], UnicodeDecodeError):
        record.exc_info = None
    return True


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Only of a socket that is known to be TCP's does asyncio send small messages at once.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # The kernel gives up a peer that takes nothing: a server can only close a socket politely, and
            # that waits for the peer. Sockets that are accepted here inherit this.
            unread = int(get_settings().policy.send_timeout * 1000)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unread)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            # Otherwise it queues up to megabytes for a peer that does not read: old changes, which the peer
            # would read one by one before it learns what is so.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise CannotServe(f"cannot listen at {host}:{port}: {error}; is the port taken?") from None
    listener.setblocking(False)
    return listener
