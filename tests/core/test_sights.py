"""What one viewer may see: what was answered, what stands in doubt, and what is to be asked."""

from __future__ import annotations

from msgspec import UNSET

from whosonline.core.entries import Change, Profile
from whosonline.core.replica import Replica
from whosonline.core.sights import BLIND, Sight
from whosonline.core.statuses import SITE, Status
from whosonline.core.views import Views, Watcher
from whosonline.core.windows import DirectoryWindow
from whosonline.core.wire import Range, Row, UserState


def answered(sight: Sight, *seen: str) -> list[str]:
    """Answer the next question; return whom it was about."""
    question = sight.question(10)
    sight.answer(question, seen)
    return question


def test_one_sees_oneself_and_whom_the_answer_names_and_nobody_before_it():
    sight = Sight("ann")
    sight.want(["ann", "bob", "cy"])
    assert [sight.sees(user) for user in ("ann", "bob", "cy")] == [True, False, False]
    assert answered(sight, "bob") == ["bob", "cy"]
    assert [sight.sees(user) for user in ("ann", "bob", "cy")] == [True, True, False]


def test_what_is_known_or_on_its_way_is_not_asked_again():
    asked: list[Sight] = []
    sight = Sight("ann", asked.append)
    sight.want(["bob"])
    sight.want(["bob"])
    question = sight.question(10)
    sight.want(["bob"])
    sight.answer(question, [])
    sight.want(["bob"])
    assert (asked, sight.question(10), sight.waits) == ([sight], [], False)


def test_in_doubt_what_is_shown_stands_until_the_new_answer_and_the_rest_is_hidden():
    sight = Sight("ann")
    sight.want(["bob", "cy", "dan"])
    answered(sight, "bob", "cy", "dan")
    sight.doubt(["bob", "cy"])
    assert [sight.sees(user) for user in ("bob", "cy", "dan")] == [True, True, False]
    sight.want(["bob", "cy"])
    assert answered(sight, "cy") == ["bob", "cy"]
    assert [sight.sees(user) for user in ("bob", "cy")] == [False, True]


def test_an_answer_to_a_question_from_before_a_doubt_counts_for_nothing():
    sight = Sight("ann")
    sight.want(["bob"])
    question = sight.question(10)
    sight.doubt([])
    sight.answer(question, ["bob"])
    assert not sight.sees("bob")
    assert answered(sight) == ["bob"]


def test_without_an_answer_nothing_that_is_in_doubt_is_seen():
    sight = Sight("ann")
    sight.want(["bob", "cy"])
    answered(sight, "bob", "cy")
    sight.doubt(["bob", "cy"])
    sight.want(["bob"])
    assert sorted(sight.fail(sight.question(10))) == ["bob", "cy"]
    assert (sight.sees("bob"), sight.sees("cy"), sight.waits) == (False, False, True)


def test_who_is_blind_sees_not_even_who_has_no_name_and_asks_nothing():
    BLIND.want(["ann", ""])
    assert (BLIND.sees("ann"), BLIND.sees(""), BLIND.waits) == (False, False, False)


def test_what_was_published_is_not_told_in_full_any_more_once_it_is_hidden():
    replica = Replica()
    for user in ("ann", "bob"):
        replica.apply(Change(SITE, user, Status.ONLINE, Profile(user, user), 0.0))
    views, sight, watcher = Views(replica, lambda user: None), Sight("ann"), Watcher()
    watcher.sight = sight
    sight.watchers[watcher] = None
    views.join(watcher)
    sight.want(["bob"])
    answered(sight, "bob")
    views.watch_users(watcher, frozenset({"bob"}))
    views.watch_page(watcher, (SITE, None, 5))
    views.watch_directory(watcher, Range())
    assert isinstance(watcher.directory, DirectoryWindow)
    watcher.directory.load([("bob", Profile("bob", "Bob"))])
    while views.searches.hungry:
        views.searches.feed()
    assert b"bob" in repr(views.full(watcher, UNSET).page).encode()
    assert watcher.directory.full().added == [Row("bob", "Bob", "bob")]

    sight.doubt([])
    told = views.full(watcher, UNSET)
    assert told.users == {"bob": UserState(Status.OFFLINE)}
    assert "bob" not in repr(told.page)
    assert watcher.directory.full().added == []


def test_while_the_rule_fails_a_part_of_the_list_shows_nobody_who_is_in_doubt_asked_about_or_not():
    views, sight, watcher = Views(Replica(), lambda user: None), Sight("ann"), Watcher()
    watcher.sight = sight
    sight.watchers[watcher] = None
    views.join(watcher)
    views.watch_directory(watcher, Range())
    window = watcher.directory
    assert isinstance(window, DirectoryWindow)
    sight.want(["bob", "cy"])
    answered(sight, "bob", "cy")
    window.load([("bob", Profile("bob", "Bob")), ("cy", Profile("cy", "Cy"))])

    sight.doubt(["bob", "cy"])
    sight.want(["bob", "cy"])
    question = sight.question(1)
    assert question == ["bob"]  # so that cy waits for a question of its own
    views.answered(sight, sight.fail(question))
    told = window.publish()
    assert told is not None
    assert sorted(told.removed or []) == ["bob", "cy"]
