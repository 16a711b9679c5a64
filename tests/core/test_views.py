from __future__ import annotations

from collections.abc import Sequence

import pytest

from whosonline.core import views
from whosonline.core.entries import Change, Listing, Profile
from whosonline.core.replica import Replica
from whosonline.core.sights import Sight
from whosonline.core.statuses import SITE, Status
from whosonline.core.views import Views, Watcher
from whosonline.core.windows import DirectoryWindow, PageWindow
from whosonline.core.wire import Directory, Page, Range, Row, Update, UserState

ONLINE, AWAY, OFFLINE = Status.ONLINE, Status.AWAY, Status.OFFLINE
FIRST_PAGE = (SITE, None, 50)


class Scene:
    """A replica, and what looks at it."""

    def __init__(self) -> None:
        self.replica = Replica()
        self.last_seen: dict[str, int] = {}
        self.views = Views(self.replica, self.last_seen.get)

    def change(self, user: str, status: Status = ONLINE, room: str = SITE, key: str | None = None) -> None:
        before = self.replica.get(room, user)
        change = Change(room, user, status, Profile(key or user, user.title()), 0.0)
        self.replica.apply(change)
        self.views.mark(change, before)

    def watcher(self) -> Watcher:
        watcher = Watcher()
        self.views.join(watcher)
        return watcher

    def published(self) -> list[tuple[Update | Directory, list[Watcher]]]:
        told = self.views.publish()
        return [(message, self.views.to(target)) for message, target in filter(None, told)]

    def counted(self) -> list[Watcher]:
        """Return who is still to be told the count, and tell them."""
        return list(filter(None, self.views.counts()))


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_one_message_serves_all_who_look_at_the_same(scene: Scene) -> None:
    first, second, other = scene.watcher(), scene.watcher(), scene.watcher()
    for watcher in (first, second):
        scene.views.watch_users(watcher, frozenset({"ann", "bob"}))
    scene.views.watch_users(other, frozenset({"bob"}))
    scene.change("ann")
    assert scene.published() == [(Update(users={"ann": UserState(ONLINE)}), [first, second])]
    assert scene.published() == []


def test_only_those_are_told_who_look_at_what_changed(scene: Scene) -> None:
    on_user, on_page, on_room, on_nothing = (scene.watcher() for _ in range(4))
    scene.views.watch_users(on_user, frozenset({"ann"}))
    scene.views.watch_page(on_page, FIRST_PAGE)
    scene.views.watch_page(on_room, ("doc:42", None, 50))
    scene.change("bob")
    page = Page(SITE, None, put=[Row("bob", "Bob", "bob", ONLINE)], order=["bob"])
    assert scene.published() == [(Update(page=page), [on_page])]
    scene.change("bob", room="doc:42")
    ((message, to),) = scene.published()
    assert (message.page.room, to) == ("doc:42", [on_room])
    scene.change("ann", room="doc:43")
    assert not scene.views.marked
    assert on_nothing.view is not None


def test_a_view_of_users_and_a_page_is_told_of_both_in_one_message(scene: Scene) -> None:
    watcher, other = scene.watcher(), scene.watcher()
    scene.views.watch_users(watcher, frozenset({"ann"}))
    scene.views.watch_page(watcher, FIRST_PAGE)
    scene.views.watch_page(other, FIRST_PAGE)
    scene.change("ann")
    page = Page(SITE, None, put=[Row("ann", "Ann", "ann", ONLINE)], order=["ann"])
    told = {to[0]: message for message, to in scene.published()}
    assert told == {watcher: Update(users={"ann": UserState(ONLINE)}, page=page), other: Update(page=page)}


def test_a_count_goes_along_with_what_is_new_and_is_left_for_the_others(scene: Scene) -> None:
    watching, idle = scene.watcher(), scene.watcher()
    scene.views.watch_users(watching, frozenset({"ann"}))
    scene.views.tell_count(1)
    scene.change("ann")
    assert scene.views.untold() == 2
    assert scene.published() == [(Update(1, users={"ann": UserState(ONLINE)}), [watching])]
    assert scene.views.untold() == 1
    assert scene.counted() == [idle]
    assert scene.views.untold() == 0
    scene.change("ann", AWAY)
    assert scene.published() == [(Update(users={"ann": UserState(AWAY)}), [watching])]


