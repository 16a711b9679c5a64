from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db import migrations, models, router

import whosonline.models

NAME_ORDER = "whosonline_name_order"


def add_name_order(apps: Any, schema_editor: Any) -> None:
    """Index the users by code point, which the list goes by, where their names are in another order."""
    users = _users(apps, schema_editor)
    if users is None:
        return
    quote = schema_editor.quote_name
    table = quote(users._meta.db_table)
    key = quote(users._meta.get_field(get_user_model().USERNAME_FIELD).column)
    schema_editor.execute(
        f'CREATE INDEX {quote(NAME_ORDER)} ON {table} ({key} COLLATE "C", {quote(users._meta.pk.column)})'
    )


def remove_name_order(apps: Any, schema_editor: Any) -> None:
    if _users(apps, schema_editor) is not None:
        schema_editor.execute(f"DROP INDEX IF EXISTS {schema_editor.quote_name(NAME_ORDER)}")


def _users(apps: Any, schema_editor: Any) -> Any:
    """Return the user model if its table is this database's, and its names need an index of their own."""
    connection = schema_editor.connection
    if connection.vendor != "postgresql":
        return None  # the index that makes names unique is in the right order
    users = apps.get_model(settings.AUTH_USER_MODEL)
    try:
        users._meta.get_field(get_user_model().USERNAME_FIELD)
    except FieldDoesNotExist:
        return None  # a later migration of the project adds it
    managed = users._meta.managed and not users._meta.proxy
    return users if managed and router.allow_migrate_model(connection.alias, users) else None


class Migration(migrations.Migration):
    dependencies = [
        ("whosonline", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        # The words are written when all migrations are done: see apps.py.
        migrations.CreateModel(
            name="SearchWord",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("word", whosonline.models.CodePointField(max_length=100)),
                ("key", whosonline.models.CodePointField(max_length=300)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=whosonline.models.with_the_user,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "word of a name",
                "verbose_name_plural": "words of names",
                "indexes": [models.Index(fields=["word", "key", "user"], name="whosonline_search")],
            },
        ),
        migrations.RunPython(add_name_order, remove_name_order, elidable=False),
    ]
