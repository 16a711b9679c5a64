"""A replica that follows the log, through a store's loss of memory too."""

from __future__ import annotations

import pytest

from whosonline.core.entries import Change, Position, Profile
from whosonline.core.follower import Follower
from whosonline.core.replica import Presence, Replica
from whosonline.core.statuses import Status

ANN, BOB = Profile("ann", "Ann"), Profile("bob", "Bob")
HERE = {"site": {"ann": Presence(Status.ONLINE, ANN), "bob": Presence(Status.AWAY, BOB)}}


def cursor(epoch: str, sequence: int = 0) -> tuple[Position, ...]:
    return (Position(epoch, sequence),)


def change(user: str, status: Status, profile: Profile = ANN) -> Change:
    return Change("site", user, status, profile, 7.0)


@pytest.fixture
def replica() -> Replica:
    return Replica()


@pytest.fixture
def follower(replica: Replica) -> Follower:
    follower = Follower(replica)
    follower.take_over(cursor("one"), HERE)
    return follower


def test_the_first_snapshot_is_taken_as_it_is(follower: Follower, replica: Replica) -> None:
    assert replica.as_state() == HERE
    assert follower.epoch == ("one",)
    assert follower.release(cursor("one"), HERE, 9.0) == []


def test_an_entry_is_applied_and_tells_what_was_before(follower: Follower, replica: Replica) -> None:
    assert follower.apply(change("ann", Status.OFFLINE)) == HERE["site"]["ann"]
    assert replica.get("site", "ann") is None


def test_a_snapshot_of_the_same_epoch_takes_out_who_is_not_in_it(
    follower: Follower, replica: Replica
) -> None:
    assert sorted(follower.take_over(cursor("one", 9), {})) == [("site", "ann"), ("site", "bob")]
    assert replica.pairs() == []


def test_a_new_epoch_changes_nothing_for_those_it_does_not_know_yet(
    follower: Follower, replica: Replica
) -> None:
    assert follower.take_over(cursor("two"), {}) == []
    assert replica.as_state() == HERE


def test_who_the_new_epoch_never_spoke_of_is_gone_when_the_wait_ends(
    follower: Follower, replica: Replica
) -> None:
    follower.take_over(cursor("two"), {})
    follower.apply(change("ann", Status.ONLINE))
    assert follower.waits
    assert follower.release(cursor("two"), {}, 9.0) == [Change("site", "bob", Status.OFFLINE, BOB, 9.0)]
    assert not follower.waits
    assert follower.release(cursor("two"), {}, 9.5) == []


def test_who_leaves_one_node_during_the_wait_may_be_held_by_another_that_has_yet_to_say_so(
    follower: Follower, replica: Replica
) -> None:
    follower.take_over(cursor("two"), {})
    follower.apply(change("ann", Status.AWAY))
    follower.apply(change("ann", Status.OFFLINE))
    assert replica.status("site", "ann") is Status.AWAY
    assert [gone.user for gone in follower.release(cursor("two"), {}, 9.0)] == ["ann", "bob"]


def test_who_came_during_the_wait_and_leaves_is_gone_at_once(follower: Follower, replica: Replica) -> None:
    follower.take_over(cursor("two"), {})
    follower.apply(change("cid", Status.ONLINE))
    follower.apply(change("cid", Status.OFFLINE))
    assert replica.get("site", "cid") is None


def test_whose_announcement_has_not_been_read_is_not_gone_when_the_wait_ends(
    follower: Follower, replica: Replica
) -> None:
    follower.take_over(cursor("two"), {})
    gone = follower.release(cursor("two", 5), {"site": {"ann": HERE["site"]["ann"]}}, 9.0)
    assert [change.user for change in gone] == ["bob"]


def test_nobody_is_gone_at_the_end_of_a_wait_for_an_epoch_that_has_ended(
    follower: Follower, replica: Replica
) -> None:
    follower.take_over(cursor("two"), {})
    assert follower.release(cursor("three"), {}, 9.0) == []
    assert follower.waits


def test_another_snapshot_during_the_wait_does_not_end_it(follower: Follower, replica: Replica) -> None:
    follower.take_over(cursor("two"), {})
    follower.take_over(cursor("two", 5), {"site": {"ann": Presence(Status.AWAY, ANN)}})
    assert replica.status("site", "ann") is Status.AWAY
    assert replica.status("site", "bob") is Status.AWAY


def test_who_a_snapshot_of_the_new_epoch_holds_is_not_gone_when_the_wait_ends(
    follower: Follower, replica: Replica
) -> None:
    held = {"site": {"ann": HERE["site"]["ann"]}}
    follower.take_over(cursor("two", 3), held)
    assert [gone.user for gone in follower.release(cursor("two", 3), held, 9.0)] == ["bob"]
