"""Counts the SQL statements of all processes of a site, as SQLite itself tells of them."""

from __future__ import annotations

import mmap
import os
from itertools import count
from pathlib import Path
from typing import Any

COUNTER = 8
"""Bytes."""


def count_statements(folder: Path) -> None:
    """Keep in a file in the folder how many statements this process has run, in all its threads.

    SQLite calls back for each statement that it really runs, whoever has asked for it and however: nothing
    of Django's lies between.
    """
    from django.db.backends.signals import connection_created

    file = folder / f"{os.getpid()}.sql"
    file.write_bytes(bytes(COUNTER))
    with file.open("r+b") as opened:
        shared = mmap.mmap(opened.fileno(), COUNTER)
    numbers = count(1)  # in C, and so whole whichever threads come at once

    def ran(statement: str) -> None:
        shared[:] = next(numbers).to_bytes(COUNTER, "big")

    def trace(connection: Any, **kwargs: Any) -> None:
        connection.connection.set_trace_callback(ran)

    connection_created.connect(trace, weak=False)


def statements_run(folder: Path) -> int:
    """Return how many statements all processes that count in the folder have run."""
    return sum(int.from_bytes(file.read_bytes(), "big") for file in folder.glob("*.sql"))
