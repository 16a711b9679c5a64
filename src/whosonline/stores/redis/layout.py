"""Under which keys a store's facts are, and how a script is called on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from .keys import keys_of, partition_of
from .scripts import script

Command = tuple[Any, ...]

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Layout:
    """Where in a Redis a store's facts are.

    Args:
        prefix: Begins every key; two sites on one Redis need two.
        partitions: Parts that the users are spread over, each with a log of its own.
        log_length: Entries that the logs keep, all together.
    """

    prefix: str = "whosonline"
    partitions: int = 1
    log_length: int = 10_000

    def of(self, user: str) -> int:
        """Return the partition of a user."""
        return partition_of(user, self.partitions)

    def chunks(
        self, things: Iterable[Thing], user_of: Callable[[Thing], str], size: int
    ) -> Iterator[tuple[int, list[Thing]]]:
        """Yield what is about users by partition, so many at a time at most, in the order given."""
        by_partition = defaultdict(list)
        for thing in things:
            by_partition[self.of(user_of(thing))].append(thing)
        for partition, its in by_partition.items():
            for start in range(0, len(its), size):
                yield partition, its[start : start + size]

    def keys(self, partition: int) -> list[str]:
        return keys_of(self.prefix, partition)

    def calling(self, name: str, partition: int, *arguments: Any) -> tuple[Command, Command]:
        """Return how a script is run: by its hash, and whole where the server does not know it yet."""
        keys = self.keys(partition)
        rest = (len(keys), *keys, -(-self.log_length // self.partitions), *arguments)
        return ("EVALSHA", script(name).sha, *rest), ("EVAL", script(name).source, *rest)


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
