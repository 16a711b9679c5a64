"""When changes go out, and to whom: ticks, and the sending itself.

A *flush* publishes each marked window once, encodes one frame for each view and offers it to every
connection with that view. The first change after a quiet spell is flushed at once, in the same turn of
the loop. After a flush of changes the next waits for a tick, or for three times as long as the flush itself
took of the processor if that was longer, and never less than it took: fan-out has a quarter of a process that
has a core for itself, and half of one whose core is busy with others.

The online count goes to everybody, and hardly anybody waits for it: it goes along with the changes that are
told meanwhile, and alone to those for whom there are none. Frames about the count alone go out beside the
flushes, bit by bit, so that they never have more than a twentieth of the process, and no change waits for
them; but for the count after an outage, which goes at once, before the news that all is well. A few are told
at once. Who has come or looked elsewhere meanwhile was told a newer figure than everybody: that is noted, and
no older one follows. While a crowd comes or goes the count is told half as often, and when that is over.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from msgspec import UNSET, UnsetType, structs

from ..core.counts import shown
from ..core.policy import Policy
from ..core.replica import Replica
from ..core.statuses import SITE
from ..core.views import Delivery, View, Views
from ..core.windows import DirectoryWindow
from ..core.wire import Directory, Notice, Update, encode
from .clock import Clock, Timer
from .connection import Connection, Frame, Kind, frame

logger = logging.getLogger(__name__)

YIELD_AFTER = 0.005
"""Seconds of publishing or sending after which the loop gets a turn for everything else."""

REST = 3
"""The next flush rests for so many seconds for each that the last one took of the processor, if that is more
than a tick. By the wall clock a process whose cores are busy with others would rest the longer for it, and
tell the less the more there is to tell."""

UNSURE = -1
"""Instead of the figure that everybody has been told, where nobody knows what they were told."""

CROWD = 10
"""By so many the count differs from what everybody was told when a crowd comes or goes. Whoever was told it
in the middle of that would have to wait for the figure at its end..."""

STILL = 0.15
"""...so it is told once it has not changed for so many seconds; or COUNT_INTERVAL later than it could have
been told, if it still changes then."""

FEW = 1_000
"""Connections that are told the count alone at once: some 15 ms of the processor."""

RIDE = 1.0
"""Seconds in which the count goes along with changes only, where there are more: whoever is told of one needs
no frame of its own. It rides on for as long again..."""

WORTH = 0.1
"""...whenever meanwhile so great a part of those that were left were told of one..."""

LONGEST_RIDE = 5.0
"""...and for so many seconds at most."""

COUNT_REST = 20
"""After frames about the count alone the next such frames rest for so many times as long as those took of the
processor (but those to a few, between each other)..."""

LONGEST_COUNT_REST = 1.0
"""...and for no more seconds than these: what took longer was not the frames."""


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
        self._count, self._count_since = 0, clock.time()
        """How many were online when it was last looked, and since when it is so many."""
        self._sending: _Sending | None = None
        self._counting: _Sending | None = None
        self.online = 0
        """The figure for the online count that everybody has been told, or is being told, but for these."""
        self._told_otherwise: dict[Connection, int] = {}
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
            update = self._views.full(connection, self._count_for(connection))
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
        return self._count_for(connection) if self._knows else UNSET

    def _count_for(self, connection: Connection) -> int | UnsetType:
        if not self._counts:
            return UNSET
        figure = shown(self._replica.count(SITE) + self._absent(connection), self.online)
        self._told_otherwise.pop(connection, None)
        if figure != self.online:
            self._told_otherwise[connection] = figure
        return figure

    def _absent(self, connection: Connection) -> bool:
        """Return whether a connection's user is yet to be counted, and must see no count without them."""
        return connection.counted and self._replica.get(SITE, connection.user) is None

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
        if (count := self._replica.count(SITE)) != self._count:
            self._count, self._count_since = count, self._clock.time()
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
        self._sending = self._counting = None
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
        if not self._counts or self._counting is not None:
            return None  # the end of a count looks again
        if self._told_otherwise or shown(self._count, self.online) != self.online:
            return max(self._next_flush, self._count_due())
        return None

    def _count_due(self) -> float:
        """Return when the count may be told."""
        nobody_knows = self._all_untold or self.online == UNSURE
        if nobody_knows or abs(shown(self._count, self.online) - self.online) < CROWD:
            return self._next_count
        latest = self._next_count + self._policy.count_interval
        return max(self._next_count, min(self._count_since + STILL, latest))

    def _on_timer(self) -> None:
        self._timer = None
        self.flush_soon()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> None:
        self._told_changes = False
        self._sending = _Sending(self._publish_and_send(), self._end_flush, self._clock.time())
        self._go_on(self._sending)

    def _end_flush(self, sent: _Sending) -> None:
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
        if all_well and self._counting is not None:
            begun, self._counting = self._counting, None
            yield from begun.steps  # "all is well" must not overtake it
            self._next_count = max(self._next_count, begun.began + self._policy.count_interval)
        count = None
        if self._counting is None and (all_well or self._clock.time() >= self._count_due()):
            count = self._counting = self._begin_count()
        for delivery in self._deliveries():
            if delivery is None:
                yield
            else:
                self._told_changes = True
                yield from self._deliver(*delivery)
        if count is not None and all_well:
            yield from count.steps
            self._end_count(count)
        elif count is not None:
            self._tell_alone(count)
        # Last: that all is well is true of who has the statuses, and the count.
        if all_well:
            yield from self._tell_state()

    def _tell_count(self, figure: int, already: frozenset[Connection]) -> Iterator[None]:
        encoded = frame(encode(Update(figure)))
        for watcher in self._views.counts():
            if watcher is None:
                yield
            elif watcher not in already and watcher not in self._told_otherwise:
                _connection(watcher).offer(encoded, Kind.UPDATE)
                yield
        # Who was told a newer figure than everybody; by the next count, if this one is not so any more. Each
        # is taken out when told, and not before: whoever is told the full state until then is noted again.
        for connection in list(self._told_otherwise):
            if shown(self._replica.count(SITE), figure) != figure:
                break
            if not self._absent(connection) and self._told_otherwise.pop(connection, None) is not None:
                connection.offer(encoded, Kind.UPDATE)
                yield

    def _tell_alone(self, count: _Sending) -> None:
        """Tell the count to those who are not told it along with a change."""
        untold = self._views.untold()
        # Where it has not changed it is for those alone who were told another, and they cannot ride.
        count.rests = (untold or len(self._told_otherwise)) > FEW
        self._ride(count, untold, LONGEST_RIDE)

    def _ride(self, count: _Sending, untold: int, longest: float) -> None:
        """Have changes take the count along, as long as they do for many, and for so many seconds at most."""
        if untold <= FEW or longest <= 0:
            self._go_on_after(0.0, count)
            return

        def look() -> None:
            left = self._views.untold()
            self._ride(count, left, longest - RIDE if untold - left >= WORTH * untold else 0.0)

        self._clock.call_at(self._clock.time() + RIDE, look)

    def _end_count(self, sent: _Sending) -> None:
        self._counting = None
        rest = sent.rest if sent.rests else _count_rest(sent.worked)
        self._next_count = max(sent.began + self._policy.count_interval, self._clock.time() + rest)
        self.flush_soon()

    def _tell_anew(self) -> None:
        """Tell everybody everything, since nobody knows what was told before a failure.

        Once: what cannot be told at all must not be tried for ever. The count of which that is true would be.
        """
        self.online = UNSURE
        self._counting = None  # one that the failed flush began would never go on
        self._views.tell_no_count()
        self._told_otherwise.clear()
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
        yield from self._views.everything(self.online if self._counts and self.online >= 0 else UNSET)

    def _tell_state(self) -> Iterator[None]:
        self._notice_untold = False
        encoded = frame(encode(self._notice()))
        for watcher in list(self._views.watchers()):
            _connection(watcher).offer(encoded, Kind.NOTICE)
            yield

    def _begin_count(self) -> _Sending | None:
        """Begin to tell everybody the count, if it is another than they were told, or than some were.

        Who has come since the last was told this figure with the welcome: for them it is nothing new.
        """
        figure, already = shown(self._replica.count(SITE), self.online), frozenset[Connection]()
        if not self._counts or (figure == self.online and not self._told_otherwise):
            return None
        if figure != self.online:
            self.online = figure
            already = frozenset(each for each, told in self._told_otherwise.items() if told == figure)
            for connection in list(self._told_otherwise):
                if not self._absent(connection):
                    del self._told_otherwise[connection]
            self._views.tell_count(figure)
        return _Sending(self._tell_count(figure, already), self._end_count, self._clock.time())

    def _deliver(self, message: Update | Directory, target: View | DirectoryWindow) -> Iterator[None]:
        connections: list[Any] = self._views.to(target)
        kind = Kind.DIRECTORY if isinstance(message, Directory) else Kind.UPDATE
        encoded = frame(encode(message))
        with_count = isinstance(message, Update) and message.online is not UNSET
        # This loop runs once for each frame that goes out.
        for connection in connections:
            # Whoever moved on while the loop had its turn has been told the full state since.
            if connection.view is target or connection.directory is target:
                if with_count and connection in self._told_otherwise:
                    connection.offer(frame(encode(structs.replace(message, online=UNSET))), kind)
                else:
                    connection.offer(encoded, kind)
                yield

    def _go_on(self, sending: _Sending) -> None:
        """Publish and send for a while; then let the loop have a turn, or end."""
        if sending is not self._sending and sending is not self._counting:
            return  # stopped meanwhile
        began, worked = time.perf_counter(), time.thread_time()
        done = True
        try:
            for _ in sending.steps:
                if time.perf_counter() - began > YIELD_AFTER:
                    done = False
                    break
        except Exception:
            logger.exception("a flush failed")
            sending.failed = True
            self._tell_anew()
        sending.spent += time.perf_counter() - began
        turn = time.thread_time() - worked
        sending.worked += turn
        if sending.rests:
            sending.rest = _count_rest(turn)
        if done:
            sending.end(sending)
        else:
            self._go_on_after(sending.rest, sending)

    def _go_on_after(self, seconds: float, sending: _Sending) -> None:
        if seconds:
            self._clock.call_at(self._clock.time() + seconds, lambda: self._go_on(sending))
        else:
            asyncio.get_running_loop().call_soon(self._go_on, sending)


@dataclass(slots=True, eq=False)
class _Sending:
    """A flush, or a count, that is on its way out."""

    steps: Iterator[None]
    end: Callable[[_Sending], None]
    began: float
    """By the hub's clock."""
    spent: float = 0.0
    """Seconds so far."""
    worked: float = 0.0
    """Seconds of the processor."""
    rests: bool = False
    """Whether it rests after each turn..."""
    rest: float = 0.0
    """...and for how many seconds after the last."""
    failed: bool = False


def _count_rest(worked: float) -> float:
    """Return for how many seconds nobody is told the count alone after so much work of doing so."""
    return min(COUNT_REST * worked, LONGEST_COUNT_REST)


def _connection(watcher: Any) -> Connection:
    assert isinstance(watcher, Connection)  # the hub lets in no other watchers
    return watcher
