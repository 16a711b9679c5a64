"""Many users with live sessions in the database of a site that is measured."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from .processes import manage


class Account(NamedTuple):
    user: str
    cookie: str
    """The value of a Cookie header."""


def environment(folder: Path) -> dict[str, str]:
    """Return what the lobby's settings need, for a database in a folder."""
    return {
        "DJANGO_SETTINGS_MODULE": "lobby.settings",
        "DATABASE_URL": f"sqlite:///{folder / 'lobby.sqlite3'}",
        "SECRET_KEY": "only-for-this-run",
        "DEBUG": "0",
        "PLAIN_HTTP": "1",
        "PYTHONPATH": "src:.",
        "PYTHONWARNINGS": "ignore",  # that no static files are collected: nobody asks for any
    }


def make_accounts(count: int, folder: Path, environment: Mapping[str, str]) -> list[Account]:
    """Make a database in the folder if there is none, and in it so many users, in name order.

    Called again, it lets the sessions of the first so many users begin anew.
    """
    file = folder / "cookies.txt"
    manage(environment, "migrate", "-v0")
    manage(environment, "bench_accounts", str(count), str(file), "--force", "-v0")
    database = sqlite3.connect(folder / "lobby.sqlite3")
    users = database.execute("SELECT id FROM auth_user ORDER BY username LIMIT ?", [count]).fetchall()
    database.close()
    cookies = file.read_text().splitlines()
    return [Account(str(user), cookie) for (user,), cookie in zip(users, cookies, strict=True)]