def test_who_comes_or_goes_after_a_count_has_begun_is_not_one_of_those_left_or_told_it(scene: Scene) -> None:
    watchers = [scene.watcher() for _ in range(3)]
    for watcher in watchers:
        scene.views.watch_users(watcher, frozenset({"ann"}))
    scene.views.tell_count(1)
    scene.views.part(watchers[0])
    assert scene.views.untold() == 2
    for _ in range(5):
        scene.views.watch_users(scene.watcher(), frozenset({"ann"}))
    assert scene.views.untold() == 3  # as far as it is known: one of them has gone
    scene.views.part(watchers[1])
    scene.change("ann")
    scene.published()
    assert (scene.views.untold(), scene.views.rode) == (0, 3)


def test_who_joins_or_is_told_everything_amid_a_count_is_told_it_with_that(scene: Scene) -> None:
    before = scene.watcher()
    scene.views.tell_count(1)
    joins = scene.watcher()
    scene.views.watch_users(joins, frozenset({"ann"}))
    assert scene.counted() == [before]
    scene.views.tell_count(2)
    assert len(list(scene.views.everything(2))) == 2
    assert scene.counted() == []


def test_the_full_state_is_that_of_the_last_publication(scene: Scene) -> None:
    watcher = scene.watcher()
    scene.views.watch_users(watcher, frozenset({"ann"}))
    scene.views.watch_page(watcher, FIRST_PAGE)
    nobody = Update(3, {"ann": UserState(OFFLINE)}, Page(SITE, None, reset=True, put=[], order=[]))
    assert scene.views.full(watcher, 3) == nobody
    scene.change("ann")
    assert scene.views.full(watcher, 3) == nobody
    scene.published()
    row = Row("ann", "Ann", "ann", ONLINE)
    assert scene.views.full(watcher, 4) == Update(
        4, {"ann": UserState(ONLINE)}, Page(SITE, None, reset=True, put=[row], order=["ann"])
    )
    scene.views.watch_users(watcher, None)
    scene.views.watch_page(watcher, None)
    assert scene.views.full(watcher, 5) == Update(5)


def test_who_looks_at_what_others_look_at_gets_their_next_difference_too(scene: Scene) -> None:
    early, late = scene.watcher(), scene.watcher()
    scene.views.watch_users(early, frozenset({"ann"}))
    scene.change("ann")
    scene.views.watch_users(late, frozenset({"ann"}))
    assert scene.views.full(late, 0).users == {"ann": UserState(OFFLINE)}
    assert scene.published() == [(Update(users={"ann": UserState(ONLINE)}), [early, late])]


def test_a_last_seen_time_that_is_learnt_late_follows(scene: Scene) -> None:
    watcher = scene.watcher()
    scene.views.watch_users(watcher, frozenset({"ann"}))
    scene.last_seen["ann"] = 1_700_000_000
    scene.views.mark_user("ann")
    assert scene.views.marked
    assert scene.published() == [(Update(users={"ann": UserState(OFFLINE, 1_700_000_000)}), [watcher])]


def test_a_page_follows_a_user_renamed_out_of_it(scene: Scene) -> None:
    watcher = scene.watcher()
    for user in ("ann", "bob", "cid"):
        scene.change(user)
    scene.views.watch_page(watcher, (SITE, None, 2))
    scene.published()
    scene.change("ann", key="zoe")
    ((message, _),) = scene.published()
    assert (message.page.drop, message.page.order) == (["ann"], ["bob", "cid"])


def test_a_change_beyond_a_full_page_marks_nothing(scene: Scene) -> None:
    watcher = scene.watcher()
    for user in ("ann", "bob"):
        scene.change(user)
    scene.views.watch_page(watcher, (SITE, None, 2))
    scene.published()
    scene.change("cid")
    assert not scene.views.marked


def test_a_page_that_grew_is_concerned_by_all_that_it_holds_now(scene: Scene) -> None:
    watcher = scene.watcher()
    for user in ("ann", "bob", "cid", "dan"):
        scene.change(user)
    scene.views.watch_page(watcher, (SITE, None, 2))
    scene.change("ann", OFFLINE)
    scene.published()
    scene.change("cid", AWAY)
    ((message, _),) = scene.published()
    assert message.page.put == [Row("cid", "Cid", "cid", AWAY)]


def test_only_pages_that_hold_the_place_of_a_change_are_looked_at(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100):
        scene.change(f"u{number:02}")
    for start in range(0, 100, 10):
        scene.views.watch_page(scene.watcher(), (SITE, f"u{start:02}", 5))
    looked_at = []
    publish = PageWindow.publish
    monkeypatch.setattr(
        PageWindow, "publish", lambda page, replica: looked_at.append(page.after) or publish(page, replica)
    )
    scene.change("u12", AWAY)
    scene.change("u17", AWAY)  # between two pages
    scene.change("u35", OFFLINE)
    scene.published()
    assert sorted(looked_at) == ["u10", "u30"]


