"""``manage.py whosonline``.

status: the nodes of the site and the state of its store, while it runs.
reindex: makes users findable that were written to the database behind Django's back.
"""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...conf import MEMORY, get_settings, shown_store
from ...runtime import sync_store
from ...stores.base import NodeStatus, StoreStatus
from ...stores.errors import StoreRefuses, StoreUnavailable
from ...words import reindex


class Command(BaseCommand):
    help = (
        "Shows the site's nodes and the state of the store, or writes the words anew that users are found by."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        # What there is, for whoever forgets it.
        commands = parser.add_subparsers(dest="what", required=True, metavar="status|reindex")
        status = commands.add_parser("status", help="nodes, users online, the log")
        status.add_argument("--json", action="store_true", help="print JSON, for other programs")
        commands.add_parser("reindex", help="after bulk_create, update, loaddata or SQL on users: find them")

    def handle(self, *args: Any, what: str, **options: Any) -> None:
        if what == "reindex":
            self._reindex()
        else:
            self._status(options)

    def _reindex(self) -> None:
        done = 0
        for users in reindex():
            done += users
            if self.stdout.isatty():
                self.stdout.write(f"\r{done} users", ending="")
        self.stdout.write(f"\r{done} users can be found by their names")

    def _status(self, options: dict[str, Any]) -> None:
        if get_settings().store == MEMORY:
            raise CommandError(
                "the store is in the server process's own memory, which cannot be seen from here"
            )
        try:
            status = sync_store().status()
        except StoreRefuses as error:
            raise CommandError(f"the store {shown_store()} refuses: {error}") from None
        except StoreUnavailable as error:
            raise CommandError(f"the store {shown_store()} cannot be reached: {error}") from None
        if options["json"]:
            self.stdout.write(json.dumps(_as_dict(status), indent=2))
        else:
            self.stdout.write("\n".join(_lines(status)))


def _as_dict(status: StoreStatus) -> dict[str, Any]:
    return status._asdict() | {"nodes": [node._asdict() for node in status.nodes]}


def _lines(status: StoreStatus) -> list[str]:
    total = (
        f"{status.online} online, {status.touches} by a log-in alone; {status.log_length} entries in the log"
    )
    rows = [("NODE", "LEASE", "CONNECTIONS", "USERS", "BEHIND"), *map(_row, status.nodes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        total,
        *("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows),
    ]


def _row(node: NodeStatus) -> tuple[str, str, str, str, str]:
    lease = f"{node.lease:.1f} s" if node.lease > 0 else "ran out"
    if node.leaving:
        lease = f"leaving, {lease}"
    behind = str(node.behind) if node.behind is not None else "unknown"
    return node.label or node.name, lease, str(node.connections), str(node.users), behind
