"""Whoever applies full states and changes as docs/wire.md says holds exactly what is so, after each flush."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from whosonline.core import searches
from whosonline.core.entries import Change, Listing, Profile
from whosonline.core.replica import Presence, Replica
from whosonline.core.search import matches
from whosonline.core.statuses import SITE, Status
from whosonline.core.views import Delivery, Views, Watcher
from whosonline.core.windows import DirectoryWindow
from whosonline.core.wire import Directory, Range, Update, encode
from whosonline.testing.client import ClientState, ask, in_name_order, merge

rooms = st.sampled_from([SITE, SITE, "doc:42"])
users = st.sampled_from(list("123456"))
keys = st.sampled_from(list("abcdef"))
profiles = st.builds(Profile, keys, st.sampled_from(["a", "b", "c", "Somebody"]))
changes = st.builds(Change, rooms, users, st.sampled_from(Status), profiles, st.just(0.0))
clients = st.integers(0, 2)
bounds = st.sampled_from([None, None, "a", "c", "e"])
queries = st.sampled_from(["", "a", "B", "c", "some"])


searches.FEED = 2  # so that windows are told in several steps


# What may happen in a pause of a flush: a rule and its arguments, or nothing.
happenings = st.one_of(
    st.tuples(st.none()),
    st.tuples(st.just("change"), st.lists(changes, min_size=1, max_size=2)),
    st.tuples(st.just("watch_users"), clients, st.none() | st.sets(users)),
    st.tuples(st.just("watch_page"), clients, rooms, bounds, st.integers(1, 5), st.booleans()),
    st.tuples(st.just("watch_search"), clients, rooms, bounds, st.integers(1, 5), queries),
    st.tuples(st.just("watch_directory"), clients, bounds, bounds, queries, st.booleans()),
    st.tuples(st.just("reconnect"), clients),
    st.tuples(st.just("list_changes"), users, st.none() | profiles),
    st.tuples(st.just("log_is_read")),
)

happenings_amid_a_count = happenings | st.tuples(st.just("publish_all"), st.sets(clients))


class Client(Watcher):
    """A connection, and what the client at its other end makes of what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.state = ClientState()

    def take(self, message: Update | Directory | dict[str, Any]) -> None:
        if not isinstance(message, dict):
            message = json.loads(encode(message))
        self.state = merge(self.state, message)


class ViewsMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.replica = Replica()
        self.last_seen: dict[str, int] = {}
        self.views = Views(self.replica, self.last_seen.get)
        self.online = 0
        self.database: dict[str, Profile] = {}
        self.unread: list[Listing] = []
        self.queries: dict[DirectoryWindow, list[tuple[str, Profile]]] = {}
        self.clients = [Client() for _ in range(3)]
        for client in self.clients:
            self.views.join(client)
            client.take(self.views.full(client, self.online))

    @initialize(
        present=st.dictionaries(users, profiles, min_size=3),
        watched=st.sets(users, min_size=2),
        page=st.tuples(st.just(SITE), bounds, st.integers(1, 5)),
        span=st.tuples(bounds, bounds),
        query=queries,
    )
    def some_are_there(
        self, present: dict[str, Profile], watched: set[str], page: Any, span: tuple[Any, Any], query: str
    ) -> None:
        self.database = dict(present)
        self.snapshot({SITE: {user: Presence(Status.ONLINE, profile) for user, profile in present.items()}})
        self.watch_users(0, watched)
        for client in (0, 1):
            self.watch_page(client, *page, watching=True)
            self.watch_directory(client, *span, query, watching=True)
        self.watch_search(2, *page, query=query)

    # What happens

    @rule(changes=st.lists(changes, min_size=1, max_size=4))
    def change(self, changes: list[Change]) -> None:
        for change in changes:
            before = self.replica.get(change.room, change.user)
            self.replica.apply(change)
            self.views.mark(change, before)

    @rule(
        state=st.dictionaries(
            rooms,
            st.dictionaries(
                users, st.builds(Presence, st.sampled_from([Status.ONLINE, Status.AWAY]), profiles)
            ),
        )
    )
    def snapshot(self, state: dict[str, dict[str, Presence]]) -> None:
        self.views.mark_all(self.replica.replace(state))

    @rule(user=users, at=st.integers(1, 9))
    def last_seen_is_learnt(self, user: str, at: int) -> None:
        self.last_seen[user] = at
        self.views.mark_user(user)

    @rule(user=users, profile=st.none() | profiles)
    def list_changes(self, user: str, profile: Profile | None) -> None:
        was = self.database.pop(user, None)
        if profile is not None:
            self.database[user] = profile
        self.unread.append(Listing(user, profile, was.key if was is not None else None))

    @rule()
    def log_is_read(self) -> None:
        if self.unread:
            self.views.mark_listing(self.unread.pop(0))

    # What clients ask for

    @rule(client=clients, watched=st.none() | st.sets(users))
    def watch_users(self, client: int, watched: set[str] | None) -> None:
        message = {"type": "unwatch", "users": True}
        if watched is not None:
            message = {"type": "watch", "users": sorted(watched)}
        self._ask(client, message)
        self.views.watch_users(self.clients[client], frozenset(watched) if watched is not None else None)
        self._tell_full(client)

    @rule(client=clients, room=rooms, after=bounds, limit=st.integers(1, 5), watching=st.booleans())
    def watch_page(self, client: int, room: str, after: str | None, limit: int, watching: bool) -> None:
        kind = "watch" if watching else "unwatch"
        self._ask(client, {"type": kind, "room": room, "after": after, "limit": limit})
        self.views.watch_page(self.clients[client], (room, after, limit) if watching else None)
        self._tell_full(client)

    @rule(client=clients, room=rooms, after=bounds, limit=st.integers(1, 5), query=queries)
    def watch_search(self, client: int, room: str, after: str | None, limit: int, query: str) -> None:
        self._ask(client, {"type": "watch", "room": room, "after": after, "limit": limit, "search": query})
        if query:
            self.views.watch_search(self.clients[client], (room, after, limit, query))
        else:
            self.views.watch_page(self.clients[client], (room, after, limit))
        self._tell_full(client)

    @precondition(lambda self: self.views.searches.hungry)
    @rule()
    def searches_are_fed(self) -> None:
        begun = self.views.searches.feed()
        for watcher in self.views.looking_at(begun) if begun is not None else ():
            assert isinstance(watcher, Client)
            watcher.take(self.views.full(watcher, self.online))

    @rule(client=clients, after=bounds, until=bounds, query=queries, watching=st.booleans())
    def watch_directory(
        self, client: int, after: str | None, until: str | None, query: str, watching: bool
    ) -> None:
        span = Range(after, until, query) if watching else None
        kind = "watch" if watching else "unwatch"
        self._ask(client, {"type": kind, "directory": {"after": after, "until": until, "search": query}})
        self.views.watch_directory(self.clients[client], span)
        window = self.clients[client].directory
        if window is not None and window.loaded:
            self.clients[client].take(window.full())

    @rule(client=clients)
    def reconnect(self, client: int) -> None:
        self.views.part(self.clients[client])
        self.clients[client] = Client()
        self.views.join(self.clients[client])
        self._tell_full(client)

    # What the node does

    @rule(client=clients)
    def query_is_answered(self, client: int) -> None:
        """The database answers; the answer comes later, and the log goes on meanwhile."""
        window = self.clients[client].directory
        if window is not None and not window.loaded and window not in self.queries:
            self.queries[window] = self._listed(window.span)

    @rule(client=clients)
    def answer_arrives(self, client: int) -> None:
        window = self.clients[client].directory
        if window is not None and window in self.queries:
            window.load(self.queries.pop(window))
            for watcher in self.views.to(window):
                assert isinstance(watcher, Client)
                watcher.take(window.full())

    @rule(counted=st.booleans(), slow=st.sets(clients), meanwhile=st.lists(happenings, max_size=8))
    def flush_in_slices(self, counted: bool, slow: set[int], meanwhile: list[Any]) -> None:
        """Something happens in each pause of a flush, and is told by this flush or the next."""
        for _ in self._publish_and_send(counted, slow):
            if meanwhile:
                name, *arguments = meanwhile.pop(0)
                if name is not None:
                    getattr(self, name)(*arguments)

    @rule(slow=st.sets(clients), meanwhile=st.lists(happenings_amid_a_count, max_size=8))
    def counts_go_out_in_slices(self, slow: set[int], meanwhile: list[Any]) -> None:
        """So they do beside the flushes."""
        for _ in self._send_counts(slow):
            if meanwhile:
                name, *arguments = meanwhile.pop(0)
                if name is not None:
                    getattr(self, name)(*arguments)

    @rule(counted=st.booleans(), slow=st.sets(clients))
    def flush(self, counted: bool, slow: set[int]) -> None:
        for _ in self._publish_and_send(counted, slow):
            pass
        for _ in self._send_counts(slow):
            pass
        self._check_all()

    def publish_all(self, slow: set[int]) -> None:
        for _ in self._publish_and_send(False, slow):
            pass

    def _send_counts(self, slow: set[int]) -> Iterator[None]:
        for watcher in self.views.counts():
            if isinstance(watcher, Client) and self.clients.index(watcher) not in slow:
                watcher.take(Update(self.online))
            yield
        for client in slow:
            self._tell_full(client)

    def _publish_and_send(self, counted: bool, slow: set[int]) -> Iterator[None]:
        """Publish; those who are slow miss it, and get the full state later."""
        if counted:
            self.online = self.replica.count(SITE)
            self.views.tell_count(self.online)
        for delivery in self.views.publish():
            if delivery is not None:
                yield from self._send_to_all(delivery, slow)
            yield
        for client in slow:
            self._tell_full(client)
            window = self.clients[client].directory
            if window is not None and window.loaded:
                self.clients[client].take(window.full())

    def _send_to_all(self, delivery: Delivery, slow: set[int]) -> Iterator[None]:
        message, target = delivery
        encoded = json.loads(encode(message))
        for watcher in self.views.to(target):
            assert isinstance(watcher, Client)
            if watcher.view is target or watcher.directory is target:
                if self.clients.index(watcher) not in slow:
                    watcher.take(encoded)
                yield

    @rule()
    def the_node_catches_up(self) -> None:
        while self.unread:
            self.log_is_read()
        for client in range(len(self.clients)):
            self.query_is_answered(client)
            self.answer_arrives(client)
        while self.views.marked or self.views.searches.hungry:
            self.flush(counted=True, slow=set())
            while self.views.searches.hungry:
                self.searches_are_fed()
        self.flush(counted=True, slow=set())

    def teardown(self) -> None:
        self.the_node_catches_up()

    # What must hold after a flush

    def _check_all(self) -> None:
        for client in self.clients:
            assert client.state.online == self.online
            self._check_users(client.state)
            self._check_page(client.state)
            if client.directory is not None and client.directory.loaded and not self.unread:
                self._check_directory(client.state)

    def _check_users(self, state: ClientState) -> None:
        for user, told in state.users.items():
            status = self.replica.status(SITE, user)
            expected: dict[str, Any] = {"status": status}
            if status is Status.OFFLINE and user in self.last_seen:
                expected["last_seen"] = self.last_seen[user]
            assert told == expected

    def _check_page(self, state: ClientState) -> None:
        if state.page is None:
            return
        watch, rows = state.page.watch, state.page.rows
        if self.views.searches.hungry and watch.get("search"):
            return
        assert rows is not None
        present = self.replica.as_state().get(watch["room"], {})
        listed = [
            {"id": user, "name": profile.name, "key": profile.key, "status": status}
            for user, (status, profile) in present.items()
            if (watch["after"] is None or profile.key > watch["after"])
            and matches(profile, watch.get("search", ""))
        ]
        assert [rows[id] for id in state.page.order] == in_name_order(listed)[: watch["limit"]]
        assert set(rows) == set(state.page.order)

    def _check_directory(self, state: ClientState) -> None:
        assert state.directory is not None
        span = state.directory.watch["directory"]
        assert state.directory.rows == {
            user: {"id": user, "name": profile.name, "key": profile.key}
            for user, profile in self._listed(Range(span["after"], span["until"], span["search"]))
        }

    # Inside

    def _ask(self, client: int, message: dict[str, Any]) -> None:
        self.clients[client].state = ask(self.clients[client].state, message)

    def _tell_full(self, client: int) -> None:
        self.clients[client].take(self.views.full(self.clients[client], self.online))

    def _listed(self, span: Range) -> list[tuple[str, Profile]]:
        after, until = span.after, span.until
        return [
            (user, profile)
            for user, profile in self.database.items()
            if (after is None or after < profile.key)
            and (until is None or profile.key <= until)
            and matches(profile, span.search or "")
        ]


TestViewsStateful = ViewsMachine.TestCase
TestViewsStateful.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
