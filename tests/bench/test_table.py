"""The table of a run, and its place among what else has been measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import table
from bench.run import Cost, Row, curve, percentile, spread

ROWS = [
    Row("sockets held", "100,000", "5,000"),
    Row("memory a socket", "≤ 30 KB", "28.1 KB", True, "51.0 KB"),
    Row("first page", "< 50 ms", "61.0 ms", False),
]


def test_each_figure_stands_beside_its_goal() -> None:
    assert table.table(ROWS).splitlines() == [
        "| figure | goal | measured | met | the tutorial's way |",
        "|---|---|---|---|---|",
        "| sockets held | 100,000 | 5,000 | not judged |  |",
        "| memory a socket | ≤ 30 KB | 28.1 KB | yes | 51.0 KB |",
        "| first page | < 50 ms | 61.0 ms | **no** |  |",
    ]


def test_what_falls_short_is_said_first() -> None:
    assert table.missed(ROWS) == ("What falls short:\n\n- **first page**: 61.0 ms; the goal is < 50 ms")
    assert table.missed(ROWS[:2]) == "Every goal that this run could judge was met."
    text = table.section("make bench", "2030-01-02", 180, ROWS, [], [])
    assert text.index("What falls short") < text.index("| figure |")


def test_what_a_scenario_took_is_told_for_each_of_what_it_did() -> None:
    cost = Cost("arriving", 10, 4.0, 0.5, 1.0, 12_000, 3_000_000, 500_000, 2000, "arrival")
    assert table.costs([cost]).splitlines()[2] == (
        "| arriving | 10.0 | 4.0 s | 2,000 µs of 2,000: arrival | 0.50 s | 1.0 s | 12,000 | 3.0 MB | 0.5 MB |"
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "RESULTS.md"


def test_a_first_run_is_put_before_what_else_was_measured(file: Path) -> None:
    file.write_text("# Measured\n\n- a remark\n\n## Fan-out\n\nfigures\n")
    table.write(file, table.HEADING + "\n\nnew\n")
    assert file.read_text() == (
        "# Measured\n\n- a remark\n\n## The whole table\n\nnew\n\n## Fan-out\n\nfigures\n"
    )


@pytest.mark.parametrize("after", ["", "\n## The Redis store\n\nmore\n"])
def test_a_further_run_replaces_the_last_one_and_nothing_else(file: Path, after: str) -> None:
    file.write_text(f"# Measured\n\n## Fan-out\n\nfigures\n\n## The whole table\n\nold\n\n### part\n{after}")
    table.write(file, table.HEADING + "\n\nnew \\1\n")
    assert file.read_text() == (
        f"# Measured\n\n## Fan-out\n\nfigures\n\n## The whole table\n\nnew \\1\n{after}"
    )


def test_a_file_that_is_not_there_yet_is_begun(file: Path) -> None:
    table.write(file, table.HEADING + "\n\nnew\n")
    assert file.read_text() == "# Measured\n\n## The whole table\n\nnew\n"


def test_several_runs_are_told_by_their_median_and_their_ends() -> None:
    assert spread([3, 1, 2]) == "2.0 (1.0 to 3.0)"
    assert spread([1234.56], 2) == "1,234.56"


def test_percentiles_are_values_that_came() -> None:
    assert percentile([5.0], 99) == 5
    assert percentile([float(value) for value in range(101)], 99) == 99


def test_a_curve_has_few_points_and_both_ends() -> None:
    points = curve((float(value) for value in range(1000)), 10)
    assert len(points) <= 12
    assert points[0] == (0.0, 0.001)
    assert points[-1] == (999.0, 1.0)
