from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whosonline.core.counts import MOST_EXACT, shown

figures = st.none() | st.integers(0, 2_000_000).map(shown)


@given(st.integers(0, MOST_EXACT), figures)
def test_a_count_that_people_can_follow_is_shown_as_it_is(count: int, before: int | None) -> None:
    assert shown(count, before) == count


@pytest.mark.parametrize(
    ("count", "figure"),
    [
        (9_999, 9_999),
        (10_000, 10_000),
        (10_049, 10_000),
        (10_050, 10_100),
        (99_949, 99_900),
        (99_950, 100_000),
        (100_499, 100_000),
        (100_500, 101_000),
        (1_234_567, 1_230_000),
    ],
)
def test_a_large_count_is_shown_with_three_digits(count: int, figure: int) -> None:
    assert shown(count) == figure


@pytest.mark.parametrize(
    ("before", "count", "figure"),
    [
        (10_000, 10_075, 10_000),
        (10_000, 10_076, 10_100),
        (10_100, 10_025, 10_100),
        (10_100, 10_024, 10_000),
        (100_000, 99_925, 100_000),
        (100_000, 99_924, 99_900),
        (9_990, 10_001, 10_000),  # exact so far: not a figure to hold on to
        (10_000, 9_999, 9_999),
    ],
)
def test_a_figure_stands_until_the_count_is_well_beyond_it(before: int, count: int, figure: int) -> None:
    assert shown(count, before) == figure


@given(st.integers(MOST_EXACT + 1, 2_000_000), figures)
def test_the_figure_is_never_off_by_more_than_three_quarters_of_its_last_digit(
    count: int, before: int | None
) -> None:
    assert abs(shown(count, before) - count) <= 0.75 * 10 ** (len(str(count)) - 3)


@given(st.integers(MOST_EXACT + 101, 2_000_000), st.integers(0, 100), st.integers(0, 100))
def test_a_count_that_hovers_changes_the_figure_once_at_most(count: int, up: int, down: int) -> None:
    figures, figure = [], shown(count)
    for now in (count + up // 4, count - down // 4) * 5:
        figure = shown(now, figure)
        figures.append(figure)
    assert sum(one != other for one, other in pairwise(figures)) <= 1


@given(st.integers(0, 2_000_000), figures)
def test_what_is_shown_stays_while_nothing_changes(count: int, before: int | None) -> None:
    figure = shown(count, before)
    assert shown(count, figure) == figure
