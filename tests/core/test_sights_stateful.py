"""Whatever happens in whichever order, nobody is told anything of somebody whom they may not see."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec import UNSET

from whosonline.core import searches
from whosonline.core.entries import Change, Listing, Profile
from whosonline.core.replica import Replica
from whosonline.core.search import matches
from whosonline.core.searches import SearchWindow
from whosonline.core.sights import Sight
from whosonline.core.statuses import SITE, Status
from whosonline.core.views import Views, Watcher
from whosonline.core.wire import Directory, Range, Update, encode
from whosonline.testing.client import ClientState, ask, in_name_order, merge

USERS = "123456"
users = st.sampled_from(USERS)
pairs = st.tuples(st.sampled_from("12"), users).filter(lambda pair: pair[0] != pair[1])
profiles = st.builds(Profile, st.sampled_from("abcdef"), st.sampled_from(["a", "Somebody"]))
clients = st.integers(0, 2)
bounds = st.sampled_from([None, None, "b", "d"])
queries = st.sampled_from(["", "", "a", "some"])


class Client(Watcher):
    """A tab of a viewer, and what its page makes of what it is told."""

    def __init__(self, sight: Sight) -> None:
        super().__init__()
        self.sight: Sight = sight
        self.state = ClientState()
        sight.watchers[self] = None


class SightsMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.replica = Replica()
        self.last_seen = dict.fromkeys(USERS, 5)
        self.views = Views(self.replica, self.last_seen.get)
        self.database: dict[str, Profile] = {}
        self.hidden: set[tuple[str, str]] = set()
        self.doubtful: set[str] = set()
        """Viewers of whom the rule has changed since it was told."""
        self.answered: dict[str, dict[str, bool]] = {"1": {}, "2": {}}
        """What was last answered, by viewer and user: what may be told at the most."""
        self.shown: dict[str, set[str]] = {"1": set(), "2": set()}
        """Who was ever shown, by viewer."""
        self.questions: dict[str, tuple[list[str], set[str]]] = {}
        self.unread: set[Client] = set()
        self.sights = {viewer: Sight(viewer) for viewer in "12"}
        self.clients = [Client(self.sights[viewer]) for viewer in "112"]
        for client in self.clients:
            self.views.join(client)

    @initialize(
        listed=st.dictionaries(users, profiles, min_size=3),
        hidden=st.sets(pairs, min_size=2),
        watched=st.sets(users, min_size=2),
        page=st.tuples(bounds, st.integers(1, 4), queries),
    )
    def some_are_there(self, listed: dict[str, Profile], hidden: set[Any], watched: Any, page: Any) -> None:
        self.hidden = hidden
        for user, profile in listed.items():
            self.database[user] = profile
            self.change(user, Status.ONLINE, profile)
        for client in range(3):
            self.watch_users(client, watched)
            self.watch_page(client, *page)
            self.watch_directory(client, None, None)

    # What happens

    @rule(user=users, status=st.sampled_from(Status), profile=profiles)
    def change(self, user: str, status: Status, profile: Profile) -> None:
        before = self.replica.get(SITE, user)
        change = Change(SITE, user, status, profile, 0.0)
        self.replica.apply(change)
        self.views.mark(change, before)

    @rule(user=users, profile=st.none() | profiles)
    def list_changes(self, user: str, profile: Profile | None) -> None:
        was = self.database.pop(user, None)
        if profile is not None:
            self.database[user] = profile
        self.views.mark_listing(Listing(user, profile, was.key if was is not None else None))

    @rule(pair=pairs)
    def rule_changes(self, pair: tuple[str, str]) -> None:
        self.hidden ^= {pair}
        self.doubtful.add(pair[0])

    @rule(viewer=st.sampled_from("12"))
    def change_of_sight_is_told(self, viewer: str) -> None:
        """What the hub does with it."""
        sight, shown = self.sights[viewer], set()
        for client in sight.watchers:
            assert client.view is not None
            shown |= client.view.users.users if client.view.users else set()
            shown |= set(client.view.page.users()) if client.view.page else set()
            shown |= set(client.directory.users()) if client.directory else set()
        sight.doubt(shown)
        sight.want(shown)
        self.doubtful.discard(viewer)
        for client in sight.watchers:
            if isinstance(client.view.page, SearchWindow):
                self.views.searches.starve(client.view.page)
            if client.directory is not None:
                client.directory.renew()
                self.unread.add(client)

    @rule(viewer=st.sampled_from("12"))
    def question_is_put(self, viewer: str) -> None:
        """The rule says what is so now; its answer comes later."""
        if viewer not in self.questions and (question := self.sights[viewer].question(2)):
            seen = {user for user in question if (viewer, user) not in self.hidden}
            self.questions[viewer] = question, seen

    @rule(viewer=st.sampled_from("12"), fails=st.booleans())
    def answer_comes(self, viewer: str, fails: bool) -> None:
        if viewer not in self.questions:
            return
        sight, (question, seen) = self.sights[viewer], self.questions.pop(viewer)
        if fails:
            sight.fail(question)
            sight.want(question)
            self.answered[viewer] |= dict.fromkeys(question, False)
        else:
            # Of one that is from before a doubt nothing is taken over; then this is more than may be told.
            sight.answer(question, seen)
            self.answered[viewer] |= {user: user in seen for user in question}
        self.views.answered(sight, question)
        self.unread.update(client for client in sight.watchers if fails)

    # What clients ask for

    @rule(client=clients, watched=st.sets(users))
    def watch_users(self, client: int, watched: set[str]) -> None:
        self._ask(client, {"type": "watch", "users": sorted(watched)})
        self.sights[self.clients[client].sight.viewer].want(watched)
        self.views.watch_users(self.clients[client], frozenset(watched))
        self._tell_full(client)

    @rule(client=clients, after=bounds, limit=st.integers(1, 4), query=queries)
    def watch_page(self, client: int, after: str | None, limit: int, query: str) -> None:
        self._ask(client, {"type": "watch", "room": SITE, "after": after, "limit": limit, "search": query})
        if query:
            self.views.watch_search(self.clients[client], (SITE, after, limit, query))
        else:
            self.views.watch_page(self.clients[client], (SITE, after, limit))
        self._tell_full(client)

    @rule(client=clients, after=bounds, until=bounds)
    def watch_directory(self, client: int, after: str | None, until: str | None) -> None:
        self._ask(client, {"type": "watch", "directory": {"after": after, "until": until}})
        self.views.watch_directory(self.clients[client], Range(after, until))
        self.unread.add(self.clients[client])

    # What the node does

    @rule(client=clients)
    def directory_is_read(self, client: int) -> None:
        """As soon as all who are in it have been asked about."""
        reader = self.clients[client]
        window, listed = reader.directory, self._listed(reader)
        reader.sight.want(listed)
        if window is None or any(reader.sight.asks_about(user) for user in listed):
            return
        window.load(listed.items())
        self.unread -= set(self.views.to(window))  # type: ignore[arg-type]
        for watcher in self.views.to(window):
            self._take(watcher, window.full())

    @precondition(lambda self: self.views.searches.hungry)
    @rule()
    def searches_are_fed(self) -> None:
        begun = self.views.searches.feed()
        for watcher in self.views.looking_at(begun) if begun is not None else ():
            self._take(watcher, self.views.full(watcher, UNSET))

    @rule()
    def flush(self) -> None:
        for delivery in self.views.publish():
            for watcher in self.views.to(delivery.to) if delivery is not None else ():
                assert delivery is not None
                self._take(watcher, delivery.message)

    @rule()
    def everything_settles(self) -> None:
        for viewer in set(self.doubtful):
            self.change_of_sight_is_told(viewer)
        busy, rounds = True, 0
        while busy:
            rounds += 1
            assert rounds < 100, "it never settles"
            for viewer in "12":
                self.question_is_put(viewer)
                self.answer_comes(viewer, fails=False)
            for client in range(3):
                if self.clients[client] in self.unread:
                    self.directory_is_read(client)
            while self.views.searches.hungry:
                self.searches_are_fed()
            self.flush()
            busy = bool(self.unread or self.views.marked or self.views.searches.hungry)
            busy = busy or any(sight.waits for sight in self.sights.values())
        for client in self.clients:
            self._check(client)

    def teardown(self) -> None:
        self.everything_settles()

    # What must hold

    def _take(self, client: Any, message: Update | Directory) -> None:
        told = json.loads(encode(message))
        may = {user for user, seen in self.answered[client.sight.viewer].items() if seen}
        may.add(client.sight.viewer)
        assert "online" not in told
        page = told.get("page", {})
        for user, state in told.get("users", {}).items():
            assert user in may or state == {"status": "offline"}
        shown = {row["id"] for row in [*page.get("put", []), *told.get("added", [])]}
        assert shown | set(page.get("order", [])) <= may
        # That somebody goes is told to viewers to whom the somebody was shown.
        known = self.shown[client.sight.viewer]
        assert set(page.get("drop", [])) | set(told.get("removed", [])) <= known
        known |= shown
        client.state = merge(client.state, told)

    def _check(self, client: Client) -> None:
        """Look whether a client knows all that it may, now that everything has settled."""
        state, viewer = client.state, client.sight.viewer
        if state.page is None:
            return  # an earlier failure ended the test before it began
        seen = {user for user in USERS if (viewer, user) not in self.hidden}
        for user, told in state.users.items():
            status = self.replica.status(SITE, user)
            offline = {"status": "offline", "last_seen": 5} if user in seen else {"status": "offline"}
            assert told == (offline if status is Status.OFFLINE or user not in seen else {"status": status})
        assert state.page is not None
        watch = state.page.watch
        expected = [
            {"id": user, "name": profile.name, "key": profile.key, "status": status}
            for user, (status, profile) in self.replica.as_state().get(SITE, {}).items()
            if user in seen
            and (watch["after"] is None or profile.key > watch["after"])
            and matches(profile, watch["search"])
        ]
        rows = state.page.rows or {}
        assert [rows[id] for id in state.page.order] == in_name_order(expected)[: watch["limit"]]
        assert state.directory is not None
        assert (state.directory.rows or {}).keys() == self._listed(client).keys() & seen

    # Inside

    def _ask(self, client: int, message: dict[str, Any]) -> None:
        self.clients[client].state = ask(self.clients[client].state, message)

    def _tell_full(self, client: int) -> None:
        self._take(self.clients[client], self.views.full(self.clients[client], UNSET))

    def _listed(self, client: Client) -> dict[str, Profile]:
        span = client.directory.span if client.directory is not None else Range(until="")
        return {
            user: profile
            for user, profile in self.database.items()
            if (span.after is None or span.after < profile.key)
            and (span.until is None or profile.key <= span.until)
        }


def test_nobody_is_ever_told_of_somebody_hidden_and_in_the_end_of_everybody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(searches, "ASK", 2)  # so that pages are asked about in several steps
    run_state_machine_as_test(
        SightsMachine, settings=settings(max_examples=150, stateful_step_count=30, deadline=None)
    )
