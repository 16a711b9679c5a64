"""The lobby's settings for a site that is measured, with what the environment changes of them.

BENCH_POLICY  what WHOSONLINE holds besides, as JSON.
BENCH_SQL     a folder in which each process counts the SQL statements that it runs.
"""

import json
import os
from pathlib import Path

from lobby.settings import *  # noqa: F403
from lobby.settings import WHOSONLINE as LOBBY

from .statements import count_statements

WHOSONLINE = LOBBY | json.loads(os.environ.get("BENCH_POLICY", "{}"))
# Nothing is collected: files have their plain names, and come from where they are edited.
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = True
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
if folder := os.environ.get("BENCH_SQL"):
    count_statements(Path(folder))
