"""What must hold at every moment, whatever befalls the cluster: nobody who stays is shown as gone."""

from __future__ import annotations

from typing import Any

from whosonline.core.entries import Cursor
from whosonline.core.statuses import SITE, Status

from .processes import POLICY, Process

RECOVERED = 2 * POLICY.beat + 0.5
"""Seconds after which every loop of a process that was cut off has tried again, and beaten too."""

REPORTED = POLICY.beat
"""Seconds within which a process that is well has told of somebody, even to a store that forgot it."""

BEARABLE = 2.5
"""Seconds for which a process may be cut off: the lease, less a beat before, a try after, and slow ways."""

SLOW = 0.5
"""Seconds that a way to the store may take for this to be so."""

CERTAIN_GRACE = POLICY.grace - 1.0
"""Seconds for which a closed tab surely counts, as it is looked at once in a while only."""

TOLD = 1.0
"""Seconds within which what a node knows is told to its clients."""

Pair = tuple[str, str]
"""(room, user)"""


class Health:
    """Whether a process has always reached the store so often that nobody may take it for dead."""

    def __init__(self, now: float) -> None:
        self.well_since: float | None = now
        self.steady_since: float | None = now
        """None: its lease may have run out, or it may not know that the store has forgotten it."""
        self._cut_at = now
        self._store_alone = False

    def note(self, now: float, own_fault: bool, store_away: bool) -> None:
        """Note how it is from now on; call it often.

        While the store is away from everybody no lease is judged. So that alone is borne for ever, by a
        process that was well before.
        """
        if not own_fault and not store_away:
            self.well_since = now if self.well_since is None else self.well_since
            if self.steady_since is None and now - self.well_since >= RECOVERED:
                self.steady_since = now
            return
        if self.well_since is not None:
            first = now - self.well_since >= RECOVERED
            if first:
                self._cut_at = now
            self._store_alone = first
            self.well_since = None
        self._store_alone = self._store_alone and not own_fault
        if not self._store_alone and now - self._cut_at > BEARABLE:
            self.steady_since = None


class Hold:
    """What keeps a user present in a room: a tab, at a process."""

    def __init__(self, process: Process, pair: Pair, session: str, since: float) -> None:
        self.process = process
        self.pair = pair
        self.session = session
        self.until = float("inf")
        self.certain = False
        """Whether the store was told for sure, and would be told again if it forgot it."""
        self.in_store = False
        """Whether it has not forgotten it since."""
        self._since = since

    def look(self, now: float, health: Health, wiped_at: float) -> None:
        if health.steady_since is None:
            self.certain = self.in_store = False
        elif health.well_since is not None and self.process.serves:
            told = max(self._since, health.steady_since) + REPORTED
            self.certain = self.certain or now >= max(told, health.well_since + RECOVERED)
            told_again = now >= max(wiped_at, health.well_since) + RECOVERED
            self.in_store = self.certain and (self.in_store or told_again)


class Promises:
    """Who must be shown as present, and where: whoever was, and has been held ever since."""

    def __init__(self) -> None:
        self._now = 0.0
        self._wiped_at = float("-inf")
        self._holds: list[Hold] = []
        self._health: dict[Process, Health] = {}
        self._shown: dict[Process, dict[Pair, float]] = {}
        """Whom each process has shown as present, and since when."""

    def begin(self, process: Process) -> None:
        self._health[process] = Health(self._now)
        self._shown[process] = {}

    def hold(self, process: Process, pair: Pair, session: str) -> Hold:
        """A tab has come into a room."""
        self._holds.append(Hold(process, pair, session, self._now))
        return self._holds[-1]

    def let_go(self, hold: Hold, after: float) -> None:
        """It has left, and counts for some seconds still."""
        hold.until = min(hold.until, self._now + after)

    def end(self, process: Process) -> None:
        """A process has died: its people count for a while, unless its lease was short already."""
        del self._shown[process]
        health = self._health[process]
        well = health.well_since is not None and self._now - health.well_since >= RECOVERED
        for hold in self._holds:
            if hold.process is process:
                hold.until = min(hold.until, self._now + (CERTAIN_GRACE if well else 0.0))

    def forget(self) -> None:
        """The store has lost its memory."""
        self._wiped_at = self._now
        for hold in self._holds:
            hold.in_store = False

    def end_session(self, session: str) -> None:
        """Its tabs are thrown out, and those closed of late count no more."""
        for hold in self._holds:
            if hold.session == session:
                hold.until = self._now

    def look(self, now: float, store_away: bool) -> None:
        """Find out who is held still; to be called often, and at each fault."""
        self._now = now
        for process in self._shown:
            self._health[process].note(now, _is_faulty(process), store_away)
        self._holds = [hold for hold in self._holds if now < hold.until]
        for hold in self._holds:
            hold.look(now, self._health[hold.process], self._wiped_at)
        held = {hold.pair for hold in self._holds if hold.certain}
        self._shown = {
            process: {pair: since for pair, since in shown.items() if pair in held}
            for process, shown in self._shown.items()
        }

    def check_message(self, process: Process, message: dict[str, Any]) -> None:
        """A client was told this."""
        if not process.hub.knows:
            assert not {"online", "users", "page"} & message.keys(), "told what it does not know"
        shown = self._shown.get(process, {})
        for user, state in message.get("users", {}).items():
            if state["status"] == Status.OFFLINE:
                since = shown.get((SITE, user), self._now)
                assert self._now - since < TOLD, f"{user} is held, and was shown since {since}"

    def check_replicas(self, end_of_log: Cursor) -> None:
        """Compare what the nodes hold; who is shown by one that has read the log stays shown there."""
        held = {hold.pair for hold in self._holds if hold.in_store}
        for process, shown in self._shown.items():
            replica = process.hub.replica
            for pair, since in shown.items():
                assert replica.get(*pair) is not None, f"{pair} is held, and was shown since {since}"
            if process.store.read == end_of_log and not process.still:
                for pair in held:
                    if replica.get(*pair) is not None:
                        shown.setdefault(pair, self._now)


def _is_faulty(process: Process) -> bool:
    store = process.store
    return process.still or store.cut_off or store.answers_lost or store.longest_delay > SLOW
