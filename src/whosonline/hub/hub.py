"""The hub: everything live in one process, behind the few calls that a socket needs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from msgspec import UNSET, UnsetType

from ..core import wire
from ..core.addresses import Addresses
from ..core.connections import Connections
from ..core.entries import Batch, Change, Cursor, Expel, Listing, Profile, Recheck, Renew
from ..core.follower import Follower
from ..core.policy import Policy
from ..core.recent import Recent
from ..core.replica import Replica
from ..core.statuses import SITE, Status
from ..core.views import Views
from ..core.wire import CloseCode
from ..stores.base import Snapshot, Store
from ..stores.errors import StoreUnavailable
from .access import OPEN, Access, Rooms
from .arrivals import Arrivals
from .clock import Clock, LoopClock, Timer
from .connection import Connection, Kind, Write, frame
from .directories import DirectoryLoader, LoadDirectory
from .fanout import Fanout
from .feeder import SearchFeeder
from .last_seen import RETRY, LastSeen, Load, Save
from .node import Node
from .rechecks import Standing, Staying
from .resumption import Resumption, Token
from .rights import HANDSHAKE, Rights
from .sights import Sights
from .turns import Turns

T = TypeVar("T")

GRACE_GATHER = 0.1
"""Seconds after the end of a grace period in which those of others are gathered, but no longer than one is.
Each by itself would take a timer, and a report."""

LEAVE_AT_ONCE = 50
"""Connections that are counted out in one turn of the loop, if so many are lost together."""

logger = logging.getLogger(__name__)

LookUp = Callable[[list[str]], Awaitable[Mapping[str, Any]]]
"""Returns who the keys of sessions belong to, for those that are somebody's."""


@dataclass(frozen=True)
class Site:
    """What the hub asks of the site it serves; floor 4 answers from Django."""

    load_directory: LoadDirectory
    load_last_seen: Load
    save_last_seen: Save
    staying: Staying
    look_up: LookUp
    write_token: Callable[[Token], str]
    access: Access = OPEN


class TooManyConnections(Exception):
    """The user has as many connections on this node as are allowed."""


class NodeFull(Exception):
    """This node has as many connections as it takes."""


