"""When changes go out, and to whom: ticks, and the sending itself.

A *flush* publishes each marked window once, encodes one frame for each view and offers it to every
connection with that view. The first change after a quiet spell is flushed at once, in the same turn of
the loop. After a flush of changes the next waits for a tick, or for three times as long as the flush itself
took if that was longer: fan-out never has more than about a quarter of the process.

Frames about the online count alone go to everybody, and hardly anybody waits for them: they have no more
than a twentieth of the process, and no change waits for the tick after them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET, UnsetType

from ..core.counts import shown
from ..core.policy import Policy
from ..core.replica import Replica
from ..core.statuses import SITE
from ..core.views import Delivery, View, Views, Watcher
from ..core.windows import DirectoryWindow
from ..core.wire import Directory, Notice, ServerMessage, Update, encode
from .clock import Clock, Timer
from .connection import Connection, Kind, frame

logger = logging.getLogger(__name__)

YIELD_AFTER = 0.005
"""Seconds of publishing or sending after which the loop gets a turn for everything else."""

REST = 3
"""The next flush rests for so many times as long as the last one took, if that is longer than a tick. Several
processes share the cores of a machine, so that each must leave more than half of its time to all else."""

COUNT_REST = 20
"""The next count rests for so many times as long as the frames about the last one alone took."""


class Fanout:
    """Tells the connections of one node what changes in what they look at.

    Args:
        counts: Whether everybody may know how many are online.
    """

    def __init__(
        self, replica: Replica, views: Views, policy: Policy, clock: Clock, *, counts: bool = True
    ) -> None:
        self._counts = counts
        self._replica = replica
        self._views = views
        self._policy = policy
        self._clock = clock
        self._timer: Timer | None = None
        self._timer_due = 0.0
        self._next_flush = clock.time()
        self._next_count = clock.time()
        self._sending: Iterator[None] | None = None
        self._flushed = _Flushed()
        self.online = 0
        """The figure for the online count that everybody has been told, but for these."""
        self._told_otherwise: dict[Connection, int] = {}
        self._told_already: frozenset[Connection] = frozenset()
        # Until somebody knows who is online, nothing is said of it: neither a status nor the count.
        self._knows = False
        self._away = False
        self._all_untold = False
        self._notice_untold = False

    @property
    def degraded(self) -> bool:
        """Whether what is shown is not known to be so: the store is away, or has not been read yet."""
        return self._away or not self._knows

    def tell_full(self, connection: Connection, kinds: Kind) -> None:
        """Offer the full published state of what a connection looks at."""
        if kinds & Kind.UPDATE and connection.view is not None and self._knows:
            update = self._views.full(connection, self._count_for(connection))
            if update != Update():  # it looks at nothing, or at what is still being looked for
                connection.offer(frame(encode(update)), Kind.UPDATE)
        window = connection.directory
        if kinds & Kind.DIRECTORY and window is not None and window.loaded:
            connection.offer(frame(encode(window.full())), Kind.DIRECTORY)
        # Last: that all is well is true of who has the statuses.
        if kinds & Kind.NOTICE:
            connection.offer(frame(encode(self._notice())), Kind.NOTICE)

    def count_for(self, connection: Connection) -> int | UnsetType:
        """Return the figure for the online count with a connection's user; UNSET while it is not known."""
        return self._count_for(connection) if self._knows else UNSET

    def _count_for(self, connection: Connection) -> int | UnsetType:
        if not self._counts:
            return UNSET
        # Who has just come will be counted in a moment, and must not see a count without them until then.
        absent = connection.counted and self._replica.get(SITE, connection.user) is None
        figure = shown(self._replica.count(SITE) + absent, self.online)
        self._told_otherwise.pop(connection, None)
        if figure != self.online:
            self._told_otherwise[connection] = figure
        return figure

    def forget(self, connection: Connection) -> None:
        """Tell a connection nothing more."""
        self._told_otherwise.pop(connection, None)

    def set_away(self, away: bool) -> None:
        """Tell everybody that the store is away; or, after the statuses, that it is back."""
        was, self._away = self.degraded, away
        self._tell_whether_degraded(was)

    def set_known(self) -> None:
        """Begin to tell who is online: the replica holds it from now on."""
        was, knew = self.degraded, self._knows
        self._knows = True
        self._all_untold = self._all_untold or (not knew and self._anybody())
        self._tell_whether_degraded(was)

    def flush_soon(self) -> None:
        """Flush as soon as the rules allow; now, if a tick has passed since the last flush."""
        due = self._due()
        if due is None or self._sending is not None:
            return  # the end of a flush looks again
        if due <= self._clock.time():
            self._cancel_timer()
            self._flush()
        elif self._timer is None or due < self._timer_due:
            self._cancel_timer()
            self._timer_due = due
            self._timer = self._clock.call_at(due, self._on_timer)

    def stop(self) -> None:
        """Flush no more."""
        self._cancel_timer()
        self._sending = None
        self._next_flush = float("inf")

    def _tell_whether_degraded(self, was: bool) -> None:
        if was != self.degraded:
            # Even if it changes back before it is told: whoever joins meanwhile is told at once.
            self._notice_untold = self._anybody()
        self.flush_soon()

    def _anybody(self) -> bool:
        return next(self._views.watchers(), None) is not None

    def _notice(self) -> Notice:
        return Notice("degraded" if self.degraded else "ok")

    def _due(self) -> float | None:
        if self._next_flush == float("inf") or not self._knows:
            return None
        if self._views.marked or self._all_untold or self._notice_untold:
            return self._next_flush
        if not self._counts:
            return None
        if self._told_otherwise or shown(self._replica.count(SITE), self.online) != self.online:
            return max(self._next_flush, self._next_count)
        return None

    def _on_timer(self) -> None:
        self._timer = None
        self.flush_soon()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> None:
        self._flushed = _Flushed()
        self._sending = self._publish_and_send()
        self._go_on()

    def _publish_and_send(self) -> Iterator[None]:
        # What is marked from here on may have to wait for the next flush, and so has this.
        all_well = self._notice_untold and not self.degraded
        try:
            if self._notice_untold and self.degraded:
                yield from self._tell_state()
            counting = all_well or self._clock.time() >= self._next_count
            for delivery in self._deliveries(self._count_to_tell() if counting else UNSET):
                if delivery is None:
                    yield
                else:
                    yield from self._deliver(*delivery)
            if counting:
                yield from self._set_right()
            # Last: that all is well is true of who has the statuses.
            if all_well:
                yield from self._tell_state()
        except Exception:
            # What was not told of this flush is lost, but not the next flush.
            logger.exception("a flush failed")
        finally:
            self._told_already = frozenset()

    def _deliveries(self, online: int | UnsetType) -> Iterator[Delivery | None]:
        changes = self._views.publish(online)
        if not self._all_untold:
            yield from changes
            return
        # Those who came before anything was known have no state yet that could change.
        self._all_untold = False
        for change in changes:
            yield change if change is None or isinstance(change.message, Directory) else None
        yield from self._views.everything(self.online if self._counts else UNSET)

    def _tell_state(self) -> Iterator[None]:
        self._notice_untold = False
        yield from self._offer_all(self._notice(), Kind.NOTICE, list(self._views.watchers()))

    def _count_to_tell(self) -> int | UnsetType:
        figure = shown(self._replica.count(SITE), self.online)
        if figure == self.online or not self._counts:
            return UNSET
        self.online = figure
        # Who has come since was told this figure with the welcome: for them it is nothing new.
        self._told_already = frozenset(
            connection for connection, told in self._told_otherwise.items() if told == figure
        )
        self._told_otherwise.clear()
        self._flushed.counted = True
        return figure

    def _set_right(self) -> Iterator[None]:
        """Tell the count to those who were told another than everybody."""
        if self._told_otherwise:
            watchers = [each for each in self._told_otherwise if each.view is not None]
            self._told_otherwise.clear()
            self._flushed.note(len(watchers), count_alone=True)
            yield from self._offer_all(Update(self.online), Kind.UPDATE, watchers)

    def _deliver(self, message: Update | Directory, target: View | DirectoryWindow) -> Iterator[None]:
        connections: list[Any] = self._views.to(target)
        kind = Kind.DIRECTORY if isinstance(message, Directory) else Kind.UPDATE
        count_alone = message == Update(self.online)
        if count_alone and self._told_already:
            connections = [connection for connection in connections if connection not in self._told_already]
        self._flushed.note(len(connections), count_alone)
        encoded = frame(encode(message))
        # This loop runs once for each frame that goes out.
        for connection in connections:
            # Whoever moved on while the loop had its turn has been told the full state since.
            if connection.view is target or connection.directory is target:
                connection.offer(encoded, kind)
                yield

    def _offer_all(self, message: ServerMessage, kind: Kind, watchers: Iterable[Watcher]) -> Iterator[None]:
        encoded = frame(encode(message))
        for watcher in watchers:
            _connection(watcher).offer(encoded, kind)
            yield

    def _go_on(self) -> None:
        """Publish and send for a while; then let the loop have a turn, or end the flush."""
        if self._sending is None:
            return  # stopped meanwhile
        flushed, began, worked = self._flushed, time.perf_counter(), time.thread_time()
        done = True
        for _ in self._sending:
            if time.perf_counter() - began > YIELD_AFTER:
                done = False
                break
        flushed.spent += time.perf_counter() - began
        flushed.worked += time.thread_time() - worked
        if not done:
            asyncio.get_running_loop().call_soon(self._go_on)
            return
        self._sending = None
        now = self._clock.time()
        # A tick gathers changes: none has to wait for it after the count alone, or nothing, was told.
        tick = self._policy.tick if flushed.changes else 0.0
        rest = max(tick, REST * flushed.spent) if flushed.frames else flushed.spent
        self._next_flush = now + rest
        if flushed.counted:
            self._next_count = now + max(self._policy.count_interval, COUNT_REST * flushed.spent_on_count)
        self.flush_soon()


@dataclass(slots=True)
class _Flushed:
    """What a flush has done so far."""

    spent: float = 0.0
    """Seconds."""
    worked: float = 0.0
    """Seconds of the processor."""
    frames: int = 0
    counts: int = 0
    """Frames of them that are about the online count alone."""
    counted: bool = False

    @property
    def changes(self) -> int:
        """Frames about more than the online count."""
        return self.frames - self.counts

    def note(self, frames: int, count_alone: bool) -> None:
        self.frames += frames
        if count_alone:
            self.counts += frames
            self.counted = True

    @property
    def spent_on_count(self) -> float:
        return self.worked * self.counts / self.frames if self.frames else 0.0


def _connection(watcher: Any) -> Connection:
    assert isinstance(watcher, Connection)  # the hub lets in no other watchers
    return watcher
