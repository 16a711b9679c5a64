"""Under which keys a store's facts are, and how a script is called on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import redis

from ..errors import StoreRefuses, StoreUnavailable
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


REFUSALS = (
    redis.AuthenticationError,
    redis.exceptions.AuthorizationError,
    redis.exceptions.NoPermissionError,
    redis.exceptions.AuthenticationWrongNumberOfArgsError,
)
"""What servers say that will not have us."""

PASSING = ("READONLY", "OOM", "NOREPLICAS", "MISCONF", "BUSY", "UNBLOCKED", "LOADING", "MASTERDOWN")
"""What servers say that will not have us now, but may soon."""


@contextmanager
def told_as_unavailable() -> Iterator[None]:
    """Turn whatever redis-py raises into the one error that callers know."""
    try:
        yield
    except (redis.RedisError, redis.exceptions.RedisClusterException, OSError, TimeoutError) as error:
        raise (StoreRefuses if any(map(_is_refusal, _reasons(error))) else StoreUnavailable)(
            str(error) or type(error).__name__
        ) from error
    except RuntimeError as error:
        # What uvloop says of a connection that was ended while something was written to it.
        if "closed" not in str(error):
            raise
        raise StoreUnavailable(str(error)) from error


def _is_refusal(error: BaseException) -> bool:
    # Of the errors without a class of their own most do not pass: no such database, no such command.
    plain = type(error) is redis.ResponseError and not any(word in str(error) for word in PASSING)
    return plain or isinstance(error, REFUSALS)


def _reasons(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what led to it: the client of a cluster wraps what its servers said."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
