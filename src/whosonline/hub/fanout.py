"""When changes go out, and to whom. The online count has rules of its own: ``counting.py``.

A *flush* publishes each marked window once, encodes one frame for each view and offers it to every
connection with that view. The first change after a quiet spell is flushed at once, in the same turn of
the loop. After a flush of changes the next waits for a tick, or for three times as long as the flush itself
took of the processor if that was longer, and never less than it took: fan-out has a quarter of a process that
has a core for itself, and half of one whose core is busy with others.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

from msgspec import UNSET, UnsetType, structs

from ..core.policy import Policy
from ..core.replica import Replica
from ..core.views import Delivery, View, Views
from ..core.windows import DirectoryWindow
from ..core.wire import Directory, Notice, Update, encode
from .clock import Clock, Timer
from .connection import Connection, Frame, Kind, as_connection, frame
from .counting import Count
from .sending import Sending

logger = logging.getLogger(__name__)

REST = 3
"""The next flush rests for so many seconds for each that the last one took of the processor, if that is more
than a tick. By the wall clock a process whose cores are busy with others would rest the longer for it, and
tell the less the more there is to tell."""


class Fanout:
    """Tells the connections of one node what changes in what they look at.

    Args:
        counts: Whether everybody may know how many are online.
    """

    def __init__(
        self, replica: Replica, views: Views, policy: Policy, clock: Clock, *, counts: bool = True
    ) -> None:
        self._views = views
        self._policy = policy
        self._clock = clock
        self._timer: Timer | None = None
        self._timer_due = 0.0
        self._next_flush = clock.time()
        self._sending: Sending | None = None
        self._count = Count(replica, views, policy, clock, is_public=counts, flush_soon=self.flush_soon)
        self._full_directories = WeakKeyDictionary[DirectoryWindow, tuple[Directory, Frame]]()
        self._told_changes = False
        self._failed = False
        """Whether the last flush did."""
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
            update = self._views.full(connection, self._count.figure_for(connection))
            if update != Update():  # it looks at nothing, or at what is still being looked for
                connection.offer(frame(encode(update)), Kind.UPDATE)
        window = connection.directory
        if kinds & Kind.DIRECTORY and window is not None and window.loaded:
            connection.offer(self._full_directory(window), Kind.DIRECTORY)
        # Last: that all is well is true of who has the statuses.
        if kinds & Kind.NOTICE:
            connection.offer(frame(encode(self._notice())), Kind.NOTICE)

    def _full_directory(self, window: DirectoryWindow) -> Frame:
        full = window.full()
        if window.sight is not None:
            return frame(encode(full))
        # Made once for all who come to look at it until it changes.
        kept = self._full_directories.get(window)
        if kept is None or kept[0] is not full:
            kept = self._full_directories[window] = (full, frame(encode(full)))
        return kept[1]

    def count_for(self, connection: Connection) -> int | UnsetType:
        """Return the figure for the online count with a connection's user; UNSET while it is not known."""
        return self._count.figure_for(connection) if self._knows else UNSET

    def forget(self, connection: Connection) -> None:
        """Tell a connection nothing more."""
        self._count.forget(connection)

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
        self._count.look()
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
        self._count.stop()
        if self._sending is not None:
            self._sending.stop()
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
        count_due = self._count.due()
        return max(self._next_flush, count_due) if count_due is not None else None

    def _on_timer(self) -> None:
        self._timer = None
        self.flush_soon()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> None:
        self._told_changes = False
        self._sending = Sending(self._publish_and_send(), self._clock, self._end_flush, self._on_failure)
        self._sending.go_on()

    def _end_flush(self, sent: Sending) -> None:
        self._sending = None
        self._failed = sent.failed
        # What told nobody anything was no flush that others would have to wait for.
        waits = self._told_changes or sent.failed
        rest = max(self._policy.tick, REST * sent.worked, sent.spent) if waits else sent.spent
        self._next_flush = self._clock.time() + rest
        self.flush_soon()

    def _publish_and_send(self) -> Iterator[None]:
        # What is marked from here on may have to wait for the next flush, and so has this.
        all_well = self._notice_untold and not self.degraded
        if self._notice_untold and self.degraded:
            yield from self._tell_state()
        if all_well:
            yield from self._count.tell_rest()  # "all is well" must not overtake one that is under way
        counts = (all_well or self._count.may_be_told(self._all_untold)) and self._count.begin()
        for delivery in self._deliveries():
            if delivery is None:
                yield
            else:
                self._told_changes = True
                yield from self._deliver(*delivery)
        if counts and all_well:
            yield from self._count.tell_rest()
        elif counts:
            self._count.tell_alone()
        # Last: that all is well is true of who has the statuses, and the count.
        if all_well:
            yield from self._tell_state()

    def _on_failure(self, error: Exception) -> None:
        """Tell everybody everything, since nobody knows what was told before a failure.

        Once: what cannot be told at all must not be tried for ever.
        """
        logger.error("a flush failed", exc_info=error)
        self._count.forget_what_was_told()
        if not self._failed:
            self._notice_untold = self._all_untold = self._anybody()
        self._failed = True

    def _deliveries(self) -> Iterator[Delivery | None]:
        changes = self._views.publish()
        if not self._all_untold:
            yield from changes
            return
        # Those who came before anything was known have no state yet that could change.
        self._all_untold = False
        for change in changes:
            yield change if change is None or isinstance(change.message, Directory) else None
        yield from self._views.everything(self._count.figure_for_all())

    def _tell_state(self) -> Iterator[None]:
        self._notice_untold = False
        encoded = frame(encode(self._notice()))
        for watcher in list(self._views.watchers()):
            as_connection(watcher).offer(encoded, Kind.NOTICE)
            yield

    def _deliver(self, message: Update | Directory, target: View | DirectoryWindow) -> Iterator[None]:
        connections: list[Any] = self._views.to(target)
        kind = Kind.DIRECTORY if isinstance(message, Directory) else Kind.UPDATE
        encoded = frame(encode(message))
        otherwise = self._count.told_otherwise
        with_count = isinstance(message, Update) and message.online is not UNSET
        without: Frame | None = None
        # This loop runs once for each frame that goes out.
        for connection in connections:
            # Whoever moved on while the loop had its turn has been told the full state since.
            if connection.view is target or connection.directory is target:
                if with_count and connection in otherwise:
                    without = without or frame(encode(structs.replace(message, online=UNSET)))
                    connection.offer(without, kind)
                else:
                    connection.offer(encoded, kind)
                yield
