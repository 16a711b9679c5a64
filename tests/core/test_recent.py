from __future__ import annotations

from whosonline.core.recent import Recent


def test_a_key_is_held_for_its_span() -> None:
    recent = Recent(span=60)
    recent.add("ann", 0)
    assert recent.holds("ann", 60)
    assert not recent.holds("bob", 60)
    assert not recent.holds("ann", 60.1)


def test_a_key_that_is_added_again_is_held_for_longer_than_those_added_between() -> None:
    recent = Recent(span=60)
    recent.add("ann", 0)
    recent.add("bob", 10)
    recent.add("ann", 20)
    assert [recent.holds(key, 75) for key in ("ann", "bob")] == [True, False]
