"""The messages on the socket, as docs/wire.md describes them: shapes, codes, reading and writing."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from .entries import Profile
from .policy import Policy
from .statuses import SITE, Status

PROTOCOL = 1
SUBPROTOCOL = "whosonline.v1"


class CloseCode(IntEnum):
    """Why the server closes a socket; docs/wire.md says what the client does then."""

    GOING = 1012
    TRY_LATER = 1013
    BAD_MESSAGES = 4400
    NOT_LOGGED_IN = 4401
    NOT_ALLOWED = 4403
    TOO_MANY_CONNECTIONS = 4408


class ErrorCode(StrEnum):
    BAD_MESSAGE = "bad_message"
    TOO_FAST = "too_fast"
    NOT_ALLOWED = "not_allowed"


class BadMessage(ValueError):
    """A client message that cannot be obeyed; the text names the fault, for the client's author."""


# Server to client


class UserState(Struct, frozen=True, omit_defaults=True, gc=False):
    """A watched user's status; last_seen (whole seconds since 1970) where offline and known."""

    status: Status
    last_seen: int | None = None


class Row(Struct, frozen=True, omit_defaults=True, gc=False):
    """A user in a list. The key is absent where it equals the name; so is the status in a directory."""

    id: str
    name: str
    key: str | None = None
    status: Status | None = None

    @classmethod
    def of(cls, user: str, profile: Profile, status: Status | None = None) -> Row:
        key = profile.key if profile.key != profile.name else None
        return cls(user, profile.name, key, status)


class Page(Struct, frozen=True):
    """What a room's live page holds (after a reset), or what changed in it."""

    room: str
    after: str | None
    search: str | UnsetType = UNSET
    reset: bool | UnsetType = UNSET
    put: list[Row] | UnsetType = UNSET
    drop: list[str] | UnsetType = UNSET
    order: list[str] | UnsetType = UNSET


class Welcome(Struct, frozen=True, tag="welcome"):
    you: str
    # Absent while the server does not know who is online: the client keeps what it has.
    online: int | UnsetType = UNSET
    room: str = SITE
    protocol: int = PROTOCOL
    resume: str | UnsetType = UNSET
    # Only where true.
    invisible: bool | UnsetType = UNSET


class Update(Struct, frozen=True, tag="update"):
    online: int | UnsetType = UNSET
    users: dict[str, UserState] | UnsetType = UNSET
    page: Page | UnsetType = UNSET


class Directory(Struct, frozen=True, tag="directory"):
    """What a part of the list of all users holds (after a reset, which names the part), or what changed."""

    reset: bool | UnsetType = UNSET
    after: str | UnsetType | None = UNSET
    until: str | UnsetType | None = UNSET
    search: str | UnsetType = UNSET
    added: list[Row] | UnsetType = UNSET
    removed: list[str] | UnsetType = UNSET


class Notice(Struct, frozen=True, tag="notice"):
    state: Literal["degraded", "ok"]


class Resume(Struct, frozen=True, tag="resume"):
    """A newer token to come back with."""

    resume: str


class Visibility(Struct, frozen=True, tag="visibility"):
    """Whether the connection's own user appears to others as offline; told when that changes."""

    invisible: bool


class Error(Struct, frozen=True, tag="error"):
    code: ErrorCode
    detail: str


ServerMessage = Welcome | Update | Directory | Notice | Resume | Visibility | Error

_encoder = msgspec.json.Encoder()


def encode(message: ServerMessage) -> str:
    """Return the text frame of a message."""
    return _encoder.encode(message).decode()


# Client to server

RoomName = Annotated[str, Meta(min_length=1, max_length=100)]
UserId = Annotated[str, Meta(min_length=1, max_length=100)]
# No name holds a NUL, and PostgreSQL refuses to compare with one.
NameKey = Annotated[str, Meta(max_length=300, pattern=r"^[^\0]*$")]
SearchText = Annotated[str, Meta(max_length=100)]


class Range(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the list of all users: after < key <= until; None is an open end.

    With a search, of those whom it finds.
    """

    after: NameKey | None = None
    until: NameKey | None = None
    search: SearchText | None = None


class Watch(Struct, frozen=True, forbid_unknown_fields=True, tag="watch"):
    users: list[UserId] | UnsetType = UNSET
    room: RoomName | UnsetType = UNSET
    after: NameKey | UnsetType | None = UNSET
    limit: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    search: SearchText | UnsetType | None = UNSET
    directory: Range | UnsetType = UNSET


class Unwatch(Struct, frozen=True, forbid_unknown_fields=True, tag="unwatch"):
    users: Literal[True] | UnsetType = UNSET
    room: RoomName | UnsetType = UNSET
    directory: Literal[True] | UnsetType = UNSET


class Idle(Struct, frozen=True, forbid_unknown_fields=True, tag="idle"):
    pass


class Active(Struct, frozen=True, forbid_unknown_fields=True, tag="active"):
    pass


class Enter(Struct, frozen=True, forbid_unknown_fields=True, tag="enter"):
    room: RoomName


class Leave(Struct, frozen=True, forbid_unknown_fields=True, tag="leave"):
    room: RoomName


ClientMessage = Watch | Unwatch | Idle | Active | Enter | Leave

_decoder: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)


def decode(text: str, policy: Policy) -> ClientMessage:
    """Read a client's text frame.

    Raises:
        BadMessage: it is not JSON, not a known message, has a wrong field, or asks for too much.
    """
    # Characters are never more than bytes: the cheap comparison comes first.
    size = policy.message_size
    if len(text) > size or len(text.encode(errors="surrogatepass")) > size:
        raise BadMessage(f"the message is larger than {policy.message_size} bytes")
    try:
        message = _decoder.decode(text)
    except RecursionError:
        raise BadMessage("the message is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadMessage(str(error)) from None
    if isinstance(message, Watch):
        _check_watch(message, policy)
    elif isinstance(message, Unwatch):
        _check_one_named("unwatch", message)
    elif isinstance(message, Enter | Leave) and message.room == SITE:
        raise BadMessage(f"the room {SITE!r} is neither entered nor left: everybody is in it")
    return message


def _check_watch(message: Watch, policy: Policy) -> None:
    _check_one_named("watch", message)
    users, limit = message.users, message.limit
    if users is not UNSET and len(users) > policy.watched_users:
        raise BadMessage(
            f"{len(users)} users are more than one connection may watch ({policy.watched_users})"
        )
    if message.room is UNSET and (message.after, limit, message.search) != (UNSET, UNSET, UNSET):
        raise BadMessage("after, limit and search go with a room")
    if limit is not UNSET and limit > policy.page_limit:
        raise BadMessage(f"limit {limit} is more than a page may hold ({policy.page_limit})")


def _check_one_named(kind: str, message: Watch | Unwatch) -> None:
    named = [field is not UNSET for field in (message.users, message.room, message.directory)]
    if sum(named) != 1:
        raise BadMessage(f"{kind} names exactly one of users, room, directory")
