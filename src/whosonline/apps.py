from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class WhosOnlineConfig(AppConfig):
    name = "whosonline"
    verbose_name = "Who's online"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks  # noqa: F401  (importing registers them)
        from .signals import connect

        connect()
        post_migrate.connect(write_words, sender=self)


def write_words(sender: Any, using: str, plan: Any = (), **kwargs: Any) -> None:
    """Make the users findable that were there before the table of words was.

    Not in the migration itself, which may run before the user model is complete, and never has its methods.
    """
    from django.contrib.auth import get_user_model
    from django.db import router

    from .models import SearchWord
    from .words import reindex

    applied = {(migration.app_label, migration.name) for migration, backwards in plan if not backwards}
    here = all(router.allow_migrate_model(using, model) for model in (SearchWord, get_user_model()))
    if ("whosonline", "0002_search") in applied and here:
        for _ in reindex(using):
            pass
