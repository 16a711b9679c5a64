"""Live pages of those present whom a query finds."""

from __future__ import annotations

import pytest

from whosonline.core import searches
from whosonline.core.entries import Change, Profile
from whosonline.core.replica import Presence, Replica
from whosonline.core.searches import Searches, SearchWindow
from whosonline.core.statuses import SITE, Status
from whosonline.core.wire import Page

ONLINE, AWAY, OFFLINE = Status.ONLINE, Status.AWAY, Status.OFFLINE


class Scene:
    """A room, and the searches in it."""

    def __init__(self) -> None:
        self.replica = Replica()
        self.searches = Searches(self.replica)

    def change(self, user: str, status: Status = ONLINE, name: str | None = None) -> None:
        before = self.replica.get(SITE, user)
        change = Change(SITE, user, status, Profile(user, name or user), 0.0)
        self.replica.apply(change)
        self.searches.mark(SITE, user, change.profile, *([before.profile] if before else []))

    def arrive(self, *users: str) -> None:
        for user in users:
            self.change(user)

    def published(self) -> Page | None:
        """Publish; return what the last marked window told."""
        told = [page for _, page in self.searches.publish()]
        return told[-1] if told else None

    def feed(self) -> int:
        turns = 0
        while self.searches.hungry:
            self.searches.feed()
            turns += 1
        return turns

    def window(self, search: str, limit: int = 3, after: str | None = None) -> SearchWindow:
        return self.searches.window((SITE, after, limit, search))


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(searches, "FEED", 10)
    return Scene()


def shown(window: SearchWindow) -> list[str]:
    page = window.full()
    assert page is not None
    assert isinstance(page.order, list)
    return page.order


def test_a_search_shows_whom_it_finds_once_it_has_looked_far_enough(scene: Scene) -> None:
    scene.arrive("ann", "bob", "anna", "cy")
    window = scene.window("an")
    assert window.full() is None
    scene.feed()
    assert shown(window) == ["ann", "anna"]
    page = window.full()
    assert page is not None
    assert (page.search, page.reset) == ("an", True)


def test_it_looks_no_further_than_it_has_to(scene: Scene) -> None:
    scene.arrive(*(f"user{number:03}" for number in range(500)))
    scene.window("user")
    assert scene.feed() == 1
    scene.window("user4", limit=2)
    assert scene.feed() == 41
    scene.window("nobody")
    assert scene.feed() == 51


def test_who_comes_goes_or_is_renamed_is_told(scene: Scene) -> None:
    scene.arrive("ann", "bob")
    window = scene.window("ann")
    scene.feed()
    scene.arrive("anna")
    page = scene.published()
    assert page is not None
    assert page.order == ["ann", "anna"]
    scene.change("bob", name="Ann Smith")
    scene.change("ann", OFFLINE)
    scene.change("anna", AWAY)
    page = scene.published()
    assert page is not None
    assert (page.drop, page.order) == (["ann"], ["anna", "bob"])
    scene.change("bob", name="Robert")
    scene.published()
    assert shown(window) == ["anna"]


def test_a_change_of_somebody_whom_no_search_finds_marks_nothing(scene: Scene) -> None:
    for number in range(1000):
        scene.window(f"user{number}")
    scene.feed()
    scene.arrive("bob")
    assert not scene.searches.marked
    scene.arrive("user77")
    assert {window.search for window in scene.searches.marked} == {"user7", "user77"}


def test_a_page_whose_people_leave_is_filled_from_those_behind(scene: Scene) -> None:
    names = [f"user{number:03}" for number in range(100)]
    scene.arrive(*names)
    window = scene.window("user")
    scene.feed()
    for gone in range(0, 90, 3):
        for name in names[gone : gone + 3]:
            scene.change(name, OFFLINE)
        scene.published()
        scene.feed()
        scene.published()
        assert shown(window) == names[gone + 3 : gone + 6]


def test_who_comes_far_behind_does_not_take_the_place_of_those_between(scene: Scene) -> None:
    names = [f"user{number:03}" for number in range(100)]
    scene.arrive(*names)
    window = scene.window("user")
    scene.feed()
    scene.arrive("user999")
    for name in names[:8]:
        scene.change(name, OFFLINE)
    scene.published()
    scene.feed()
    scene.published()
    assert shown(window) == names[8:11]


def test_a_hungry_page_is_not_told_in_part(scene: Scene) -> None:
    scene.arrive(*(f"user{number:03}" for number in range(100)))
    window = scene.window("user")
    scene.feed()
    before = shown(window)
    scene.searches.mark_all(SITE)
    scene.change("user000", OFFLINE)
    assert scene.published() is None
    assert shown(window) == before
    scene.feed()
    page = scene.published()
    assert page is not None
    assert page.drop == ["user000"]


def test_a_room_that_becomes_full_does_not_make_a_page_hold_everybody(scene: Scene) -> None:
    window = scene.window("user")
    scene.feed()
    scene.arrive(*(f"user{number:03}" for number in range(200)))
    scene.published()
    assert len(window._found) <= 4 * window.limit
    assert shown(window) == ["user000", "user001", "user002"]
    for number in range(200):
        scene.change(f"user{number:03}", OFFLINE)
    scene.arrive("user500")
    scene.published()
    scene.feed()
    scene.published()
    assert shown(window) == ["user500"]


def test_what_changed_in_ways_unknown_is_looked_through_again(scene: Scene) -> None:
    scene.arrive("ann", "anna")
    window = scene.window("ann")
    scene.feed()
    scene.replica.replace({SITE: {"annie": Presence(ONLINE, Profile("annie", "annie"))}})
    scene.searches.mark_all(SITE)
    scene.feed()
    scene.published()
    assert shown(window) == ["annie"]


def test_a_page_begins_after_its_name_key(scene: Scene) -> None:
    scene.arrive("ann", "anna", "annie")
    window = scene.window("ann", after="ann")
    scene.feed()
    scene.arrive("ann!")
    scene.change("ann", AWAY)
    scene.published()
    assert shown(window) == ["ann!", "anna", "annie"]


def test_what_nobody_looks_at_any_more_costs_nothing(scene: Scene) -> None:
    windows = [scene.window("ann"), scene.window("an"), scene.window("ann", after="b")]
    scene.feed()
    windows.append(scene.window("hungry"))
    scene.arrive("ann")
    for window in windows:
        scene.searches.drop(window)
    assert not len(scene.searches)
    assert not any((scene.searches._rooms, scene.searches.hungry, scene.searches.marked))


def test_what_changes_while_a_publication_pauses_is_told_by_the_next(scene: Scene) -> None:
    scene.arrive("ann", "bob")
    first, second = scene.window("a"), scene.window("b")
    scene.feed()
    scene.arrive("anna", "bea")
    told: dict[SearchWindow, list[str]] = {first: [], second: []}
    publication = scene.searches.publish()
    for window, page in publication:
        assert page is not None
        told[window] += [row.id for row in page.put or ()]
        scene.change("anna" if window is first else "bea", OFFLINE)
    assert told == {first: ["anna"], second: ["bea"]}
    dropped = {}
    for window, page in scene.searches.publish():
        assert page is not None
        dropped[window] = page.drop
    assert dropped == {first: ["anna"], second: ["bea"]}
