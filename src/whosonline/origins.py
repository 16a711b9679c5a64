"""Which origins may open a socket.

A browser sends a site's cookies with a socket that any page opens, and no CSRF token with it: the origin
is all there is to tell one's own pages from foreign ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host

DEFAULT_PORTS = {"http": 80, "https": 443}


LOCAL_HOSTS = (".localhost", "127.0.0.1", "[::1]")
"""What Django takes for allowed in development where nothing is."""


def allowed_hosts() -> Iterable[str]:
    """Return the hosts that the site may be addressed by, as Django's requests have it."""
    return settings.ALLOWED_HOSTS or (LOCAL_HOSTS if settings.DEBUG else ())


def origin_allowed(
    origin: str | None, host: str | None, secure: bool, trusted: Iterable[str], hosts: Iterable[str]
) -> bool:
    """Return whether a page of this origin may open a socket.

    Args:
        origin: The Origin header. Every browser sends it with a socket; without it nobody gets in.
        host: The Host header: the page's own site is the one that it addressed.
        secure: Whether the socket came over TLS.
        trusted: Further origins, as in CSRF_TRUSTED_ORIGINS (``https://*.example.com`` included).
        hosts: What the site may be addressed by, as in ALLOWED_HOSTS. "*" lets no foreign page in: its
            origin still has to be that of the host it addressed.
    """
    return _allowed(origin, host, secure, tuple(trusted), tuple(hosts))


# Nearly all that ask are pages of the site itself.
@lru_cache(maxsize=1000)
def _allowed(
    origin: str | None, host: str | None, secure: bool, trusted: tuple[str, ...], hosts: tuple[str, ...]
) -> bool:
    wanted = _split(origin)
    if wanted is None:
        return False
    own = _split(f"{'https' if secure else 'http'}://{host}") if _is_ours(host, hosts) else None
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
    if parts.path or parts.query or parts.fragment or parts.username is not None:
        return None  # no browser says so
    return parts.scheme, parts.hostname, DEFAULT_PORTS.get(parts.scheme) if port is None else port


def _is_ours(host: str | None, hosts: Iterable[str]) -> bool:
    name, _ = split_domain_port(host or "")
    return bool(name) and validate_host(name, hosts)


def _matches(origin: Origin, pattern: str) -> bool:
    trusted = _split(pattern.replace("://*.", "://", 1))
    if trusted is None:
        return False
    if "://*." not in pattern:
        return origin == trusted
    scheme, name, port = origin
    return (scheme, port) == (trusted[0], trusted[2]) and name.endswith("." + trusted[1])
