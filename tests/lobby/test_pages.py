"""The look that all pages share, the pages for errors, and what no page may hold."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.views import defaults

from .markup import parse

PAGES = ["/", "/log_in/", "/sign_up/", "/log_out/", "/nothing/here/"]


def pages(*clients: Client) -> dict[str, HttpResponse]:
    return {f"{page} {number}": client.get(page) for number, client in enumerate(clients) for page in PAGES}


def test_every_page_has_a_policy_that_forbids_all_but_its_own_files(visitor: Client, client: Client) -> None:
    for page, response in pages(visitor, client).items():
        policy = dict(part.split(" ", 1) for part in response["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == "'none'", page
        assert policy["script-src"] == policy["style-src"] == "'self'", page
        assert policy["base-uri"] == policy["frame-ancestors"] == "'none'", page


def test_django_s_own_pages_for_developers_have_their_style(visitor: Client, settings: Any) -> None:
    settings.DEBUG = True
    assert "Content-Security-Policy" not in visitor.get("/nothing/here/")
    assert "Content-Security-Policy" in visitor.get("/log_in/")


def test_no_page_holds_a_script_a_style_or_a_handler_of_its_own(visitor: Client, client: Client) -> None:
    shown = [response.content.decode() for response in pages(visitor, client).values()]
    shown += [client.post("/sign_up/", {}).content.decode(), client.post("/log_in/", {}).content.decode()]
    shown += [render_to_string(f"{code}.html") for code in ("400", "403", "403_csrf", "500")]
    for html in shown:
        for element in parse(html).all(""):
            assert element.tag != "style"
            assert not {name for name in element.attributes if name == "style" or name.startswith("on")}
            if element.tag == "script":
                assert (element["type"], element.text) == ("module", "")
            for link in ("src", "href", "action"):
                assert (element[link] or "/").startswith(("/", "?", "#")), "nothing comes from elsewhere"


def test_all_that_the_pages_load_is_served_by_the_site(visitor: Client) -> None:
    page = parse(visitor.get("/").content.decode())
    files = [file["href"] for file in page.all("link")] + [file["src"] for file in page.all("script")]

    assert len(files) == 5
    for file in files:
        with closing(visitor.get(str(file))) as response:
            assert response.status_code == 200, file


def test_the_header_names_who_is_logged_in_exactly(client: Client) -> None:
    client.force_login(User.objects.create_user("<i>'&amp;\"</i>"))

    header = parse(client.get("/").content.decode()).one("header")

    assert header.one("bdi").text == "<i>'&amp;\"</i>"


def test_only_staff_find_a_way_to_the_admin(visitor: Client, ann: User) -> None:
    assert "/admin/" not in visitor.get("/").content.decode()
    ann.is_staff = True
    ann.save()
    assert '<a href="/admin/">' in visitor.get("/").content.decode()


def test_an_unknown_address_is_told_in_the_look_of_the_site(visitor: Client, client: Client) -> None:
    for browser, logged_in in ((visitor, True), (client, False)):
        response = browser.get("/nothing/here/")
        page = parse(response.content.decode())
        assert response.status_code == 404
        assert page.one("h1").text == "Nothing here"
        assert bool(page.one("header").all("form")) is logged_in


def test_a_form_that_is_out_of_date_is_told_in_the_look_of_the_site(ann: User) -> None:
    strict = Client(enforce_csrf_checks=True)

    response = strict.post("/log_in/", {"username": "ann", "password": "x"})

    assert response.status_code == 403
    assert parse(response.content.decode()).one("h1").text == "That form was out of date"


@pytest.mark.parametrize(
    ("view", "title"),
    [
        (lambda request: defaults.bad_request(request, Exception()), "Bad request"),
        (lambda request: defaults.permission_denied(request, Exception()), "Not allowed"),
        (defaults.server_error, "Something went wrong"),
    ],
)
def test_what_else_may_go_wrong_has_its_page(
    rf: RequestFactory, view: Callable[..., HttpResponse], title: str
) -> None:
    page = parse(view(rf.get("/")).content.decode())

    assert page.one("h1").text == title
    assert page.one("main").one("a")["href"] == "/"


def test_the_page_of_a_server_error_needs_no_manifest_of_static_files(settings: object) -> None:
    settings.STORAGES = {  # type: ignore[attr-defined]
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}
    }
    with pytest.raises(ValueError, match="manifest"):
        render_to_string("404.html")

    assert "/static/lobby/lobby.css" in render_to_string("500.html")
