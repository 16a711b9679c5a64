"""``manage.py serve``: the production way to run the site, sockets included."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...conf import MEMORY, get_settings, shown_store
from ...core.statuses import SITE
from ...runtime import sync_store
from ...server import CannotServe, load_application, run, run_workers
from ...stores.errors import StoreRefuses, StoreUnavailable

LAST_PORT = 65535


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
            "--workers",
            type=int,
            default=1,
            help="processes that serve (%(default)s); SIGHUP replaces one after the other",
        )
        parser.add_argument(
            "--spread",
            action="store_true",
            help="give each worker a port of its own, from --port on, for a load balancer",
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
        workers: int,
        spread: bool,
        forwarded_allow_ips: str | None,
        **options: Any,
    ) -> None:
        def listening() -> None:
            if options["verbosity"]:
                shown = f"[{host}]" if ":" in host else host
                ports = range(port, port + workers if spread else port + 1)
                urls = " ".join(f"http://{shown}:{each}/" for each in ports)
                several = f"{workers} workers; " if workers > 1 else ""
                self.stdout.write(f"Serving at {urls} ({several}Ctrl-C ends it)")
                self.stdout.flush()  # at once, to a file or a pipe too
                self._say_what_pages_lack()

        _refuse(workers, host, port, spread)
        how: dict[str, Any] = {
            "host": host,
            "port": port,
            "listening": listening,
            "bound": self._check_store,
            "access_log": access_log,
            "trusted_proxies": forwarded_allow_ips,
        }
        try:
            if workers == 1:
                run(load_application(), **how)
            else:
                run_workers(workers, spread=spread, **how)
        except CannotServe as error:
            raise CommandError(str(error)) from None

    def _say_what_pages_lack(self) -> None:
        """Say what makes a site look broken to who begins: nothing answers by plain HTTP, or has a style."""
        if getattr(settings, "SECURE_SSL_REDIRECT", False):
            self.stderr.write(
                "Plain HTTP is redirected to HTTPS (SECURE_SSL_REDIRECT): this is for a proxy that ends TLS. "
                "The lobby serves without one if PLAIN_HTTP=1 is set."
            )
        # What a storage with hashed names has collected stands in its manifest; without, no page is shown.
        if not settings.DEBUG and "staticfiles" in settings.STORAGES:
            strict = getattr(staticfiles_storage, "manifest_strict", False)
            if strict and not getattr(staticfiles_storage, "hashed_files", True):
                self.stderr.write("No static files have been collected: run manage.py collectstatic first.")
        self.stderr.flush()

    def _check_store(self) -> None:
        """Refuse a store that will never work; say so of one that cannot be reached now."""
        try:
            sync_store().count(SITE)
        except StoreRefuses as error:
            raise CommandError(f"the store {shown_store()} refuses: {error}") from None
        except StoreUnavailable as error:
            # It may come up after this server, and what is served without it is right again when it has.
            self.stderr.write(
                f"The store {shown_store()} cannot be reached: {error}. Serving without it; "
                "statuses are unknown until it is there."
            )
            self.stderr.flush()


def _refuse(workers: int, host: str, port: int, spread: bool) -> None:
    """Refuse what cannot be served."""
    if workers < 1:
        raise CommandError(f"--workers must be 1 or more, not {workers}")
    for each in (port, port + workers - 1 if spread else port):
        if not 0 <= each <= LAST_PORT:
            raise CommandError(f"cannot listen at {host}:{each}: the last port is {LAST_PORT}")
    if workers > 1 and get_settings().store == MEMORY:
        raise CommandError(
            f"--workers {workers} needs a store that all share; with the one in memory each would know "
            "its own visitors only: set WHOSONLINE['STORE'] (for the lobby: REDIS_URL)"
        )