def test_what_is_marked_while_it_publishes_is_told_now_or_with_the_next(scene: Scene) -> None:
    watchers = [scene.watcher() for _ in range(2)]
    for watcher, user in zip(watchers, ("ann", "bob"), strict=True):
        scene.views.watch_users(watcher, frozenset({user}))
        scene.change(user)
    publishing = scene.views.publish()
    assert next(publishing) is None  # the first of the two windows is published
    for user in ("ann", "bob"):
        scene.change(user, AWAY)
    told = [delivery.message.users for delivery in filter(None, publishing)]
    told += [message.users for message, _ in scene.published()]
    assert len(told) == 3
    assert {"ann": UserState(AWAY)} in told
    assert {"bob": UserState(AWAY)} in told


def test_a_page_that_changes_just_after_it_was_looked_at_is_told_by_the_next(scene: Scene) -> None:
    first, second = scene.watcher(), scene.watcher()
    for user in ("ann", "bob", "cid", "dan"):
        scene.change(user)
    scene.views.watch_page(first, (SITE, None, 2))
    scene.views.watch_page(second, (SITE, "bob", 2))
    scene.change("dan", AWAY)
    publishing = scene.views.publish()
    assert next(publishing) is None  # the first page was looked at: it is not concerned
    scene.change("ann", AWAY)
    assert [delivery.message.page.after for delivery in filter(None, publishing)] == ["bob"]
    ((message, to),) = scene.published()
    assert (message.page.put, to) == ([Row("ann", "Ann", "ann", AWAY)], [first])


@pytest.mark.parametrize("pauses", range(1, 6))
def test_a_window_that_is_dropped_while_it_publishes_is_told_to_nobody(scene: Scene, pauses: int) -> None:
    watchers = [scene.watcher() for _ in range(3)]
    for limit, watcher in enumerate(watchers, 1):
        scene.views.watch_page(watcher, (SITE, None, limit))
        scene.views.watch_users(watcher, frozenset({"ann"}))
    scene.change("ann")
    scene.views.tell_count(1)
    publishing = scene.views.publish()
    for _ in range(pauses):
        next(publishing)
    for watcher in watchers:
        scene.views.part(watcher)
    assert list(filter(None, publishing)) == []
    assert not scene.views.marked


def test_changes_in_ways_unknown_are_found_by_looking(scene: Scene) -> None:
    watcher = scene.watcher()
    scene.change("ann")
    scene.views.watch_users(watcher, frozenset({"ann", "bob"}))
    scene.views.watch_page(watcher, FIRST_PAGE)
    scene.views.mark_all(scene.replica.replace({}))
    ((message, _),) = scene.published()
    assert message.users == {"ann": UserState(OFFLINE)}
    assert message.page.drop == ["ann"]


def test_a_part_of_the_list_is_told_to_those_who_look_at_it(scene: Scene) -> None:
    first, second, other = Watcher(), Watcher(), Watcher()
    for watcher in (first, second):
        scene.views.watch_directory(watcher, Range(None, "m"))
    scene.views.watch_directory(other, Range("m", None))
    assert first.directory is second.directory is not None
    for watcher in (first, other):
        assert watcher.directory is not None
        watcher.directory.load([])
    scene.views.mark_listing(Listing("7", Profile("Ann", "Ann"), None))
    assert scene.published() == [(Directory(added=[Row("7", "Ann")]), [first, second])]


def test_a_part_that_is_still_read_is_not_published(scene: Scene) -> None:
    watcher = Watcher()
    scene.views.watch_directory(watcher, Range())
    scene.views.mark_listing(Listing("7", Profile("Ann", "Ann"), None))
    assert not scene.views.marked
    assert watcher.directory is not None
    watcher.directory.load([])
    assert watcher.directory.full().added == [Row("7", "Ann")]


def test_watching_the_same_again_changes_nothing(scene: Scene) -> None:
    watcher = scene.watcher()
    for _ in range(2):
        scene.views.watch_users(watcher, frozenset({"ann"}))
        scene.views.watch_page(watcher, FIRST_PAGE)
        scene.views.watch_directory(watcher, Range())
    view, directory = watcher.view, watcher.directory
    scene.views.watch_page(watcher, FIRST_PAGE)
    scene.views.watch_directory(watcher, Range())
    assert (watcher.view, watcher.directory) == (view, directory)
    assert list(scene.views.watchers()) == [watcher]


