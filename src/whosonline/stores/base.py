"""The Store contract.

A store knows which *nodes* are alive, which users each of them holds in which room, and which *touches*
(presence without a socket) stand. It folds these into one status a user and room, and records every change
of a folded status in the *log*, in the same atomic step.

Obligations (each is a test in :mod:`whosonline.testing.contract`):

- A user is present iff a live node or a touch holds the user.
- Every change of a folded status or profile is logged exactly once, in order; nothing is logged when
  nothing changed.
- A dead node's users leave when its lease ran out and somebody sweeps, unless another node or a touch
  holds them; then nothing is logged.
- Revocations are remembered beside the log, as many as it holds entries, for nodes that begin later. Where a
  node says that it could not reach the store for a while, or its lease runs out though it has not closed,
  that is logged (:class:`~..core.entries.Missed`), and what was remembered until then is forgotten: it may
  not be all.
- A node that was expelled, or whose store lost its memory, is told so by its next beat, and its next full
  report heals everything.
- A store that may have lost some of its memory begins a new epoch, in which it knows no node. Whom it still
  holds it keeps for a lease, so that every node has the time to report.
- After the store itself was away, no lease is judged until every node had the time to beat.
- All time is the store's own: nodes' clocks do not matter.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from enum import Enum, auto
from typing import NamedTuple

from ..core.entries import Batch, Change, Cursor, Profile, Report, Revocation
from ..core.replica import Presence, State


class Beat(Enum):
    """What a node learns from its beat."""

    RENEWED = auto()
    EXPELLED = auto()
    """The store holds nothing of this node: it was taken for dead, or the store lost its memory.
    The lease is open again; report everybody anew."""


class Remembered(NamedTuple):
    """A revocation that was logged."""

    age: float
    """Seconds ago, by the store's clock."""
    entry: Revocation


class Revoked(NamedTuple):
    """What a reader of the log who begins now has to know of what it said before."""

    since: Cursor
    """From where on nothing is missing; not before this epoch."""
    entries: tuple[Remembered, ...]
    """The oldest first."""


class Snapshot(NamedTuple):
    """The whole state, and the place in the log from which to go on."""

    cursor: Cursor
    state: State
    age: float
    """For how many seconds the epoch has been, by the store's clock; of several partitions, the youngest."""
    revoked: Revoked
    """At least as far as the cursor."""


class NodeInfo(NamedTuple):
    """What a node tells of itself with its beat, for those who look after the site."""

    label: str
    """Where it runs: host and process."""
    connections: int
    """Open sockets."""
    cursor: Cursor | None
    """How far it has followed the log."""
    missed: bool = False
    """Whether it could not reach the store for a while: what was told then may be missing from the log."""


NO_INFO = NodeInfo("", 0, None)


class NodeStatus(NamedTuple):
    """What the store knows of a node."""

    name: str
    lease: float
    """Seconds until the lease runs out. Below 0 it has, and the node is about to be swept."""
    label: str
    connections: int
    users: int
    """Users that it holds, counted once a room."""
    behind: int | None
    """Log entries that it had not followed when it last beat; None: it has still to take a snapshot."""
    leaving: bool = False
    """Whether it has said that it goes: its lease runs out soon, and that is as it should be."""


class StoreStatus(NamedTuple):
    """How a store is, at a glance."""

    nodes: list[NodeStatus]
    online: int
    """Users present in the site."""
    touches: int
    log_length: int
    """Entries in the log."""


class Swept(NamedTuple):
    """What a sweep did."""

    changes: list[Change]
    """Those that it caused: none where everybody is held elsewhere."""
    more: bool
    """Whether there is more to end already."""


