from __future__ import annotations

import pytest
from msgspec import UNSET

from whosonline.core.entries import Change, Listing, Profile
from whosonline.core.replica import Replica
from whosonline.core.statuses import SITE, Status
from whosonline.core.windows import DirectoryWindow, PageWindow, UsersWindow, state_of
from whosonline.core.wire import Directory, Page, Range, Row, UserState

ONLINE, AWAY, OFFLINE = UserState(Status.ONLINE), UserState(Status.AWAY), UserState(Status.OFFLINE)


class TestUsersWindow:
    @pytest.fixture
    def present(self) -> dict[str, UserState]:
        return {"ann": ONLINE, "bob": OFFLINE}

    @pytest.fixture
    def window(self, present: dict[str, UserState]) -> UsersWindow:
        return UsersWindow(frozenset(present), present.__getitem__)

    def test_it_begins_with_the_present(self, window: UsersWindow) -> None:
        assert window.full() == {"ann": ONLINE, "bob": OFFLINE}

    def test_it_publishes_what_differs_and_once(
        self, window: UsersWindow, present: dict[str, UserState]
    ) -> None:
        present["ann"] = AWAY
        window.mark("ann")
        window.mark("bob")
        assert window.publish(present.__getitem__) == {"ann": AWAY}
        assert window.full() == {"ann": AWAY, "bob": OFFLINE}
        window.mark("ann")
        assert window.publish(present.__getitem__) is None
        # Without a mark it does not look.
        assert window.publish({}.__getitem__) is None

    def test_who_joins_between_is_given_what_was_published(
        self, window: UsersWindow, present: dict[str, UserState]
    ) -> None:
        present["ann"] = OFFLINE
        window.mark("ann")
        assert window.full()["ann"] == ONLINE
        # It changed back in between: nobody was told otherwise, nobody must be told.
        present["ann"] = ONLINE
        assert window.publish(present.__getitem__) is None

    def test_what_it_gave_out_does_not_change_with_it(
        self, window: UsersWindow, present: dict[str, UserState]
    ) -> None:
        full = window.full()
        present["ann"] = AWAY
        window.mark("ann")
        window.publish(present.__getitem__)
        assert full["ann"] == ONLINE

    def test_it_knows_who_lacks_a_last_seen_time(self, present: dict[str, UserState]) -> None:
        present["cid"] = UserState(Status.OFFLINE, 1_700_000_000)
        window = UsersWindow(frozenset(present), present.__getitem__)
        assert window.unseen() == ("bob",)
        present["bob"], present["ann"] = ONLINE, OFFLINE
        window.mark("bob")
        window.mark("ann")
        assert window.unseen() == ("bob",)
        window.publish(present.__getitem__)
        assert window.unseen() == ("ann",)


class TestPageWindow:
    @pytest.fixture
    def replica(self) -> Replica:
        replica = Replica()
        for user in ("bob", "cid", "dan"):
            self.put(replica, user)
        return replica

    @staticmethod
    def put(replica: Replica, user: str, status: Status = Status.ONLINE, key: str | None = None) -> None:
        replica.apply(Change(SITE, user, status, Profile(key or user, user.title()), 0.0))

    @staticmethod
    def row(user: str, status: Status = Status.ONLINE) -> Row:
        return Row(user, user.title(), user, status)

    def test_it_begins_with_the_present(self, replica: Replica) -> None:
        window = PageWindow(SITE, "bob", 50, replica)
        assert window.full() == Page(
            SITE, "bob", reset=True, put=[self.row("cid"), self.row("dan")], order=["cid", "dan"]
        )
        assert PageWindow("doc:42", None, 50, replica).full().put == []

    def test_a_newcomer_comes_with_the_order(self, replica: Replica) -> None:
        window = PageWindow(SITE, None, 50, replica)
        self.put(replica, "ann")
        assert window.publish(replica) == Page(
            SITE, None, put=[self.row("ann")], order=["ann", "bob", "cid", "dan"]
        )
        assert window.publish(replica) is None

    def test_a_change_of_status_leaves_the_order_out(self, replica: Replica) -> None:
        window = PageWindow(SITE, None, 50, replica)
        self.put(replica, "cid", Status.AWAY)
        assert window.publish(replica) == Page(SITE, None, put=[self.row("cid", Status.AWAY)])

    def test_who_leaves_is_dropped_and_the_order_follows_from_it(self, replica: Replica) -> None:
        window = PageWindow(SITE, None, 50, replica)
        self.put(replica, "cid", Status.OFFLINE)
        assert window.publish(replica) == Page(SITE, None, drop=["cid"])

    def test_a_full_page_fills_up_and_pushes_out(self, replica: Replica) -> None:
        window = PageWindow(SITE, None, 2, replica)
        self.put(replica, "bob", Status.OFFLINE)
        assert window.publish(replica) == Page(
            SITE, None, put=[self.row("dan")], drop=["bob"], order=["cid", "dan"]
        )
        self.put(replica, "ann")
        assert window.publish(replica) == Page(
            SITE, None, put=[self.row("ann")], drop=["dan"], order=["ann", "cid"]
        )

    def test_a_rename_moves_the_row(self, replica: Replica) -> None:
        window = PageWindow(SITE, None, 50, replica)
        self.put(replica, "bob", key="zoe")
        assert window.publish(replica) == Page(
            SITE, None, put=[Row("bob", "Bob", "zoe", Status.ONLINE)], order=["cid", "dan", "bob"]
        )

    def test_it_is_concerned_by_places_from_its_start_to_its_last_row(self, replica: Replica) -> None:
        window = PageWindow(SITE, "bob", 2, replica)
        concerns = {key: window.concerned([(key, "7")]) for key in ("ann", "bob", "boc", "cid", "dam", "dao")}
        assert concerns == {"ann": False, "bob": False, "boc": True, "cid": True, "dam": True, "dao": False}
        assert window.concerned([("dan", "dan")])

    def test_it_is_concerned_when_one_of_many_places_is_within_it(self, replica: Replica) -> None:
        window = PageWindow(SITE, "bob", 1, replica)
        before, behind = [("ann", "7"), ("bob", "bob")], [("dan", "dan"), ("zoe", "7")]
        assert not window.concerned([*before, *behind])
        assert window.concerned([*before, ("cid", "cid"), *behind])
        assert not window.concerned([])

    def test_a_page_that_is_not_full_is_concerned_by_all_that_follows(self, replica: Replica) -> None:
        window = PageWindow(SITE, "bob", 3, replica)
        assert window.concerned([("zoe", "7")])
        self.put(replica, "eve")
        window.publish(replica)
        assert not window.concerned([("zoe", "7")])

    def test_a_last_row_whose_name_is_its_key_ends_the_page_too(self) -> None:
        replica = Replica()
        replica.apply(Change(SITE, "1", Status.ONLINE, Profile("Ann", "Ann"), 0.0))
        window = PageWindow(SITE, None, 1, replica)
        assert window.full().put == [Row("1", "Ann", None, Status.ONLINE)]
        assert window.concerned([("Ann", "1")])
        assert not window.concerned([("Ann", "2")])


