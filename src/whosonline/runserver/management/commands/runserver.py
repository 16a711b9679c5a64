"""``manage.py runserver`` with sockets: Django's own, reload on edit included, on uvicorn."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.management.commands.runserver import Command as DjangoCommand

from whosonline.server import CannotServe, load_application, run


class Command(DjangoCommand):
    help = "Starts a lightweight web server for development, sockets included."

    def add_arguments(self, parser: Any) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--nostatic",
            action="store_false",
            dest="use_static_handler",
            help="Tells Django to NOT automatically serve static files at STATIC_URL.",
        )

    def inner_run(self, *args: Any, **options: Any) -> None:
        if options["skip_checks"] is False:
            self.stdout.write("Performing system checks...\n\n")
            self.check(display_num_errors=True)
            self.check_migrations()
        shown = f"[{self.addr}]" if self._raw_ipv6 else self.addr
        quit_keys = "CTRL-BREAK" if sys.platform == "win32" else "CONTROL-C"
        self.stdout.write(
            f"{datetime.now():%B %d, %Y - %X}\n"
            f"Django version {self.get_version()}, using settings {settings.SETTINGS_MODULE!r}\n"
            f"Serving pages and sockets at {self.protocol}://{shown}:{self.port}/\n"
            f"Quit the server with {quit_keys}."
        )
        try:
            run(
                self._application(options),
                host=self.addr,
                port=int(self.port),
                listening=self.stdout.flush,
                access_log=True,
            )
        except CannotServe as error:
            self.stderr.write(f"Error: {error}")
            # The autoreloader runs this in a thread; only this ends the process from there.
            os._exit(1)

    def _application(self, options: dict[str, Any]) -> Any:
        application = load_application()
        if settings.DEBUG and options.get("use_static_handler", True):
            return _WithStaticFiles(application)
        return application


class _WithStaticFiles:
    """Static files beside an application that also serves sockets."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._static = ASGIStaticFilesHandler(application)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        handler = self._static if scope["type"] == "http" else self._application
        await handler(scope, receive, send)
