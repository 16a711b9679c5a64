"""A socket lives no longer than its right to: on every node, whatever ended it."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.end_to_end.site import Site, Visitor

AT_ONCE = 1.0
"""Seconds in which a socket is closed once its right is gone..."""

SLACK = 2.0
"""...and what a busy machine may take beyond."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory):
    with Site(tmp_path_factory.mktemp("site"), nodes=2, policy={"RECHECK": 5.0}) as site:
        yield site


def session_key(visitor: Visitor, site: Site) -> str:
    jar = visitor.at(site.nodes[0])._browser.cookie_jar
    return next(cookie.value for cookie in jar if cookie.key == "sessionid")


async def run(site: Site, code: str) -> float:
    """Run code beside the site, as an administrator's shell does; return when it had ended."""
    models = "from django.contrib.auth.models import User; from django.contrib.sessions.models import Session"
    await asyncio.to_thread(site.nodes[0].manage, "shell", "-c", f"{models}; {code}")
    return time.monotonic()
