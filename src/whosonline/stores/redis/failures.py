"""What redis-py raises, told as the two errors that callers know, and in words for people."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import redis
import redis.asyncio
import redis.sentinel

from ..errors import StoreRefuses, StoreSilent, StoreUnavailable

REFUSALS = (
    redis.AuthenticationError,
    redis.exceptions.AuthorizationError,
    redis.exceptions.NoPermissionError,
    redis.exceptions.AuthenticationWrongNumberOfArgsError,
)
"""What servers say that will not have us."""

PASSING = ("READONLY", "OOM", "NOREPLICAS", "MISCONF", "BUSY", "UNBLOCKED", "LOADING", "MASTERDOWN")
"""What servers say that will not have us now, but may soon."""

SILENCE = (redis.TimeoutError, TimeoutError)
"""What is raised where no answer came in time."""


@contextmanager
def told_as_unavailable(shown: str) -> Iterator[None]:
    """Turn whatever redis-py raises into the one error that callers know.

    Args:
        shown: The address, without its password.
    """
    try:
        yield
    except (redis.RedisError, redis.exceptions.RedisClusterException, OSError, TimeoutError) as error:
        raise _kind(error)(_in_words(error, shown)) from error
    except RuntimeError as error:
        # What uvloop says of a connection that was ended while something was written to it.
        if "closed" not in str(error):
            raise
        raise StoreUnavailable(str(error)) from error


def _kind(error: BaseException) -> type[StoreUnavailable]:
    if any(map(_is_refusal, _reasons(error))):
        return StoreRefuses
    return StoreSilent if isinstance(error, SILENCE) else StoreUnavailable


def _in_words(error: BaseException, shown: str) -> str:
    text = str(error)
    if isinstance(error, SILENCE):
        return f"{shown} did not answer in time"
    if "unauthenticated" in text:
        # To who has not logged in, Redis speaks of the size of the request before it looks at the rest.
        return "Authentication required: the address gives no password"
    if isinstance(error, redis.sentinel.MasterNotFoundError | redis.asyncio.sentinel.MasterNotFoundError):
        # Behind it stands all that Python shows of the client of each sentinel that did not answer.
        master, _, silent = text.partition(" : ")
        hosts = [f"{host}:{port}" for host, port in re.findall(r"\bhost=([^,)]+),port=(\d+)", silent)]
        return f"{master}; no answer of {', '.join(hosts) or 'a sentinel'}" if silent else master
    return text.rstrip(". ") or type(error).__name__


def _is_refusal(error: BaseException) -> bool:
    # Of the errors without a class of their own most do not pass: no such database, no such command.
    plain = type(error) is redis.ResponseError and not any(word in str(error) for word in PASSING)
    return plain or isinstance(error, REFUSALS)


def _reasons(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what led to it: the client of a cluster wraps what its servers said."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
