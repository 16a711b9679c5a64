"""A strict content security policy: everything from this site, nothing inline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware

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
        # Some browsers don't count a socket of the own host under 'self'.
        socket = f"{'wss' if request.is_secure() else 'ws'}://{request.get_host()}"
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
