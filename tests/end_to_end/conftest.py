"""One site for most tests here: three processes with short timings, healed after each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from .site import Site, World


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site"), nodes=3) as site:
        yield site
        assert not site.errors()


@pytest.fixture
def site(running: Site) -> Iterator[Site]:
    """Three nodes that run."""
    yield running
    running.heal()


@pytest.fixture
async def world(site: Site) -> AsyncIterator[World]:
    """Nobody yet."""
    async with World(site) as world:
        yield world
