from __future__ import annotations

from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whosonline.core import replica as replica_module
from whosonline.core.entries import Change, Profile
from whosonline.core.order import Order, Place
from whosonline.core.replica import Presence, Replica, State
from whosonline.core.statuses import SITE, Status

DOC = "doc:42"


def change(user: str, status: Status = Status.ONLINE, *, key: str | None = None, room: str = SITE) -> Change:
    return Change(room, user, status, Profile(key or user, user.title()), 0.0)


def presence(user: str, status: Status = Status.ONLINE, key: str | None = None) -> Presence:
    return Presence(status, Profile(key or user, user.title()))


def test_changes_are_taken_over_and_a_repeat_does_no_harm() -> None:
    replica = Replica()
    for _ in range(2):
        replica.apply(change("ann"))
        replica.apply(change("bob", Status.AWAY, room=DOC))
    assert replica.as_state() == {SITE: {"ann": presence("ann")}, DOC: {"bob": presence("bob", Status.AWAY)}}
    assert [replica.count(room) for room in (SITE, DOC, "none")] == [1, 1, 0]
    for _ in range(2):
        replica.apply(change("ann", Status.OFFLINE))
    assert replica.as_state() == {DOC: {"bob": presence("bob", Status.AWAY)}}


def test_who_is_not_present_is_offline() -> None:
    replica = Replica()
    replica.apply(change("ann", Status.AWAY))
    assert replica.status(SITE, "ann") is Status.AWAY
    assert replica.status(DOC, "ann") is replica.status(SITE, "bob") is Status.OFFLINE
    assert replica.get(SITE, "bob") is None
    assert list(replica.room(DOC).page(None, 10)) == []


def test_a_page_begins_after_a_key_whether_or_not_somebody_has_it() -> None:
    replica = Replica()
    for user in ("cid", "ann", "bob"):
        replica.apply(change(user))
    room = replica.room(SITE)
    assert list(room.page(None, 2)) == ["ann", "bob"]
    assert list(room.page("ann", 2)) == ["bob", "cid"]
    assert list(room.page("b", 5)) == ["bob", "cid"]
    assert list(room.page("cid", 5)) == []


def test_users_of_one_key_stand_by_id_and_are_skipped_together() -> None:
    replica = Replica()
    for user in ("2", "1", "10"):
        replica.apply(change(user, key="same"))
    replica.apply(change("0", key="same, longer"))
    assert list(replica.room(SITE).page(None, 10)) == ["1", "10", "2", "0"]
    assert list(replica.room(SITE).page("same", 10)) == ["0"]


def test_a_renamed_user_moves_to_the_new_place() -> None:
    replica = Replica()
    for user in ("ann", "bob"):
        replica.apply(change(user))
    replica.apply(change("ann", key="zoe"))
    assert list(replica.room(SITE).page(None, 10)) == ["bob", "ann"]
    replica.apply(change("ann", Status.OFFLINE, key="ann"))
    assert list(replica.room(SITE).page(None, 10)) == ["bob"]


def test_a_snapshot_replaces_everything_and_tells_what_it_changed() -> None:
    replica = Replica()
    for user in ("ann", "bob", "cid"):
        replica.apply(change(user))
    replica.apply(change("ann", room=DOC))
    state = {
        SITE: {"ann": presence("ann"), "bob": presence("bob", Status.AWAY), "dan": presence("dan")},
        "empty": {},
    }
    changed = replica.replace(state)
    assert sorted(changed) == [(DOC, "ann"), (SITE, "bob"), (SITE, "cid"), (SITE, "dan")]
    assert replica.as_state() == {SITE: state[SITE]}
    assert list(replica.room(SITE).page(None, 10)) == ["ann", "bob", "dan"]
    assert replica.replace(state) == []


def test_a_snapshot_leaves_those_who_are_kept_unless_it_knows_better() -> None:
    replica = Replica()
    for user in ("ann", "bob", "cid"):
        replica.apply(change(user))
    keep = [(SITE, "ann"), (SITE, "bob"), (SITE, "nobody"), (DOC, "ann")]
    changed = replica.replace({SITE: {"bob": presence("bob", Status.AWAY)}}, keep)
    assert sorted(changed) == [(SITE, "bob"), (SITE, "cid")]
    assert replica.as_state() == {SITE: {"ann": presence("ann"), "bob": presence("bob", Status.AWAY)}}


