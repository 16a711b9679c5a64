"""Reading the list of all users: the parts that somebody looks at, as the database has them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from ..core.entries import Profile
from ..core.policy import Policy
from ..core.sights import Sight
from ..core.views import Views
from ..core.windows import DirectoryWindow
from ..core.wire import Range
from .clock import Clock, Timer
from .connection import Connection, Kind, as_connection
from .fanout import Fanout

logger = logging.getLogger(__name__)

READS_AT_ONCE = 2
"""Parts of the list of all users that are read at the same time."""

Rows = list[tuple[str, Profile]]
"""Users of the list of all users."""

LoadDirectory = Callable[[Range, int], Awaitable[Rows]]
"""Returns up to so many users of a part of the list of all users."""

ReadDirectory = Callable[[Range, int, Sight | None], Awaitable[Rows]]
"""Returns up to so many of those whom a viewer may see."""


class DirectoryLoader:
    """Reads the parts of the list of all users that somebody looks at, each once for all who do."""

    RETRY = 5.0
    """Seconds until a read that failed is tried again."""

    KEEP = 60.0
    """Seconds, at least, for which a part at which nobody looks any more is kept; twice that at most."""

    def __init__(
        self, views: Views, fanout: Fanout, load: ReadDirectory, policy: Policy, clock: Clock
    ) -> None:
        self._views = views
        self._fanout = fanout
        self._load = load
        self._limit = policy.watched_users
        self._clock = clock
        self._loading: dict[DirectoryWindow, asyncio.Task[None]] = {}
        self._turn = asyncio.Semaphore(READS_AT_ONCE)
        self._clearing: Timer | None = None
        self._stopped = False

    def watch(self, connection: Connection, span: Range) -> None:
        """Let a connection look at a part of the list; its full state follows when it is read."""
        returns, connection.returns = connection.returns, False
        was_kept = self._views.watch_directory(connection, span)
        window = connection.directory
        assert window is not None
        if window.loaded:
            self._fanout.tell_full(connection, Kind.DIRECTORY)
            # A page that was loaded just now may show what no entry of the log told, as after a bulk change.
            if was_kept and not returns:
                self.renew([window])
        elif window not in self._loading:
            self._load_soon(window)

    def reload(self) -> None:
        """Read everything that somebody looks at anew; meanwhile everybody keeps what they were told."""
        self._cancel_reads()
        self._views.drop_kept()
        for window in self._views.directories():
            window.unload()
            self._load_soon(window)

    def renew(self, windows: Iterable[DirectoryWindow]) -> None:
        """Read these parts again, which may be others by now; meanwhile all keep what they were told."""
        for window in windows:
            if (reading := self._loading.pop(window, None)) is not None:
                reading.cancel()
            window.renew()
            self._load_soon(window)

    def stop(self) -> None:
        self._stopped = True
        self._cancel_reads()
        if self._clearing is not None:
            self._clearing.cancel()

    def _cancel_reads(self) -> None:
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
        if self._clearing is None and not self._stopped:
            self._clear_later()

    def _clear_later(self) -> None:
        self._clearing = self._clock.call_at(self._clock.time() + self.KEEP, self._clear)

    def _clear(self) -> None:
        self._views.clear_kept()
        self._clearing = None
        if self._views.directories():
            self._clear_later()

    async def _read(self, window: DirectoryWindow) -> None:
        while self._views.to(window):
            try:
                async with self._turn:
                    if not self._views.to(window):
                        return  # who watches one part after the other waits for the last alone
                    rows = await self._load(window.span, self._limit, window.sight)
            except Exception:
                logger.exception("the list of users could not be read; trying again soon")
                await self._clock.sleep(self.RETRY)
                continue
            # Not what may be seen of it: who has become hidden since may have to be told of still.
            before = window.told
            window.load(rows)
            if window.told != before:  # else it was renewed, and nothing is new
                for watcher in self._views.to(window):
                    self._fanout.tell_full(as_connection(watcher), Kind.DIRECTORY)
            return
