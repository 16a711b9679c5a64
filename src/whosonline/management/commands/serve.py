"""``manage.py serve``: the production way to run the site, sockets included."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import import_string

from ...server import ServerMissing, run


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
        if options["verbosity"]:
            shown = f"[{host}]" if ":" in host else host
            self.stdout.write(f"Serving at http://{shown}:{port}/ (Ctrl-C ends it)")
        try:
            application = import_string(_application_path())
            run(
                application,
                host=host,
                port=port,
                access_log=access_log,
                trusted_proxies=forwarded_allow_ips,
            )
        except (ServerMissing, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from None
        except (OSError, OverflowError) as error:
            raise CommandError(f"cannot listen at {host}:{port}: {error}") from None


def _application_path() -> str:
    path = getattr(settings, "ASGI_APPLICATION", None)
    if not path:
        raise ImproperlyConfigured(
            "ASGI_APPLICATION is not set: name the module that calls "
            "whosonline.asgi.get_asgi_application(), as in 'mysite.asgi.application'"
        )
    return str(path)
