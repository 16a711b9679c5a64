"""The quick way to Django's keyed hashes."""

from __future__ import annotations

import pytest
from django.core.signing import Signer
from django.utils.crypto import salted_hmac

from whosonline import resume
from whosonline.macs import salted_digest


@pytest.mark.parametrize("secret", ["secret", b"in bytes", "schlüssel"])
def test_it_is_what_django_makes(secret: str | bytes):
    theirs = salted_hmac("a salt", "größe", secret, algorithm="sha256")
    assert salted_digest("a salt", "größe", secret) == theirs.digest()


def test_each_salt_and_each_secret_make_another():
    made = {salted_digest(salt, "value", secret) for salt in ("a", "b") for secret in ("a", "b")}
    assert len(made) == 4


def test_a_resume_token_is_signed_as_django_signs():
    theirs = Signer(key="a key", fallback_keys=[], salt=resume.SALT)
    ours = resume._signer_with("a key", "an older key")
    assert ours.sign("value") == theirs.sign("value")
    assert (
        ours.unsign(Signer(key="an older key", fallback_keys=[], salt=resume.SALT).sign("value")) == "value"
    )
