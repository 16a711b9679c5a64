from __future__ import annotations

import pytest

from whosonline.core.connections import Connections
from whosonline.core.entries import Profile, Report
from whosonline.core.statuses import SITE, Status

ONLINE, AWAY, OFFLINE = Status.ONLINE, Status.AWAY, Status.OFFLINE
ANN, BOB = Profile("ann", "Ann"), Profile("bob", "Bob")
DOC = "doc:42"


@pytest.fixture
def connections() -> Connections:
    return Connections(grace=5.0)


def told(reports: list[Report]) -> list[tuple[str, str, Status]]:
    return [(report.room, report.user, report.status) for report in reports]


def open_ann(connections: Connections, *ids: str, session: str = "phone") -> None:
    for id in ids:
        connections.open(id, "ann", session, ANN)


def test_five_tabs_are_reported_once(connections: Connections) -> None:
    open_ann(connections, "1", "2", "3")
    assert connections.take_reports() == [Report(SITE, "ann", ONLINE, ANN)]
    open_ann(connections, "4", "5")
    for id in "1234":
        connections.close(id, now=0)
    connections.expire(now=5)
    assert connections.take_reports() == []
    assert connections.status(SITE, "ann") is ONLINE


def test_an_id_is_opened_once(connections: Connections) -> None:
    open_ann(connections, "1")
    with pytest.raises(ValueError, match="'1' is open already"):
        open_ann(connections, "1")


def test_a_user_outlives_the_last_connection_for_the_grace_period(connections: Connections) -> None:
    open_ann(connections, "1")
    connections.take_reports()
    connections.close("1", now=10)
    assert connections.deadline() == 15
    connections.expire(now=14.9)
    assert (connections.take_reports(), connections.users()) == ([], ["ann"])
    connections.expire(now=15)
    assert told(connections.take_reports()) == [(SITE, "ann", OFFLINE)]
    assert (connections.users(), connections.deadline()) == ([], None)


def test_a_reload_reports_nothing(connections: Connections) -> None:
    open_ann(connections, "before")
    connections.take_reports()
    connections.close("before", now=0)
    open_ann(connections, "after")
    connections.expire(now=5)
    assert connections.take_reports() == []


def test_closing_twice_does_not_lengthen_the_grace(connections: Connections) -> None:
    open_ann(connections, "1")
    connections.close("1", now=0)
    connections.close("1", now=4)
    connections.close("unknown", now=4)
    connections.expire(now=5)
    assert connections.users() == []


def test_without_grace_the_last_connection_is_the_end() -> None:
    connections = Connections(grace=0.0)
    open_ann(connections, "1")
    connections.take_reports()
    connections.close("1", now=7)
    connections.expire(now=7)
    assert told(connections.take_reports()) == [(SITE, "ann", OFFLINE)]


def test_dropping_ends_live_and_lingering_connections_at_once(connections: Connections) -> None:
    open_ann(connections, "live", "lingering")
    open_ann(connections, "other", session="laptop")
    connections.take_reports()
    connections.close("lingering", now=0)
    assert connections.of_session("phone") == ["live", "lingering"]
    connections.drop(connections.of_session("phone"))
    assert (connections.of_user("ann"), connections.of_session("phone")) == (["other"], [])
    assert connections.take_reports() == []
    connections.drop(["other", "unknown"])
    assert told(connections.take_reports()) == [(SITE, "ann", OFFLINE)]
    connections.expire(now=5)
    assert connections.take_reports() == []


def test_idle_everywhere_is_away_and_active_anywhere_is_online(connections: Connections) -> None:
    open_ann(connections, "1", "2")
    connections.take_reports()
    connections.set_idle("1", True)
    assert connections.take_reports() == []
    connections.set_idle("2", True)
    assert told(connections.take_reports()) == [(SITE, "ann", AWAY)]
    connections.set_idle("1", False)
    assert told(connections.take_reports()) == [(SITE, "ann", ONLINE)]


def test_a_lingering_connection_counts_as_it_did_and_hears_nothing_more(connections: Connections) -> None:
    open_ann(connections, "in use", "idle")
    connections.set_idle("idle", True)
    connections.close("in use", now=0)
    connections.set_idle("in use", True)
    connections.enter("in use", DOC)
    assert connections.status(SITE, "ann") is ONLINE
    assert connections.status(DOC, "ann") is OFFLINE
    connections.expire(now=5)
    assert connections.status(SITE, "ann") is AWAY


def test_a_room_holds_those_whose_connections_entered_it(connections: Connections) -> None:
    open_ann(connections, "1", "2")
    connections.take_reports()
    connections.enter("1", DOC)
    connections.enter("1", DOC)
    assert told(connections.take_reports()) == [(DOC, "ann", ONLINE)]
    assert (connections.rooms("1"), connections.rooms("2")) == ({SITE, DOC}, {SITE})
    connections.set_idle("1", True)
    assert told(connections.take_reports()) == [(DOC, "ann", AWAY)]
    connections.leave("2", DOC)
    connections.leave("1", DOC)
    assert told(connections.take_reports()) == [(DOC, "ann", OFFLINE)]
    assert connections.status(SITE, "ann") is ONLINE


