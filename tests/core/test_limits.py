from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from whosonline.core.limits import Strikes, TokenBucket


def test_a_burst_is_allowed_and_then_the_rate() -> None:
    bucket = TokenBucket(rate=2, burst=3, now=0)
    assert [bucket.take(0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(0.4)
    assert [bucket.take(0.5), bucket.take(0.5)] == [True, False]


def test_a_long_rest_allows_one_burst_and_no_more() -> None:
    bucket = TokenBucket(rate=2, burst=3, now=0)
    assert [bucket.take(1000) for _ in range(4)] == [True, True, True, False]


def test_a_clock_that_stands_or_jumps_back_gives_nothing_away() -> None:
    bucket = TokenBucket(rate=1, burst=1, now=10)
    assert bucket.take(10)
    assert not bucket.take(5)
    assert not bucket.take(5.5)
    assert bucket.take(6)


@given(st.lists(st.floats(0, 2), max_size=60), st.floats(0.5, 30), st.integers(1, 10))
def test_no_span_has_more_than_a_burst_and_the_rate(waits: list[float], rate: float, burst: int) -> None:
    bucket = TokenBucket(rate, burst, now=0)
    now, allowed = 0.0, []
    for wait in waits:
        now += wait
        if bucket.take(now):
            allowed.append(now)
    for first, begin in enumerate(allowed):
        for last, end in enumerate(allowed[first:], first):
            assert last - first + 1 <= burst + (end - begin) * rate + 1e-6


def test_the_last_strike_is_out_if_all_fell_within_the_span() -> None:
    strikes = Strikes(limit=3, span=60)
    assert [strikes.add(at) for at in (0, 30, 60)] == [False, False, True]


def test_strikes_are_forgotten_in_time() -> None:
    strikes = Strikes(limit=3, span=60)
    assert [strikes.add(at) for at in (0, 30, 61, 90)] == [False, False, False, True]
