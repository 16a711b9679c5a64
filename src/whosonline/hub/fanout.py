"""When changes go out, and to whom: ticks, and the sending itself.

A *flush* publishes each marked window once, encodes one frame for each view and offers it to every
connection with that view. The first change after a quiet spell is flushed at once, in the same turn of
the loop. After a flush the next waits for a tick, or for as long as the flush itself took if that was
longer: fan-out never has more than about half of the process.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from msgspec import UNSET, UnsetType

from ..core.entries import Profile
from ..core.policy import Policy
from ..core.replica import Replica
from ..core.statuses import SITE
from ..core.views import Delivery, Views
from ..core.windows import DirectoryWindow
from ..core.wire import Directory, Notice, Range, encode
from .clock import Clock, Timer
from .connection import Connection, Kind, frame

logger = logging.getLogger(__name__)

YIELD_AFTER = 0.005
"""Seconds of sending after which the loop gets a turn for everything else."""

READS_AT_ONCE = 2
"""Parts of the list of all users that are read at the same time."""

LoadDirectory = Callable[[Range, int], Awaitable[list[tuple[str, Profile]]]]
"""Returns up to so many users of a part of the list of all users."""


class Fanout:
    """Tells the connections of one node what changes in what they look at."""

    def __init__(self, replica: Replica, views: Views, policy: Policy, clock: Clock) -> None:
        self._replica = replica
        self._views = views
        self._policy = policy
        self._clock = clock
        self._timer: Timer | None = None
        self._timer_due = 0.0
        self._next_flush = clock.time()
        self._next_count = clock.time()
        self._sending: Iterator[None] | None = None
        self._spent = 0.0
        self.online = 0
        """The online count that everybody has been told."""
        self._count_untold = False
        # Until somebody knows who is online, nothing is said of it: neither a status nor the count.
        self._knows = False
        self._away = False
        self._all_untold = False
        self._well_untold = False

    @property
    def degraded(self) -> bool:
        """Whether what is shown is not known to be so: the store is away, or has not been read yet."""
        return self._away or not self._knows

    def tell_full(self, connection: Connection, kinds: Kind) -> None:
        """Offer the full published state of what a connection looks at."""
        if kinds & Kind.UPDATE and connection.view is not None and self._knows:
            update = self._views.full(connection, self.online)
            connection.offer(frame(encode(update)), Kind.UPDATE)
        window = connection.directory
        if kinds & Kind.DIRECTORY and window is not None and window.loaded:
            connection.offer(frame(encode(window.full())), Kind.DIRECTORY)
        # Last: that all is well is true of who has the statuses.
        if kinds & Kind.NOTICE:
            self._tell_state(connection)

    def count_for(self, user: str, counted: bool = True) -> int | UnsetType:
        """Return the online count for somebody who comes, and is about to be counted in, or not.

        UNSET while it is not known.
        """
        if not self._knows:
            return UNSET
        count = self._replica.count(SITE) + (counted and self._replica.get(SITE, user) is None)
        # One connection is told another count than the rest: the next count must be told even if it is
        # what the rest know.
        self._count_untold = self._count_untold or count != self.online
        return count

    def set_away(self, away: bool) -> None:
        """Tell everybody that the store is away; or, with the next flush and after the statuses, back."""
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
        if was and not self.degraded:
            self._well_untold = self._anybody()
        elif self.degraded and not was:
            self._well_untold = False
            for watcher in self._views.watchers():
                self._tell_state(_connection(watcher))
        self.flush_soon()

    def _anybody(self) -> bool:
        return next(self._views.watchers(), None) is not None

    def _tell_state(self, connection: Connection) -> None:
        notice = Notice("degraded" if self.degraded else "ok")
        connection.offer(frame(encode(notice)), Kind.NOTICE)

    def _due(self) -> float | None:
        if self._next_flush == float("inf") or not self._knows:
            return None
        if self._views.marked or self._all_untold or self._well_untold:
            return self._next_flush
        if self._count_untold or self._replica.count(SITE) != self.online:
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
        self._spent = 0.0
        self._sending = self._publish_and_send()
        self._go_on()

    def _count_to_tell(self) -> int | UnsetType:
        online = self._replica.count(SITE)
        now = self._clock.time()
        if online == self.online and not self._count_untold:
            return UNSET
        if now < self._next_count and not self._well_untold:
            return UNSET
        self._count_untold = False
        self.online = online
        self._next_count = now + self._policy.count_interval
        return online

    def _publish_and_send(self) -> Iterator[None]:
        # What is marked from here on may have to wait for the next flush, and so has this.
        all_well = self._well_untold
        try:
            yield from self._send_all(self._deliveries())
            if all_well:
                self._well_untold = False
                yield from self._tell_all_their_state()
        except Exception:
            # What was not told of this flush is lost, but not the next flush.
            logger.exception("a flush failed")

    def _deliveries(self) -> Iterator[Delivery]:
        changes = self._views.publish(self._count_to_tell())
        if not self._all_untold:
            yield from changes
            return
        # Those who came before anything was known have no state yet that could change.
        self._all_untold = False
        yield from (change for change in changes if isinstance(change.message, Directory))
        yield from self._views.everything(self.online)

    def _tell_all_their_state(self) -> Iterator[None]:
        for watcher in self._views.watchers():
            self._tell_state(_connection(watcher))
            yield

    def _send_all(self, deliveries: Iterable[Delivery]) -> Iterator[None]:
        for message, target in deliveries:
            event = frame(encode(message))
            kind = Kind.DIRECTORY if isinstance(message, Directory) else Kind.UPDATE
            for watcher in self._views.to(target):
                # Whoever moved on while the loop had its turn has been told the full state since.
                if watcher.view is target or watcher.directory is target:
                    _connection(watcher).offer(event, kind)
                    yield

    def _go_on(self) -> None:
        """Send for a while; then let the loop have a turn, or end the flush."""
        if self._sending is None:
            return  # stopped meanwhile
        began = time.perf_counter()
        for _ in self._sending:
            if time.perf_counter() - began > YIELD_AFTER:
                self._spent += time.perf_counter() - began
                asyncio.get_running_loop().call_soon(self._go_on)
                return
        self._spent += time.perf_counter() - began
        self._sending = None
        self._next_flush = self._clock.time() + max(self._policy.tick, self._spent)
        self.flush_soon()


class DirectoryLoader:
    """Reads the parts of the list of all users that somebody looks at, each once for all who do."""

    RETRY = 5.0
    """Seconds until a read that failed is tried again."""

    def __init__(
        self, views: Views, fanout: Fanout, load: LoadDirectory, policy: Policy, clock: Clock
    ) -> None:
        self._views = views
        self._fanout = fanout
        self._load = load
        self._limit = policy.watched_users
        self._clock = clock
        self._loading: dict[DirectoryWindow, asyncio.Task[None]] = {}
        self._turn = asyncio.Semaphore(READS_AT_ONCE)

    def watch(self, connection: Connection, span: Range) -> None:
        """Let a connection look at a part of the list; its full state follows when it is read."""
        self._views.watch_directory(connection, span)
        window = connection.directory
        assert window is not None
        if window.loaded:
            self._fanout.tell_full(connection, Kind.DIRECTORY)
        elif window not in self._loading:
            self._load_soon(window)

    def reload(self) -> None:
        """Read everything that somebody looks at anew; meanwhile everybody keeps what they were told."""
        self.stop()
        for window in self._views.directories():
            window.unload()
            self._load_soon(window)

    def stop(self) -> None:
        for task in self._loading.values():
            task.cancel()
        self._loading.clear()

    def _load_soon(self, window: DirectoryWindow) -> None:
        task = asyncio.get_running_loop().create_task(self._read(window))
        self._loading[window] = task
        task.add_done_callback(lambda done: self._loaded(window, done))

    def _loaded(self, window: DirectoryWindow, done: asyncio.Task[None]) -> None:
        # Unless another read of the same part has begun since.
        if self._loading.get(window) is done:
            del self._loading[window]

    async def _read(self, window: DirectoryWindow) -> None:
        while self._views.to(window):
            try:
                async with self._turn:
                    if not self._views.to(window):
                        return  # who watches one part after the other waits for the last alone
                    rows = await self._load(window.span, self._limit)
            except Exception:
                logger.exception("the list of users could not be read; trying again soon")
                await self._clock.sleep(self.RETRY)
                continue
            window.load(rows)
            for watcher in self._views.to(window):
                self._fanout.tell_full(_connection(watcher), Kind.DIRECTORY)
            return


def _connection(watcher: Any) -> Connection:
    assert isinstance(watcher, Connection)  # the hub lets in no other watchers
    return watcher
