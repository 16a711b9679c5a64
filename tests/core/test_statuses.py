from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from whosonline.core.statuses import Status, fold


def test_held_by_nobody_is_offline() -> None:
    assert fold([]) is Status.OFFLINE
    assert fold([Status.OFFLINE, Status.OFFLINE]) is Status.OFFLINE


def test_idle_everywhere_is_away() -> None:
    assert fold([Status.AWAY, Status.OFFLINE, Status.AWAY]) is Status.AWAY


def test_in_use_anywhere_is_online() -> None:
    assert fold([Status.AWAY, Status.ONLINE, Status.OFFLINE]) is Status.ONLINE


@given(st.lists(st.lists(st.sampled_from(Status))))
def test_folding_in_parts_and_in_any_order_gives_the_same(parts: list[list[Status]]) -> None:
    whole = [status for part in parts for status in part]
    assert fold(fold(part) for part in parts) is fold(whole) is fold(reversed(whole))


def test_statuses_are_written_as_the_wire_has_them() -> None:
    assert [str(status) for status in Status] == ["online", "away", "offline"]
