from django.apps import AppConfig


class WhosOnlineConfig(AppConfig):
    name = "whosonline"
    verbose_name = "Who's online"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks  # noqa: F401  (importing registers them)
        from .signals import connect

        connect()
