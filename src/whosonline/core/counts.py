"""The online count as people are shown it.

An exact count of tens of thousands changes all the time, and nobody reads its last digits; yet each change
would cost a frame to everybody. So a large count is shown with three significant digits.
"""

from __future__ import annotations

MOST_EXACT = 9_999
"""Up to here the count is shown as it is."""


def shown(count: int, before: int | None = None) -> int:
    """Return the figure to show for a count.

    Args:
        count: How many are online.
        before: The figure shown so far. It stands while the count is within three quarters of a step of it:
            a count that hovers halfway between two figures would otherwise change what is shown each time.
    """
    if count <= MOST_EXACT:
        return count
    step: int = 10 ** (len(str(count)) - 3)
    if before is not None and before > MOST_EXACT and 4 * abs(count - before) <= 3 * step:
        return before
    return (count + step // 2) // step * step
