#!/usr/bin/env python
"""The lobby's command line."""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lobby.settings")
    if "runserver" in sys.argv[1:2]:
        os.environ.setdefault("DEBUG", "1")  # the development server is for development
    # The app is used from its source: nothing has to be installed or rebuilt after an edit.
    sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
