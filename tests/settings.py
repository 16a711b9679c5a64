"""The lobby's settings, for the tests: an own database, and passwords that are quick to check."""

import os

os.environ.setdefault("SECRET_KEY", "only-for-tests")
os.environ.setdefault("DEBUG", "0")
os.environ.setdefault("PLAIN_HTTP", "1")
os.environ.setdefault("DATABASE_URL", "sqlite://:memory:")

from lobby.settings import *  # noqa: E402, F403
from lobby.settings import STORAGES  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Nothing is collected for the tests: files have their plain names.
STORAGES = {
    **STORAGES,
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
