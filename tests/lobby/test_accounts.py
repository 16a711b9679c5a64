"""Signing up, logging in and logging out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.asserts import assertRedirects

from whosonline import presence
from whosonline.core.statuses import Status

from .conftest import PASSWORD
from .markup import Element, parse

NEW = {"username": "zoe", "first_name": "", "password1": PASSWORD, "password2": PASSWORD}


def errors_of(page: Element, field: str) -> str:
    """Return what stands beside a field as its error; the field itself must lead there."""
    input = page.with_id(f"id_{field}")
    if "aria-invalid" not in input:
        return ""
    assert f"id_{field}_error" in (input["aria-describedby"] or "").split()
    return page.with_id(f"id_{field}_error").text


def test_the_list_sends_whoever_is_not_logged_in_to_log_in_and_back(client: Client) -> None:
    assertRedirects(client.get("/"), "/log_in/?next=/")


@pytest.mark.parametrize("page", ["/log_in/", "/sign_up/"])
def test_who_is_logged_in_already_is_sent_on_to_the_list(visitor: Client, page: str) -> None:
    assertRedirects(visitor.get(page), "/")


def test_signing_up_logs_in_and_leads_to_the_list(client: Client) -> None:
    response = client.post("/sign_up/", {**NEW, "first_name": "Zoë Ray"}, follow=True)

    assert response.redirect_chain == [("/", 302)]
    row = parse(response.content.decode()).one("ul.users").one("li.user")
    assert (row.one(".key").text, row.one(".name").text) == ("zoe", "Zoë Ray")
    assert presence.status(User.objects.get().pk).status is Status.ONLINE


@pytest.mark.parametrize(
    ("answers", "field", "error"),
    [
        ({"username": ""}, "username", "This field is required."),
        ({"username": "ann"}, "username", "A user with that username already exists."),
        ({"username": "ANN"}, "username", "A user with that username already exists."),
        ({"username": "a b"}, "username", "Enter a valid username."),
        ({"first_name": "x" * 151}, "first_name", "at most 150 characters"),
        ({"password1": "short", "password2": "short"}, "password1", "This password is too short."),
        ({"password2": "another"}, "password2", "The two password fields didn’t match."),
    ],
)
def test_sign_up_tells_an_error_beside_its_field_and_only_there(
    client: Client, ann: User, answers: dict[str, str], field: str, error: str
) -> None:
    response = client.post("/sign_up/", {**NEW, **answers})

    page = parse(response.content.decode())
    assert error in errors_of(page, field)
    assert [name for name in NEW if errors_of(page, name)] == [field]
    assert page.one("title").text.startswith("Error: ")
    assert User.objects.count() == 1


def test_a_refused_sign_up_keeps_what_was_typed_but_no_password(client: Client) -> None:
    response = client.post("/sign_up/", {**NEW, "first_name": '<Zoë> "Z"', "password2": "another"})

    page = parse(response.content.decode())
    assert page.with_id("id_username")["value"] == "zoe"
    assert page.with_id("id_first_name")["value"] == '<Zoë> "Z"'
    assert PASSWORD not in response.content.decode()


def test_log_in_tells_a_wrong_password_and_keeps_the_name(client: Client, ann: User) -> None:
    response = client.post("/log_in/", {"username": "ann", "password": "wrong"})

    page = parse(response.content.decode())
    assert "Please enter a correct username and password." in page.one("div.alert").text
    assert page.with_id("id_username")["value"] == "ann"


def test_logging_in_makes_online_and_leads_where_the_visitor_wanted_to_go(client: Client, ann: User) -> None:
    address = "/log_in/?next=%2F%3Fafter%3Da"
    assert "action" not in parse(client.get(address).content.decode()).one("form"), (
        "it posts to its own address"
    )

    response = client.post(address, {"username": "ann", "password": PASSWORD})

    assertRedirects(response, "/?after=a")

    assert presence.status(ann.pk).status is Status.ONLINE


@pytest.mark.parametrize("page", ["/log_in/", "/sign_up/"])
def test_every_field_has_a_label_and_says_what_browsers_may_fill_in(client: Client, page: str) -> None:
    form = parse(client.get(page).content.decode()).one("form")
    fields = [field for field in form.all("input") if field["type"] != "hidden"]

    assert fields
    assert [label["for"] for label in form.all("label")] == [field["id"] for field in fields]
    assert all(field["autocomplete"] for field in fields)


def test_every_hint_is_tied_to_its_field(client: Client) -> None:
    page = parse(client.get("/sign_up/").content.decode())

    for field in NEW:
        described_by = page.with_id(f"id_{field}")["aria-describedby"]
        assert page.with_id(str(described_by)).text


def test_a_get_of_the_log_out_page_shows_the_button_and_logs_nobody_out(visitor: Client) -> None:
    response = visitor.get("/log_out/")

    form = parse(response.content.decode()).one("main").one("form")
    assert (form["method"], form["action"]) == ("post", "/log_out/")
    assert form.one("button").text == "Log out"
    assert visitor.get("/").status_code == 200


def test_the_log_out_page_has_nothing_for_those_who_are_not_logged_in(client: Client) -> None:
    assertRedirects(client.get("/log_out/"), "/log_in/")


def test_the_button_on_every_page_logs_out_and_shows_offline_at_once(
    client: Client, ann: User, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    client.post("/log_in/", {"username": "ann", "password": PASSWORD})
    form = parse(client.get("/").content.decode()).one("header").one("form")
    assert form["method"] == "post"

    with django_capture_on_commit_callbacks(execute=True):
        assertRedirects(client.post(str(form["action"])), "/log_in/")

    assert presence.status(ann.pk).status is Status.OFFLINE
    assertRedirects(client.get("/"), "/log_in/?next=/")
