"""What is kept in the database: when each user was last seen, and the words by which users are found."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.translation import gettext_lazy as _

from .core.search import LONGEST

LONGEST_KEY = 300
"""Characters of a name key that its order may go by; a longer one is cut."""

CODE_POINT_COLLATION = {"postgresql": "C", "mysql": "utf8mb4_bin", "oracle": "BINARY"}
"""What orders by code point, where the default may not; SQLite's default does."""


def with_the_user(collector: Any, field: Any, rows: Any, using: str) -> None:
    """Delete rows with their user, as CASCADE does; but don't tell the admin's page that asks beforehand.

    That page names each row that would go. Staff who may delete users would read there who appears offline,
    and would need the right to delete these rows too.
    """
    from django.contrib.admin.utils import NestedObjects

    if not isinstance(collector, NestedObjects):
        models.CASCADE(collector, field, rows, using)


class LastSeen(models.Model):
    """When a user was last not offline; one row a user, and nothing else."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, with_the_user, primary_key=True, related_name="+")
    at = models.DateTimeField(_("last seen"))

    class Meta:
        verbose_name = _("last seen")
        verbose_name_plural = _("last seen")

    def __str__(self) -> str:
        return f"{self.user_id} at {self.at:%Y-%m-%d %H:%M:%S}"


class Invisible(models.Model):
    """Somebody who wants to appear offline to all others. No row: shown as they are."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, with_the_user, primary_key=True, related_name="+")

    class Meta:
        verbose_name = _("invisible user")
        verbose_name_plural = _("invisible users")

    def __str__(self) -> str:
        return str(self.user_id)


class CodePointField(models.CharField):  # type: ignore[type-arg]
    """A text that the database compares and orders by code point, whichever database it is."""

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        collation = CODE_POINT_COLLATION.get(connection.vendor)
        return {**super().db_parameters(connection), "collation": collation}


class SearchWord(models.Model):
    """The rest of a listed user's name from one of its words on, as searches compare it.

    A search is one range of `word`. The index holds all that a page of it takes: in which order the users
    come, and who they are.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, with_the_user, related_name="+")
    word = CodePointField(max_length=LONGEST)
    key = CodePointField(max_length=LONGEST_KEY)

    class Meta:
        indexes = [models.Index(fields=["word", "key", "user"], name="whosonline_search")]
        verbose_name = _("word of a name")
        verbose_name_plural = _("words of names")

    def __str__(self) -> str:
        return str(self.word)
