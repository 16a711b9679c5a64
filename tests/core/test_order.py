from __future__ import annotations

import random
import sys
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable
from threading import Event, Lock, Thread

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
    def all_are_there_or_noted(self) -> None:
        there = dict.fromkeys(settled(self.order), True) | self.order._notes
        assert sorted(place for place in there if there[place]) == self.expected
        assert len(self.order._notes) <= order_module.MOST_NOTES

    @invariant()
    def no_part_is_empty_or_long(self) -> None:
        begins, parts = self.order._begins, self.order._parts
        assert parts == [[]] or all(0 < len(part) <= order_module.LONGEST_PART for part in parts)
        assert len(begins) == len(parts) - 1
        for before, begin, part in zip(parts, begins, parts[1:], strict=False):
            assert before[-1] < begin <= part[0]


@pytest.fixture(autouse=True, scope="module")
def short_parts_and_few_notes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order_module, "LONGEST_PART", 4)
        patch.setattr(order_module, "MOST_NOTES", 6)
        yield


TestOneList = OneList.TestCase
TestOneList.settings = settings(max_examples=100, stateful_step_count=60)


class Interrupting(tuple[str, str]):
    """A place that does something in the middle of its n-th comparison, as if threads were switched there."""

    def __new__(cls, key: str, n: int, does: Callable[[], object]) -> Interrupting:
        place = super().__new__(cls, (key, "1"))
        place.left, place.does = n, does
        return place

    left: int
    does: Callable[[], object]

    def _compare(self) -> None:
        self.left -= 1
        if self.left == -1:
            self.does()

    def __lt__(self, other: tuple[object, ...]) -> bool:
        self._compare()
        return super().__lt__(other)

    def __gt__(self, other: tuple[object, ...]) -> bool:
        self._compare()
        return super().__gt__(other)


def of(keys: str) -> list[Place]:
    return [(key, "1") for key in keys]


def settled(order: Order) -> list[Place]:
    return [place for part in order._parts for place in part]


def everybody(order: Order) -> str:
    return "".join(key for key, _ in order.after(("", ""), 100))


def test_who_comes_and_goes_before_anybody_looks_leaves_nothing_to_settle() -> None:
    order = Order(of("ac"))
    order.add(("b", "1"))
    order.remove(("b", "1"))
    order.remove(("c", "1"))
    order.add(("c", "1"))
    assert not order._notes
    assert everybody(order) == "ac"


def test_many_changes_are_settled_though_nobody_looks() -> None:
    order = Order(of("a"))
    for place in of("gfedcb"):
        order.add(place)
    assert settled(order) == of("a")
    order.remove(("a", "1"))
    assert settled(order) == of("bcdefg")
    assert not order._notes


def test_to_add_who_is_there_or_remove_who_is_not_changes_nothing() -> None:
    order = Order(of("ac"))
    for _ in range(2):
        order.add(("a", "1"))
        order.remove(("b", "1"))
        order.remove(("d", "1"))
    assert everybody(order) == "ac"


@pytest.mark.parametrize("look", [Order.after, Order.before])
def test_who_looks_while_many_come_and_go_sees_one_moment_and_holds_up_nobody(
    look: Callable[[Order, Place, int], list[Place]],
) -> None:
    moments = 0
    while True:
        order = Order(of("acegikmoqs"))
        been = Event()

        def come_and_go(order: Order = order, been: Event = been) -> None:
            been.set()
            for place in of("bdhjnp"):
                order.add(place)
            for place in of("aeks"):
                order.remove(place)

        found = look(order, Interrupting("l", moments, come_and_go), 4)
        if not been.is_set():
            break
        assert found == (of("moqs") if look is Order.after else of("egik"))
        assert settled(order) == of("acegikmoqs")
        order.add(("z", "1"))
        assert settled(order) == of("bcdghijmnopqz")
        moments += 1
    assert moments > 3


