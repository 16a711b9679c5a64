"""Log-ins that failed too often: who guesses has to wait, and what that costs everybody else.

django-axes counts failures by name and address together: whoever guesses at a name is stopped, without an
office that shares an address stopping for it, and without locking the name's owner out elsewhere.
"""

from __future__ import annotations

from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from whosonline.core.addresses import network_of


class Handler(AxesDatabaseHandler):  # type: ignore[misc]  # axes has no types
    """Axes' own, with one query for a log-in that goes well, and none for a sign-up or a log-out."""

    def get_failures(self, request: Any, credentials: dict[str, Any] | None = None) -> int:
        request.lobby_failures = super().get_failures(request, credentials)
        return int(request.lobby_failures)

    def user_logged_in(self, sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
        # There is something to forget only after failures; those of others are cleaned up with the next one.
        if getattr(request, "lobby_failures", 0):
            super().user_logged_in(sender, request, user, **kwargs)

    def user_logged_out(self, sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
        pass


def address(request: HttpRequest) -> str | None:
    """Return where a request comes from: of IPv6 the network, whose addresses one customer may all use."""
    return network_of(request.META.get("REMOTE_ADDR"))


def wait(
    request: HttpRequest, original_response: Any = None, credentials: dict[str, Any] | None = None
) -> HttpResponse:
    """Return the page that says so; the same one whether or not anybody has that name."""
    seconds = int(settings.AXES_COOLOFF_TIME.total_seconds())
    response = render(request, "registration/wait.html", {"minutes": seconds // 60}, status=429)
    response["Retry-After"] = str(seconds)
    return response
