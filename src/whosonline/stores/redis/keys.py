"""Every key that the store has, and what is in it.

Each partition has a set of keys of its own, under one hash tag, so that a cluster keeps them on one
server. Users are spread over the partitions; everything about a user is in one of them.
"""

from __future__ import annotations

from binascii import crc32

KEYS = (
    "meta",
    # hash: run (of the server), epoch, sequence (of the latest entry), began (the epoch), lease (longest),
    # swept (when), amnesty (until when nothing is judged), more (to sweep), nodes (that there have been),
    # sure (after which sequence number nothing is missing from "revoked")
    "log",  # stream: "<sequence>-<microseconds since 1970>" -> e, an entry
    "present",  # hash: "<length of room>:<room><user>" -> the record of a present user; see lua/lib.lua
    "names",  # hash: node -> its number; living nodes only
    "ghosts",  # hash: node -> the number it had in an earlier epoch, under which its users are still held
    "nodes",  # hash: number -> lease, node, serial of the latest report, ghost, label, connections, lag
    "leases",  # sorted set: number, by when the lease runs out
    "dying",  # list: numbers whose lease ran out and whose users are being taken from them
    "touches",  # sorted set: "<length of user>:<user><session>", by when it runs out
    "revoked",  # list: "<sequence>-<microseconds since 1970>", entry, ... of the latest revocations
    "order:",  # + room, sorted set: "<name key>\0<user>", all of the same score: in name order
    "holds:",  # + number, set: "<length of room>:<room><user>" of whom the node holds
)
"""In the order in which the scripts take them; times are in milliseconds since 1970."""


def keys_of(prefix: str, partition: int) -> list[str]:
    """Return the names of a partition's keys; the last two are beginnings of names."""
    return [f"{{{prefix}:{partition}}}:{key}" for key in KEYS]


def partition_of(user: str, partitions: int) -> int:
    """Return which partition everything about a user is in."""
    return crc32(user.encode()) % partitions
