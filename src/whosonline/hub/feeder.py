"""Feeding the live searches, a little in each turn of the loop: a room may hold very many people."""

from __future__ import annotations

import asyncio
import logging

from ..core.views import Views
from .connection import Kind, as_connection
from .fanout import Fanout

logger = logging.getLogger(__name__)


class SearchFeeder:
    """Looks through rooms for the searches of one node's connections."""

    def __init__(self, views: Views, fanout: Fanout) -> None:
        self._views = views
        self._fanout = fanout
        self._task: asyncio.Task[None] | None = None
        views.searches.on_hungry = self._feed_soon

    def stop(self) -> None:
        self._views.searches.on_hungry = lambda: None
        if self._task is not None:
            self._task.cancel()

    def _feed_soon(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._feed())

    async def _feed(self) -> None:
        searches = self._views.searches
        while searches.hungry:
            try:
                begun = searches.feed()
                if begun is not None:
                    for watcher in self._views.looking_at(begun):
                        self._fanout.tell_full(as_connection(watcher), Kind.UPDATE)
            except Exception:
                logger.exception("a search could not be fed")
            await asyncio.sleep(0)
        self._task = None  # what the flush leaves hungry begins another
        self._fanout.flush_soon()
