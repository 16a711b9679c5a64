"""People whose tabs are open at this process, in synchronous tests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth.models import User

from tests.hub.conftest import People, Tab
from whosonline import runtime
from whosonline.core.policy import Policy
from whosonline.core.statuses import SITE
from whosonline.directory import profile
from whosonline.hub.hub import Hub

DEADLINE = 20.0


@contextmanager
def connected(*visible: User, invisible: User) -> Iterator[Hub]:
    """Have these people connected to this process's store; yield the hub that they are connected to.

    The hub stands still within the block: what it has told the store by then is all that it tells.
    """
    with asyncio.Runner() as runner:
        hub = runner.run(_open(visible, invisible))
        try:
            yield hub
        finally:
            runner.run(hub.stop())


async def _open(visible: tuple[User, ...], invisible: User) -> Hub:
    people = People()
    people.invisible.add(str(invisible.pk))
    hub = Hub(runtime.new_store(), people.site(), Policy())
    hub.start()
    # The invisible one first: once the others can be seen, nothing of this one is still on its way.
    for user in (invisible, *visible):
        tab = Tab(hub, str(user.pk), f"session of {user.pk}")
        hub.open(tab.connection, profile(user), touched=False, invisible=user is invisible)
    ids = [str(user.pk) for user in visible]
    async with asyncio.timeout(DEADLINE):
        while len(runtime.sync_store().statuses(SITE, ids)) < len(ids) or hub.replica.count(SITE) < len(ids):
            await asyncio.sleep(0.01)
    return hub
