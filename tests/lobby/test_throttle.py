"""Whoever guesses passwords has to wait; nobody else does, and nobody learns who has an account."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.asserts import assertRedirects

from .conftest import PASSWORD
from .markup import parse

LIMIT = 10
OFFICE, HOME = "203.0.113.5", "198.51.100.9"


def log_in(client: Client, name: str, password: str, address: str = OFFICE, **more: Any) -> HttpResponse:
    answers = {"username": name, "password": password}
    return client.post("/log_in/", answers, REMOTE_ADDR=address, **more)


def guess(client: Client, name: str, times: int = LIMIT, address: str = OFFICE) -> HttpResponse:
    for number in range(times):
        response = log_in(client, name, f"guess {number}", address)
    return response


def told(response: HttpResponse) -> str:
    return parse(response.content.decode()).one("main").text


def test_after_ten_failures_one_is_told_to_wait_whatever_the_password(client: Client, ann: User) -> None:
    assert guess(client, "ann", LIMIT - 1).status_code == 200

    for response in (guess(client, "ann", 1), log_in(client, "ann", PASSWORD)):
        assert response.status_code == 429
        assert response["Retry-After"] == "900"
        assert "Wait 15 minutes, then try again." in told(response)
    assertRedirects(client.get("/"), "/log_in/?next=/")


def test_an_office_that_shares_the_address_may_log_in(client: Client, ann: User) -> None:
    User.objects.create_user("bob", password=PASSWORD)
    guess(client, "ann", 3 * LIMIT)

    assertRedirects(log_in(client, "bob", PASSWORD), "/")


def test_who_is_guessed_at_may_log_in_elsewhere(client: Client, ann: User) -> None:
    guess(client, "ann")

    assertRedirects(log_in(client, "ann", PASSWORD, HOME), "/")


def test_another_address_of_the_same_ipv6_network_is_told_to_wait_too(client: Client, ann: User) -> None:
    for number in range(LIMIT):
        log_in(client, "ann", "guess", f"2001:db8:1:2::{number:x}")

    assert log_in(client, "ann", PASSWORD, "2001:db8:1:2:ffff::1").status_code == 429
    assert log_in(client, "ann", PASSWORD, "2001:db8:1:3::1").status_code == 302


def test_another_browser_does_not_help(client: Client, ann: User) -> None:
    for number in range(LIMIT):
        log_in(client, "ann", "guess", HTTP_USER_AGENT=f"browser {number}")

    assert log_in(client, "ann", PASSWORD, HTTP_USER_AGENT="a new one").status_code == 429


def test_a_header_that_names_another_address_does_not_help(client: Client, ann: User) -> None:
    # The server has put the address of a trusted proxy's client in place; the header itself is anybody's.
    for number in range(LIMIT):
        log_in(client, "ann", "guess", HTTP_X_FORWARDED_FOR=f"198.51.100.{number}")

    assert log_in(client, "ann", PASSWORD, HTTP_X_FORWARDED_FOR="198.51.100.99").status_code == 429


def test_a_log_in_that_goes_well_forgets_the_failures_before_it(client: Client, ann: User) -> None:
    for _ in range(3):
        guess(client, "ann", LIMIT - 1)
        assert log_in(client, "ann", PASSWORD).status_code == 302
        client.post("/log_out/")


def test_the_wait_ends_though_somebody_goes_on_guessing(client: Client, ann: User) -> None:
    guess(client, "ann", 2 * LIMIT)
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))

    assert log_in(client, "ann", PASSWORD).status_code == 302


def test_who_is_told_to_wait_leaves_nothing_in_the_database(client: Client, ann: User) -> None:
    guess(client, "ann")
    before = AccessAttempt.objects.values().get()
    guess(client, "ann")

    assert AccessAttempt.objects.values().get() == before
    assert "guess" not in str(before)


def test_an_address_that_is_none_is_counted_like_any_other(client: Client, ann: User) -> None:
    assert guess(client, "ann", address="unknown").status_code == 429
    assert log_in(client, "ann", PASSWORD).status_code == 302


def test_the_admin_s_log_in_makes_wait_too(client: Client, ann: User) -> None:
    answers = {"username": "ann", "password": "guess"}
    responses = [client.post("/admin/login/", answers, REMOTE_ADDR=OFFICE) for _ in range(LIMIT)]

    assert [response.status_code for response in responses] == [200] * (LIMIT - 1) + [429]
    assert log_in(client, "ann", PASSWORD).status_code == 429


def test_a_log_in_costs_one_query_more_and_a_sign_up_none(client: Client, ann: User) -> None:
    def queries(act: Callable[[], object]) -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            act()
        return [query["sql"] for query in captured if "axes" in query["sql"]]

    assert len(queries(lambda: log_in(client, "ann", PASSWORD))) == 1
    assert queries(lambda: client.post("/log_out/")) == []
    new = {"username": "zoe", "password1": PASSWORD, "password2": PASSWORD}
    assert queries(lambda: client.post("/sign_up/", new)) == []


# Nobody learns who has an account


def test_a_name_that_nobody_has_gets_the_same_answers_as_one_that_somebody_has(
    client: Client, ann: User
) -> None:
    User.objects.create_user("gone", password=PASSWORD, is_active=False)
    for number in range(LIMIT + 2):
        password = PASSWORD if number == 0 else "guess"
        answers = {
            name: log_in(client, name, "guess" if name == "ann" else password)
            for name in ("ann", "nobody", "gone")
        }
        pages = {told(response).replace(name, "NAME") for name, response in answers.items()}
        assert len(pages) == 1
        assert len({response.status_code for response in answers.values()}) == 1


def test_a_name_that_nobody_has_costs_as_much_work(
    client: Client, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    encode = MD5PasswordHasher.encode
    monkeypatch.setattr(
        MD5PasswordHasher, "encode", lambda self, *a, **k: hashed.append("once") or encode(self, *a, **k)
    )
    work = []
    for name in ("ann", "nobody"):
        hashed.clear()
        log_in(client, name, "guess")
        work.append(len(hashed))

    assert work == [1, 1]
