"""The admin's list of users: putting people out, by those who may."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.test import Client
from pytest_django.asserts import assertRedirects

from whosonline import presence
from whosonline.core.statuses import Status

USERS = "/admin/auth/user/"
OFFERED = 'value="log_out_everywhere"'

pytestmark = pytest.mark.django_db


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def is_logged_in(client: Client) -> bool:
    return client.get("/").status_code == 200


def people(*names: str) -> list[User]:
    return [User.objects.create_user(name) for name in names]


def staff(*permissions: str) -> Client:
    """Return the browser of somebody who may use the admin, and do this to users."""
    person = User.objects.create_user("staff", is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return logged_in(person)


def put_out(admin: Client, *users: User) -> Any:
    """Choose users in the list, and the action, as the page's form does."""
    chosen = {"action": "log_out_everywhere", "_selected_action": [user.pk for user in users]}
    return admin.post(USERS, chosen, follow=True)


def told(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def test_all_sessions_of_the_chosen_end_and_nobody_else_s(
    django_capture_on_commit_callbacks: Any,
) -> None:
    admin = staff("view_user", "change_user")
    ann, bob, cy = people("ann", "bob", "cy")
    laptop, phone, others, third = (logged_in(user) for user in (ann, ann, bob, cy))
    assert OFFERED in admin.get(USERS).content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        response = put_out(admin, ann, cy)
    assert told(response) == ["3 sessions ended."]
    clients = (laptop, phone, third, others, admin)
    assert [is_logged_in(client) for client in clients] == [False, False, False, True, True]
    # The log-in that had not opened a page yet does not count any more either.
    assert [presence.status(user.pk).status for user in (ann, cy, bob)] == [
        Status.OFFLINE,
        Status.OFFLINE,
        Status.ONLINE,
    ]
    assert told(put_out(admin, bob)) == ["1 session ended."]


def test_who_puts_themselves_out_has_to_log_in_again() -> None:
    admin = staff("view_user", "change_user")
    response = put_out(admin, User.objects.get(username="staff"))
    assertRedirects(response, f"/admin/login/?next={USERS}")
    assert not Session.objects.exists()


@pytest.mark.parametrize("permissions", [["view_user"], ["view_user", "delete_user"]])
def test_staff_who_may_not_change_users_are_not_offered_it_nor_may_do_it(permissions: list[str]) -> None:
    admin = staff(*permissions)
    (ann,) = people("ann")
    hers = logged_in(ann)
    page = admin.get(USERS)
    assert page.status_code == 200
    assert ">ann<" in page.content.decode()
    assert OFFERED not in page.content.decode()
    put_out(admin, ann)
    assert is_logged_in(hers)


def test_where_sessions_are_on_no_list_it_says_so_and_ends_none(settings: Any) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    admin = staff("view_user", "change_user")
    (ann,) = people("ann")
    hers = logged_in(ann)
    (problem,) = told(put_out(admin, ann))
    assert "keeps no list of its sessions" in problem
    assert is_logged_in(hers)
