"""Resume tokens as text: signed, and good for nothing without the session's cookie."""

from __future__ import annotations

from functools import lru_cache

import msgspec
from django.conf import settings
from django.core.signing import BadSignature, Signer, b64_encode

from .hub.resumption import Token
from .macs import salted_digest

SALT = "whosonline.resume"


class _Json:
    """What Django's Signer reads and writes tokens with; what they hold is checked in the same step."""

    dumps = staticmethod(msgspec.json.Encoder().encode)
    loads = staticmethod(msgspec.json.Decoder(Token).decode)


def write(token: Token) -> str:
    """Return a token as a text that can stand in an address."""
    return _signer().sign_object(token, serializer=_Json)


def read(text: str, session: str) -> Token | None:
    """Return what a token says; None for one that is not ours, or is another session's.

    Args:
        session: The name of the session that it came with.
    """
    try:
        token: Token = _signer().unsign_object(text, serializer=_Json)
    except (BadSignature, ValueError):
        return None
    return token if token.session == session else None


def _signer() -> Signer:
    return _signer_with(settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)


class _QuickSigner(Signer):
    """Django's own, which signs alike."""

    def signature(self, value: str | bytes, key: str | bytes | None = None) -> str:
        return b64_encode(salted_digest(f"{SALT}signer", value, key or self.key)).decode()


@lru_cache(maxsize=1)
def _signer_with(key: str, *fallback_keys: str) -> Signer:
    return _QuickSigner(key=key, fallback_keys=list(fallback_keys), salt=SALT)
