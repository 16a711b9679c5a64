"""What synchronous code asks of Redis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Any

import redis

from ...core.entries import Change, Expel, Listing, Profile, Recheck, Renew, revocation
from ...core.replica import Presence
from ..base import StoreStatus, SyncStore
from . import codec
from .addresses import Address, close
from .failures import told_as_unavailable
from .layout import Layout, milliseconds

SYNC_TIMEOUT = 1.0
"""Seconds that a page waits for an answer, each try; where a connection was cut there are up to three."""

ASKED_AT_ONCE = 1000
"""Users in one question; a script can take some thousands."""


class RedisSyncStore(SyncStore):
    """What any thread of any process may ask."""

    def __init__(self, address: Address, layout: Layout) -> None:
        self._layout = layout
        self._address = address
        self._made: Any = None
        self._making = Lock()

    def close(self) -> None:
        """End the connections; the next call makes new ones."""
        if self._made is not None:
            close(self._made)

    def memory_policy(self) -> str | None:
        with told_as_unavailable(self._address.shown):
            try:
                found = self._client.config_get("maxmemory-policy")
            except redis.ResponseError:  # not allowed to ask: common where somebody else runs the Redis
                return None
        policy = found.get("maxmemory-policy")
        return policy.decode() if isinstance(policy, bytes) else policy

    def touch(self, user: str, profile: Profile, session: str, ttl: float) -> list[Change]:
        return codec.unpack_changes(
            self._run("touch", self._layout.of(user), user, *profile, session, milliseconds(ttl))
        )

    def withdraw(self, user: str) -> list[Change]:
        return codec.unpack_changes(self._run("withdraw", self._layout.of(user), user))

    def expel(self, session: str, user: str | None = None) -> list[Change]:
        entry = codec.pack_entry(Expel(session))
        known = () if user is None else (user,)
        partition = self._layout.of(session if user is None else user)
        return codec.unpack_changes(self._run("expel", partition, entry, session, *known))

    def renew(self, session: str, user: str) -> None:
        self._append(user, Renew(session))

    def recheck(self, user: str) -> None:
        self._append(user, Recheck(user))

    def relist(self, user: str, profile: Profile | None, was: str | None) -> None:
        self._append(user, Listing(user, profile, was))

    def _append(self, user: str, entry: Listing | Recheck | Renew) -> None:
        revoked = revocation(entry)
        remembered = () if revoked is None else (codec.pack_entry(revoked),)
        self._run("append", self._layout.of(user), codec.pack_entry(entry), *remembered)

    def statuses(self, room: str, users: Iterable[str]) -> Mapping[str, Presence]:
        found: dict[str, Presence] = {}
        for partition, some in self._layout.chunks(users, str, ASKED_AT_ONCE):
            records = self._run("statuses", partition, room, *some)
            found.update(codec.as_dict(zip(some, records, strict=True)))
        return found

    def count(self, room: str) -> int:
        return sum(self._run("count", partition, room) for partition in range(self._layout.partitions))

    def online(self, room: str, after: str | None, limit: int) -> list[tuple[str, Presence]]:
        start = () if after is None else (after,)
        return self._page(room, limit, *start)[:limit]

    def online_before(self, room: str, before: str, limit: int) -> list[tuple[str, Presence]]:
        return self._page(room, limit, before, "before")[-limit:]

    def _page(self, room: str, limit: int, *where: str) -> list[tuple[str, Presence]]:
        """Return in name order up to `limit` users of each partition."""
        found: list[tuple[str, Presence]] = []
        for partition in range(self._layout.partitions):
            answer = self._run("page", partition, room, limit, *where)
            users = (user.decode() for user in answer[::2])
            found += zip(users, map(codec.unpack_presence, answer[1::2]), strict=True)
        return sorted(found, key=lambda row: (row[1].profile.key, row[0]))

    def status(self) -> StoreStatus:
        parts = [
            codec.unpack_status(self._run("status", partition))
            for partition in range(self._layout.partitions)
        ]
        return codec.sum_of(parts)

    @property
    def _client(self) -> Any:
        # Not before it is needed: the client of a cluster asks the cluster about itself when it is made.
        with self._making:
            if self._made is None:
                self._made = self._address.client(SYNC_TIMEOUT)
            return self._made

    def _run(self, name: str, partition: int, *arguments: Any) -> Any:
        by_hash, whole = self._layout.calling(name, partition, *arguments)
        with told_as_unavailable(self._address.shown):
            try:
                try:
                    return self._client.execute_command(*by_hash)
                except redis.exceptions.NoScriptError:
                    return self._client.execute_command(*whole)
            except redis.ReadOnlyError:
                # A server that was demoted and kept its connections: the next call asks anew who is the
                # master.
                self._client.close()
                raise
