"""The WHOSONLINE setting, and the checks that say what is wrong with it before anything runs."""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from django.apps import apps
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler

from whosonline import checks, conf
from whosonline.core.policy import Policy
from whosonline.server import CannotServe, load_application

plain_application = ASGIHandler()

DOCS = Path(__file__).resolve().parent.parent / "docs"


def messages() -> list[tuple[str, str]]:
    return [(str(found.id), found.msg) for found in run_checks() if str(found.id).startswith("whosonline")]


def test_the_defaults_pass_every_check():
    assert messages() == []


def test_a_setting_reaches_the_policy(settings):
    settings.WHOSONLINE = {"GRACE": 2.5, "PATH": "live/"}
    assert conf.get_settings().policy.grace == 2.5
    assert conf.get_settings().path == "live/"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"GRACEFUL": 1}, "unknown keys: GRACEFUL. Known are: ACCESS_POLICY, ARRIVALS_WAITING"),
        ({"grace": 1}, "unknown keys: grace"),
        ({1: 1}, "unknown keys: 1"),
        ({"LEASE": 5}, "lease (5 s) must be more than 2 × beat (3.0 s)"),
        ({"GRACE": "5"}, "grace must be a number, not '5'"),
        ({"CONNECTIONS_PER_USER": 2.5}, "connections_per_user must be a whole number, not 2.5"),
        ({"TICK": 0}, "tick must be more than 0 and finite, not 0"),
        ({"PATH": "/users/"}, "must not begin with a slash"),
        ({"PATH": ""}, "WHOSONLINE['PATH'] must be a text, not ''"),
        ({"STORE": "carrier-pigeon://"}, "'carrier-pigeon://' is no address of a Redis"),
        ({"STORE": "redis://:secret@host/x"}, "'redis://***@host/x' is no address of a Redis"),
        ({"STORE": "redis+cluster://host/3"}, "a cluster has no numbered databases"),
        ({"STORE": "redis+sentinel:///lobby"}, "it names no host"),
        ({"STORE": "redis://host?bogus=1"}, "'redis://host?bogus=1' is no address of a Redis: redis-py"),
        ({"HUGE_PAGES": "no"}, "must be True or False, not 'no'"),
        ({"PARTITIONS": 0}, "must be a whole number from 1 to 64, not 0"),
        (["GRACE"], "must be a dict, not ['GRACE']"),
    ],
)
def test_what_cannot_work_is_refused_and_named(settings, values, told):
    settings.WHOSONLINE = values
    ((id, message),) = messages()
    assert id == "whosonline.E001"
    assert told in message
    with pytest.raises(ImproperlyConfigured, match=re.escape(told)):
        conf.get_settings()


def test_who_lacks_redis_py_is_told_to_install_what_the_package_declares(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "whosonline.stores.redis", None)
    settings.WHOSONLINE = {"STORE": "redis://host"}
    ((id, message),) = messages()
    extras = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert id == "whosonline.E001"
    assert [f"pip install '{needed}'" in message for needed in extras["redis"]] == [True]


def test_apps_that_are_needed_and_missing_are_named(monkeypatch):
    monkeypatch.setattr(apps, "is_installed", lambda name: name == "django.contrib.contenttypes")
    (error,) = checks.check_requirements()
    assert error.id == "whosonline.E002"
    assert "django.contrib.auth, django.contrib.sessions" in error.msg


def test_a_missing_asgi_application_is_warned_of(settings):
    settings.ASGI_APPLICATION = None
    assert messages() == [("whosonline.W001", "ASGI_APPLICATION is not set")]


def test_a_runserver_that_another_app_s_hides_is_warned_of(settings):
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS[1:], settings.INSTALLED_APPS[0]]
    assert [id for id, _ in messages()] == ["whosonline.W002"]


def test_an_application_that_knows_no_sockets_is_refused_with_what_to_do(settings):
    settings.ASGI_APPLICATION = "tests.test_conf.plain_application"
    with pytest.raises(CannotServe, match="import get_asgi_application from whosonline"):
        load_application()
    settings.ASGI_APPLICATION = None
    with pytest.raises(CannotServe, match="ASGI_APPLICATION is not set"):
        load_application()


def test_every_setting_is_documented_with_its_default():
    text = (DOCS / "settings.md").read_text().split("## Django's own settings")[0]
    defaults = {field.name: field.default for field in fields(Policy)}
    defaults |= {"store": "memory://", "partitions": 1, "key_prefix": "whosonline", "path": "users/"}
    defaults |= {"access_policy": "whosonline.access.AccessPolicy", "huge_pages": "True"}
    documented = dict(re.findall(r"^\| `([A-Z_]+)` \| `?([^|`]+?)`? \|", text, re.MULTILINE))
    assert set(documented) == {name.upper() for name in defaults}
    for name, default in defaults.items():
        expected = str(default) if isinstance(default, str) else f"{default:g}"
        assert documented[name.upper()].replace(",", "") == expected, name


def test_every_check_is_documented():
    source = Path(checks.__file__).read_text()
    text = (DOCS / "settings.md").read_text()
    for id in re.findall(r'id="(whosonline\.\w+)"', source):
        assert f"`{id}`" in text, id


def test_every_command_and_template_tag_is_documented():
    text = "".join(page.read_text() for page in DOCS.glob("*.md"))
    package = Path(checks.__file__).parent
    for command in package.rglob("management/commands/*.py"):
        if command.stem != "__init__":
            assert re.search(rf"`manage\.py {command.stem}[ `]", text), command.stem
    for tag in re.findall(r"@register\.\w+\ndef (\w+)", (package / "templatetags/whosonline.py").read_text()):
        assert f"{{% {tag}" in text, tag
