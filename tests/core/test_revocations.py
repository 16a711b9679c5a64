"""Which resume tokens a node may believe."""

from __future__ import annotations

import pytest

from whosonline.core import revocations
from whosonline.core.entries import Cursor, Expel, Listing, Missed, Position, Profile, Recheck, Renew
from whosonline.core.revocations import Revocations


def place(sequence: int, epoch: str = "first") -> Cursor:
    return (Position(epoch, sequence),)


@pytest.fixture
def known() -> Revocations:
    """What a node knows that has followed the log from its tenth entry on."""
    known = Revocations(span=60.0)
    known.begin(place(10))
    return known


def test_a_token_stands_from_where_the_log_is_known(known):
    assert known.stands(place(10), "a session", "ann")
    assert known.stands(place(11), "a session", "ann")
    assert not known.stands(place(9), "a session", "ann")


def test_of_several_partitions_each_must_be_known(known):
    known.begin((Position("first", 10), Position("second", 20)))
    assert known.stands((Position("first", 10), Position("second", 20)), "a session", "ann")
    assert not known.stands((Position("first", 11), Position("second", 19)), "a session", "ann")
    assert not known.stands(place(11), "a session", "ann")


def test_a_token_of_another_epoch_does_not_stand(known):
    assert not known.stands(place(20, "second"), "a session", "ann")


def test_a_node_that_knows_nothing_believes_nothing():
    assert not Revocations(60.0).stands(place(20), "a session", "ann")


def test_an_ended_session_and_a_changed_user_have_to_be_looked_up(known):
    known.note(Expel("a session"), 0.0, place(11))
    known.note(Recheck("bob"), 0.0, place(12))
    assert not known.stands(place(10), "a session", "ann")
    assert known.stands(place(10), "another session", "ann")
    assert not known.stands(place(10), "another session", "bob")


def test_a_new_key_and_a_new_name_have_to_be_looked_up_and_who_is_new_has_not(known):
    known.note(Renew("a session"), 0.0, place(11))
    known.note(Listing("bob", Profile("rob", "Rob"), "bob"), 0.0, place(12))
    known.note(Listing("cid", Profile("cid", "Cid"), None), 0.0, place(13))
    assert not known.stands(place(10), "a session", "ann")
    assert not known.stands(place(10), "another session", "bob")
    assert known.stands(place(10), "another session", "cid")


def test_what_the_store_says_of_before_counts_as_what_was_followed(known):
    known.begin(place(30), since=place(20))
    known.note(Expel("a session"), 0.0, place(30))
    assert known.stands(place(20), "another session", "ann")
    assert not known.stands(place(19), "another session", "ann")
    assert not known.stands(place(29), "a session", "ann")


def test_where_something_may_be_missing_what_was_followed_still_counts(known):
    known.begin(place(30), since=place(20))
    known.note(Missed(), 0.0, place(40))
    assert not known.stands(place(29), "a session", "ann")
    assert known.stands(place(30), "a session", "ann")


def test_each_partition_is_known_from_where_it_was_followed_or_nothing_is_missing_any_more(known):
    def places(first: int, second: int) -> Cursor:
        return (Position("first", first), Position("second", second))

    known.begin(places(30, 10), since=places(35, 2))
    known.note(Missed(), 0.0, places(40, 20))
    assert known.stands(places(35, 10), "a session", "ann")
    assert not known.stands(places(35, 9), "a session", "ann")
    assert not known.stands(places(34, 10), "a session", "ann")


def test_what_was_missing_already_when_it_began_stays_so(known):
    known.begin(place(30), since=place(35))
    known.note(Missed(), 0.0, place(40))
    assert not known.stands(place(34), "a session", "ann")
    assert known.stands(place(35), "a session", "ann")


def test_what_was_revoked_is_known_for_as_long_as_a_token_is_valid(known):
    known.note(Expel("a session"), 0.0, place(11))
    known.note(Expel("another"), 60.0, place(12))
    assert not known.stands(place(10), "a session", "ann")
    known.note(Expel("a third"), 60.1, place(13))
    assert known.stands(place(10), "a session", "ann")  # no token of that time is valid any more


def test_after_a_break_nothing_of_before_is_believed(known):
    known.note(Expel("a session"), 0.0, place(11))
    known.begin(place(15))
    assert not known.stands(place(14), "another session", "ann")
    assert known.stands(place(15), "another session", "ann")


def test_past_what_can_be_remembered_everything_older_has_to_be_looked_up(known, monkeypatch):
    monkeypatch.setattr(revocations, "MOST", 3)
    for number in range(3):
        known.note(Expel(f"session {number}"), 0.0, place(11 + number))
    assert known.stands(place(10), "another session", "ann")
    known.note(Expel("one more"), 0.0, place(14))
    assert not known.stands(place(13), "another session", "ann")
    assert known.stands(place(14), "another session", "ann")
