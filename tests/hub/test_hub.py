"""What people at several nodes see of each other."""

from __future__ import annotations

import asyncio

import pytest

from whosonline.core import replica
from whosonline.core.entries import Position, Profile
from whosonline.core.replica import Presence
from whosonline.core.statuses import SITE, Status
from whosonline.core.wire import BadMessage, CloseCode
from whosonline.hub.hub import TooManyConnections
from whosonline.hub.rights import CLOSE_CHUNK, RECHECK_DELAY, RENEW_DELAY, SessionEnded
from whosonline.stores.base import Revoked, Snapshot
from whosonline.stores.memory import MemoryStore
from whosonline.testing.clock import settle

from .conftest import Tab, World

WATCH_ANN = '{"type":"watch","users":["ann"]}'


def statuses(messages: list[dict]) -> list[str]:
    """Return the statuses of ann that the messages tell, in order."""
    return [message["users"]["ann"]["status"] for message in messages if "ann" in message.get("users", {})]


async def watcher(world: World, hub) -> Tab:
    tab = await world.tab(hub, "bob")
    await tab.say(WATCH_ANN)
    tab.take()
    return tab


async def test_a_connection_is_welcomed_with_the_count_and_not_told_it_once_more(world):
    hub = await world.node()
    tab = Tab(hub, "ann", "s")
    hub.open(tab.connection, Profile("ann", "Ann"), touched=False)
    await settle()
    assert tab.take() == [
        {
            "type": "welcome",
            "you": "ann",
            "online": 1,
            "room": "site",
            "protocol": 1,
            "resume": "token 0 of ann",
        }
    ]


async def test_who_comes_is_seen_at_once_on_every_node(world):
    here, there = await world.node(), await world.node()
    tab = await watcher(world, here)
    await world.clock.advance(1)
    other = Tab(there, "ann", "s")
    there.open(other.connection, Profile("ann", "Ann"), touched=False)
    await settle()
    assert statuses(tab.take()) == ["online"]


async def test_the_last_tab_closed_shows_after_the_grace(world):
    hub = await world.node()
    tab = await watcher(world, hub)
    ann = await world.tab(hub, "ann")
    tab.take()
    ann.close()
    await world.clock.advance(4.9)
    assert statuses(tab.take()) == []
    await world.clock.advance(0.2)
    assert statuses(tab.take()) == ["offline"]


async def test_grace_periods_that_end_one_after_the_other_end_together_and_one_alone_in_time(world):
    hub = await world.node()

    def gone(*users):
        return [hub.replica.status(SITE, user) is Status.OFFLINE for user in users]

    for tab in [await world.tab(hub, user) for user in ("ann", "bob", "cid")]:
        tab.close()
        await world.clock.advance(0.02)
    await world.clock.advance(hub.policy.grace - 0.06 + 0.01)
    assert gone("ann", "bob", "cid") == [True, False, False]
    await world.clock.advance(0.08)
    assert gone("bob", "cid") == [False, False]
    await world.clock.advance(0.02)
    assert gone("bob", "cid") == [True, True]
    dan = await world.tab(hub, "dan")
    dan.close()
    await world.clock.advance(hub.policy.grace - 0.01)
    assert gone("dan") == [False]
    await world.clock.advance(0.02)
    assert gone("dan") == [True]


async def test_a_grace_period_is_not_kept_waiting_by_one_that_ended_before_its_time(world):
    hub = await world.node()
    ann, bob = [await world.tab(hub, user) for user in ("ann", "bob")]
    ann.close()
    await world.clock.advance(0.02)
    bob.close()
    hub.expel("session of ann")
    await world.clock.advance(hub.policy.grace + 0.01)
    assert hub.replica.status(SITE, "bob") is Status.OFFLINE


async def test_without_a_grace_period_all_who_go_are_gone_at_once(world):
    hub = await world.node(grace=0)
    for tab in [await world.tab(hub, user) for user in ("ann", "bob")]:
        tab.close()
        await world.clock.advance(0.02)
    assert hub.replica.count(SITE) == 0


@pytest.mark.parametrize("nodes", [1, 2])
async def test_a_reload_within_the_grace_shows_nobody_anything_even_at_another_node(world, nodes):
    hubs = [await world.node() for _ in range(nodes)]
    tab = await watcher(world, hubs[0])
    ann = await world.tab(hubs[0], "ann")
    tab.take()
    ann.close()
    await world.clock.advance(2)
    await world.tab(hubs[-1], "ann")
    await world.clock.advance(30)
    assert tab.take() == []


async def test_one_of_two_tabs_closed_shows_nobody_anything(world):
    hub = await world.node()
    tab = await watcher(world, hub)
    first, _ = await world.tab(hub, "ann"), await world.tab(hub, "ann")
    tab.take()
    first.close()
    await world.clock.advance(30)
    assert tab.take() == []