class SyncStore(ABC):
    """What synchronous code (a Django view, a signal, a task worker) may ask of a store, or tell it.

    Every method may raise StoreUnavailable.

    Attributes:
        local: Whether the facts are in this very process: reading them costs nothing and cannot fail.
    """

    local = False

    @abstractmethod
    def touch(self, user: str, profile: Profile, session: str, ttl: float) -> list[Change]:
        """Count the user as online in the site for `ttl` seconds, without a socket.

        Returns the changes caused. A touch belongs to a session: a new one of the same session replaces it,
        and it ends early when the session is expelled or a report releases it. It outlives nodes, and no
        node answers for it.
        """

    @abstractmethod
    def withdraw(self, user: str) -> list[Change]:
        """End all touches of a user; return the changes caused."""

    @abstractmethod
    def expel(self, session: str, user: str | None = None) -> list[Change]:
        """Have every node close the session's connections, and end the session's touch.

        Returns the changes caused by the end of the touch.

        Args:
            user: Whose session it is. Where that is not known, the touch runs out by itself.
        """

    @abstractmethod
    def renew(self, session: str, user: str) -> None:
        """Have every node send the session's connections away for a moment: they come back with its new key.

        Nobody sees anything of it. A touch of the session stays.
        """

    @abstractmethod
    def recheck(self, user: str) -> None:
        """Have every node ask again whether the connections of this user may stay."""

    @abstractmethod
    def relist(self, user: str, profile: Profile | None, was: str | None) -> None:
        """Log that somebody appeared in the list of all users, was renamed, or (None) removed.

        Args:
            profile: What is known of the user now.
            was: The name key the user was listed under before, if any.
        """

    @abstractmethod
    def statuses(self, room: str, users: Iterable[str]) -> Mapping[str, Presence]:
        """Return those of the users who are present in the room."""

    @abstractmethod
    def count(self, room: str) -> int:
        """Return how many users are present in the room."""

    @abstractmethod
    def online(self, room: str, after: str | None, limit: int) -> list[tuple[str, Presence]]:
        """Return up to `limit` users present in the room, in name order, after a name key."""

    @abstractmethod
    def online_before(self, room: str, before: str, limit: int) -> list[tuple[str, Presence]]:
        """Return the up to `limit` users present in the room just before a name key, in name order."""

    def memory_policy(self) -> str | None:
        """Return what the store does when its memory is full, by Redis's names; None if it does not say."""
        return None

    @abstractmethod
    def status(self) -> StoreStatus:
        """Return how the store is, and the nodes that it knows."""


class Store(ABC):
    """One node's handle on the store. Every method may raise StoreUnavailable.

    `sync` does the rest of the contract: what any process, node or not, may ask.
    """

    sync: SyncStore

    @abstractmethod
    async def open(self, node: str, lease: float) -> None:
        """Begin this node's lease, of `lease` seconds. Called before anything else; once more does no harm.

        Args:
            node: A name that no other node has, and that no later one uses again.
        """

    @abstractmethod
    async def beat(self, info: NodeInfo = NO_INFO) -> Beat:
        """Renew the lease, or begin a new one if it ran out.

        Args:
            info: What :meth:`SyncStore.status` is to tell of this node, and others of what it missed.
        """

    @abstractmethod
    async def close(self, linger: float) -> None:
        """Beat no more: the lease runs out `linger` seconds from now. Frees the handle's connections.

        So a node that is restarted leaves its users the time to come back elsewhere unseen.
        """

    @abstractmethod
    async def report(self, reports: Sequence[Report]) -> list[Change]:
        """Tell this node's view of users; return the changes that it caused.

        Idempotent. Also ends the touches that the reports release, in the same step. A store may take many
        reports in several steps; where it fails amid them, what the first ones caused is not returned.

        Raises:
            NodeExpelled: the lease has run out; nothing was taken over.
        """

    async def rest(self) -> None:
        """Return when another report is welcome; by default at once.

        Who has much to tell gathers it meanwhile. A report that cannot wait need not.
        """
        return

    @abstractmethod
    def follow(self, cursor: Cursor) -> AsyncGenerator[Batch, None]:
        """Yield what is logged after a place, in order, each entry once, waiting for more without end.

        The first batch comes at once, empty where there is nothing yet: so the reader knows that the log
        reaches back to that place, and that the store answers.

        Raises (from the iteration):
            PositionGone: the log does not reach back to there.
        """

    @abstractmethod
    async def snapshot(self) -> Snapshot:
        """Return the state, and a place from which the log replays everything since."""

    @abstractmethod
    async def sweep(self) -> Swept:
        """End leases and touches that ran out, a bounded chunk of them.

        Safe to call from every node at any time. Nodes call it at least four times a lease: where nobody
        did for half of the longest lease, the store takes itself to have been away, and ends nothing for
        as long as that lease, so that every node has the time to beat.
        """
