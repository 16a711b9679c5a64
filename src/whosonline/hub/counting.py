"""The online count: when it is told, to whom alone, and who was told another figure than everybody.

It goes to everybody, and hardly anybody waits for it. So it *rides*: it goes along with the changes that are
told meanwhile, and alone to those for whom there are none. Frames about the count alone go out beside the
flushes, bit by bit, so that they never have more than a twentieth of the process, and no change waits for
them; but for the count after an outage, which goes at once, before the news that all is well. A few are told
at once. Who has come or looked elsewhere meanwhile was told a newer figure than everybody: that is noted, and
no older one follows. While a crowd comes or goes the count is told half as often, and when that is over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from msgspec import UNSET, UnsetType

from ..core.counts import shown
from ..core.policy import Policy
from ..core.replica import Replica
from ..core.statuses import SITE
from ..core.views import Views
from ..core.wire import Update, encode
from .clock import Clock
from .connection import Connection, Kind, as_connection, frame
from .sending import Sending

logger = logging.getLogger(__name__)

UNSURE = -1
"""Instead of the figure that everybody has been told, where nobody knows what they were told."""

CROWD = 10
"""By so many the count differs from what everybody was told when a crowd comes or goes. Whoever was told it
in the middle of that would have to wait for the figure at its end..."""

STILL = 0.3
"""...so it is told once it has not changed for so many seconds; or COUNT_INTERVAL later than it could have
been told, if it still changes then. Who comes in a crowd is gathered on the way here, for 0.2 s by the
look-ups alone: so much may lie between two changes of one crowd."""

FEW = 1_000
"""Connections that are told the count alone at once: some 15 ms of the processor."""

RIDE = 0.0001
"""Where more are to be told, seconds for each of them in which the count goes along with changes only..."""

LONGEST_RIDE = 1.0
"""...and for how many at most..."""

WORTH = 0.1
"""...and then again for those who are left, if so great a part were told it along with a change..."""

MOST_RIDES = 5
"""...but so many rides in all. What it says is how many were online when it began."""

REST = 20
"""After frames about the count alone the next such frames rest for so many times as long as those took of the
processor (but those to a few, between each other)..."""

LONGEST_REST = 1.0
"""...and for no more seconds than these: what took longer was not the frames."""


class Count:
    """The online count of one node, on its way to everybody.

    Args:
        is_public: Whether everybody may know how many are online.
        flush_soon: Called when there may be something to tell.
    """

    def __init__(
        self,
        replica: Replica,
        views: Views,
        policy: Policy,
        clock: Clock,
        *,
        is_public: bool,
        flush_soon: Callable[[], None],
    ) -> None:
        self._replica = replica
        self._views = views
        self._policy = policy
        self._clock = clock
        self._is_public = is_public
        self._flush_soon = flush_soon
        self._next = clock.time()
        self._present, self._present_since = 0, clock.time()
        """How many were online when it was last looked, and since when it is so many."""
        self._telling: Sending | None = None
        self.told = 0
        """The figure that everybody has been told, or is being told, but for these:"""
        self.told_otherwise: dict[Connection, int] = {}

    def look(self) -> None:
        """Note how many are online now."""
        if (present := self._replica.count(SITE)) != self._present:
            self._present, self._present_since = present, self._clock.time()

    def figure_for(self, connection: Connection) -> int | UnsetType:
        """Return the figure to tell a connection with its full state, and note that it is told."""
        if not self._is_public:
            return UNSET
        figure = shown(self._replica.count(SITE) + self._is_yet_to_be_counted(connection), self.told)
        self.told_otherwise.pop(connection, None)
        if figure != self.told:
            self.told_otherwise[connection] = figure
        return figure

    def figure_for_all(self) -> int | UnsetType:
        """Return the figure that everybody was told, or is being told; UNSET where there is none."""
        return self.told if self._is_public and self.told >= 0 else UNSET

    def forget(self, connection: Connection) -> None:
        """Tell a connection nothing more."""
        self.told_otherwise.pop(connection, None)

    def forget_what_was_told(self) -> None:
        """Take nobody to know anything. What is under way, or was begun by a flush that failed, is over."""
        self.stop()
        self.told = UNSURE
        self._views.tell_no_count()
        self.told_otherwise.clear()

    def stop(self) -> None:
        """Tell nobody more of what is under way."""
        if self._telling is not None:
            self._telling.stop()
            self._telling = None

    def due(self) -> float | None:
        """Return when there will be something to tell; None: not before something else happens."""
        if not self._is_public or self._telling is not None:
            return None  # the end of a count looks again
        if self.told_otherwise or shown(self._present, self.told) != self.told:
            return self._may_be_told_at(nobody_knows=False)
        return None

    def may_be_told(self, nobody_knows: bool) -> bool:
        """Return whether it may be told now.

        Args:
            nobody_knows: Whether everybody is about to be told everything.
        """
        return self._telling is None and self._clock.time() >= self._may_be_told_at(nobody_knows)

    def _may_be_told_at(self, nobody_knows: bool) -> float:
        nobody_knows = nobody_knows or self.told == UNSURE
        if nobody_knows or abs(shown(self._present, self.told) - self.told) < CROWD:
            return self._next
        latest = self._next + self._policy.count_interval
        return max(self._next, min(self._present_since + STILL, latest))

    def begin(self) -> bool:
        """Begin to tell everybody the count, if it is another than they were told, or than some were.

        It goes along with changes from here on, until :meth:`tell_alone` or :meth:`tell_rest`. Return whether
        there is one. Who has come since the last was told this figure with the welcome: for them it is
        nothing new.
        """
        figure, already = shown(self._replica.count(SITE), self.told), frozenset[Connection]()
        if not self._is_public or (figure == self.told and not self.told_otherwise):
            return False
        if figure != self.told:
            self.told = figure
            already = frozenset(each for each, told in self.told_otherwise.items() if told == figure)
            for connection in list(self.told_otherwise):
                if not self._is_yet_to_be_counted(connection):
                    del self.told_otherwise[connection]
            self._views.tell_count(figure)
        self._telling = Sending(self._tell(figure, already), self._clock, self._end, self._on_failure)
        return True

    def tell_rest(self) -> Iterator[None]:
        """Tell whoever is not told yet, in the caller's own steps."""
        telling = self._telling
        self.stop()
        if telling is not None:
            yield from telling.steps
            self._next = max(self._next, telling.began + self._policy.count_interval)

    def tell_alone(self) -> None:
        """Tell those who are not told it along with a change, beside everything else."""
        self._ride(MOST_RIDES)

    def _ride(self, rides: int) -> None:
        """Wait while changes take the count along, and again if they did so for many; then tell it alone."""
        telling, untold, rode = self._telling, self._views.untold(), self._views.rode
        assert telling is not None  # it was begun; and one that is stopped waits for nothing
        if untold > FEW and rides:

            def look() -> None:
                self._ride(rides - 1 if self._views.rode - rode >= WORTH * untold else 0)

            telling.wait(min(RIDE * untold, LONGEST_RIDE), look)
        else:
            # Where it has not changed it is for those alone who were told another.
            many = max(untold, len(self.told_otherwise)) > FEW
            telling.rest_after = _rest if many else None
            telling.go_on_soon()

    def _tell(self, figure: int, already: frozenset[Connection]) -> Iterator[None]:
        encoded = frame(encode(Update(figure)))
        for watcher in self._views.counts():
            if watcher is None:
                yield
            elif watcher not in already and watcher not in self.told_otherwise:
                as_connection(watcher).offer(encoded, Kind.UPDATE)
                yield
        # Who was told a newer figure than everybody; by the next count, if this one is not so any more. Each
        # is taken out when told, and not before: whoever is told the full state until then is noted again.
        for connection in list(self.told_otherwise):
            if shown(self._replica.count(SITE), figure) != figure:
                break
            if (
                not self._is_yet_to_be_counted(connection)
                and self.told_otherwise.pop(connection, None) is not None
            ):
                connection.offer(encoded, Kind.UPDATE)
                yield

    def _on_failure(self, error: Exception) -> None:
        logger.error("the online count could not be told to all", exc_info=error)
        self.forget_what_was_told()  # so the next is told to everybody

    def _end(self, telling: Sending) -> None:
        self._telling = None
        rest = _rest(telling.last_slice if telling.rest_after else telling.worked)
        self._next = max(telling.began + self._policy.count_interval, self._clock.time() + rest)
        self._flush_soon()

    def _is_yet_to_be_counted(self, connection: Connection) -> bool:
        """Return whether a connection's user is to be in the count, and must see none without them."""
        return connection.counted and self._replica.get(SITE, connection.user) is None


def _rest(worked: float) -> float:
    """Return for how many seconds nobody is told the count alone after so much work of doing so."""
    return min(REST * worked, LONGEST_REST)