async def test_away_is_shown_when_every_tab_is_idle_and_online_when_one_is_not(world):
    hub = await world.node()
    tab = await watcher(world, hub)
    first, second = await world.tab(hub, "ann"), await world.tab(hub, "ann")
    tab.take()
    await first.say('{"type":"idle"}')
    await world.clock.advance(1)
    assert statuses(tab.take()) == []
    await second.say('{"type":"idle"}')
    await world.clock.advance(1)
    assert statuses(tab.take()) == ["away"]
    await first.say('{"type":"active"}')
    await world.clock.advance(1)
    assert statuses(tab.take()) == ["online"]


async def test_logging_out_closes_the_sessions_sockets_everywhere_and_skips_the_grace(world):
    here, there = await world.node(), await world.node()
    tab = await watcher(world, here)
    ann, also_ann = await world.tab(here, "ann", "s"), await world.tab(there, "ann", "s")
    tab.take()
    world.backend.expel("s", "ann")
    await settle()
    assert (ann.socket.closed_with, also_ann.socket.closed_with) == (CloseCode.NOT_LOGGED_IN,) * 2
    await world.clock.advance(0.1)
    assert statuses(tab.take()) == ["offline"]


async def test_logging_out_of_one_session_leaves_another_of_the_same_user_alone(world):
    hub = await world.node()
    tab = await watcher(world, hub)
    laptop, phone = await world.tab(hub, "ann", "laptop"), await world.tab(hub, "ann", "phone")
    tab.take()
    world.backend.expel("laptop", "ann")
    await world.clock.advance(30)
    assert laptop.socket.closed_with is CloseCode.NOT_LOGGED_IN
    assert phone.socket.closed_with is None
    assert statuses(tab.take()) == []


async def test_a_log_out_while_the_socket_is_on_its_way_is_not_missed(world):
    hub = await world.node()
    tab = Tab(hub, "ann", "s")
    world.backend.expel("s", "ann")
    await settle()
    with pytest.raises(SessionEnded):
        hub.open(tab.connection, Profile("ann", "Ann"), touched=False)


async def test_a_user_who_is_refused_while_the_socket_is_on_its_way_is_closed(world):
    hub = await world.node()
    asked = hub.now()
    world.sync.recheck("ann")
    await settle()
    world.people.refused.add("ann")
    tab = await world.tab(hub, "ann", asked=asked)
    assert tab.socket.closed_with is CloseCode.NOT_LOGGED_IN


async def test_who_was_looked_up_after_a_change_is_not_looked_up_once_more(world):
    hub = await world.node()
    world.sync.recheck("ann")
    await world.clock.advance(2 * RECHECK_DELAY)
    await world.tab(hub, "ann")
    assert "staying" not in world.people.queries


async def test_a_node_that_is_replaced_sends_its_sockets_away_some_at_a_time_and_serves_the_others(world):
    hub, other = await world.node(connections_per_user=2 * CLOSE_CHUNK), await world.node()
    tabs = [Tab(hub, "ann", f"session {number}") for number in range(2 * CLOSE_CHUNK)]
    for tab in tabs:
        hub.open(tab.connection, Profile("ann", "Ann"), touched=False)
    await tabs[-1].say('{"type":"watch","users":["bob"]}')
    going = asyncio.create_task(hub.send_away(a_second=CLOSE_CHUNK))
    await settle()
    other.open(Tab(other, "bob", "s").connection, Profile("bob", "Bob"), touched=False)
    await world.clock.advance(0.9)
    assert [tab.socket.closed_with for tab in tabs].count(CloseCode.GOING) == CLOSE_CHUNK
    assert {"bob": {"status": "online"}} in [message.get("users") for message in tabs[-1].take()]
    await world.clock.advance(2)
    assert {tab.socket.closed_with for tab in tabs} == {CloseCode.GOING}
    assert going.done()


async def test_a_session_that_is_given_another_key_comes_back_with_it_unseen(world):
    hub = await world.node()
    tab = await watcher(world, hub)
    ann = await world.tab(hub, "ann", "old key")
    tab.take()
    world.sync.recheck("ann")
    world.sync.renew("old key", "ann")
    await settle()
    assert ann.socket.closed_with is None  # its browser has not been told of the new key yet
    await world.clock.advance(RENEW_DELAY)
    assert ann.socket.closed_with is CloseCode.GOING
    back = await world.tab(hub, "ann", "new key")
    await world.clock.advance(2 * hub.policy.grace)
    assert back.socket.closed_with is None
    assert ann.connection not in world.people.asked_about  # its key is nobody's by now
    assert statuses(tab.take()) == []