def test_nobody_is_not_watched(scene: Scene) -> None:
    watcher = scene.watcher()
    scene.views.watch_users(watcher, frozenset())
    assert scene.views.full(watcher, 0) == Update(0)


def test_what_nobody_looks_at_any_more_costs_nothing(scene: Scene) -> None:
    empty = {name: len(held) for name, held in vars(scene.views).items() if isinstance(held, dict | set)}
    watchers = [scene.watcher() for _ in range(3)]
    for watcher in watchers:
        scene.views.watch_users(watcher, frozenset({"ann", "bob"}))
        scene.views.watch_page(watcher, FIRST_PAGE)
        scene.views.watch_directory(watcher, Range())
        assert watcher.directory is not None
        watcher.directory.load([])
    scene.change("ann")
    scene.views.mark_listing(Listing("7", Profile("Ann", "Ann"), None))
    scene.views.tell_count(1)
    assert scene.views.marked
    scene.views.watch_users(watchers[0], None)
    scene.views.watch_page(watchers[0], None)
    scene.views.watch_directory(watchers[0], None)
    for watcher in watchers:
        scene.views.part(watcher)
    scene.views.drop_kept()
    assert not scene.views.marked
    assert {name: len(getattr(scene.views, name)) for name in empty} == empty
    assert scene.published() == []


ANN = ("7", Profile("ann", "Ann"))


def loaded(
    scene: Scene, span: Range, sight: Sight | None = None, rows: Sequence[tuple[str, Profile]] = (ANN,)
) -> DirectoryWindow:
    """Return a part of the list at which somebody has looked for a while."""
    watcher = scene.watcher()
    watcher.sight = sight
    scene.views.watch_directory(watcher, span)
    window = watcher.directory
    assert window is not None
    window.load(rows)
    scene.views.part(watcher)
    return window


def test_a_part_of_the_list_is_kept_up_to_date_for_those_who_come_back(scene: Scene) -> None:
    loaded(scene, Range())
    scene.views.mark_listing(Listing("8", Profile("bob", "Bob"), None))
    assert scene.published() == []
    watcher = scene.watcher()
    scene.views.watch_directory(watcher, Range())
    assert watcher.directory is not None
    assert watcher.directory.full().added == [Row("7", "Ann", "ann"), Row("8", "Bob", "bob")]
    scene.views.mark_listing(Listing("7", None, "ann"))
    assert scene.published() == [(Directory(removed=["7"]), [watcher])]


def test_a_part_is_dropped_when_nobody_came_back_from_one_clearing_to_the_next(scene: Scene) -> None:
    window = loaded(scene, Range())
    scene.views.clear_kept()
    assert loaded(scene, Range()) is window  # somebody was there: it begins anew
    scene.views.clear_kept()
    assert scene.views.directories() == [window]
    scene.views.clear_kept()
    assert scene.views.directories() == []


def test_who_looks_at_a_part_keeps_it_through_every_clearing(scene: Scene) -> None:
    window = loaded(scene, Range())
    scene.views.clear_kept()
    scene.views.watch_directory(scene.watcher(), Range())
    for _ in range(3):
        scene.views.clear_kept()
    assert scene.views.directories() == [window]


def test_no_more_rows_are_kept_than_there_is_room_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "KEPT_ROWS", 3)
    parts = [loaded(scene, Range(None, until)) for until in "mnopq"]
    assert scene.views.directories() == parts[2:]
    scene.views.drop_kept()
    assert scene.views.directories() == []
    for until in "mnopq":
        loaded(scene, Range(None, until))
    assert len(scene.views.directories()) == 3


def test_no_more_parts_are_kept_than_there_is_room_for_however_empty_they_are(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "KEPT_PARTS", 3)
    for until in "mnopq":
        loaded(scene, Range(None, until), rows=[])
    assert len(scene.views.directories()) == 3


def test_what_one_viewer_may_see_or_searches_for_and_what_was_not_read_yet_is_not_kept(scene: Scene) -> None:
    loaded(scene, Range(), Sight("ann"))
    loaded(scene, Range(search="ann"))
    unread = scene.watcher()
    scene.views.watch_directory(unread, Range(None, "m"))
    scene.views.part(unread)
    assert scene.views.directories() == []


def test_who_never_joined_parts_without_harm(scene: Scene) -> None:
    scene.views.part(Watcher())
