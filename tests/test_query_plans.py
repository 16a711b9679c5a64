"""What the database does for a page of the list: it reads the rows of the page, from an index.

With DATABASE_URL set to a PostgreSQL, these hold there too: test_postgresql.py runs them so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from whosonline import directory, words

pytestmark = pytest.mark.django_db

SORT = {"sqlite": "TEMP B-TREE", "postgresql": "Sort"}


@pytest.fixture
def plans() -> Callable[..., list[str]]:
    """Returns the plan of each query that a call makes, in a list of some thousands."""
    User.objects.bulk_create(
        [User(username=f"user{n:05}", first_name="Ann", last_name=f"Smith{n % 500:03}") for n in range(3000)]
    )
    for _ in words.reindex():
        pass
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        if connection.vendor == "postgresql":
            # Of a table as small as this it would rather read all.
            cursor.execute("SET LOCAL enable_seqscan = off")

    def explain(call: Callable[..., Any], *args: Any, **kwargs: Any) -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            assert call(*args, **kwargs)
        return [_explained(query["sql"]) for query in captured.captured_queries]

    return explain


def _explained(sql: str) -> str:
    how = "EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN "
    with connection.cursor() as cursor:
        cursor.execute(how + sql)
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


@pytest.mark.parametrize(
    ("call", "bounds"),
    [
        (directory.page, {}),
        (directory.page, {"after": "user01000"}),
        (directory.page, {"after": "user01000", "until": "user01200"}),
        (directory.page_before, {"before": "user02000"}),
    ],
)
def test_a_page_is_a_stretch_of_an_index_of_the_users(
    plans: Any, call: Callable[..., Any], bounds: dict[str, str]
) -> None:
    (plan,) = plans(call, **bounds, limit=50)
    index = "INDEX sqlite_autoindex_auth_user" if connection.vendor == "sqlite" else "whosonline_name_order"
    assert index in plan
    assert SORT[connection.vendor] not in plan


@pytest.mark.parametrize("query", ["smith07", "user", "ann smith4"])
@pytest.mark.parametrize(
    ("call", "bounds"), [(directory.page, {}), (directory.page_before, {"before": "user02500"})]
)
def test_a_search_is_a_stretch_of_the_index_of_words(
    plans: Any, query: str, call: Callable[..., Any], bounds: dict[str, str]
) -> None:
    search, users = plans(call, **bounds, limit=50, query=query)
    if connection.vendor == "sqlite":
        assert "USING COVERING INDEX whosonline_search (word>? AND word<?)" in search
        assert "USING INTEGER PRIMARY KEY" in users
    else:
        # Nothing has vacuumed the table yet: until then the rows have to be looked at as well.
        assert re.search(r"on whosonline_search .*Index Cond: .*word\S+ >= .*word\S+ < ", search, re.DOTALL)
        assert "auth_user_pkey" in users
    assert "SCAN auth_user" not in users
    assert "Seq Scan" not in search + users
