"""A snapshot of Redis that holds up nobody: read in small steps, then brought to one moment by the log."""

from __future__ import annotations

import asyncio

from ...core.entries import Change, Position, Revocation
from ...core.replica import Presence
from ...core.statuses import Status
from ..base import Remembered, Revoked, Snapshot
from ..errors import PositionGone, StoreUnavailable
from . import codec
from .calls import Calls
from .log import tips, unpacked

Found = dict[str, dict[str, Presence]]
"""room -> user -> presence; a room may be empty."""

TRIES = 5
"""How often the log may be trimmed, or begin a new epoch, while a snapshot is taken."""

PAUSE = 0.1
"""Seconds between two tries."""


async def take_snapshot(calls: Calls) -> Snapshot:
    """Return the state at a moment, and that moment's place in the log. Raises StoreUnavailable."""
    for _ in range(TRIES):
        try:
            return await _try_to_take(calls)
        except PositionGone:
            await asyncio.sleep(PAUSE)
    raise StoreUnavailable("the log moved on too fast for a snapshot")


async def _try_to_take(calls: Calls) -> Snapshot:
    """Read everything, and apply what was logged meanwhile.

    Whom no entry speaks of did not change while it was read; for all others the last entry is right. Of
    several partitions each is brought to the same moment, by which all had been read.
    """
    begun = await tips(calls)
    state = await _scan_all(calls)
    ended = await tips(calls)
    moment = min(tip.now for tip in ended)
    cursor = []
    for partition, (first, last) in enumerate(zip(begun, ended, strict=True)):
        if first.epoch != last.epoch:
            raise PositionGone(f"epoch {first.epoch} is over")
        sequence = await _replay(calls, partition, first.sequence, last.sequence, moment, state)
        cursor.append(Position(last.epoch, sequence))
    age = min(tip.age for tip in ended)
    return Snapshot(tuple(cursor), state, age, await _revoked(calls))


async def _scan_all(calls: Calls) -> Found:
    """Return everybody, as found; what changes while this goes on may be found either way."""
    state: Found = {}

    async def scan(partition: int) -> None:
        step, records = await calls.scan(partition, 0)
        while True:
            for field, record in records.items():
                room, user = codec.unpack_holding(field)
                state.setdefault(room, {})[user] = codec.unpack_presence(record)
            if step == 0:
                return
            step, records = await calls.scan(partition, step)

    await asyncio.gather(*(scan(partition) for partition in calls.partitions))
    return state


async def _replay(calls: Calls, partition: int, at: int, end: int, moment: int, state: Found) -> int:
    """Apply a partition's changes up to a moment; return the last one's sequence number."""
    while at < end:
        entries = await calls.read(partition, at)
        if not entries:
            raise PositionGone("the log has lost its end")
        for logged in unpacked(at, entries):
            if logged.at > moment:
                return at
            at += 1
            if isinstance(logged.entry, Change):
                _apply(logged.entry, state)
        await asyncio.sleep(0)
    return at


async def _revoked(calls: Calls) -> Revoked:
    parts = await calls.run_in_all("revoked", ())
    since = tuple(Position(epoch.decode(), int(sure)) for epoch, sure, _, _ in parts)
    remembered = [
        Remembered((int(now) - int(id.partition(b"-")[2])) / 1e6, entry)
        for _, _, now, kept in parts
        for id, packed in zip(kept[::2], kept[1::2], strict=True)
        if isinstance(entry := codec.unpack_entry(packed), Revocation)
    ]
    remembered.sort(key=lambda one: -one.age)
    return Revoked(since, tuple(remembered))


def _apply(change: Change, state: Found) -> None:
    present = state.setdefault(change.room, {})
    if change.status is Status.OFFLINE:
        present.pop(change.user, None)
    else:
        present[change.user] = Presence(change.status, change.profile)
