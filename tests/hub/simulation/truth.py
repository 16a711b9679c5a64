"""What is so when it is quiet, by those who are there: everything and everybody must agree with it."""

from __future__ import annotations

from typing import Any

from whosonline.core.replica import State
from whosonline.core.statuses import SITE, Status, fold
from whosonline.testing.client import ClientState, in_name_order

from .cluster import Cluster
from .processes import POLICY
from .tabs import Tab

QUIET = 4 * POLICY.lease
"""Seconds after which everything has settled, by far."""

SWEPT = 1.2 * POLICY.lease
"""Seconds within which a touch that has run out is ended, even by a store that was away."""


async def come_to_rest(cluster: Cluster) -> None:
    """End all faults, let everybody read, and wait until nothing more can follow from anything."""
    if cluster.store_away:
        await cluster.bring_store_back()
    if not cluster.processes:
        await cluster.start()  # somebody has to sweep
    for process in cluster.processes:
        if process.still:
            await cluster.go_on(process, timers_first=False)
        await cluster.heal(process)
    for tab in list(cluster.tabs):
        tab.read_on()
        if tab.handshake is not None:
            await cluster.end_handshake(tab)
    await cluster.advance(QUIET)
    while any(cluster.clock.time() - SWEPT < end <= cluster.clock.time() for end in _ends(cluster)):
        await cluster.advance(1.0)


def check(cluster: Cluster) -> None:
    """Compare everything with the truth."""
    state = cluster.backend.snapshot().state
    assert {
        room: {user: presence.status for user, presence in present.items()} for room, present in state.items()
    } == truth(cluster)
    if any(process.store.gaps for process in cluster.processes):
        cluster.misnamed |= cluster.renamed
    else:
        cluster.misnamed -= cluster.renamed
    cluster.renamed.clear()
    for process in cluster.processes:
        process.store.gaps = 0
    _check_names(cluster, state)
    for process in cluster.processes:
        assert process.hub.replica.as_state() == state
        assert not process.hub._fanout.degraded
    for tab in cluster.tabs:
        assert tab.session not in cluster.database.ended or not tab.open
        if tab.open:
            _check_client(tab.state, state)
            _check_directory(cluster, tab.state)


def truth(cluster: Cluster) -> dict[str, dict[str, Status]]:
    """Return who is present in each room, by those who are there."""
    held: dict[str, dict[str, list[Status]]] = {}
    for tab in _open(cluster):
        for room in tab.rooms:
            held.setdefault(room, {}).setdefault(tab.user, []).append(tab.status)
    for touch in cluster.touches.values():
        replaced = touch.replaced_by is not None and touch.replaced_by.serves
        if touch.ends > cluster.clock.time() and not replaced:
            held.setdefault(SITE, {}).setdefault(touch.user, []).append(Status.ONLINE)
    return {
        room: {user: fold(statuses) for user, statuses in present.items()} for room, present in held.items()
    }


def _open(cluster: Cluster) -> list[Tab]:
    return [tab for tab in cluster.tabs if tab.open]


def _ends(cluster: Cluster) -> list[float]:
    """Return the ends of touches, and a time to come for each of which nobody knows whether it was ended."""
    now = cluster.clock.time()
    return [
        touch.ends if touch.replaced_by is None or touch.ends <= now else now
        for touch in cluster.touches.values()
        if touch.replaced_by is None or not touch.replaced_by.serves
    ]


def _check_names(cluster: Cluster, state: State) -> None:
    for tab in _open(cluster):
        if tab.user not in cluster.misnamed:
            for room in tab.rooms:
                assert state[room][tab.user].profile == cluster.database.listed[tab.user]


def _check_client(client: ClientState, state: State) -> None:
    present = state.get(SITE, {})
    assert not client.degraded
    assert client.online == len(present)
    for user, told in client.users.items():
        assert told is not None
        assert told["status"] == (present[user].status if user in present else Status.OFFLINE)
    if client.page is not None:
        watch, rows = client.page.watch, client.page.rows
        assert rows is not None
        listed: list[dict[str, Any]] = [
            {"id": user, "name": profile.name, "key": profile.key, "status": status}
            for user, (status, profile) in state.get(watch["room"], {}).items()
            if watch["after"] is None or profile.key > watch["after"]
        ]
        assert [rows[id] for id in client.page.order] == in_name_order(listed)[: watch["limit"]]
        assert set(rows) == set(client.page.order)


def _check_directory(cluster: Cluster, client: ClientState) -> None:
    if client.directory is not None:
        part = client.directory.watch["directory"]
        assert client.directory.rows == {
            user: {"id": user, "name": profile.name, "key": profile.key}
            for user, profile in cluster.database.listed.items()
            if (part["after"] is None or part["after"] < profile.key)
            and (part["until"] is None or profile.key <= part["until"])
        }
