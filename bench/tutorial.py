"""The yardstick: presence as the well-known tutorial of 2017 does it, in its smallest form.

Every socket joins one group. Each change is sent to the group, so that Channels hands one message to each
socket. On today's Channels, served as the lobby is, with the same Redis, so that the way alone differs.
"""

from __future__ import annotations

import json
from typing import Any

from asgiref.sync import async_to_sync
from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import get_channel_layer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.contrib.auth.signals import user_logged_out
from django.core.asgi import get_asgi_application
from django.urls import path

from whosonline.health import with_health

GROUP = "users"


def message(user: Any, status: str) -> dict[str, str]:
    return {"type": "user.status", "user": str(user.pk), "status": status}


class Consumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def connect(self) -> None:
        await self.channel_layer.group_add(GROUP, self.channel_name)
        await self.accept()
        # Who is there before a measurement begins does not tell: of N that would be N² messages.
        if self.scope["query_string"] != b"quiet":
            await self.channel_layer.group_send(GROUP, message(self.scope["user"], "online"))

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(GROUP, self.channel_name)
        await self.channel_layer.group_send(GROUP, message(self.scope["user"], "offline"))

    async def user_status(self, event: dict[str, str]) -> None:
        # In the words of docs/wire.md, so that the same clients understand it.
        told = {"type": "update", "users": {event["user"]: {"status": event["status"]}}}
        await self.send(text_data=json.dumps(told))


def on_logged_out(sender: Any, user: Any, **kwargs: Any) -> None:
    async_to_sync(get_channel_layer().group_send)(GROUP, message(user, "offline"))


async def lifespan(scope: Any, receive: Any, send: Any) -> None:
    while (await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})


user_logged_out.connect(on_logged_out)
application = ProtocolTypeRouter(
    {
        "http": with_health(get_asgi_application()),
        "websocket": AuthMiddlewareStack(URLRouter([path("users/", Consumer.as_asgi())])),
        "lifespan": lifespan,
    }
)
