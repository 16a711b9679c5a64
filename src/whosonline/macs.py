"""Django's keyed hashes in a fifth of the time: each socket that comes back needs three of them."""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache

from django.utils.encoding import force_bytes


def salted_digest(salt: str, value: str | bytes, secret: str | bytes) -> bytes:
    """Return what :func:`django.utils.crypto.salted_hmac` makes of these with SHA-256."""
    return hmac.digest(_derived(salt, secret), force_bytes(value), "sha256")


@lru_cache(maxsize=64)
def _derived(salt: str, secret: str | bytes) -> bytes:
    # Most of the time goes into this key, which is always the same.
    return hashlib.sha256(salt.encode() + force_bytes(secret)).digest()
