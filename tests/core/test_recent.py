from __future__ import annotations

from whosonline.core.recent import Recent


def test_a_key_is_held_for_its_span() -> None:
    recent = Recent[str](span=60)
    recent.add("ann", "ann at 0", 0)
    assert recent.holds("ann", 60)
    assert not recent.holds("bob", 60)
    assert not recent.holds("ann", 60.1)


def test_a_key_that_is_added_again_is_held_for_longer_than_those_added_between() -> None:
    recent = Recent[str](span=60)
    recent.add("ann", "ann at 0", 0)
    recent.add("bob", "bob at 10", 10)
    recent.add("ann", "ann at 20", 20)
    assert [recent.holds(key, 75) for key in ("ann", "bob")] == [True, False]


def test_whether_a_key_was_added_since_a_time() -> None:
    recent = Recent[None](span=60)
    recent.add("ann", None, 10)
    assert recent.since("ann", 10, 20)
    assert not recent.since("ann", 10.1, 20)
    assert not recent.since("bob", 0, 20)
    assert not recent.since("ann", 10, 71)


def test_the_last_value_is_remembered_and_else_the_default_holds() -> None:
    recent = Recent[str](span=60)
    recent.add("ann", "old", 0)
    recent.add("ann", "new", 10)
    assert recent.get("ann", 70, "default") == "new"
    assert recent.get("ann", 71, "default") == "default"
    assert recent.get("bob", 71, "default") == "default"
