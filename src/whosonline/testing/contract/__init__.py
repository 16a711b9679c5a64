"""The Store contract, as a suite to inherit.

A store's tests say what a cluster of it is, and run the whole suite against it::

    class TestMyStore(StoreContract):
        @pytest.fixture
        def cluster(self):
            return MyCluster()  # a Cluster

The tests are coroutines; they want pytest-asyncio in its auto mode, or a plugin that does the same.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{part}" for part in ("cluster", "folding", "leases", "log", "touches"))
)

from .cluster import Cluster  # noqa: E402
from .folding import FoldingContract  # noqa: E402
from .leases import LeaseContract  # noqa: E402
from .log import LogContract  # noqa: E402
from .touches import TouchContract  # noqa: E402

__all__ = ["Cluster", "StoreContract"]


class StoreContract(FoldingContract, LeaseContract, TouchContract, LogContract):
    """Every obligation of :mod:`whosonline.stores.base`, a test each."""

    @pytest.fixture
    def cluster(self) -> Cluster:
        """Return a new and empty cluster of the store under test; to be overridden."""
        raise NotImplementedError("the tests of a store override the fixture `cluster`")
