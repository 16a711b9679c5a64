"""What goes to the scripts and comes back from them: MessagePack, which both sides read fast."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum

import msgspec

from ...core.entries import Change, Entry, Expel, Listing, Missed, Profile, Recheck, Renew, Report
from ...core.replica import Presence
from ...core.statuses import Status
from ..base import NodeStatus, StoreStatus

pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


class Kind(IntEnum):
    """What an entry begins with."""

    EPOCH = 0
    """In no batch: with it an epoch begins."""
    CHANGE = 1
    LISTING = 2
    RECHECK = 3
    EXPEL = 4
    RENEW = 5
    MISSED = 6


STATUSES = (Status.OFFLINE, Status.AWAY, Status.ONLINE)
"""By their numbers in the scripts: the fold of several is the greatest."""

NUMBERS = {status: number for number, status in enumerate(STATUSES)}


def pack_reports(reports: Iterable[Report]) -> bytes:
    return pack(
        [
            (report.room, report.user, NUMBERS[report.status], *report.profile, report.releases)
            for report in reports
        ]
    )


def pack_entry(entry: Listing | Recheck | Expel | Renew) -> bytes:
    match entry:
        case Listing(user, profile, was):
            return pack((Kind.LISTING, user, profile, was))
        case Recheck(user):
            return pack((Kind.RECHECK, user))
        case Expel(session):
            return pack((Kind.EXPEL, session))
        case Renew(session):
            return pack((Kind.RENEW, session))


def unpack_entry(packed: bytes) -> Entry | None:
    """Return an entry of the log; None for the one with which an epoch begins."""
    match _unpack(packed):
        case [Kind.CHANGE, *change]:
            return _change(*change)
        case [Kind.LISTING, user, profile, was]:
            return Listing(user, Profile(*profile) if profile is not None else None, was)
        case [Kind.RECHECK, user]:
            return Recheck(user)
        case [Kind.EXPEL, session]:
            return Expel(session)
        case [Kind.RENEW, session]:
            return Renew(session)
        case [Kind.MISSED]:
            return Missed()
        case [Kind.EPOCH, _]:
            return None
        case other:
            raise ValueError(f"the log holds an entry that nobody knows: {other!r}")


def unpack_changes(packed: Sequence[bytes]) -> list[Change]:
    return [_change(*_unpack(one)[1:]) for one in packed]


def _change(room: str, user: str, status: int, key: str, name: str, at: float) -> Change:
    return Change(room, user, STATUSES[status], Profile(key, name), at)


def unpack_presence(record: bytes) -> Presence:
    """Return what the record of a present user says to others."""
    status, key, name, _, _ = _unpack(record)
    return Presence(STATUSES[status], Profile(key, name))


def unpack_holding(field: bytes) -> tuple[str, str]:
    """Return the room and the user that a record is of."""
    length, _, both = field.partition(b":")
    room, user = both[: int(length)], both[int(length) :]
    return room.decode(), user.decode()


def unpack_status(packed: bytes) -> StoreStatus:
    online, touches, log_length, nodes = _unpack(packed)
    return StoreStatus(
        [
            NodeStatus(
                name, left / 1000, label, connections, users, behind if behind >= 0 else None, leaving == 1
            )
            for name, left, label, connections, behind, users, leaving in nodes
        ],
        online,
        touches,
        log_length,
    )


def sum_of(parts: Sequence[StoreStatus]) -> StoreStatus:
    """Return one status of several partitions', in which every node has a lease of its own."""
    nodes: dict[str, NodeStatus] = {}
    for node in (node for part in parts for node in part.nodes):
        if other := nodes.get(node.name):
            lags = (node.behind, other.behind)
            node = other._replace(
                lease=min(node.lease, other.lease),
                users=node.users + other.users,
                behind=None if None in lags else sum(lag for lag in lags if lag is not None),
            )
        nodes[node.name] = node
    return StoreStatus(
        list(nodes.values()),
        sum(part.online for part in parts),
        sum(part.touches for part in parts),
        sum(part.log_length for part in parts),
    )


def as_dict(presences: Iterable[tuple[str, bytes | None]]) -> dict[str, Presence]:
    """Return those of the users who have a record."""
    return {user: unpack_presence(record) for user, record in presences if record is not None}
