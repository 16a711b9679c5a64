from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def reports_without_rest() -> Iterator[None]:
    """Let a handle report again at once: what is tested here are many calls, one after the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("whosonline.stores.redis.handles.REST", 0.0)
        yield
