"""The lobby's settings, for servers that tests start: short times, and passwords that are quick to check."""

import json
import os
from contextlib import suppress

from lobby.settings import *  # noqa: F403
from lobby.settings import WHOSONLINE as LOBBY

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
with suppress(ImportError):
    import extra_settings  # noqa: F401  (a test may put it beside the database)

if folder := os.environ.get("STATIC_ROOT"):
    STATIC_ROOT = folder

SESSION_ENGINE = os.environ.get("SESSION_ENGINE", "django.contrib.sessions.backends.db")
SESSION_FILE_PATH = os.environ.get("SESSION_FILE_PATH")
SESSION_COOKIE_AGE = int(os.environ.get("SESSION_COOKIE_AGE", 14 * 24 * 3600))

WHOSONLINE = LOBBY | json.loads(os.environ.get("WHOSONLINE", "{}"))
