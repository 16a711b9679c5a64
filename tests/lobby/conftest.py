from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client

from whosonline import runtime

PASSWORD = "quite-a-long-word-7"


@pytest.fixture(autouse=True)
def _own_store(db: None) -> Iterator[None]:
    """A store and a database of its own for each test."""
    runtime._backend().wipe()
    yield
    runtime._backend().wipe()


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann", password=PASSWORD, first_name="Ann", last_name="Smith")


@pytest.fixture
def visitor(ann: User) -> Client:
    """A browser that Ann logged in with long ago: nothing of the log-in stands in the store any more."""
    client = Client()
    client.force_login(ann)
    runtime._backend().wipe()
    return client
