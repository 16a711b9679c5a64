"""Which origins may open a socket.

A browser sends a site's cookies with a socket that any page opens, and no CSRF token with it: the origin
is all there is to tell one's own pages from foreign ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}


def origin_allowed(origin: str | None, host: str | None, secure: bool, trusted: Iterable[str]) -> bool:
    """Return whether a page of this origin may open a socket.

    Args:
        origin: The Origin header. Every browser sends it with a socket; without it nobody gets in.
        host: The Host header: the page's own site is the one that it addressed.
        secure: Whether the socket came over TLS.
        trusted: Further origins, as in CSRF_TRUSTED_ORIGINS (``https://*.example.com`` included).
    """
    wanted = _split(origin)
    if wanted is None:
        return False
    own = _split(f"{'https' if secure else 'http'}://{host}") if host else None
    return wanted == own or any(_matches(wanted, pattern) for pattern in trusted)


Origin = tuple[str, str, int | None]
"""(scheme, host name, port)"""


def _split(origin: str | None) -> Origin | None:
    try:
        parts = urlsplit(origin or "")
        port = parts.port
    except ValueError:
        return None
    if not parts.scheme or not parts.hostname:
        return None  # among others the origin "null", of sandboxed frames and files
    return parts.scheme, parts.hostname, port or DEFAULT_PORTS.get(parts.scheme)


def _matches(origin: Origin, pattern: str) -> bool:
    trusted = _split(pattern.replace("://*.", "://", 1))
    if trusted is None:
        return False
    if "://*." not in pattern:
        return origin == trusted
    scheme, name, port = origin
    return (scheme, port) == (trusted[0], trusted[2]) and name.endswith("." + trusted[1])