def test_what_is_noted_while_a_thread_settles_is_neither_lost_nor_settled_twice() -> None:
    moments = 0
    while True:
        order = Order(of("acegik"))
        been = Event()

        def come_and_go(order: Order = order, been: Event = been) -> None:
            been.set()
            order.remove(("b", "1"))  # Has just been noted as come,
            order.add(("c", "1"))  # and this one as gone.
            order.add(("h", "1"))
            order.remove(("k", "1"))

        order.add(("b", "1"))
        order.remove(("c", "1"))
        order.add(Interrupting("f", moments, come_and_go))
        everybody(order)
        if not been.is_set():
            break
        assert everybody(order) == "acefghi"
        assert not order._notes
        moments += 1
    assert moments > 3


class Switched(dict[Place, bool]):
    """Notes that another thread changes just before, or just after, one of them is taken."""

    before: Callable[[], object] | None = None
    after: Callable[[], object] | None = None

    def popitem(self) -> tuple[Place, bool]:
        do, self.before = self.before, None
        if do:
            do()
        item = super().popitem()
        do, self.after = self.after, None
        if do:
            do()
        return item


def test_who_goes_again_just_before_the_note_is_taken_has_not_come() -> None:
    order = Order(of("ac"))
    order._notes = notes = Switched()
    order.add(("b", "1"))
    notes.before = lambda: order.remove(("b", "1"))
    assert everybody(order) == "ac"


def test_who_goes_again_just_after_the_note_was_taken_is_gone() -> None:
    order = Order(of("ac"))
    order._notes = notes = Switched()
    order.add(("b", "1"))
    notes.after = lambda: order.remove(("b", "1"))
    assert everybody(order) == "ac"
    assert not order._notes


class Asked:
    """A lock that tells when somebody has to wait for it."""

    def __init__(self) -> None:
        self._lock, self.waited_for = Lock(), Event()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self.waited_for.set()
            self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()


def test_who_looks_while_another_settles_sees_all_that_was_noted_before() -> None:
    moments = 0
    while True:
        order = Order(of("acegi"))
        order._lock = lock = Asked()  # type: ignore[assignment]
        seen: list[str] = []

        def look(order: Order = order, lock: Asked = lock, seen: list[str] = seen) -> None:
            seen.append(everybody(order))
            lock.waited_for.set()

        other = Thread(target=look)

        def switch(other: Thread = other, lock: Asked = lock) -> None:
            other.start()
            assert lock.waited_for.wait(10)

        order.add(("b", "1"))
        order.remove(("c", "1"))
        order.add(Interrupting("f", moments, switch))
        order.add(("h", "1"))
        assert everybody(order) == "abefghi"
        if other.ident is None:
            break
        other.join(10)
        assert seen == ["abefghi"]
        moments += 1
    assert moments > 3


def test_threads_that_read_while_people_come_and_go_see_all_who_stay_once_and_in_order() -> None:
    stay = [(f"{number:03}", "stays") for number in range(0, 200, 2)]
    order, wrong = Order(stay), list[list[Place]]()

    def read() -> None:
        for _ in range(100):
            for seen in (order.after(("", ""), 1_000), order.before(("x", ""), 1_000)):
                if sorted(set(seen)) != seen or [place for place in seen if place[1] == "stays"] != stay:
                    wrong.append(seen)

    readers = [Thread(target=read) for _ in range(3)]
    chance, there, interval = random.Random(1), set[Place](), sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for reader in readers:
            reader.start()
        while any(reader.is_alive() for reader in readers):
            place = (f"{chance.randrange(200):03}", "comes")
            (order.remove if place in there else order.add)(place)
            there ^= {place}
    finally:
        sys.setswitchinterval(interval)
    assert not wrong
    assert order.after(("", ""), 1_000) == sorted([*stay, *there])


def test_a_page_begins_after_all_who_have_its_key() -> None:
    order = Order([("ann", "1"), ("ann", "2"), ("bob", "1")])
    assert order.after(place_after("ann"), 5) == [("bob", "1")]
    assert order.after(place_after(None), 1) == [("ann", "1")]
