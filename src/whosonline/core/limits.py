"""Rules for a connection that sends too much."""

from __future__ import annotations

from collections import deque


class TokenBucket:
    """Allows `burst` events at once and `rate` events a second in the long run."""

    __slots__ = ("_burst", "_rate", "_tokens", "_updated")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._updated = now

    def take(self, now: float) -> bool:
        """Return whether an event at this time is within the limit, and count it if so."""
        elapsed = max(0.0, now - self._updated)
        self._tokens = min(self._burst, self._tokens + elapsed * self._rate)
        self._updated = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Strikes:
    """Counts faults within a sliding span of time."""

    __slots__ = ("_limit", "_span", "_times")

    def __init__(self, limit: int, span: float) -> None:
        self._limit = limit
        self._span = span
        # Faults are rare: most connections never pay for the deque.
        self._times: deque[float] | None = None

    def add(self, now: float) -> bool:
        """Count a fault at this time; return whether the limit is reached."""
        if self._times is None:
            self._times = deque(maxlen=self._limit)
        self._times.append(now)
        return len(self._times) == self._limit and now - self._times[0] <= self._span