async def test_a_session_with_a_new_key_is_not_put_out_by_any_other_look_in_between(world):
    hub = await world.node()
    ann = await world.tab(hub, "ann", "old key")
    world.people.refused.add("ann")  # what the site says of the old key
    world.sync.renew("old key", "ann")
    await settle()
    hub._rights.doubt_everybody()
    await settle()
    assert ann.socket.closed_with is None
    await world.clock.advance(RENEW_DELAY)
    assert ann.socket.closed_with is CloseCode.GOING


async def test_a_socket_that_came_late_with_an_old_key_is_sent_back_by_the_look_that_finds_it(world):
    hub = await world.node()
    world.sync.renew("old key", "ann")
    await settle()
    await world.clock.advance(2 * RENEW_DELAY)
    late = await world.tab(hub, "ann", "old key")
    world.people.refused.add("ann")
    hub._rights.doubt_everybody()
    await settle()
    assert late.socket.closed_with is CloseCode.GOING


async def test_a_name_that_was_told_before_the_look_up_does_not_undo_what_that_found(world):
    hub = await world.node()
    world.sync.relist("ann", Profile("ann", "Before"), "ann")
    await settle()
    await world.clock.advance(1)
    tab = Tab(hub, "ann", "s")
    hub.open(tab.connection, Profile("ann", "Now"), touched=False)
    assert hub._connections.profile("ann") == Profile("ann", "Now")


async def test_who_was_looked_up_before_a_gap_in_the_log_is_looked_up_once_more(world):
    hub = await world.node()
    await world.tab(hub, "bob")
    asked = hub.now()
    await hub.on_snapshot(await MemoryStore(world.backend).snapshot())
    await settle()
    world.people.refused.add("ann")
    tab = await world.tab(hub, "ann", asked=asked)
    assert tab.socket.closed_with is CloseCode.NOT_LOGGED_IN


async def test_a_recheck_closes_who_may_not_stay_and_leaves_the_others(world):
    hub = await world.node()
    ann, bob = await world.tab(hub, "ann"), await world.tab(hub, "bob")
    world.people.refused.add("ann")
    for user in ("ann", "bob"):
        world.sync.recheck(user)
    await settle()
    await world.clock.advance(RECHECK_DELAY)
    assert ann.socket.closed_with is CloseCode.NOT_LOGGED_IN
    assert bob.socket.closed_with is None


async def test_a_login_counts_until_its_page_has_come_and_the_page_takes_over(world):
    hub = await world.node()
    tab = await watcher(world, hub)
    world.backend.touch("ann", Profile("ann", "Ann"), "s", 30)
    await settle()
    assert statuses(tab.take()) == ["online"]
    ann = await world.tab(hub, "ann", "s", touched=True)
    ann.close()
    await world.clock.advance(6)
    assert statuses(tab.take()) == ["offline"]


async def test_no_more_connections_than_the_policy_allows(world):
    hub = await world.node(connections_per_user=2)
    first, _ = await world.tab(hub, "ann"), await world.tab(hub, "ann")
    third = Tab(hub, "ann", "s")
    with pytest.raises(TooManyConnections):
        hub.open(third.connection, Profile("ann", "Ann"), touched=False)
    first.close()  # who lingers does not count
    hub.open(third.connection, Profile("ann", "Ann"), touched=False)


async def test_a_killed_node_s_people_are_gone_within_lease_and_sweep(world):
    here, there = await world.node(), await world.node()
    tab = await watcher(world, here)
    await world.tab(there, "ann")
    tab.take()
    for task in there._node._tasks:
        task.cancel()
    await world.clock.advance(9.9 - 3)
    assert statuses(tab.take()) == []
    await world.clock.advance(3 + 1.2)
    assert statuses(tab.take()) == ["offline"]


async def test_a_node_that_ends_leaves_its_people_the_grace_to_come_back(world):
    here, there = await world.node(), await world.node()
    tab = await watcher(world, here)
    await world.tab(there, "ann")
    tab.take()
    await there.stop()
    await world.clock.advance(4)
    assert statuses(tab.take()) == []
    await world.clock.advance(3)
    assert statuses(tab.take()) == ["offline"]


async def test_a_store_that_lost_its_memory_shows_nobody_anything(world):
    here, there = await world.node(), await world.node()
    tab = await watcher(world, here)
    await tab.say('{"type":"watch","room":"site"}')
    await world.tab(there, "ann")
    tab.take()
    world.backend.wipe()
    await world.clock.advance(60)
    assert [message for message in tab.take() if message["type"] != "resume"] == []
    assert world.backend.count("site") == 2


async def test_who_left_while_the_store_lost_its_memory_is_gone_after_a_lease(world):
    here, there = await world.node(), await world.node()
    tab = await watcher(world, here)
    await world.tab(there, "ann")
    tab.take()
    for task in there._node._tasks:
        task.cancel()
    world.backend.wipe()
    await world.clock.advance(9)
    assert statuses(tab.take()) == []
    await world.clock.advance(2)
    assert statuses(tab.take()) == ["offline"]


