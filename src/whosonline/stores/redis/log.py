"""Reading the log: in every partition without a gap, and over all of them in the order of time."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncGenerator
from typing import NamedTuple

from ...core.entries import Batch, Cursor, Entry, Position
from ..errors import PositionGone
from . import codec
from .calls import Calls, RawEntry

GATHER = 0.005
"""Seconds for each entry that was read, in which more are gathered for the next read: where much happens
many entries cost few reads. Who looks on loses little by it: fan-out waits for its tick, which is as long."""

LONGEST_GATHER = 0.1
"""Seconds: a tick."""


class Logged(NamedTuple):
    """An entry, and when it was logged, in microseconds since 1970."""

    at: int
    entry: Entry


class Tip(NamedTuple):
    """The end of a partition's log."""

    epoch: str
    sequence: int
    """Of the latest entry."""
    now: int
    """The store's time, in microseconds since 1970."""
    age: float
    """For how many seconds the epoch has been."""


async def tip(calls: Calls, partition: int) -> Tip:
    epoch, sequence, now, age = await calls.run("tip", partition)
    return Tip(epoch.decode(), int(sequence), int(now), age / 1000)


async def tips(calls: Calls) -> list[Tip]:
    """Return the end of every partition's log."""
    return await asyncio.gather(*(tip(calls, partition) for partition in calls.partitions))


def unpacked(after: int, entries: list[RawEntry]) -> list[Logged]:
    """Return entries that were read after a sequence number. Raises PositionGone if one is missing."""
    found = []
    for expected, (id, fields) in enumerate(entries, after + 1):
        number, _, at = id.partition(b"-")
        entry = codec.unpack_entry(fields[b"e"])
        # With an entry that is none an epoch begins: what was before it is gone, whatever its number.
        if int(number) != expected or entry is None:
            raise PositionGone(f"entry {expected} is not in the log any more")
        found.append(Logged(int(at), entry))
    return found


async def follow(calls: Calls, cursor: Cursor, wait: float) -> AsyncGenerator[Batch, None]:
    """Yield what is logged after a place.

    Args:
        wait: Seconds after which a silent log is asked whether it is still the same.
    """
    for position, end in zip(cursor, await tips(calls), strict=True):
        if position.epoch != end.epoch or position.sequence > end.sequence:
            raise PositionGone(f"{position} is not in the log any more")
    places = list(cursor)
    waiting: dict[int, asyncio.Task[list[RawEntry]]] = {}
    first = True
    try:
        while True:
            if len(places) == 1 and not first:
                parts = [unpacked(places[0].sequence, await calls.read(0, places[0].sequence, wait))]
            else:
                parts = await _read_all(calls, places)
            if first or any(parts):
                first = False
                places = [
                    Position(place.epoch, place.sequence + len(part))
                    for place, part in zip(places, parts, strict=True)
                ]
                # Each partition's own order is kept, even where its clock was set back.
                merged = heapq.merge(*parts, key=lambda logged: logged.at)
                yield Batch(tuple(logged.entry for logged in merged), tuple(places))
                await asyncio.sleep(min(GATHER * sum(map(len, parts)), LONGEST_GATHER))
                continue
            if len(places) > 1 and await _wait_for_any(calls, places, wait, waiting):
                continue
            for partition, place in enumerate(places):
                if await calls.epoch(partition) != place.epoch:
                    raise PositionGone(f"epoch {place.epoch} is over")
    finally:
        for task in waiting.values():
            task.cancel()
        await asyncio.gather(*waiting.values(), return_exceptions=True)


async def _read_all(calls: Calls, places: list[Position]) -> list[list[Logged]]:
    """Return what is there already, of every partition."""
    entries = await asyncio.gather(
        *(calls.read(partition, place.sequence) for partition, place in enumerate(places))
    )
    return [unpacked(place.sequence, some) for place, some in zip(places, entries, strict=True)]


async def _wait_for_any(
    calls: Calls, places: list[Position], wait: float, waiting: dict[int, asyncio.Task[list[RawEntry]]]
) -> bool:
    """Wait until a partition has something, or one had nothing for so many seconds; return which.

    What the reads return is read again by the caller, together with what the others have by then. Those
    that are not done go on: to end one would cost its connection.
    """
    for partition, place in enumerate(places):
        if partition not in waiting:
            waiting[partition] = asyncio.create_task(calls.read(partition, place.sequence, wait))
    done, _ = await asyncio.wait(waiting.values(), return_when=asyncio.FIRST_COMPLETED)
    ended = [partition for partition, task in waiting.items() if task in done]
    return any([waiting.pop(partition).result() for partition in ended])  # noqa: C419  (all are to be taken)
