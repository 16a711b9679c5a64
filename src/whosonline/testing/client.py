"""What a client makes of the server's messages: the browser module's states and their merge, in Python.

A client knows what it asked for (:func:`ask`) and what it was told of it (:func:`merge`). Both functions are
pure, and agree with those of the same names in ``whosonline.js``; docs/wire.md describes the messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Message = Mapping[str, Any]
"""A message of either side, read from JSON."""

Row = dict[str, str]
"""A user in a list: id, key, name, and on a page the status."""


@dataclass(frozen=True)
class PageState:
    """A room's live page."""

    watch: Message
    """What was asked for."""
    rows: dict[str, Row] | None = None
    """Its rows by user id; None while they have not been told."""
    order: list[str] = field(default_factory=list)
    """The ids of the whole page, in order."""


@dataclass(frozen=True)
class DirectoryState:
    """A part of the list of all users."""

    watch: Message
    rows: dict[str, Row] | None = None


@dataclass(frozen=True)
class ClientState:
    """All that a client knows; at first, nothing."""

    you: str | None = None
    online: int | None = None
    degraded: bool = False
    invisible: bool | None = None
    """None until the first welcome."""
    resume: str | None = None
    """What spares the server a look-up when this client comes back."""
    users: dict[str, Mapping[str, Any] | None] = field(default_factory=dict)
    """The watched users' states by id; None while not told."""
    page: PageState | None = None
    directory: DirectoryState | None = None


def ask(state: ClientState, message: Message) -> ClientState:
    """Return the state after asking for something: a ``watch`` or an ``unwatch``."""
    watching = message["type"] == "watch"
    if "users" in message:
        ids = message["users"] if watching else []
        return replace(state, users={user: state.users.get(user) for user in ids})
    if "directory" in message:
        return replace(state, directory=DirectoryState(message) if watching else None)
    return replace(state, page=PageState(message) if watching else None)


def watches(state: ClientState) -> list[Message]:
    """Return the messages that ask for all that a state watches; a new connection begins with them."""
    messages: list[Message] = [{"type": "watch", "users": list(state.users)}] if state.users else []
    return messages + [part.watch for part in (state.page, state.directory) if part is not None]


def merge(state: ClientState, message: Any) -> ClientState:
    """Return the state after a message of the server. What is not understood changes nothing."""
    match message:
        case {"type": "welcome"}:
            # A server whose store is away says so after each welcome.
            return replace(
                state,
                you=message["you"],
                online=message.get("online", state.online),
                resume=message.get("resume"),
                invisible=message.get("invisible", False),
                degraded=False,
            )
        case {"type": "visibility", "invisible": invisible}:
            return replace(state, invisible=invisible)
        case {"type": "resume", "resume": token}:
            return replace(state, resume=token)
        case {"type": "update"}:
            return replace(
                state,
                online=message.get("online", state.online),
                users=_merge_users(state.users, message.get("users", {})),
                page=_merge_page(state.page, message.get("page")),
            )
        case {"type": "directory"}:
            return replace(state, directory=_merge_directory(state.directory, message))
        case {"type": "notice"}:
            return replace(state, degraded=message["state"] == "degraded")
    return state


def in_name_order(rows: Iterable[Row]) -> list[Row]:
    """Return rows in name order: by code point of the key, then of the id."""
    return sorted(rows, key=lambda row: (row["key"], row["id"]))


def _merge_users(
    users: dict[str, Mapping[str, Any] | None], told: Message
) -> dict[str, Mapping[str, Any] | None]:
    # An update may still speak of users that were watched when it was sent.
    return users | {user: state for user, state in told.items() if user in users}


def _merge_page(page: PageState | None, told: Message | None) -> PageState | None:
    if page is None or told is None:
        return page
    watched = (told["room"], *_part(told)) == (page.watch["room"], *_part(page.watch))
    # Before the full state has come, changes are those of an earlier watch.
    if not watched or (page.rows is None and not told.get("reset")):
        return page
    rows = _merge_rows(page.rows, told, told.get("put", []), told.get("drop", []))
    order = [user for user in told.get("order", page.order) if user in rows]
    return replace(page, rows=rows, order=order)


def _merge_directory(directory: DirectoryState | None, told: Message) -> DirectoryState | None:
    if directory is None:
        return None
    # A reset names its part, which may be an earlier one; changes go on from the reset before them.
    named = _part(told) == _part(directory.watch["directory"])
    if not (named if told.get("reset") else directory.rows is not None):
        return directory
    rows = _merge_rows(directory.rows, told, told.get("added", []), told.get("removed", []))
    return replace(directory, rows=rows)


def _part(message: Message) -> tuple[Any, ...]:
    return message.get("after"), message.get("until"), message.get("search") or None


def _merge_rows(
    rows: dict[str, Row] | None, told: Message, put: Iterable[Row], drop: Iterable[str]
) -> dict[str, Row]:
    merged = {} if rows is None or told.get("reset") else dict(rows)
    for row in put:
        merged[row["id"]] = {"key": row["name"], **row}
    for user in drop:
        merged.pop(user, None)
    return merged
