"""The client's merge, on the cases that the browser module runs too (tests/js/states.test.js)."""

import json
import random
import sqlite3
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from whosonline.testing.client import ClientState, ask, in_name_order, merge, watches

VECTORS = Path(__file__).parent.parent / "vectors"
MERGE = json.loads((VECTORS / "merge.json").read_text())
ORDER = json.loads((VECTORS / "order.json").read_text("utf-8"))


def name(case: dict[str, Any]) -> str:
    return str(case["name"])


def run(steps: list[dict[str, Any]]) -> ClientState:
    state = ClientState()
    for step in steps:
        state = ask(state, step["ask"]) if "ask" in step else merge(state, step["told"])
    return state


@pytest.mark.parametrize("case", MERGE, ids=name)
def test_a_client_knows_what_it_was_told_of_what_it_asked_for(case: dict[str, Any]) -> None:
    state = run(case["steps"])
    assert asdict(state) == asdict(ClientState()) | case["state"]
    if "listed" in case:
        assert state.directory is not None
        assert state.directory.rows is not None
        assert [row["id"] for row in in_name_order(state.directory.rows.values())] == case["listed"]


def test_a_merge_leaves_the_state_before_as_it_was() -> None:
    for case in MERGE:
        before = run(case["steps"][:-1])
        copy = json.dumps(asdict(before))
        if case["steps"] and "told" in case["steps"][-1]:
            merge(before, case["steps"][-1]["told"])
        assert json.dumps(asdict(before)) == copy


def test_a_new_connection_asks_for_all_that_is_still_watched() -> None:
    users = {"type": "watch", "users": ["1", "2"]}
    page = {"type": "watch", "room": "site", "after": None, "limit": 5}
    directory = {"type": "watch", "directory": {"after": None, "until": "bob"}}
    state = ClientState()
    for message in (users, page, directory):
        state = ask(state, message)
    assert watches(state) == [users, page, directory]
    assert watches(ask(state, {"type": "unwatch", "room": "site"})) == [users, directory]
    assert watches(ask(state, {"type": "unwatch", "users": True})) == [page, directory]
    assert watches(ClientState()) == []


@pytest.mark.parametrize("case", ORDER, ids=name)
def test_pythons_order_is_the_name_order(case: dict[str, Any]) -> None:
    assert sorted(shuffled(case["keys"])) == case["keys"]


@pytest.mark.parametrize("case", ORDER, ids=name)
def test_sqlites_order_is_the_name_order(case: dict[str, Any]) -> None:
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE names (key TEXT)")
        database.executemany("INSERT INTO names VALUES (?)", [(key,) for key in shuffled(case["keys"])])
        found = [key for (key,) in database.execute("SELECT key FROM names ORDER BY key")]
        beyond = database.execute("SELECT count(*) FROM names WHERE key > ?", [case["keys"][0]]).fetchone()
    database.close()
    assert found == case["keys"]
    assert beyond == (len(case["keys"]) - 1,)


def test_rows_of_one_key_are_ordered_by_id() -> None:
    rows = [{"id": user, "key": "ann"} for user in ("2", "10", "1")]
    assert [row["id"] for row in in_name_order(rows)] == ["1", "10", "2"]


def shuffled(keys: list[str]) -> list[str]:
    return random.Random(1).sample(keys, len(keys))
