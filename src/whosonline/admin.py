"""When users were last seen, to read and to erase."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest

from .models import LastSeen
from .sessions import SessionsNotListed, end_all_of


@admin.action(description="Log out everywhere", permissions=["change"])
def log_out_everywhere(model_admin: admin.ModelAdmin, request: HttpRequest, users: Any) -> None:
    """End all sessions of the chosen users: an action for the project's own admin of users."""
    try:
        ended = sum(end_all_of(user.pk) for user in users)
    except SessionsNotListed as error:
        model_admin.message_user(request, str(error), messages.ERROR)
    else:
        sessions = "session" if ended == 1 else "sessions"
        model_admin.message_user(request, f"{ended} {sessions} ended.", messages.SUCCESS)


@admin.register(LastSeen)
class LastSeenAdmin(admin.ModelAdmin):
    list_display = ("user", "at")
    date_hierarchy = "at"
    list_select_related = ("user",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
