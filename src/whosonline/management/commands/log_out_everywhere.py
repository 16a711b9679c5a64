"""``manage.py log_out_everywhere NAME``: end all sessions of a user; the sockets close at once.

Not with the store in memory: it is inside the server process, which no other can tell anything.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...conf import get_settings
from ...runtime import sync_store
from ...sessions import SessionsNotListed, end_all_of


class Command(BaseCommand):
    help = "Ends all sessions of a user, who may log in again: deactivate the user to prevent that."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the username")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        users = get_user_model()
        try:
            user = users._default_manager.get_by_natural_key(name)
            ended = end_all_of(user.pk)
        except users.DoesNotExist:
            raise CommandError(f"there is no user called {name!r}") from None
        except SessionsNotListed as error:
            raise CommandError(f"{error}: change the password, or deactivate the user, instead") from None
        self.stdout.write(f"{ended} session{'s' if ended != 1 else ''} ended")
        if sync_store().local and ended:
            within = get_settings().policy.recheck
            self.stderr.write(
                "The store is in memory, where only the server process knows of it: pages that are open now "
                f"lose their connection within {within:g} s (RECHECK). At once it is done by the action in "
                "the admin, by a restart, or with a store on Redis."
            )
