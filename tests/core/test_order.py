from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from whosonline.core import order as order_module
from whosonline.core.order import Order, Place, place_after

places = st.tuples(st.text("abcdefgh", max_size=3), st.sampled_from("12"))


class OneList(RuleBasedStateMachine):
    """An order says what one list that is kept in order says."""

    @initialize(before=st.sets(places))
    def begin(self, before: set[Place]) -> None:
        self.expected = sorted(before)
        self.order = Order(self.expected)

    @rule(place=places)
    def come_or_go(self, place: Place) -> None:
        if place in self.expected:
            self.expected.remove(place)
            self.order.remove(place)
        else:
            insort(self.expected, place)
            self.order.add(place)

    @rule(place=places, limit=st.integers(0, 20))
    def look(self, place: Place, limit: int) -> None:
        start, end = bisect_right(self.expected, place), bisect_left(self.expected, place)
        assert self.order.after(place, limit) == self.expected[start : start + limit]
        assert self.order.before(place, limit) == self.expected[max(0, end - limit) : end]

    @invariant()
    def all_are_there_and_no_part_is_empty_or_long(self) -> None:
        assert [place for part in self.order._parts.places for place in part] == self.expected
        assert all(0 < len(part) <= order_module.LONGEST_PART for part in self.order._parts.places)
        begins, parts = self.order._parts
        assert len(begins) == len(parts)
        for before, begin, part in zip(parts, begins[1:], parts[1:], strict=False):
            assert before[-1] < begin <= part[0]


@pytest.fixture(autouse=True, scope="module")
def short_parts():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order_module, "LONGEST_PART", 4)
        yield


TestOneList = OneList.TestCase
TestOneList.settings = settings(max_examples=100, stateful_step_count=60)


def test_who_looks_while_a_part_becomes_two_sees_nobody_twice() -> None:
    order = Order()
    for key in "abcd":
        order.add((key, "1"))
    seen_before = order._parts.places
    order.add(("e", "1"))
    assert [len(part) for part in order._parts.places] == [2, 3]
    assert len(seen_before) == 1
    order.remove(("a", "1"))
    assert [key for part in seen_before for key, _ in part] == [*"abcde"]


def test_a_page_begins_after_all_who_have_its_key() -> None:
    order = Order([("ann", "1"), ("ann", "2"), ("bob", "1")])
    assert order.after(place_after("ann"), 5) == [("bob", "1")]
    assert order.after(place_after(None), 1) == [("ann", "1")]
