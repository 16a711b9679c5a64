"""What happened a short while ago."""

from __future__ import annotations


class Recent:
    """Keys, each remembered for a span of seconds after it was last added."""

    def __init__(self, span: float) -> None:
        self._span = span
        # Oldest first: a key that is added again moves to the end.
        self._added: dict[str, float] = {}

    def add(self, key: str, now: float) -> None:
        self._added.pop(key, None)
        self._added[key] = now
        self._forget(now)

    def holds(self, key: str, now: float) -> bool:
        """Return whether the key was added within the span before this time."""
        self._forget(now)
        return key in self._added

    def _forget(self, now: float) -> None:
        while self._added:
            oldest = next(iter(self._added))
            if now - self._added[oldest] <= self._span:
                return
            del self._added[oldest]
