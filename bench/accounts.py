"""Many users with live sessions, straight in the project's database: by the pages it would take hours."""

from __future__ import annotations

from datetime import timedelta
from string import ascii_lowercase, digits
from typing import NamedTuple


class Account(NamedTuple):
    user: str
    cookie: str
    """The value of a Cookie header."""


def make_accounts(count: int) -> list[Account]:
    """Make users and a session for each; Django must be set up, its sessions kept in the database."""
    from django.conf import settings
    from django.contrib import auth
    from django.contrib.auth.hashers import make_password
    from django.contrib.auth.models import User
    from django.contrib.sessions.backends.db import SessionStore
    from django.contrib.sessions.models import Session
    from django.utils import timezone
    from django.utils.crypto import get_random_string

    backend = settings.AUTHENTICATION_BACKENDS[-1]  # those before it only watch who logs in
    password = make_password(None)  # nobody can log in with it
    users = [User(username=f"bench-{number:06}", password=password) for number in range(count)]
    User.objects.bulk_create(users, batch_size=1000)
    store = SessionStore()
    expire_date = timezone.now() + timedelta(days=1)
    sessions = [
        Session(
            session_key=get_random_string(32, ascii_lowercase + digits),
            session_data=store.encode(
                {
                    auth.SESSION_KEY: str(user.pk),
                    auth.BACKEND_SESSION_KEY: backend,
                    auth.HASH_SESSION_KEY: user.get_session_auth_hash(),
                }
            ),
            expire_date=expire_date,
        )
        for user in users
    ]
    Session.objects.bulk_create(sessions, batch_size=1000)
    return [
        Account(str(user.pk), f"{settings.SESSION_COOKIE_NAME}={session.session_key}")
        for user, session in zip(users, sessions, strict=True)
    ]