@pytest.mark.parametrize("people", [0, 1, 7, 8, 9, 100])
def test_a_snapshot_that_is_put_in_order_step_by_step_is_in_order(
    people: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_module, "STEP", 4)
    names = [f"u{number * 7 % 100:02}" for number in range(people)]
    replica = Replica()
    replica.apply(change("u07", Status.AWAY))
    making = replica.rooms_of({SITE: {name: presence(name) for name in names}, DOC: {"ann": presence("ann")}})
    assert sum(1 for _ in making) >= people // 4
    replica.replace({SITE: {name: presence(name) for name in names}, DOC: {"ann": presence("ann")}})
    assert list(replica.room(SITE).page(None, 200)) == sorted(names)
    assert replica.count(SITE) == people


def test_what_a_snapshot_did_not_change_is_the_same_object_as_before() -> None:
    replica = Replica()
    for user in ("ann", "bob"):
        replica.apply(change(user))
    before = replica.as_state()[SITE]
    replica.replace({SITE: {"ann": presence("ann"), "bob": presence("bob", Status.AWAY)}})
    after = replica.as_state()[SITE]
    assert after["ann"] is before["ann"]
    assert after["bob"] == presence("bob", Status.AWAY)


def test_a_replica_does_not_change_the_snapshot_it_was_made_from() -> None:
    replica = Replica()
    state: State = {SITE: {"ann": presence("ann")}}
    replica.replace(state)
    replica.apply(change("bob"))
    copy = replica.as_state()
    replica.apply(change("cid"))
    assert list(state[SITE]) == ["ann"]
    assert list(copy[SITE]) == ["ann", "bob"]


def test_a_page_is_whole_though_somebody_leaves_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads read beside the one that changes it."""
    replica = Replica()
    for name in ("ann", "bob", "cy"):
        replica.apply(Change(SITE, name, Status.ONLINE, Profile(name, name), 0.0))
    room = replica.room(SITE)

    class Leaves(Order):
        """Somebody leaves just after having been read."""

        def after(self, place: Place, limit: int) -> list[Place]:
            return self._one_leaves(super().after(place, limit))

        def before(self, place: Place, limit: int) -> list[Place]:
            return self._one_leaves(super().before(place, limit))

        def _one_leaves(self, read: list[Place]) -> list[Place]:
            room._order = Order([*super().after(("", ""), 3)])
            room.discard("bob")
            return read

    for read in (lambda: replica.online(SITE, None, 2), lambda: replica.online_before(SITE, "x", 2)):
        replica.apply(Change(SITE, "bob", Status.ONLINE, Profile("bob", "bob"), 0.0))
        monkeypatch.setattr(room, "_order", Leaves(room._order.after(("", ""), 3)))
        assert [user for user, _ in read()] == ["ann", "cy"]


def test_a_page_is_whole_though_somebody_is_renamed_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    replica = Replica()
    for name in ("ann", "bob", "cy"):
        replica.apply(change(name))
    room = replica.room(SITE)

    class Twice(Order):
        """Bob is read at his old place, and then at his new one."""

        def after(self, place: Place, limit: int) -> list[Place]:
            room._order = Order([("ann", "ann"), ("bz", "bob"), ("cy", "cy")])
            return [("ann", "ann"), ("bob", "bob"), ("bz", "bob")][:limit]

    monkeypatch.setattr(room, "_order", Twice())
    assert [user for user, _ in replica.online(SITE, None, 3)] == ["ann", "bob", "cy"]


def test_everybody_present_anywhere_can_be_listed() -> None:
    replica = Replica()
    replica.apply(change("ann"))
    replica.apply(change("ann", room=DOC))
    assert replica.pairs() == [(SITE, "ann"), (DOC, "ann")]


keys = st.text("ab\ufb01\U0001f600", max_size=3)
users = st.sampled_from([str(n) for n in range(12)])
changes = st.builds(
    Change,
    st.sampled_from([SITE, DOC]),
    users,
    st.sampled_from(Status),
    st.builds(Profile, keys, keys),
    st.just(0.0),
)


@given(st.lists(changes, max_size=60), st.none() | keys, st.integers(1, 5))
def test_a_replica_holds_the_last_of_each_in_order(told: list[Change], after: str | None, limit: int) -> None:
    replica = Replica()
    last: dict[tuple[str, str], Change] = {}
    for entry in told:
        replica.apply(entry)
        last[entry.room, entry.user] = entry
    for room in (SITE, DOC):
        present = {
            user: Presence(entry.status, entry.profile)
            for (where, user), entry in last.items()
            if where == room and entry.status is not Status.OFFLINE
        }
        in_order = sorted(present, key=lambda user: (present[user].profile.key, user))
        start = 0 if after is None else bisect_right([present[user].profile.key for user in in_order], after)
        assert replica.as_state().get(room, {}) == present
        assert list(replica.room(room).page(after, limit)) == in_order[start : start + limit]
        assert replica.count(room) == len(present)
