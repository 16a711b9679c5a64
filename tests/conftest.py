from __future__ import annotations

from collections.abc import Iterator

import pytest

from .serving import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running lobby, for tests that leave others' users alone."""
    server = Server(tmp_path_factory.mktemp("server"), {"GRACE": 1, "MESSAGE_BURST": 100})
    with server:
        yield server
    assert "Traceback" not in server.output(), server.output()
