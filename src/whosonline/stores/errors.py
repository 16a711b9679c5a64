"""What may go wrong with a store.

::

    StoreError
    ├── StoreUnavailable    nobody knows whether the call had an effect; call again later
    │   ├── StoreSilent     it did not answer in time
    │   └── StoreRefuses    it is there and will not have us: a password, a right or the address is wrong
    ├── NodeExpelled        the store holds nothing of this node any more; beat, then report everyone
    └── PositionGone        the log no longer reaches back to there; take a snapshot
"""

from __future__ import annotations


class StoreError(Exception):
    """Anything a store raises on purpose."""


class StoreUnavailable(StoreError):
    """The store cannot be reached, or did not answer in time."""


class StoreSilent(StoreUnavailable):
    """The store did not answer in time; or its answer lay unread for so long."""


class StoreRefuses(StoreUnavailable):
    """The store is there, and refuses: the password, the rights or the address are wrong."""


class NodeExpelled(StoreError):
    """This node's lease ran out, or the store lost its memory."""


class PositionGone(StoreError):
    """The log was trimmed past this position, or has begun a new epoch."""
