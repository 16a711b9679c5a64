"""When users were last seen: remembered from the log, else looked up, and written down, in batches."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
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
"""Users about whom one question asks; more where one who asks wants to know of more."""

RETRY = 5.0
"""Seconds until those are looked up again of whom there was no answer."""

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
        # What is to be asked next: of whom, and whether there was an answer.
        self._questions: deque[tuple[set[str], asyncio.Future[bool]]] = deque()
        self._asking: asyncio.Task[None] | None = None
        self._stopped = False
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

    async def learn(self, unknown: list[str]) -> bool:
        """Look up users of whom nothing is known, together with whom others ask for.

        Return whether there was an answer.
        """
        if self._stopped:
            return False
        if not self._questions or len(self._questions[-1][0]) + len(unknown) > TOGETHER:
            self._questions.append((set(), asyncio.get_running_loop().create_future()))
        users, answered = self._questions[-1]
        users.update(unknown)
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(answered)  # others wait for it too

    async def _ask(self) -> None:
        try:
            while self._questions:
                users, answered = self._questions.popleft()
                good = False
                try:
                    good = await self._look_up([user for user in users if user not in self._known])
                finally:
                    answered.set_result(good)
                if not good:
                    self._give_up()  # the others would wait for nothing
                if not self._questions:
                    await self._clock.sleep(GATHER)
        finally:
            self._asking = None
            self._give_up()

    def _give_up(self) -> None:
        while self._questions:
            self._questions.popleft()[1].set_result(False)

    async def _look_up(self, users: list[str]) -> bool:
        try:
            found = await self._load(users) if users else {}
        except Exception:
            logger.exception("last-seen times could not be looked up; trying again soon")
            return False
        for user in users:
            # Whoever left while the query ran is known better by now.
            if user not in self._known:
                self._remember(user, found.get(user))
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
        self._stopped = True
        running = [task for task in (self._asking, self._saving) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._give_up()  # should it have ended before it began
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
