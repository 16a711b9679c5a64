"""Resume tokens between nodes: who is let in without a look-up, and who has to be looked up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from whosonline.core.entries import Profile
from whosonline.core.policy import Policy
from whosonline.hub.hub import Hub
from whosonline.hub.resumption import CLOCKS_APART, Token
from whosonline.stores.memory import MemoryStore
from whosonline.testing.clock import settle

from .conftest import FaultyStore, Tab, World

ANN = Profile("ann", "Ann")


async def welcomed(world: World, hub: Hub, user: str = "ann", session: str = "s") -> Token | None:
    """Let somebody in; return the token that the welcome holds."""
    tab = Tab(hub, user, session)
    hub.open(tab.connection, Profile(user, user.title()), touched=False)
    await settle()
    (welcome,) = tab.take("welcome")
    return world.people.tokens[welcome["resume"]] if "resume" in welcome else None


async def token_of(world: World, hub: Hub, **whose: Any) -> Token:
    token = await welcomed(world, hub, **whose)
    assert token is not None
    return token


async def test_a_token_is_believed_by_its_own_node_and_by_the_others(world: World):
    hub, other = await world.node(), await world.node()
    token = await token_of(world, hub)
    assert (token.user, token.session, token.profile) == ("ann", "s", ANN)
    assert hub.believes(token)
    assert other.believes(token)


async def test_a_node_that_begins_later_believes_it_too(world: World):
    """A server is replaced, and all its sockets come to the new one."""
    hub = await world.node()
    token = await token_of(world, hub)
    await token_of(world, hub, user="bob", session="b")  # the log goes on
    assert (await world.node()).believes(token)


async def test_a_node_that_begins_later_knows_who_must_be_looked_up(world: World):
    hub = await world.node()
    whose = ["ann", "bob", "cid", "dan", "eve", "fay"]
    tokens = [await token_of(world, hub, user=user, session=f"of {user}") for user in whose]
    world.sync.expel("of ann", "ann")
    world.sync.renew("of bob", "bob")
    world.sync.recheck("cid")
    world.sync.relist("dan", Profile("don", "Don"), "dan")
    world.sync.relist("eve", Profile("eve", "Eve"), None)
    late = await world.node()
    assert [token.user for token in tokens if late.believes(token)] == ["eve", "fay"]


async def test_a_node_that_begins_believes_no_token_of_before_an_outage(world: World):
    """Who logged out meanwhile could not be told through the store."""
    store = FaultyStore(MemoryStore(world.backend))
    hub = await world.node(store)
    token = await token_of(world, hub)
    await _outage(world, store)
    late = await world.node()
    assert not late.believes(token)
    await world.clock.advance(2 * CLOCKS_APART)
    assert late.believes(await token_of(world, hub, user="bob", session="b"))


async def test_nor_one_that_began_amid_it(world: World):
    """It hears of it from the nodes that were cut off, when they are back."""
    store = FaultyStore(MemoryStore(world.backend))
    hub, other = await world.node(store), await world.node()
    before = await token_of(world, hub)
    late: list[Hub] = []

    async def begin() -> None:
        late.append(await world.node())

    await _outage(world, store, amid=begin)
    after = await token_of(world, other, user="bob", session="b")
    assert [late[0].believes(token) for token in (before, after)] == [False, True]
    assert other.believes(before)  # which was never cut off


async def test_a_token_that_was_got_by_another_is_of_the_same_place(world: World):
    """Else a node that was never cut off would make good what others may not believe."""
    store = FaultyStore(MemoryStore(world.backend))
    hub, _ = await world.node(), await world.node(store)
    first = await token_of(world, hub)
    await _outage(world, store)
    assert hub.believes(first)
    tab = Tab(hub, "ann", "s", returns=first.cursor)
    hub.open(tab.connection, ANN, touched=False)
    await settle()
    second = world.people.tokens[tab.take("welcome")[0]["resume"]]
    late = await world.node()
    assert not late.believes(second)
    await world.clock.advance(hub.policy.recheck * 1.1)
    assert late.believes(world.people.tokens[tab.take("resume")[-1]["resume"]])


async def test_what_was_revoked_long_ago_counts_no_more_with_a_node_that_begins(world: World):
    hub = await world.node()
    world.sync.recheck("ann")
    await world.clock.advance(hub.policy.resume + 1)
    hub.open(Tab(hub, "bob", "b").connection, Profile("bob", "Bob"), touched=False)
    token = await token_of(world, hub)
    assert (await world.node()).believes(token)


async def test_nothing_is_sure_of_before_a_node_died_that_may_have_been_cut_off(world: World):
    store = FaultyStore(MemoryStore(world.backend))
    hub, other = await world.node(store), await world.node()
    token = await token_of(world, other)
    store.away = True
    await hub.stop()
    await world.clock.advance(Policy().lease + Policy().sweep)
    assert not (await world.node()).believes(token)


async def test_a_node_that_goes_says_before_what_it_missed(world: World):
    store = FaultyStore(MemoryStore(world.backend))
    hub, other = await world.node(store), await world.node()
    token = await token_of(world, other)
    store.away = True
    await world.clock.advance(Policy().beat)
    store.away = False
    await hub.stop()
    assert not (await world.node()).believes(token)


async def test_a_node_that_is_replaced_leaves_its_tokens_good(world: World):
    hub = await world.node()
    token = await token_of(world, hub)
    late = await world.node()
    await hub.stop()
    await world.clock.advance(2 * Policy().lease)
    assert late.believes(token)
    assert (await world.node()).believes(token)


async def test_what_its_process_could_not_tell_the_store_is_told_by_the_next_beat(world: World):
    hub = await world.node()
    token = await token_of(world, hub)
    hub.miss()
    await world.clock.advance(Policy().beat)
    assert not (await world.node()).believes(token)


async def test_an_outage_amid_the_beat_that_tells_of_another_is_told_too(world: World):
    """Of the second the answer to the first says nothing."""
    store = FaultyStore(MemoryStore(world.backend))
    hub = await world.node(store)
    await _outage(world, store)
    token = await token_of(world, await world.node())
    store.lose_answers = True
    await _outage(world, store)
    assert hub.ready
    assert not (await world.node()).believes(token)


async def _outage(
    world: World, store: FaultyStore, amid: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Let a node lose the store for a moment, and come back to it."""
    store.away = True
    await world.clock.advance(Policy().beat)
    if amid is not None:
        await amid()
    store.away = False
    await world.clock.advance(2 * Policy().beat)


