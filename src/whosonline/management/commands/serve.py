"""``manage.py serve``: the production way to run the site, sockets included."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...server import CannotServe, load_application, run


class Command(BaseCommand):
    help = "Serves the site and its sockets with uvicorn, with the settings that matter for sockets."
    requires_system_checks = "__all__"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to bind (%(default)s)")
        parser.add_argument("--port", type=int, default=8000, help="port to bind (%(default)s)")
        parser.add_argument(
            "--access-log", action="store_true", help="print a line for each request and socket"
        )

        parser.add_argument(
            "--forwarded-allow-ips",
            metavar="ADDRESSES",
            help="proxies, separated by commas, that are believed when they tell who asks and whether "
            "over TLS; * for any (FORWARDED_ALLOW_IPS, or else 127.0.0.1)",
        )

    def handle(
        self,
        *args: Any,
        host: str,
        port: int,
        access_log: bool,
        forwarded_allow_ips: str | None,
        **options: Any,
    ) -> None:
        def listening() -> None:
            if options["verbosity"]:
                shown = f"[{host}]" if ":" in host else host
                self.stdout.write(f"Serving at http://{shown}:{port}/ (Ctrl-C ends it)")
                self.stdout.flush()  # at once, to a file or a pipe too

        try:
            run(
                load_application(),
                host=host,
                port=port,
                listening=listening,
                access_log=access_log,
                trusted_proxies=forwarded_allow_ips,
            )
        except CannotServe as error:
            raise CommandError(str(error)) from None
