"""The Redis store against the same model as the one in memory, with its clock standing still."""

from __future__ import annotations

from pathlib import Path
from unittest import mock
from uuid import uuid4

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.redis_servers import RedisServer
from whosonline.stores.base import Store
from whosonline.stores.redis import Address, RedisStore
from whosonline.stores.redis.layout import Layout
from whosonline.stores.redis.scripts import Script

from .redis_time import script_at
from .test_memory_stateful import StoreMachine


class RedisStoreMachine(StoreMachine):
    url = ""

    def begin(self) -> None:
        self._layout = Layout(uuid4().hex)
        self._patches = [
            mock.patch("whosonline.stores.redis.layout.script", self._frozen),
            # The model's nodes do not rely on one another.
            mock.patch("whosonline.stores.redis.handles.SWEPT_LATELY", 0),
        ]
        for patch in self._patches:
            patch.start()

    def store(self) -> Store:
        return RedisStore(Address.parse(self.url), self._layout)

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            for patch in self._patches:
                patch.stop()

    def _frozen(self, name: str) -> Script:
        return script_at(name, str(round(self.clock.wall() * 1_000_000)))


def test_redis_holds_what_it_was_told(tmp_path: Path):
    with RedisServer(tmp_path) as server:
        machine = type("Machine", (RedisStoreMachine,), {"url": server.url})
        run_state_machine_as_test(
            machine,
            settings=settings(derandomize=True, max_examples=60, stateful_step_count=30, deadline=None),
        )
