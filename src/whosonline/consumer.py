"""The socket: lets a visitor in, hands messages to the hub, and counts the visitor out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from typing import Any
from urllib.parse import parse_qsl

from django.conf import settings
from django.http import parse_cookie

from . import resume
from .access import restricts
from .core import wire
from .core.addresses import AddressFull, Place
from .core.limits import Strikes, TokenBucket
from .core.policy import Policy
from .core.wire import BadMessage, CloseCode, ErrorCode
from .hub.access import NotAllowed
from .hub.arrivals import TryLater
from .hub.connection import EXTENSION, Connection, Write, frame
from .hub.hub import Hub, NodeFull, TooManyConnections
from .hub.rights import SessionEnded
from .origins import allowed_hosts, origin_allowed
from .runtime import get_hub
from .sessions import Visitor, session_name

logger = logging.getLogger(__name__)

STRIKE_SPAN = 60.0
"""Seconds within which bad messages add up."""


class PresenceConsumer:
    """The ASGI application of one socket.

    A plain ASGI application rather than a Channels consumer: a consumer's dispatch costs each message and
    each socket a hop to a worker thread, which at 100,000 sockets is most of the work.
    """

    @classmethod
    def as_asgi(cls) -> Any:
        """Return the application, for a Channels URLRouter."""

        # Not async: its frame would keep the scope for as long as the socket is open.
        def application(scope: Any, receive: Any, send: Any) -> Awaitable[None]:
            return cls(scope, receive, send).run()

        return application

    __slots__ = ("_closing", "_receive", "_scope", "_send", "_task", "_write")

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._write: Write | None = None
        self._task: asyncio.Task[Any] | None = None
        self._closing: CloseCode | None = None

    async def run(self) -> None:
        """Serve the socket from its handshake to its end."""
        if (await self._receive())["type"] != "websocket.connect":
            return
        self._task = asyncio.current_task()
        hub = get_hub()
        place = self._enter(hub)
        connection = None
        try:
            connection = await self._let_in(hub)
            if connection is not None:
                await self._read(hub, connection)
            if self._closing is not None:
                await asyncio.sleep(0)  # if it was this task that found out, its cancellation comes here
        except asyncio.CancelledError:
            # The hub closes a connection by ending this task; anybody else who does means it.
            if self._closing is None or self._task is None or self._task.uncancel() > 0:
                raise
        finally:
            self._task = None  # it ends anyway
            if place is not None:
                place.leave()
            if connection is not None:
                await self._leave(hub, connection)
        if self._closing is not None:
            await self._refuse(self._closing)

    def _enter(self, hub: Hub) -> Place | None:
        """Count the address in, before it costs anything else; or note why not."""
        client = self._scope.get("client")
        try:
            return hub.addresses.enter(client[0] if client else None)
        except AddressFull:
            self._closing = CloseCode.TOO_MANY_CONNECTIONS
            return None

    async def _let_in(self, hub: Hub) -> Connection | None:
        """Answer the handshake and count the visitor in; or note why not.

        What is needed for this alone (headers, the user) ends with it: a socket may be open for days.
        """
        scope = self._scope
        del self._scope
        headers = dict(scope["headers"])
        query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
        key = _session_key(headers) or ""
        session = session_name(key)
        visitor: Visitor | None = None
        asked = hub.now()
        if not _origin_allowed(headers, secure=scope.get("scheme") == "wss"):
            self._closing = CloseCode.NOT_ALLOWED
        elif self._closing is None:
            visitor = await self._visitor(hub, key, session, query.get("resume"))
        offered = wire.SUBPROTOCOL in scope.get("subprotocols", ())
        await self._send({"type": "websocket.accept", "subprotocol": wire.SUBPROTOCOL if offered else None})
        self._write = _settle(scope)
        # Refusals come after the handshake: a browser shows no code for one that failed.
        if visitor is None:
            return None
        connection = hub.connection(
            visitor.user,
            session,
            key,
            self._send,
            self._close,
            visitor.expires,
            self._write,
            visitor.looked_up,
            visitor.returns,
        )
        idle = query.get("idle") == "1"
        return connection if self._open(hub, connection, visitor, idle=idle, asked=asked) else None

    async def _visitor(self, hub: Hub, key: str, session: str, resumed: str | None) -> Visitor | None:
        """Return who comes with a session's key; or note why nobody is let in.

        Asked before the handshake ends, so that what the client sends first finds it answered.
        """
        if hub.full:
            self._closing = CloseCode.TRY_LATER
            return None
        token = resume.read(resumed, session) if resumed else None
        # Where there is a rule of who may connect, it is asked each time.
        if token is not None and not restricts("may_connect") and hub.believes(token):
            return Visitor(
                token.user,
                token.profile,
                expires=token.expires,
                invisible=token.invisible,
                looked_up=token.looked_up,
                returns=token.cursor,
            )
        try:
            visitor: Visitor | None = await hub.arrivals.who(key) if key else None
        except TryLater:
            self._closing = CloseCode.TRY_LATER
            return None
        if visitor is None:
            self._closing = CloseCode.NOT_LOGGED_IN
        elif not visitor.allowed:
            self._closing = CloseCode.TRY_LATER if visitor.allowed is None else CloseCode.NOT_ALLOWED
            return None
        return visitor

    def _open(self, hub: Hub, connection: Connection, visitor: Visitor, *, idle: bool, asked: float) -> bool:
        """Count a connection in; or note why not."""
        touched = visitor.touched_until > time.time()
        try:
            hub.open(
                connection,
                visitor.profile,
                touched=touched,
                idle=idle,
                invisible=visitor.invisible,
                asked=asked,
            )
        except NodeFull:
            self._closing = CloseCode.TRY_LATER
        except SessionEnded:
            self._closing = CloseCode.NOT_LOGGED_IN
        except TooManyConnections:
            self._closing = CloseCode.TOO_MANY_CONNECTIONS
        else:
            return True  # though the welcome may have failed: then it is to be counted out again
        return False

    async def _leave(self, hub: Hub, connection: Connection) -> None:
        """Count a connection out, when it is its turn; at once if nobody waits for that any more."""
        connection.detach()
        try:
            await hub.leavings.come()
        finally:
            hub.close(connection)

    async def _read(self, hub: Hub, connection: Connection) -> None:
        """Handle messages until the client goes, or has sent too many bad ones."""
        clock = asyncio.get_running_loop().time
        policy = hub.policy
        bucket = TokenBucket(policy.message_rate, policy.message_burst, clock())
        strikes = Strikes(policy.bad_messages, STRIKE_SPAN)
        event = await self._first_event(policy.first_message)
        while event["type"] == "websocket.receive":
            error = None
            if not bucket.take(clock()):
                detail = f"more than {policy.message_rate:g} messages a second"
                error = wire.Error(ErrorCode.TOO_FAST, detail)
            else:
                error = await _handle(hub, connection, event, policy)
            if error is not None:
                # To ask for what one may not have is no mistake of the client's.
                if error.code is not ErrorCode.NOT_ALLOWED and strikes.add(clock()):
                    self._closing = CloseCode.BAD_MESSAGES
                    return
                await connection.send(frame(wire.encode(error)))
            event = None  # the next may come in days
            event = await self._receive()

    async def _first_event(self, seconds: float) -> Any:
        """Return what the client does first; note it if that takes longer than so many seconds, unless 0."""
        if not seconds:
            return await self._receive()
        try:
            async with asyncio.timeout(seconds):
                return await self._receive()
        except TimeoutError:
            self._closing = CloseCode.TOO_MANY_CONNECTIONS
            return {"type": "websocket.disconnect"}

    def _close(self, code: CloseCode) -> None:
        """End the socket from this side, whatever it is waiting for."""
        if self._closing is None and self._task is not None:
            self._closing = code
            self._task.cancel()

    async def _refuse(self, code: CloseCode) -> None:
        # A peer that reads nothing holds this up; the server then closes as far as it can by itself.
        try:
            async with asyncio.timeout(5):
                await self._send({"type": "websocket.close", "code": int(code)})
        except Exception:
            logger.debug("the socket was gone before it could be closed", exc_info=True)


async def _handle(hub: Hub, connection: Connection, event: Any, policy: Policy) -> wire.Error | None:
    text = event.get("text")
    try:
        if text is None:
            raise BadMessage("binary frames are not understood; messages are JSON text")
        message = wire.decode(text, policy)
        # Seldom: while it waits no further message is read, so that they are handled in their order.
        if (asking := hub.asking(connection, message)) is not None:
            await asking
        hub.handle(connection, message)
    except BadMessage as error:
        return wire.Error(ErrorCode.BAD_MESSAGE, str(error))
    except NotAllowed as error:
        return wire.Error(ErrorCode.NOT_ALLOWED, str(error))
    return None


def _settle(scope: Any) -> Write | None:
    """Let the server go of the handshake; return its short way out. Only our own server has one."""
    frames = (scope.get("extensions") or {}).pop(EXTENSION, None)
    if frames is None:
        return None
    frames["settle"]()
    write: Write = frames["write"]
    return write


def _origin_allowed(headers: dict[bytes, bytes], secure: bool) -> bool:
    return origin_allowed(
        _text(headers.get(b"origin")),
        _text(headers.get(b"host")),
        secure,
        settings.CSRF_TRUSTED_ORIGINS,
        allowed_hosts(),
    )


def _session_key(headers: dict[bytes, bytes]) -> str | None:
    cookies = parse_cookie(_text(headers.get(b"cookie")) or "")
    return cookies.get(settings.SESSION_COOKIE_NAME)


def _text(header: bytes | None) -> str | None:
    return header.decode("latin-1") if header is not None else None
