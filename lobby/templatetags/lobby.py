"""``{% load lobby %}``: how long ago something was, in the words that the browser module uses too."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils import timezone

register = template.Library()


@register.filter
def ago(at: datetime) -> str:
    """Return how long ago this was: "just now", "5 min ago", "3 h ago", "2 days ago"."""
    minutes = int((timezone.now() - at).total_seconds()) // 60
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes} min ago"
    if minutes < 24 * 60:
        return f"{minutes // 60} h ago"
    days = minutes // (24 * 60)
    return "1 day ago" if days == 1 else f"{days} days ago"