def test_a_room_is_left_with_the_grace_where_the_connection_was_only_lost(connections: Connections) -> None:
    open_ann(connections, "1")
    connections.enter("1", DOC)
    connections.take_reports()
    connections.close("1", now=0)
    connections.leave("1", DOC)
    assert connections.take_reports() == []
    connections.expire(now=5)
    assert sorted(told(connections.take_reports())) == [(DOC, "ann", OFFLINE), (SITE, "ann", OFFLINE)]


def test_what_changed_and_changed_back_is_not_reported(connections: Connections) -> None:
    open_ann(connections, "1")
    connections.drop(["1"])
    assert connections.take_reports() == []
    open_ann(connections, "2")
    connections.take_reports()
    connections.set_idle("2", True)
    connections.set_idle("2", False)
    assert connections.take_reports() == []


def test_new_names_are_reported_in_every_room(connections: Connections) -> None:
    open_ann(connections, "1")
    connections.enter("1", DOC)
    connections.take_reports()
    anna = Profile("ann", "Anna")
    connections.rename("ann", anna)
    connections.rename("ann", anna)
    connections.rename("bob", BOB)
    reports = connections.take_reports()
    assert sorted(reports) == [Report(DOC, "ann", ONLINE, anna), Report(SITE, "ann", ONLINE, anna)]
    assert connections.users() == ["ann"]


def test_new_names_that_came_with_a_connection_are_reported_in_every_room(connections: Connections) -> None:
    open_ann(connections, "1")
    connections.enter("1", DOC)
    connections.take_reports()
    anna = Profile("ann", "Anna")
    connections.open("2", "ann", "laptop", anna)
    reports = connections.take_reports()
    assert sorted(reports) == [Report(DOC, "ann", ONLINE, anna), Report(SITE, "ann", ONLINE, anna)]


def test_live_connections_are_counted_without_lingering_ones(connections: Connections) -> None:
    open_ann(connections, "1", "2")
    connections.close("1", now=0)
    assert (connections.live_count("ann"), connections.live_count("bob")) == (1, 0)
    assert connections.of_user("ann") == ["1", "2"]


def test_a_touched_session_is_released_even_where_nothing_else_changes(connections: Connections) -> None:
    open_ann(connections, "1")
    connections.take_reports()
    connections.open("2", "ann", "laptop", ANN, touched=True)
    connections.open("3", "ann", "desktop", ANN, touched=True)
    assert connections.take_reports() == [Report(SITE, "ann", ONLINE, ANN, ("desktop", "laptop"))]
    assert connections.take_reports() == []


def test_a_touched_session_is_released_also_by_a_connection_that_came_and_went(
    connections: Connections,
) -> None:
    connections.open("1", "ann", "phone", ANN, touched=True)
    connections.drop(["1"])
    (report,) = connections.take_reports()
    assert (report.status, report.releases) == (OFFLINE, ("phone",))


def test_reports_put_back_are_told_again_with_what_came_since(connections: Connections) -> None:
    connections.open("1", "ann", "phone", ANN, touched=True)
    connections.open("2", "bob", "tablet", BOB)
    lost = connections.take_reports()
    connections.set_idle("1", True)
    connections.put_back(lost)
    assert connections.take_reports() == [
        Report(SITE, "ann", AWAY, ANN, ("phone",)),
        Report(SITE, "bob", ONLINE, BOB),
    ]


def test_who_left_while_a_report_was_in_doubt_is_reported_as_gone(connections: Connections) -> None:
    open_ann(connections, "1")
    lost = connections.take_reports()
    connections.drop(["1"])
    connections.put_back(lost)
    left = connections.take_reports()
    assert told(left) == [(SITE, "ann", OFFLINE)]
    connections.put_back(left)
    assert told(connections.take_reports()) == [(SITE, "ann", OFFLINE)]
    assert connections.take_reports() == []


def test_an_announcement_reports_everybody_anew_and_once(connections: Connections) -> None:
    open_ann(connections, "1", "2")
    connections.enter("1", DOC)
    connections.open("3", "bob", "tablet", BOB)
    connections.close("3", now=0)
    before = connections.take_reports()
    connections.announce()
    assert sorted(connections.take_reports()) == sorted(before)
    assert connections.take_reports() == []


def test_who_left_after_an_announcement_is_reported_as_gone(connections: Connections) -> None:
    """A report that was on its way when the node was expelled may still arrive, behind the next beat."""
    open_ann(connections, "1")
    connections.take_reports()
    connections.announce()
    connections.drop(["1"])
    assert told(connections.take_reports()) == [(SITE, "ann", OFFLINE)]


def test_it_counts_the_live_ones_and_each_once(connections: Connections) -> None:
    counts = []
    open_ann(connections, "1", "2", "3")
    for step in (
        lambda: connections.close("1", now=0),
        lambda: connections.close("1", now=1),
        lambda: connections.drop(["1", "2", "2"]),
        lambda: connections.expire(now=9),
        lambda: connections.close("3", now=9),
    ):
        counts.append(connections.count())
        step()
    assert [*counts, connections.count()] == [3, 2, 2, 1, 1, 0]
