"""The lobby's settings, for servers that tests start: short times, and passwords that are quick to check."""

import json
import os

from lobby.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
WHOSONLINE = json.loads(os.environ.get("WHOSONLINE", "{}"))