def listed(user: str, was: str | None = None, name: str | None = None) -> Listing:
    return Listing(user, Profile(user, name or user.title()), was)


def row(user: str, name: str | None = None) -> Row:
    return Row(user, name or user.title(), user)


class TestDirectoryWindow:
    @pytest.fixture
    def window(self) -> DirectoryWindow:
        window = DirectoryWindow(Range("b", "d"))
        window.load([("bob", Profile("bob", "Bob")), ("cid", Profile("cid", "Cid"))])
        return window

    def test_it_has_nothing_to_show_until_it_is_loaded(self) -> None:
        window = DirectoryWindow(Range(None, None))
        assert not window.loaded
        assert window.mark(listed("ann"))
        assert window.publish() is None
        with pytest.raises(ValueError, match="not been loaded"):
            window.full()

    def test_it_shows_what_was_loaded(self, window: DirectoryWindow) -> None:
        assert window.loaded
        assert window.full() == Directory(reset=True, after="b", until="d", added=[row("bob"), row("cid")])

    @pytest.mark.parametrize(
        ("key", "held"), [("b", False), ("ba", True), ("d", True), ("da", False), ("a", False)]
    )
    def test_it_holds_keys_after_its_start_up_to_its_end(
        self, window: DirectoryWindow, key: str, held: bool
    ) -> None:
        assert window.mark(Listing("7", Profile(key, key), None)) is held

    def test_an_open_end_holds_all(self) -> None:
        assert DirectoryWindow(Range(None, "b")).mark(listed(""))
        assert DirectoryWindow(Range("b", None)).mark(listed("\U0010ffff"))

    def test_a_sign_up_a_rename_and_a_removal_are_published_once(self, window: DirectoryWindow) -> None:
        for listing in (
            listed("bea"),
            listed("bob", "bob", "Robert"),
            Listing("cid", None, "cid"),
            Listing("bot", None, "bot"),
        ):
            assert window.mark(listing)
        assert window.publish() == Directory(added=[row("bea"), row("bob", "Robert")], removed=["cid"])
        assert window.publish() is None
        assert window.full().added == [row("bob", "Robert"), row("bea")]

    def test_what_is_already_shown_is_not_told_again(self, window: DirectoryWindow) -> None:
        window.mark(listed("bob"))
        assert window.publish() is None

    def test_a_rename_into_the_part_adds_and_out_of_it_removes(self, window: DirectoryWindow) -> None:
        assert window.mark(Listing("7", Profile("carl", "Carl"), "zoe"))
        assert window.mark(Listing("bob", Profile("rob", "Rob"), "bob"))
        assert not window.mark(Listing("8", Profile("yan", "Yan"), "zac"))
        published = window.publish()
        assert published == Directory(added=[Row("7", "Carl", "carl")], removed=["bob"])
        assert published.added is not UNSET
        # Whoever is shown is removed, even by an entry that does not know where.
        assert window.mark(Listing("cid", Profile("zoe", "Zoe"), None))
        assert window.publish() == Directory(removed=["cid"])

    def test_who_came_and_went_between_is_not_told(self, window: DirectoryWindow) -> None:
        window.mark(listed("bea"))
        assert window.mark(Listing("bea", Profile("zea", "Zea"), None))
        assert window.publish() is None

    def test_entries_that_came_while_it_was_read_are_on_top_of_what_was_read(self) -> None:
        window = DirectoryWindow(Range(None, None))
        window.mark(listed("ann"))
        window.mark(Listing("bob", None, "bob"))
        window.load([("bob", Profile("bob", "Bob")), ("cid", Profile("cid", "Cid"))])
        assert window.full().added == [row("cid"), row("ann")]
        assert window.publish() is None


def test_a_users_state_has_a_last_seen_time_only_while_offline() -> None:
    replica = Replica()
    assert state_of(replica, "ann", 7) == UserState(Status.OFFLINE, 7)
    replica.apply(Change(SITE, "ann", Status.AWAY, Profile("ann", "Ann"), 0.0))
    assert state_of(replica, "ann", 7) == UserState(Status.AWAY)
