from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from whosonline.core.policy import Policy, PolicyError

NAMES = [field.name for field in fields(Policy)]
WHOLE = [field.name for field in fields(Policy) if isinstance(field.default, int)]


def test_the_defaults_are_possible() -> None:
    policy = Policy()
    assert (policy.grace, policy.beat, policy.lease, policy.sweep) == (5, 3, 10, 1)


def test_a_policy_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Policy().grace = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("impossible", "possible", "why"),
    [
        ({"lease": 6.0, "beat": 3.0}, {"lease": 6.1, "beat": 3.0}, r"lease \(6.0 s\).*2 × beat \(3.0 s\)"),
        ({"sweep": 2.6}, {"sweep": 2.5}, r"sweep \(2.6 s\).*a quarter of lease \(10.0 s\)"),
        ({"touch": 4.0}, {"touch": 5.0}, r"touch \(4.0 s\).*grace \(5.0 s\)"),
        ({"count_interval": 0.05}, {"count_interval": 0.1}, r"count_interval \(0.05 s\).*tick \(0.1 s\)"),
        ({"message_burst": 19}, {"message_burst": 20}, r"message_burst \(19\).*message_rate \(20.0\)"),
    ],
)
def test_an_impossible_combination_is_refused_with_its_values_and_the_reason(
    impossible: dict[str, Any], possible: dict[str, Any], why: str
) -> None:
    with pytest.raises(PolicyError, match=why):
        Policy(**impossible)
    Policy(**possible)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [-1, float("inf"), float("nan"), "5", None, True])
def test_what_is_no_positive_number_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(PolicyError, match=rf"^{name} must be .*not {value!r}$"):
        Policy(**{name: value})


@pytest.mark.parametrize("name", NAMES)
def test_only_the_grace_and_the_time_to_a_first_message_may_be_nothing(name: str) -> None:
    if name in {"grace", "first_message"}:
        assert getattr(Policy(**{name: 0}), name) == 0
        return
    with pytest.raises(PolicyError, match=f"^{name} must be more than 0"):
        Policy(**{name: 0})


@pytest.mark.parametrize("name", WHOLE)
def test_a_count_is_a_whole_number(name: str) -> None:
    with pytest.raises(PolicyError, match=f"^{name} must be a whole number, not 100.5"):
        Policy(**{name: 100.5})
