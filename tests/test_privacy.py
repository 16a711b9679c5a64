"""What is kept of people is what docs/privacy.md says, and goes with them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission, User
from django.test import Client

from tests.redis_servers import RedisServer
from whosonline import last_seen, runtime
from whosonline.core.entries import Profile
from whosonline.models import Invisible, LastSeen, SearchWord

pytestmark = pytest.mark.django_db

TEXT = (Path(__file__).parent.parent / "docs" / "privacy.md").read_text()


def test_every_table_is_named_and_last_seen_keeps_a_time_and_nothing_else():
    ours = {model.__name__ for model in apps.get_app_config("whosonline").get_models()}
    table = TEXT.split("## In the database")[1].split("##")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == ours
    assert {field.name for field in LastSeen._meta.get_fields()} == {"user", "at"}
    ann = User.objects.create(username="ann")
    for at in (100, 200):
        last_seen.save({str(ann.pk): at})
    assert [row.at.timestamp() for row in LastSeen.objects.all()] == [200]


def test_with_a_user_everything_goes_that_is_kept_of_the_user():
    ann, bob = (User.objects.create(username=name) for name in ("ann", "bob"))
    for user in (ann, bob):
        last_seen.save({str(user.pk): 100})
        Invisible.objects.create(user=user)
    key = ann.pk
    ann.delete()
    last_seen.save({str(key): 200})  # what a server process had still to write down
    for model in (LastSeen, Invisible, SearchWord):
        assert set(model.objects.values_list("user", flat=True)) == {bob.pk}


def test_staff_who_delete_users_are_not_told_who_appears_offline_and_need_no_further_right(client: Client):
    staff = User.objects.create(username="staff", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(codename__in=("view_user", "delete_user")))
    ann = User.objects.create(username="ann")
    last_seen.save({str(ann.pk): 100})
    client.force_login(staff)
    address = f"/admin/auth/user/{ann.pk}/delete/"
    visible = client.get(address).content
    Invisible.objects.create(user=ann)
    assert without_token(client.get(address).content) == without_token(visible)
    client.post(address, {"post": "yes"})
    assert not User.objects.filter(pk=ann.pk).exists()
    assert not Invisible.objects.exists()


def without_token(page: bytes) -> bytes:
    return re.sub(rb'name="csrfmiddlewaretoken" value="\w+"', b"", page)


def test_of_who_has_left_redis_holds_nothing_but_the_log(tmp_path: Path, settings):
    with RedisServer(tmp_path) as server:
        settings.WHOSONLINE = {"STORE": server.url}
        runtime.sync_store.cache_clear()
        store = runtime.sync_store()
        store.touch("4711", Profile("ann-the-first", "Ann Sommer"), "her-session", 30)
        held = keys_about(server)
        assert len(held) > 1
        store.withdraw("4711")
        assert keys_about(server) == [key for key in held if key.endswith(":log")]
        store.close()  # type: ignore[attr-defined]
    runtime.sync_store.cache_clear()


def keys_about(server: RedisServer) -> list[str]:
    """Return the keys under which anything of her is found."""
    import redis

    client = redis.Redis.from_url(server.url)
    about = re.compile(rb"4711|ann-the-first|Ann Sommer|her-session")
    found = []
    for key in sorted(client.scan_iter()):
        kind = client.type(key)
        value = {
            b"hash": lambda key: client.hgetall(key),
            b"stream": lambda key: client.xrange(key),
            b"set": lambda key: client.smembers(key),
            b"zset": lambda key: client.zrange(key, 0, -1),
            b"list": lambda key: client.lrange(key, 0, -1),
            b"string": lambda key: client.get(key),
        }[kind](key)
        if about.search(repr(value).encode()):
            found.append(key.decode())
    client.close()
    return found


def test_the_documented_export_gives_what_is_kept():
    ann = User.objects.create(username="ann")
    at = datetime(2026, 1, 2, tzinfo=UTC)
    LastSeen.objects.create(user=ann, at=at)
    runtime._backend().wipe()
    (snippet,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    imports, export = snippet.split("\n\n")
    names = {"user": ann}
    exec(imports, names)
    assert eval(export, names) == {"last seen": at, "appears offline": False, "now": "offline"}
