"""Many users with live sessions in the database of a site that is measured."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Account(NamedTuple):
    user: str
    cookie: str
    """The value of a Cookie header."""


def make_accounts(count: int, folder: Path) -> list[Account]:
    """Make them, in name order; Django must be set up. Their cookies go to a file in the folder too."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    file = folder / "cookies.txt"
    call_command("bench_accounts", str(count), str(file), force=True, verbosity=0)
    users = get_user_model()._base_manager.order_by("username").values_list("pk", flat=True)
    cookies = file.read_text().splitlines()
    return [Account(str(user), cookie) for user, cookie in zip(users, cookies, strict=True)]
