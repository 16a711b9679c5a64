"""What the load understands of what it is told: statuses that change, pages that come to be true."""

from __future__ import annotations

import json
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from bench.cast import WATCHED, make_cast, page_of
from bench.sights import Ledger, View, after, change
from bench.tab import retry_delay


def frame(**told: Any) -> bytes:
    text = json.dumps({"type": "update"} | told).encode()
    if len(text) < 126:
        return bytes([0x81, len(text)]) + text
    return bytes([0x81, 126]) + len(text).to_bytes(2, "big") + text


def statuses(**users: str) -> bytes:
    return frame(users={user[1:]: {"status": status} for user, status in users.items()})


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def tab(ledger: Ledger) -> Any:
    """A tab that looks at users 7 and 8, who are people 70 and 80."""
    tab = SimpleNamespace(number=1, view=View(places={"7": 0, "8": 1}, numbers=[70, 80]), sight=None)
    ledger.opened(tab)
    ledger.hear(tab, statuses(u7="offline", u8="online", u9="online"), 0)
    return tab


def seen(ledger: Ledger) -> list[tuple[int, float]]:
    harvest = ledger.harvest([])
    return list(zip(harvest.changes, harvest.times, strict=True))


def test_each_change_of_a_watched_user_is_a_sight_of_its_own(ledger: Ledger, tab: Any) -> None:
    assert ledger.begin([tab]) == 0
    for at, status in enumerate(["online", "offline", "online"], 1):
        ledger.hear(tab, statuses(u7=status), at)
    assert seen(ledger) == [(change(70, 1), 1), (change(70, 2), 2), (change(70, 3), 3)]


def test_a_repeat_is_no_sight_and_neither_is_away(ledger: Ledger, tab: Any) -> None:
    ledger.begin([tab])
    ledger.hear(tab, statuses(u7="offline", u8="away"), 1)
    assert seen(ledger) == []


def test_who_was_online_at_the_beginning_goes_first(ledger: Ledger, tab: Any) -> None:
    ledger.begin([tab])
    ledger.hear(tab, statuses(u8="offline"), 1)
    assert seen(ledger) == [(change(80, 2), 1)]
    assert ledger.places_offline([tab]) == 2


def test_a_frame_is_looked_at_as_the_tab_did_when_it_came(ledger: Ledger, tab: Any) -> None:
    ledger.begin([tab])
    ledger.hear(tab, statuses(u7="online"), 1)
    tab.view = View(places={"9": 0, "7": 1}, numbers=[90, 71])
    ledger.opened(tab)
    ledger.hear(tab, statuses(u7="offline"), 2)
    assert seen(ledger) == [(change(70, 1), 1), (change(71, 2), 2)]


def test_a_tab_that_comes_back_knows_what_it_was_told(ledger: Ledger, tab: Any) -> None:
    ledger.begin([tab])
    ledger.hear(tab, statuses(u7="online"), 1)
    ledger.opened(tab)
    ledger.hear(tab, statuses(u7="online", u8="offline"), 2)
    assert seen(ledger) == [(change(70, 1), 1), (change(80, 2), 2)]


def test_as_many_frames_are_looked_at_as_may_be_in_their_order(ledger: Ledger, tab: Any) -> None:
    ledger.begin([tab])
    frames = [statuses(u7=status) for status in ("online", "offline", "online", "offline")]
    ledger.hear_all([(at, tab.watcher, frame) for at, frame in enumerate(frames[:3], 1)])
    ledger.hear(tab, frames[3], 4)
    behind = [ledger.behind]
    for most in (2, 1, 100):
        ledger.catch_up(most)
        behind.append(ledger.behind)
    assert behind == [4, 2, 1, 0]
    assert seen(ledger) == [(change(70, turn), turn) for turn in (1, 2, 3, 4)]


def test_what_comes_to_a_tab_after_all_is_forgotten_is_dropped(ledger: Ledger, tab: Any) -> None:
    forgotten = tab.watcher
    ledger.rest([tab])
    ledger.hear_all([(1, forgotten, statuses(u7="online"))])
    ledger.hear(tab, statuses(u7="online"), 1)
    assert ledger.behind == 0
    ledger.opened(tab)
    ledger.hear_all([(2, forgotten, statuses(u7="online"))])
    assert ledger.begin([tab]) == 2


def test_a_user_of_whom_nothing_was_told_is_missed(ledger: Ledger) -> None:
    tab = SimpleNamespace(number=1, view=View(places={"7": 0}, numbers=[70]), sight=None)
    ledger.opened(tab)
    assert ledger.begin([tab]) == 1


def test_causes_are_counted_for_each_person(ledger: Ledger) -> None:
    ledger.begin([])
    for at, number in enumerate([70, 80, 70]):
        ledger.caused(SimpleNamespace(number=number), at)
    assert ledger.harvest([]).causes == {change(70, 1): 0, change(80, 1): 1, change(70, 2): 2}


ANN = {"id": "1", "name": "Ann", "status": "online"}
BOB = {"id": "2", "name": "Bob", "status": "online"}


def test_a_page_is_what_its_messages_make_of_it() -> None:
    told = [
        ({"online": 1, "page": {"reset": True, "put": [BOB], "order": ["2"]}}, ((("2", "online"),), 1)),
        ({"page": {"put": [ANN], "order": ["1", "2"]}}, ((("1", "online"), ("2", "online")), 1)),
        ({"online": 2}, ((("1", "online"), ("2", "online")), 2)),
        ({"page": {"put": [ANN | {"status": "away"}]}}, ((("1", "away"), ("2", "online")), 2)),
        ({"page": {"drop": ["1"]}}, ((("2", "online"),), 2)),
        ({"page": {"order": ["2", "3"]}}, ((("2", "online"), ("3", None)), 2)),
    ]
    shown: Any = ((), None)
    for message, expected in told:
        shown = after(shown, json.dumps(message).encode())
        assert shown == expected


def test_a_page_is_true_since_it_came_to_be_and_stayed_so(ledger: Ledger) -> None:
    ledger.begin_pages([])
    tabs = [SimpleNamespace(view=View(), sight=None) for _ in range(2)]
    whole = frame(online=2, page={"reset": True, "put": [ANN, BOB], "order": ["1", "2"]})
    for tab in tabs:
        ledger.opened(tab)
        ledger.hear(tab, whole, 1.0)
    ledger.hear(tabs[0], frame(page={"drop": ["2"]}), 2.0)
    ledger.hear_all([(3.0, tabs[0].watcher, whole), (4.0, tabs[0].watcher, frame(online=2))])
    ledger.hear(tabs[1], frame(online=3), 2.0)
    assert ledger.behind == 0
    assert ledger.truths(tabs, ["1", "2"], 2) == [3.0, None]


@pytest.mark.parametrize("residents", [60, 1000, 5000, 100_000])
def test_everybody_has_a_part(residents: int) -> None:
    cast = make_cast(residents)
    assert len(cast.residents) == residents
    everybody = [*cast.residents, *cast.visitors, *cast.observers, *cast.newcomers]
    assert sorted(everybody) == list(range(cast.total))
    assert (len(cast.observers) - 1) * WATCHED < residents <= len(cast.observers) * WATCHED


def test_as_many_look_at_each_page() -> None:
    looking = Counter(page_of(number, 100) for number in range(5000))
    assert set(looking.values()) == {50}


def test_a_tab_returns_as_a_browser_does() -> None:
    assert all(retry_delay(9, 1012) < 1 for _ in range(100))
    assert max(retry_delay(0, 1006) for _ in range(100)) <= 0.5
    assert 5 < max(retry_delay(20, 1006) for _ in range(100)) <= 30
