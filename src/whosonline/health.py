"""What load balancers ask: is this process alive, and should it be sent visitors?

Answered before Django: a balancer asks by address and over plain HTTP, which Django refuses or redirects.
"""

from __future__ import annotations

import json
from typing import Any

PATHS = ("/healthz", "/readyz")


def with_health(application: Any) -> Any:
    """Return an ASGI application for HTTP that answers ``/healthz`` and ``/readyz`` itself.

    ``/healthz`` is 200 as long as the process answers. ``/readyz`` is 200 while the store is reached and
    the log followed, else 503.
    """

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] in PATHS and scope["method"] in ("GET", "HEAD"):
            await _answer(scope, send)
        else:
            await application(scope, receive, send)

    return answer


async def _answer(scope: Any, send: Any) -> None:
    from .runtime import get_hub

    ready = scope["path"] == "/healthz" or get_hub().ready
    body = json.dumps({"ok": ready}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 200 if ready else 503, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
