"""The lobby's settings, for the tests: an own database, and passwords that are quick to check."""

import os

os.environ.setdefault("DATABASE_URL", "sqlite://:memory:")
# As in production, whatever the shell that runs the tests is set to; but over plain HTTP.
os.environ.update(SECRET_KEY="only-for-tests", DEBUG="0", PLAIN_HTTP="1")

from lobby.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Nothing is collected for the tests: files have their plain names, and come from where they are edited.
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = True
STATIC_ROOT = BASE_DIR / "nothing-is-collected"  # noqa: F405
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
