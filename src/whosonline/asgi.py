"""The ASGI application of a site with presence."""

from __future__ import annotations

from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application as get_django_application


def get_asgi_application() -> Any:
    """Return Django's ASGI application with the presence socket beside it.

    For a site without other sockets this replaces Django's function of the same name. A site that has
    its own routing puts :func:`lifespan`, :func:`websocket_urlpatterns` and, if it wants it,
    :func:`whosonline.health.with_health` into it.
    """
    http = get_django_application()  # first: it sets Django up
    from .health import with_health
    from .routing import websocket_urlpatterns

    sockets = URLRouter([*websocket_urlpatterns(), refuse_unknown()])
    return ProtocolTypeRouter({"http": with_health(http), "websocket": sockets, "lifespan": lifespan})


def refuse_unknown() -> Any:
    """Return a route that refuses sockets of any other path: the handshake fails with 403."""
    from django.urls import re_path

    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close"})

    # The stubs know of views only; channels' URLRouter takes applications.
    return re_path("", refuse)  # type: ignore[arg-type]


async def lifespan(scope: Any, receive: Any, send: Any) -> None:
    """Start the hub with the server, and end it after the sockets have been closed."""
    from .runtime import get_hub, stop_hub

    while True:
        event = await receive()
        if event["type"] == "lifespan.startup":
            get_hub(will_be_stopped=True)
            await send({"type": "lifespan.startup.complete"})
        else:
            await stop_hub()
            await send({"type": "lifespan.shutdown.complete"})
            return
