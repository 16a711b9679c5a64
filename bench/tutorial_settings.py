"""The settings of the yardstick: those of the site that is measured, with the tutorial's way in its place."""

import os

from .settings import *  # noqa: F403

ASGI_APPLICATION = "bench.tutorial.application"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        # redis-py gives up after 5 s by default, which is as long as the layer waits for a message.
        "CONFIG": {"hosts": [{"address": os.environ["REDIS_URL"], "socket_timeout": 60}]},
    }
}
