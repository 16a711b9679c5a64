"""Reading what clients send, and writing what they are sent."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET

from whosonline.core import wire
from whosonline.core.entries import Profile
from whosonline.core.policy import Policy
from whosonline.core.statuses import Status
from whosonline.core.wire import BadMessage, decode, encode

CASES = json.loads((Path(__file__).parent.parent / "vectors" / "client_messages.json").read_text("utf-8"))
POLICY = Policy()


def text_of(case: dict[str, Any]) -> str:
    return str(case["text"]) if "text" in case else json.dumps(case["message"])


def name(case: dict[str, Any]) -> str:
    return str(case["name"])


@pytest.mark.parametrize("case", [case for case in CASES if "error" not in case], ids=name)
def test_a_good_message_is_read(case: dict[str, Any]) -> None:
    message = decode(text_of(case), POLICY)
    expected = json.loads(text_of(case))
    assert type(message).__name__.lower() == expected["type"]
    for field, value in expected.items():
        if field == "directory" and value is not True:
            assert message.directory == wire.Range(
                value.get("after"), value.get("until"), value.get("search")
            )
        elif field != "type":
            assert getattr(message, field) == value


@pytest.mark.parametrize("case", [case for case in CASES if "error" in case], ids=name)
def test_a_bad_message_is_refused_by_name_of_its_fault(case: dict[str, Any]) -> None:
    with pytest.raises(BadMessage) as refusal:
        decode(text_of(case), POLICY)
    assert case["error"] in str(refusal.value)


def test_five_hundred_users_may_be_watched_and_one_more_may_not() -> None:
    users = [str(user) for user in range(500)]
    assert decode(json.dumps({"type": "watch", "users": users}), POLICY) == wire.Watch(users=users)
    with pytest.raises(BadMessage, match="501 users are more than one connection may watch"):
        decode(json.dumps({"type": "watch", "users": [*users, "500"]}), POLICY)


@pytest.mark.parametrize("letter", ["a", "é", "😀"])
def test_the_size_of_a_message_is_counted_in_bytes(letter: str) -> None:
    policy = Policy(message_size=1000)
    envelope = '{"type":"idle"}'
    fits = (1000 - len(envelope)) // len(letter.encode())
    with pytest.raises(BadMessage, match="malformed"):
        decode(envelope + fits * letter, policy)
    with pytest.raises(BadMessage, match="larger than 1000 bytes"):
        decode(envelope + (fits + 1) * letter, policy)


def test_a_message_nested_without_end_is_refused() -> None:
    with pytest.raises(BadMessage):
        decode('{"type":' * 3000, POLICY)
    with pytest.raises(BadMessage):
        decode('{"type":"idle","x":' + "[" * 30_000, POLICY)


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(BadMessage):
        decode('{"type":"watch","users":["\ud800"]}', POLICY)


@pytest.mark.parametrize("length", [1, 100])
def test_ids_and_rooms_of_1_to_100_characters_are_taken(length: int) -> None:
    assert decode(json.dumps({"type": "enter", "room": "😀" * length}), POLICY)
    assert decode(json.dumps({"type": "watch", "users": ["😀" * length]}), POLICY)


def test_longer_ids_rooms_and_keys_are_refused() -> None:
    for message in (
        {"type": "enter", "room": "x" * 101},
        {"type": "watch", "users": ["x" * 101]},
        {"type": "watch", "directory": {"after": "x" * 301}},
        {"type": "watch", "directory": {"search": "x" * 101}},
        {"type": "watch", "room": "site", "search": "x" * 101},
    ):
        with pytest.raises(BadMessage, match="of length <="):
            decode(json.dumps(message), POLICY)


def test_a_part_that_says_nothing_is_left_out() -> None:
    assert json.loads(encode(wire.Update())) == {"type": "update"}
    assert json.loads(encode(wire.Update(online=0, users={}))) == {"type": "update", "online": 0, "users": {}}
    assert json.loads(encode(wire.Directory(removed=["5"]))) == {"type": "directory", "removed": ["5"]}


def test_last_seen_is_left_out_unless_known() -> None:
    users = {"1": wire.UserState(Status.ONLINE), "2": wire.UserState(Status.OFFLINE, 1785230000)}
    assert json.loads(encode(wire.Update(users=users)))["users"] == {
        "1": {"status": "online"},
        "2": {"status": "offline", "last_seen": 1785230000},
    }


def test_the_key_of_a_row_is_left_out_where_it_is_the_name() -> None:
    rows = [
        wire.Row.of("1", Profile("ann", "ann")),
        wire.Row.of("2", Profile("bob", "Bob Hall"), Status.AWAY),
    ]
    assert json.loads(encode(wire.Directory(reset=True, added=rows))) == {
        "type": "directory",
        "reset": True,
        "added": [
            {"id": "1", "name": "ann"},
            {"id": "2", "name": "Bob Hall", "key": "bob", "status": "away"},
        ],
    }


def test_a_page_always_tells_which_one_it_is() -> None:
    page = wire.Page("site", None, drop=["9"])
    assert json.loads(encode(wire.Update(page=page))) == {
        "type": "update",
        "page": {"room": "site", "after": None, "drop": ["9"]},
    }
    assert page.put is UNSET


def test_the_other_messages_are_written_as_documented() -> None:
    assert json.loads(encode(wire.Welcome("7", 1234))) == {
        "type": "welcome",
        "protocol": 1,
        "you": "7",
        "room": "site",
        "online": 1234,
    }
    assert json.loads(encode(wire.Notice("degraded"))) == {"type": "notice", "state": "degraded"}
    assert json.loads(encode(wire.Error(wire.ErrorCode.TOO_FAST, "slow down"))) == {
        "type": "error",
        "code": "too_fast",
        "detail": "slow down",
    }
