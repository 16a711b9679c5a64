"""When users were last seen: remembered from the log, else looked up, and written down, in batches."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

from ..core.entries import Change
from ..core.recent import Recent
from ..core.statuses import SITE
from .clock import Clock

logger = logging.getLogger(__name__)

Load = Callable[[list[str]], Awaitable[Mapping[str, int]]]
"""Returns when users were last seen, in whole seconds since 1970; nothing for those who never were."""

Save = Callable[[Mapping[str, int]], Awaitable[None]]
"""Writes down when users were last seen; a later time always wins."""

GATHER = 0.1
"""Seconds after a look-up in which questions are gathered for the next; the first waits for nobody."""

TOGETHER = 500
"""Users that are looked up at once."""

SAVE_INTERVAL = 1.0
"""Seconds between two writes, at the least."""

SAVE_RETRY = 10.0
"""Seconds more after one that failed."""

REMOVED = 60.0
"""Seconds for which nothing is noted of who was removed: they have left by then."""

REMEMBERED = 50_000
"""Users whose times are kept in memory; those longest unasked-for are looked up again."""


class LastSeen:
    """What this node knows of when users were last seen, and what it has still to write down."""

    def __init__(self, load: Load, save: Save, clock: Clock) -> None:
        self._load = load
        self._save = save
        self._clock = clock
        self._known: dict[str, int | None] = {}
        self._removed = Recent[None](REMOVED)
        self._wanted: set[str] = set()
        self._answer: asyncio.Future[bool] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._unsaved: dict[str, int] = {}
        self._saving: asyncio.Task[None] | None = None

    def get(self, user: str) -> int | None:
        return self._known.get(user)

    def note(self, user: str, at: float) -> None:
        """Remember that a user left at this time, in seconds since 1970; unless the user was just removed."""
        if not self._removed.holds(user, self._clock.time()):
            self._remember(user, int(at))

    def remove(self, user: str) -> None:
        """Tell nobody any more when a user was last seen: it is nobody's business."""
        self._removed.add(user, None, self._clock.time())
        self._remember(user, None)

    def restore(self, user: str) -> None:
        """Take a user for one who is not known yet: the next who asks has it looked up."""
        self._removed.discard(user)
        self._known.pop(user, None)

    def unknown(self, users: Iterable[str]) -> list[str]:
        """Return those of the users of whom nothing is known, not even that they were never seen."""
        return [user for user in users if user not in self._known]

    async def learn(self, unknown: list[str]) -> list[str] | None:
        """Look up users of whom nothing is known, all who are asked for by then together.

        Return those who have been seen; None if there was no answer.
        """
        self._wanted.update(unknown)
        if self._answer is None:
            self._answer = asyncio.get_running_loop().create_future()
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        if not await asyncio.shield(self._answer):  # others wait for it too
            return None
        return [user for user in unknown if self._known.get(user) is not None]

    async def _ask(self) -> None:
        try:
            while self._answer is not None:
                wanted, self._wanted = [user for user in self._wanted if user not in self._known], set()
                answer, self._answer = self._answer, None
                answer.set_result(await self._look_up(wanted))
                await self._clock.sleep(GATHER)
        finally:
            self._asking = None

    async def _look_up(self, users: list[str]) -> bool:
        try:
            for start in range(0, len(users), TOGETHER):
                some = users[start : start + TOGETHER]
                found = await self._load(some)
                for user in some:
                    # Whoever left while the query ran is known better by now.
                    if user not in self._known:
                        self._remember(user, found.get(user))
        except Exception:
            # The database is away, most likely; what was asked for is asked again by the next cause.
            logger.exception("last-seen times could not be looked up")
            return False
        return True

    def save_soon(self, caused: Iterable[Change]) -> None:
        """Have the changes that this node caused written down, together with what comes soon after.

        Comings count as much as goings: if everything is killed, the time of coming is what remains.
        """
        for change in caused:
            if change.room == SITE:
                self._unsaved[change.user] = int(change.at)
        if self._unsaved and self._saving is None:
            self._saving = asyncio.create_task(self._save_all())

    async def stop(self, present: Iterable[str]) -> None:
        """Write down what is left, and those who are present: if the store ends too, nobody else will."""
        running = [task for task in (self._asking, self._saving) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        now = int(time.time())
        self._unsaved.update((user, now) for user in present)
        try:
            await self._save_batch()
        except Exception:
            logger.exception("last-seen times could not be saved")

    async def _save_all(self) -> None:
        try:
            while self._unsaved:
                await self._clock.sleep(SAVE_INTERVAL)
                try:
                    await self._save_batch()
                except Exception:
                    logger.exception("last-seen times could not be saved; trying again soon")
                    await self._clock.sleep(SAVE_RETRY)
        finally:
            self._saving = None

    async def _save_batch(self) -> None:
        batch, self._unsaved = self._unsaved, {}
        if not batch:
            return
        try:
            await self._save(batch)
        except BaseException:
            self._unsaved = {**batch, **self._unsaved}
            raise

    def _remember(self, user: str, at: int | None) -> None:
        self._known.pop(user, None)
        self._known[user] = at
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