class Hub:
    """One process: its connections, its copy of who is present, and its fan-out.

    All methods are called in the loop that :meth:`start` ran in.
    """

    def __init__(self, store: Store, site: Site, policy: Policy, clock: Clock | None = None) -> None:
        self.policy = policy
        self.replica = Replica()
        self._follower = Follower(self.replica)
        self._knows = asyncio.Event()
        self._store = store
        self._site = site
        self._clock = clock or LoopClock()
        self._connections = Connections(policy.grace)
        self._last_seen = LastSeen(site.load_last_seen, site.save_last_seen, self._clock)
        self._views = Views(self.replica, self._last_seen.get)
        counts = site.access.visible is None
        self._fanout = Fanout(self.replica, self._views, policy, self._clock, counts=counts)
        self._sights = Sights(site.access, self._views, self._fanout, self._clock, self._spawn)
        read = self._sights.reading(site.load_directory)
        self._directories = DirectoryLoader(self._views, self._fanout, read, policy, self._clock)
        self._sights.directories = self._directories
        self._rooms = Rooms(site.access, self._entered, self._leave_room, self._watch_again)
        self._feeder = SearchFeeder(self._views, self._fanout)
        self._node = Node(store, self._connections, self, policy, self._clock)
        self._grace_timer: Timer | None = None
        self._grace_ended = float("-inf")
        self._wait: asyncio.Task[None] | None = None
        # Who is given another name while a socket of theirs is on its way comes with that.
        self._relisted = Recent[Profile](HANDSHAKE)
        self.addresses = Addresses(policy.connections_per_address)
        self.arrivals = Arrivals(site.look_up, policy.arrivals_waiting, policy.arrival_timeout)
        self.leavings = Turns(LEAVE_AT_ONCE)
        self._resumption = Resumption(policy.resume, self._clock)
        self._rights = Rights(
            self._connections,
            site.staying,
            self._on_staying,
            self._node.report_soon,
            policy.recheck,
            self._clock,
            self._spawn,
        )
        self._tasks: set[asyncio.Task[None]] = set()

    # Life

    def start(self) -> None:
        """Begin; returns at once, whether or not the store can be reached."""
        self._node.start()

    @property
    def ready(self) -> bool:
        """Whether the store is reached, and what this node knows is up to date."""
        return self.knows and not self._fanout.degraded

    @property
    def knows(self) -> bool:
        """Whether it knows who is present; while the store is away, as of when it went."""
        return self._knows.is_set()

    async def wait_until_known(self) -> None:
        """Wait until :attr:`knows`."""
        await self._knows.wait()

    def miss(self) -> None:
        """Note that this process could not tell the store of something."""
        self._node.miss()

    async def stop(self) -> None:
        """End: leave the store, and write down what is not written yet."""
        self._fanout.stop()
        self._directories.stop()
        self._rights.stop()
        self._feeder.stop()
        for waiting in (self._grace_timer, self._wait):
            if waiting is not None:
                waiting.cancel()
        await self._node.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._last_seen.stop(self._connections.users())

    # A socket's calls

    def connection(
        self,
        user: str,
        session: str,
        ticket: Any,
        send: Callable[[dict[str, Any]], Awaitable[None]],
        close: Callable[[CloseCode], None],
        expires: float = float("inf"),
        write: Write | None = None,
        looked_up: float | None = None,
        returns: Cursor | None = None,
    ) -> Connection:
        """Return a connection for a socket; :meth:`open` counts it in.

        Args:
            returns: If its page has been connected before, and only comes back: the place in the log of the
                resume token that it came with.
        """
        timeout, at = self.policy.send_timeout, self._clock.wall() if looked_up is None else looked_up
        connection = Connection(user, session, ticket, send, close, self, timeout, expires, write, at)
        connection.known_at, connection.returns = returns, returns is not None
        return connection

    @property
    def full(self) -> bool:
        """Whether this node takes no further connection."""
        return self._connections.count() >= self.policy.connections_per_node

    def believes(self, token: Token) -> bool:
        """Return whether a resume token, whose signature is right, needs no look-up."""
        return self._resumption.believes(token)

    def now(self) -> float:
        """Return the time by this node's clock, in seconds from some moment."""
        return self._clock.time()

    def open(
        self,
        connection: Connection,
        profile: Profile,
        *,
        touched: bool,
        idle: bool = False,
        invisible: bool = False,
        asked: float | None = None,
    ) -> None:
        """Count a connection in, and welcome it.

        Args:
            invisible: Whether the user wants to appear offline.
            asked: When the look-up of who it is began, by :meth:`now`; by default just now.
            touched: Whether a login touch of its session may still stand; it ends with this.
            idle: Whether nobody is at it, as when a page that was left open comes back.

        Raises:
            NodeFull: the limit of :attr:`Policy.connections_per_node` is reached.
            SessionEnded: its session was ended while the socket was on its way here.
            TooManyConnections: the limit of :attr:`Policy.connections_per_user` is reached.
        """
        user, now = connection.user, self._clock.time()
        if self._relisted.since(user, now if asked is None else asked, now):
            profile = self._relisted.get(user, now, profile)
        if self.full:
            raise NodeFull
        self._rights.check(connection.session)
        if self._connections.live_count(user) >= self.policy.connections_per_user:
            raise TooManyConnections(user)
        others, was_invisible = self._connections.of_user(user), self._connections.is_invisible(user)
        doubtful = self._rights.in_doubt(user, now if asked is None else asked)
        # What this node knows already is newer than a look-up that it doubts.
        invisible = invisible or (doubtful and was_invisible)
        self._connections.open(
            connection, user, connection.session, profile, touched=touched, idle=idle, invisible=invisible
        )
        self._node.report_soon()
        if invisible != was_invisible:
            self._tell_visibility(others)
        self._sights.join(connection)
        self._views.join(connection)
        token = self._token(connection) if not doubtful else UNSET
        connection.counted = not invisible
        welcome = wire.Welcome(
            user, self._fanout.count_for(connection), resume=token, invisible=invisible or UNSET
        )
        connection.offer(frame(wire.encode(welcome)), Kind.UPDATE)
        self._rights.add(connection)
        if self._fanout.degraded:
            self._fanout.tell_full(connection, Kind.NOTICE)
        if doubtful:
            self._rights.ask_about(user)

    def close(self, connection: Connection) -> None:
        """Count a connection out; its user has the grace period to come back."""
        connection.detach()
        self._rights.forget(connection)
        self._fanout.forget(connection)
        self._views.part(connection)
        self._sights.part(connection)
        self._connections.close(connection, self._clock.time())
        self._schedule_grace()

    async def send_away(self, a_second: float = float("inf")) -> None:
        """Have every socket come back, to another server: this one is going. At most so many in a second."""
        await self._rights.send_away(a_second)

    def asking(self, connection: Connection, message: wire.ClientMessage) -> Awaitable[None] | None:
        """Return what is to be awaited before a message is handled; None unless the site wants to be asked.

        Awaiting it raises NotAllowed where the message must not be handled.
        """
        match message:
            case wire.Watch(users=list(users)) if connection.sight is not None:
                return self._sights.learn(connection.sight, users)
            case wire.Watch(room=str(room)) if self._rooms.restricted:
                return self._rooms.watch(connection, room)
            case wire.Enter(room) if self._rooms.restricted:
                return self._rooms.enter(connection, room)
        return None

    def handle(self, connection: Connection, message: wire.ClientMessage) -> None:
        """Do what a client asks for.

        Raises:
            BadMessage: it cannot be done; the text says why.
        """
        match message:
            case wire.Watch():
                self._watch(connection, message)
            case wire.Unwatch():
                self._unwatch(connection, message)
            case wire.Idle() | wire.Active():
                self._connections.set_idle(connection, isinstance(message, wire.Idle))
                self._node.report_soon()
            case wire.Enter(room):
                if len(self._entered(connection) - {room}) >= self.policy.rooms_per_connection:
                    raise wire.BadMessage(f"a connection may enter {self.policy.rooms_per_connection} rooms")
                self._connections.enter(connection, room)
                self._node.report_soon()
            case wire.Leave(room):
                self._leave_room(connection, room)

    def resync(self, connection: Connection, missed: Kind) -> None:
        self._fanout.tell_full(connection, missed)
        if missed & Kind.VISIBILITY:
            self._tell_visibility([connection])
        if missed & Kind.RESUME:
            self._renew_token(connection)

    # Resume tokens

    def _token(self, connection: Connection) -> str | UnsetType:
        user = connection.user
        token = self._resumption.token(
            connection, self._connections.profile(user), self._connections.is_invisible(user)
        )
        return self._site.write_token(token) if token is not None else UNSET

    def _on_staying(self, connection: Connection, standing: Standing, asked: float) -> None:
        user = connection.user
        if standing.profile is not None and not self._relisted.since(user, asked, self._clock.time()):
            self._connections.rename(user, standing.profile)
            self._node.report_soon()
        connection.looked_up = self._clock.wall() - (self._clock.time() - asked)
        connection.known_at = None
        if self._connections.set_invisible(user, standing.invisible):
            self._node.report_soon()
            self._tell_visibility(self._connections.of_user(user))
        if connection.closed:
            return
        self._renew_token(connection)
        self._sights.doubt(connection)
        if self._rooms.restricted:
            self._spawn(self._rooms.recheck(connection))

    def _tell_visibility(self, connections: Iterable[Any]) -> None:
        """Tell connections of one user whether others see the user as offline."""
        for connection in connections:
            invisible = self._connections.is_invisible(connection.user)
            connection.counted = not invisible
            told = wire.Visibility(invisible)
            connection.offer(frame(wire.encode(told)), Kind.VISIBILITY)

    def _renew_token(self, connection: Connection) -> None:
        token = self._token(connection)
        if token is not UNSET:
            connection.offer(frame(wire.encode(wire.Resume(token))), Kind.RESUME)

    def _watch(self, connection: Connection, message: wire.Watch) -> None:
        if message.directory is not UNSET:
            self._directories.watch(connection, message.directory)
            return
        if message.users is not UNSET:
            self._views.watch_users(connection, frozenset(message.users))
            self._learn_last_seen(connection)
        elif message.room is not UNSET:
            after = None if message.after is UNSET else message.after
            limit = self.policy.page_limit if message.limit is UNSET else message.limit
            if message.search is not UNSET and message.search:
                self._views.watch_search(connection, (message.room, after, limit, message.search))
            else:
                self._views.watch_page(connection, (message.room, after, limit))
        self._fanout.tell_full(connection, Kind.UPDATE)

    def _unwatch(self, connection: Connection, message: wire.Unwatch) -> None:
        view = connection.view
        if message.directory is not UNSET:
            self._views.watch_directory(connection, None)
            return
        if message.users is not UNSET:
            self._views.watch_users(connection, None)
        elif view is not None and view.page is not None and view.page.room == message.room:
            self._views.watch_page(connection, None)
        # A flush that is under way tells views; who leaves one amid it would miss what is still watched.
        self._fanout.tell_full(connection, Kind.UPDATE)

    def _watch_again(self, connection: Connection) -> None:
        self._views.watch_page_again(connection)
        self._fanout.tell_full(connection, Kind.UPDATE)

    def _entered(self, connection: Connection) -> frozenset[str]:
        return self._connections.rooms(connection) - {SITE}

    def _leave_room(self, connection: Connection, room: str) -> None:
        self._connections.leave(connection, room)
        self._node.report_soon()

    # What the node tells

    async def on_snapshot(self, snapshot: Snapshot) -> None:
        """Take over a snapshot; while its people are put in order the loop has its turns.

        In a new epoch the store begins with nobody; people whom it does not hold yet stay shown until
        every node had the time to find out and to announce its users.
        """
        rooms = await _in_turns(self.replica.rooms_of(snapshot.state))
        self._resumption.on_snapshot(snapshot.cursor, snapshot.revoked)
        before = self._follower.epoch
        changed = self._follower.take_over(snapshot.cursor, snapshot.state, rooms)
        if before is not None or self._connections.count():
            self._make_good_what_was_missed(changed)
        else:
            self._rights.doubt_arrivals()
            self._views.drop_kept()
        if before not in (None, self._follower.epoch):
            self._release_held_later()
        self._views.mark_all(changed)
        self._knows.set()
        self._fanout.set_known()

    def _make_good_what_was_missed(self, changed: Iterable[tuple[str, str]]) -> None:
        """See to what nobody told: who left when, who may stay, and the list of all users."""
        for room, user in changed:
            if room == SITE and self.replica.status(room, user) is Status.OFFLINE:
                self._last_seen.note(user, self._clock.wall())
        self._rights.doubt_everybody()
        self._directories.reload()

    def on_batch(self, batch: Batch) -> None:
        for entry in batch.entries:
            self._resumption.on_entry(entry, batch.cursor)
            match entry:
                case Change():
                    self._apply(entry)
                case Listing():
                    self._relist(entry)
                case Expel(session):
                    self._rights.expel(session)
                case Renew(session):
                    self._rights.renew(session)
                case Recheck(user):
                    self._rights.recheck(user)
        self._fanout.flush_soon()

    def _relist(self, entry: Listing) -> None:
        self._views.mark_listing(entry)
        if entry.profile is None:
            self._last_seen.remove(entry.user)
            return
        if entry.was is None:  # new, or back
            self._last_seen.restore(entry.user)
        self._relisted.add(entry.user, entry.profile, self._clock.time())
        self._connections.rename(entry.user, entry.profile)
        self._node.report_soon()

    def on_caused(self, changes: list[Change]) -> None:
        self._last_seen.save_soon(changes)

    def on_degraded(self, degraded: bool) -> None:
        self._fanout.set_away(degraded)
        self._resumption.on_degraded(degraded)
        if not degraded and self.knows:
            # Who logged out meanwhile, or lost the right to stay, could not be told through the store.
            self._make_good_what_was_missed([])

    def _apply(self, change: Change) -> None:
        before = self._follower.apply(change)
        if change.status is Status.OFFLINE and change.room == SITE:
            self._last_seen.note(change.user, change.at)
        self._views.mark(change, before)

    def _release_held_later(self) -> None:
        if self._wait is not None:
            self._wait.cancel()
        self._wait = self._spawn(self._release_held())

    async def _release_held(self) -> None:
        """Wait until every node had the time to announce its users; then let those go whom nobody did.

        That time is a lease during which the store could be reached. It is counted in steps: a process that
        was stopped does not know what happened meanwhile.
        """
        waited, step = 0.0, self.policy.sweep
        while self._follower.waits:
            await self._clock.sleep(step)
            waited = 0.0 if self._fanout.degraded else waited + step
            if waited >= self.policy.lease:
                await self._let_go()

    async def _let_go(self) -> None:
        try:
            # What the log says of them may be on its way still.
            snapshot = await self._store.snapshot()
        except StoreUnavailable:
            return
        for gone in self._follower.release(snapshot.cursor, snapshot.state, self._clock.wall()):
            self._apply(gone)
        self._fanout.flush_soon()

    # Ends

    def _schedule_grace(self) -> None:
        deadline = self._connections.deadline()
        if deadline is not None and self._grace_timer is None:
            together = self._grace_ended + min(GRACE_GATHER, self.policy.grace)
            self._grace_timer = self._clock.call_at(max(deadline, together), self._end_grace)

    def _end_grace(self) -> None:
        self._grace_timer = None
        now = self._clock.time()
        # A timer may be early by a moment, and what it was for may be gone: then nothing has ended.
        if self._connections.expire(now):
            self._grace_ended = now
            self._node.report_soon()
        self._schedule_grace()

    def expel(self, session: str) -> None:
        """Close a session's connections for good, on this node."""
        self._rights.expel(session)

    # Last seen

    def _learn_last_seen(self, connection: Connection) -> None:
        """Look up when the offline ones of the watched users were last seen."""
        if not connection.learning and self._last_seen.unknown(_unseen(connection)):
            connection.learning = True
            self._spawn(self._learn(connection))

    async def _learn(self, connection: Connection) -> None:
        # One at a time for each connection, of what it watches by then: to ask fast is in vain. And of nobody
        # twice, though what is known of many is soon forgotten.
        asked = set[str]()
        try:
            while unknown := self._last_seen.unknown(set(_unseen(connection)) - asked):
                if answered := await self._last_seen.learn(unknown):
                    asked.update(unknown)
                for user in unknown:
                    if self._last_seen.get(user) is not None:
                        self._views.mark_user(user)
                self._fanout.flush_soon()
                if not answered:
                    await self._clock.sleep(RETRY)
                    asked.clear()  # who was restored meanwhile is to be asked for again
        finally:
            connection.learning = False

    def _spawn(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _logged(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception:
            # The database is away, most likely; what was asked for is asked again by the next cause.
            logger.exception("a background step failed")


async def _in_turns(steps: Generator[None, None, T]) -> T:
    """Return what comes of taking all the steps, with a turn for the loop after each."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            made: T = end.value
            return made
        await asyncio.sleep(0)


def _unseen(connection: Connection) -> tuple[str, ...]:
    """Return whom a connection sees as offline, and not since when; nobody where it is closed."""
    window = connection.view.users if connection.view is not None else None
    return window.unseen() if window is not None else ()
