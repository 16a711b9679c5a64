"""Where the socket is."""

from __future__ import annotations

from typing import Any

from django.urls import path

from .conf import get_settings
from .consumer import PresenceConsumer


def websocket_urlpatterns() -> list[Any]:
    """Return the routes of the app, for a Channels URLRouter."""
    return [path(get_settings().path, PresenceConsumer.as_asgi(), name="whosonline")]
