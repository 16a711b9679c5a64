"""Which resume tokens a node may believe."""

from __future__ import annotations

import pytest

from whosonline.core import revocations
from whosonline.core.entries import Cursor, Position
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


def test_a_node_that_knows_nothing_believes_nothing(known):
    known.end()
    assert not known.stands(place(20), "a session", "ann")
    assert not Revocations(60.0).stands(place(20), "a session", "ann")


def test_an_ended_session_and_a_changed_user_have_to_be_looked_up(known):
    known.revoke_session("a session", 0.0, place(11))
    known.revoke_user("bob", 0.0, place(12))
    assert not known.stands(place(10), "a session", "ann")
    assert known.stands(place(10), "another session", "ann")
    assert not known.stands(place(10), "another session", "bob")


def test_what_was_revoked_is_known_for_as_long_as_a_token_is_valid(known):
    known.revoke_session("a session", 0.0, place(11))
    known.revoke_session("another", 60.0, place(12))
    assert not known.stands(place(10), "a session", "ann")
    known.revoke_session("a third", 60.1, place(13))
    assert known.stands(place(10), "a session", "ann")  # no token of that time is valid any more


def test_after_a_break_nothing_of_before_is_believed(known):
    known.revoke_session("a session", 0.0, place(11))
    known.end()
    known.begin(place(15))
    assert not known.stands(place(14), "another session", "ann")
    assert known.stands(place(15), "another session", "ann")


def test_past_what_can_be_remembered_everything_older_has_to_be_looked_up(known, monkeypatch):
    monkeypatch.setattr(revocations, "MOST", 3)
    for number in range(3):
        known.revoke_session(f"session {number}", 0.0, place(11 + number))
    assert known.stands(place(10), "another session", "ann")
    known.revoke_session("one more", 0.0, place(14))
    assert not known.stands(place(13), "another session", "ann")
    assert known.stands(place(14), "another session", "ann")