async def test_a_room_is_a_list_of_its_own(world):
    hub = await world.node()
    tab = await world.tab(hub, "bob")
    await tab.say('{"type":"watch","room":"doc:42"}')
    (update,) = tab.take()
    assert update["page"] == {"room": "doc:42", "after": None, "reset": True, "put": [], "order": []}
    ann = await world.tab(hub, "ann")
    tab.take()
    await ann.say('{"type":"enter","room":"doc:42"}')
    await world.clock.advance(0.1)
    (update,) = tab.take()
    row = {"id": "ann", "name": "Ann", "key": "ann", "status": "online"}
    assert update == {
        "type": "update",
        "page": {"room": "doc:42", "after": None, "put": [row], "order": ["ann"]},
    }
    await ann.say('{"type":"leave","room":"doc:42"}')
    await world.clock.advance(0.1)
    (update,) = tab.take()
    assert update["page"] == {"room": "doc:42", "after": None, "drop": ["ann"]}


async def test_no_more_rooms_than_the_policy_allows(world):
    hub = await world.node(rooms_per_connection=1)
    ann = await world.tab(hub, "ann")
    await ann.say('{"type":"enter","room":"a"}')
    with pytest.raises(BadMessage, match="may enter 1 room"):
        await ann.say('{"type":"enter","room":"b"}')


async def test_nothing_is_told_of_what_is_watched_no_more(world):
    hub = await world.node()
    tab = await world.tab(hub, "bob")
    for watch, unwatch in (
        (WATCH_ANN, '{"type":"unwatch","users":true}'),
        ('{"type":"watch","room":"site"}', '{"type":"unwatch","room":"site"}'),
        ('{"type":"watch","directory":{}}', '{"type":"unwatch","directory":true}'),
    ):
        await tab.say(watch)
        await tab.say(unwatch)
    tab.take()
    await world.tab(hub, "ann")
    world.sync.relist("zoe", Profile("zoe", "Zoe"), None)
    await world.clock.advance(1)
    assert tab.take() == [{"type": "update", "online": 2}]


async def test_a_rename_while_the_socket_is_on_its_way_is_not_missed(world):
    hub = await world.node()
    tab = Tab(hub, "ann", "s")
    world.sync.relist("ann", Profile("zoe", "Zoe"), "ann")
    await settle()
    hub.open(tab.connection, Profile("ann", "Ann"), touched=False)
    await settle()
    assert hub.replica.get("site", "ann").profile == Profile("zoe", "Zoe")


async def test_a_welcome_counts_the_newcomer_in_and_the_count_is_put_right_if_that_was_wrong(world):
    hub = await world.node(grace=0)
    await world.tab(hub, "bob")
    tab = Tab(hub, "ann", "s")
    hub.open(tab.connection, Profile("ann", "Ann"), touched=False)
    await settle()
    await world.clock.advance(3)
    assert [message["online"] for message in tab.take()] == [2]
    # One who comes while the count may not be told yet, and one who goes before it may.
    late, gone = Tab(hub, "cy", "s"), Tab(hub, "eve", "s")
    hub.open(gone.connection, Profile("eve", "Eve"), touched=False)
    hub.open(late.connection, Profile("cy", "Cy"), touched=False)
    await settle()
    gone.close()
    await world.clock.advance(3)
    assert late.take()[-1]["online"] == 3


async def test_a_room_that_was_entered_may_be_entered_again_at_the_limit(world):
    hub = await world.node(rooms_per_connection=1)
    ann = await world.tab(hub, "ann")
    for _ in range(2):
        await ann.say('{"type":"enter","room":"a"}')


async def test_a_page_that_comes_back_while_nobody_is_at_it_shows_nobody_anything(world):
    hub = await world.node()
    tab = await watcher(world, hub)
    ann = await world.tab(hub, "ann")
    await ann.say('{"type":"idle"}')
    await world.clock.advance(1)
    tab.take()
    ann.close()
    again = Tab(hub, "ann", "session of ann")
    hub.open(again.connection, Profile("ann", "Ann"), touched=False, idle=True)
    await world.clock.advance(20)
    assert statuses(tab.take()) == []


async def test_a_large_snapshot_lets_the_loop_have_its_turns(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "STEP", 1)
    hub = await world.node()
    at = (Position("e", 0),)
    people = {f"u{number}": Presence(Status.ONLINE, Profile(f"u{number}", "")) for number in range(10)}
    taking = asyncio.create_task(hub.on_snapshot(Snapshot(at, {SITE: people}, 0.0, Revoked(at, ()))))
    turns = 0
    while not taking.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > len(people)
    assert hub.replica.count(SITE) == len(people)