async def test_after_a_log_out_the_session_is_looked_up_and_others_are_not(world: World):
    hub, other = await world.node(), await world.node()
    gone = await token_of(world, hub)
    stays = await token_of(world, hub, session="another device")
    world.sync.expel("s", "ann")
    await settle()
    assert [node.believes(gone) for node in (hub, other)] == [False, False]
    assert [node.believes(stays) for node in (hub, other)] == [True, True]


async def test_who_was_changed_is_looked_up(world: World):
    """A new password, a deactivation, a new name, a removal."""
    hub = await world.node()
    ann, bob = await token_of(world, hub), await token_of(world, hub, user="bob", session="b")
    world.sync.recheck("ann")
    await settle()
    assert not hub.believes(ann)
    assert hub.believes(bob)
    world.sync.relist("bob", Profile("rob", "Rob"), "bob")
    await settle()
    assert not hub.believes(bob)


async def test_a_token_that_was_got_by_a_token_is_no_younger_than_the_look_up(world: World):
    """Else who comes back often enough would never be looked up again."""
    hub = await world.node()
    token = await token_of(world, hub)
    first = token.looked_up
    for _ in range(4):
        await world.clock.advance(hub.policy.resume / 5)
        assert hub.believes(token)
        tab = Tab(hub, "ann", "s")
        tab.connection.looked_up = token.looked_up  # as the consumer says of one that it let in by a token
        hub.open(tab.connection, ANN, touched=False)
        await settle()
        token = world.people.tokens[tab.take("welcome")[0]["resume"]]
        tab.close()
        assert token.looked_up == first
    await world.clock.advance(hub.policy.resume / 5 + 1)
    assert not hub.believes(token)


async def test_who_is_new_makes_no_token_worthless(world: World):
    hub = await world.node()
    token = await token_of(world, hub)
    world.sync.relist("ann", ANN, None)
    await settle()
    assert hub.believes(token)


async def test_a_token_ends_with_its_time_and_with_the_session(world: World):
    hub = await world.node()
    token = await token_of(world, hub)
    now = world.clock.wall()
    assert not hub.believes(token._replace(looked_up=now - Policy().resume - 1))
    assert not hub.believes(token._replace(expires=now - 1))


async def test_of_a_session_whose_end_nobody_knows_there_is_no_token(world: World):
    hub = await world.node()
    tab = Tab(hub, "ann", "s")
    tab.connection.expires = float("inf")
    hub.open(tab.connection, ANN, touched=False)
    await settle()
    assert "resume" not in tab.take("welcome")[0]


async def test_whose_rights_are_in_doubt_gets_no_token(world: World):
    hub = await world.node()
    world.sync.recheck("ann")
    await settle()
    assert await welcomed(world, hub) is None
    await world.clock.advance(0.1)
    assert await welcomed(world, hub, session="looked up since") is not None


async def test_no_token_of_before_an_outage_is_believed_after_it(world: World):
    """Who logged out meanwhile could not be told through the store."""
    hub = await world.node()
    token = await token_of(world, hub)
    hub.on_degraded(True)
    assert not hub.believes(token)
    assert await welcomed(world, hub, user="bob", session="b") is None
    hub.on_degraded(False)
    assert not hub.believes(token)
    assert hub.believes(token._replace(looked_up=world.clock.wall() + 2 * CLOCKS_APART))


async def test_a_socket_that_stays_open_gets_a_newer_token_whenever_it_was_looked_up_again(world: World):
    hub = await world.node()
    tab = await world.tab(hub, "ann")
    for _ in range(3):
        await world.clock.advance(hub.policy.recheck * 1.1)
        newest = tab.take("resume")[-1]
        assert hub.believes(world.people.tokens[newest["resume"]])
    tab.close()
    await world.clock.advance(2 * hub.policy.recheck)
    assert tab.take("resume") == []


async def test_a_reader_that_missed_its_newer_token_gets_it_when_it_reads_on(world: World):
    hub = await world.node(send_timeout=10_000)
    tab = await world.tab(hub, "ann")
    tab.socket.stop_reading()
    world.sync.touch("bob", Profile("bob", "Bob"), "b", 1.0)  # a frame that stays in flight
    await world.clock.advance(1.1 * hub.policy.recheck)
    tab.socket.read_on()
    await settle()
    assert len(tab.take("resume")) == 1
