"""``{% load whosonline %}``: a user's live status, and the script that keeps it true."""

from __future__ import annotations

from typing import Any

from django import template
from django.contrib.staticfiles.storage import staticfiles_storage
from django.urls import get_script_prefix
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ..access import TRUSTED, limits_sight
from ..conf import get_settings
from ..presence import status
from ..stores.errors import StoreUnavailable

register = template.Library()


@register.simple_tag(takes_context=True)
def presence_script(context: Any) -> SafeString:
    """Load the browser module; it connects, and keeps every mark on the page true.

    Nothing for visitors who are not logged in: they would get no socket.
    """
    user = context.get("user")
    if user is not None and not user.is_authenticated:
        return SafeString()
    settings = get_settings()
    return format_html(
        '<script type="module" src="{}" data-presence data-socket="{}" data-idle-after="{}"></script>',
        staticfiles_storage.url("whosonline/whosonline.js"),
        get_script_prefix() + settings.path,
        f"{settings.policy.idle_after:g}",
    )


@register.simple_tag(takes_context=True)
def presence(context: Any, user: Any) -> SafeString:
    """Show a user's status: right at load, and live with :func:`presence_script`. Nothing for no user.

    As far as the request's user may see it; where nobody knows who looks, as far as everybody may.

    Reads the store and the database for this one user; for a list use ``whosonline.presence.statuses``
    in the view and write the same mark.
    """
    pk = getattr(user, "pk", None)
    if pk is None:
        return SafeString()
    try:
        word = str(status(pk, viewer=_viewer(context)).status)
    except StoreUnavailable:
        word = "unknown"  # the page is to be shown all the same
    return format_html(
        '<span class="presence" data-presence-user="{}" data-status="{}">{}</span>',
        pk,
        word,
        word.capitalize(),
    )


def _viewer(context: Any) -> Any:
    if not limits_sight(None):
        return TRUSTED
    return getattr(getattr(context.get("request"), "user", None), "pk", None)
