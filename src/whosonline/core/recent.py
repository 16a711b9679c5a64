"""What happened a short while ago."""

from __future__ import annotations

from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Keys and values, each remembered for a span of seconds after it was last added."""

    def __init__(self, span: float) -> None:
        self._span = span
        # Oldest first: a key that is added again moves to the end.
        self._added: dict[str, tuple[Value, float]] = {}

    def __len__(self) -> int:
        return len(self._added)

    def __contains__(self, key: str) -> bool:
        """Return whether the key is remembered; beyond its span it may be, until another is added."""
        return key in self._added

    def add(self, key: str, value: Value, now: float) -> None:
        self._added.pop(key, None)
        self._added[key] = value, now
        self._forget(now)

    def discard(self, key: str) -> None:
        self._added.pop(key, None)

    def since(self, key: str, when: float, now: float) -> bool:
        """Return whether the key was added at this time or later, as far as it is remembered."""
        return self.holds(key, now) and self._added[key][1] >= when

    def holds(self, key: str, now: float) -> bool:
        """Return whether the key was added within the span before this time."""
        self._forget(now)
        return key in self._added

    def get(self, key: str, now: float, default: Value) -> Value:
        """Return the value that was added last under the key, if that is within the span."""
        return self._added[key][0] if self.holds(key, now) else default

    def _forget(self, now: float) -> None:
        while self._added:
            oldest = next(iter(self._added))
            if now - self._added[oldest][1] <= self._span:
                return
            del self._added[oldest]
