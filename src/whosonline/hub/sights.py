"""Asking the site who may see whom: in batches, one question at a time for each viewer.

Nothing of this is in use where the site has no rule of its own (:attr:`Access.visible` is None): then nobody
has a sight, nothing is asked, and all who look at the same share a window.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from ..core.searches import SearchWindow
from ..core.sights import Sight
from ..core.views import Views
from ..core.wire import Range
from .access import PATIENCE, Access
from .clock import Clock
from .connection import Connection
from .directories import DirectoryLoader, LoadDirectory, ReadDirectory, Rows
from .fanout import Fanout

logger = logging.getLogger(__name__)

TOGETHER = 500
"""Users that are asked about in one question."""

AT_ONCE = 4
"""Questions that are asked at the same time, for different viewers."""

RETRY = 5.0
"""Seconds until the site is asked again when it could not answer."""

KEPT = 5000
"""Answers that are kept for a viewer; beyond, those about people who are shown."""

MOST_READS = 20
"""Reads for one page of a list: whom one may not see leaves gaps. Beyond so many the page comes out short."""


class Sights:
    """What each user who is connected to this node may see."""

    def __init__(
        self,
        access: Access,
        views: Views,
        fanout: Fanout,
        clock: Clock,
        spawn: Callable[[Awaitable[None]], object],
    ) -> None:
        self._access = access
        self._views = views
        self._fanout = fanout
        self._clock = clock
        self._spawn = spawn
        self._sights: dict[str, Sight] = {}
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._asking: set[Sight] = set()
        # Those who wait for answers about somebody; each wakes up at every answer for its viewer.
        self._waiting: dict[Sight, asyncio.Event] = {}
        self._doubted: set[Sight] = set()
        self.directories: DirectoryLoader | None = None

    def join(self, connection: Connection) -> None:
        """Give a connection its user's sight, if sights are limited here at all."""
        if self._access.visible is not None:
            user = connection.user
            sight = self._sights.get(user)
            if sight is None:
                sight = self._sights[user] = Sight(user, self._ask_soon)
            sight.watchers[connection] = None
            connection.sight = sight

    def part(self, connection: Connection) -> None:
        """Forget a connection; with the user's last one what the user may see."""
        sight = connection.sight
        if sight is not None and connection in sight.watchers:
            del sight.watchers[connection]
            if not sight.watchers:
                del self._sights[sight.viewer]
                self._wake(sight)

    async def learn(self, sight: Sight, users: Iterable[str]) -> None:
        """Wait until there is an answer about these users, or none to wait for."""
        users = list(users)
        sight.want(users)
        while sight.watchers and not sight.failing and any(sight.asks_about(user) for user in users):
            await self._waiting.setdefault(sight, asyncio.Event()).wait()

    def doubt(self, connection: Connection) -> None:
        """Have everything asked anew that the user's pages show; once, for all of the user's tabs."""
        sight = connection.sight
        if sight is not None and sight not in self._doubted:
            self._doubted.add(sight)
            asyncio.get_running_loop().call_soon(self._doubt, sight)

    def reading(self, load: LoadDirectory) -> ReadDirectory:
        """Return what reads those of a part of the list of all users whom a viewer may see."""

        async def read(span: Range, limit: int, sight: Sight | None) -> Rows:
            rows = await load(span, limit)
            if sight is None:
                return rows
            seen: Rows = []
            for _ in range(MOST_READS):
                await self.learn(sight, (user for user, _ in rows))
                seen += [row for row in rows if sight.sees(row[0])]
                if sight.failing or len(rows) < limit or len(seen) >= limit:
                    break
                span = Range(rows[-1][1].key, span.until, span.search)
                rows = await load(span, limit)
            return seen[:limit]

        return read

    # Inside

    def _ask_soon(self, sight: Sight) -> None:
        if sight not in self._asking:
            self._asking.add(sight)
            self._spawn(self._ask(sight))

    async def _ask(self, sight: Sight) -> None:
        try:
            while sight.watchers and (question := sight.question(TOGETHER)):
                if not await self._answered(sight, question):
                    await self._clock.sleep(RETRY)
                    sight.want(question)
        finally:
            self._asking.discard(sight)
            self._wake(sight)

    async def _answered(self, sight: Sight, question: list[str]) -> bool:
        """Ask, and take over the answer; return whether there was one."""
        assert self._access.visible is not None
        failed_before = sight.failing
        try:
            async with self._turn, asyncio.timeout(PATIENCE):
                seen = frozenset(await self._access.visible(sight.viewer, question))
        except Exception:
            logger.exception("the access policy could not say whom a user may see; nobody is shown for now")
            self._tell(sight, sight.fail(question))
            return False
        if len(sight) > KEPT:
            sight.keep(frozenset(self._shown(sight)))
        sight.answer(question, seen)
        self._tell(sight, question)
        if failed_before and not sight.failing:
            self._read_again(sight)  # people are missing whose rows nobody kept
        return True

    def _tell(self, sight: Sight, users: Iterable[str]) -> None:
        self._views.answered(sight, users)
        self._wake(sight)
        self._fanout.flush_soon()

    def _wake(self, sight: Sight) -> None:
        event = self._waiting.pop(sight, None)
        if event is not None:
            event.set()

    def _doubt(self, sight: Sight) -> None:
        self._doubted.discard(sight)
        shown = set(self._shown(sight))
        sight.doubt(shown)
        sight.want(shown)
        for watcher in sight.watchers:
            view = watcher.view
            if view is not None and isinstance(view.page, SearchWindow) and view.page.sight is sight:
                self._views.searches.starve(view.page)
        self._read_again(sight)

    def _read_again(self, sight: Sight) -> None:
        windows = {watcher.directory for watcher in sight.watchers}
        assert self.directories is not None
        self.directories.renew(window for window in windows if window is not None)

    def _shown(self, sight: Sight) -> Iterable[str]:
        """Yield whom the viewer's pages show, or may show next."""
        for watcher in sight.watchers:
            view: Any = watcher.view
            if view is not None and view.users is not None:
                yield from view.users.users
            if view is not None and isinstance(view.page, SearchWindow):
                yield from view.page.users()
            if watcher.directory is not None:
                yield from watcher.directory.users()
