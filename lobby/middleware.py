"""A strict content security policy, and files that are streamed without holding up the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

# Everything from this site, nothing inline.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",  # the admin's icons are data
        "font-src 'self'",
        "connect-src 'self' {socket}",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)


@sync_and_async_middleware
def content_security_policy(get_response: Callable[[HttpRequest], Any]) -> Callable[..., Any]:
    """Set the policy on every response that has none."""

    def add_policy(request: HttpRequest, response: HttpResponse) -> HttpResponse:
        # Django's own pages for developers have all their style and script inline.
        if settings.DEBUG and response.status_code in (404, 500):
            return response
        # Some browsers don't count a socket of the own host under 'self'.
        try:
            socket = f"{'wss' if request.is_secure() else 'ws'}://{request.get_host()}"
        except DisallowedHost:
            socket = ""  # the page that says so has no socket
        response.headers.setdefault("Content-Security-Policy", POLICY.format(socket=socket))
        return response

    if iscoroutinefunction(get_response):

        async def async_middleware(request: HttpRequest) -> HttpResponse:
            response: Awaitable[HttpResponse] = get_response(request)
            return add_policy(request, await response)

        return async_middleware

    def middleware(request: HttpRequest) -> HttpResponse:
        return add_policy(request, get_response(request))

    return middleware


def stream_files(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Read the files that WhiteNoise serves in a thread, chunk by chunk, where the server is asynchronous.

    WhiteNoise hands out files that are read synchronously; Django would read each whole, and warn of it.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if isinstance(request, ASGIRequest) and isinstance(response, FileResponse):
            response.streaming_content = _read_in_thread(response.streaming_content)
        return response

    return middleware


async def _read_in_thread(chunks: Any) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(next, chunks, b""):
        yield chunk
