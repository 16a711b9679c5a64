"""The lobby's settings. Everything that differs from place to place comes from the environment:

DEBUG          1 for development; off by default. ``make run`` switches it on.
SECRET_KEY     by default one is made at the first start and kept in the file .secret_key.
DATABASE_URL   SQLite beside this code by default; postgres://user:password@host/name.
REDIS_URL      where several processes meet (redis://host:6379/0); without it the store is in memory.
HOST           the address it is served at; a host that may be asked for by name.
ALLOWED_HOSTS  further ones, separated by commas.
CSRF_TRUSTED_ORIGINS  full origins behind a proxy (https://example.com), separated by commas.
PLAIN_HTTP     1 to serve without TLS outside DEBUG: cookies then go over plain HTTP, and there is no HSTS.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile

import dj_database_url
from django.core.management.utils import get_random_secret_key

BASE_DIR = Path(__file__).resolve().parent.parent


def _flag(name: str) -> bool:
    return os.environ.get(name, "0").lower() in {"1", "true", "yes", "on"}


def _list(name: str) -> list[str]:
    return [item.strip() for item in os.environ.get(name, "").split(",") if item.strip()]


def _secret_key() -> str:
    """Return the key of the environment, or else one made at the first start and kept in a file."""
    if key := os.environ.get("SECRET_KEY"):
        return key
    file = BASE_DIR / ".secret_key"
    if not file.exists():
        # Whole under another name first, since another process may look at any moment; for its owner alone.
        with NamedTemporaryFile("w", dir=BASE_DIR, prefix=".secret_key.") as new:
            new.write(get_random_secret_key())
            new.flush()
            with suppress(FileExistsError):
                os.link(new.name, file)
    return file.read_text()


DEBUG = _flag("DEBUG")
SECRET_KEY = _secret_key()

_host = os.environ.get("HOST", "127.0.0.1")
# Served at every address, it may be asked for by any name; that is for development only.
ALLOWED_HOSTS = ["*"] if DEBUG and _host in {"0.0.0.0", "::"} else ["127.0.0.1", "localhost", "[::1]", _host]
ALLOWED_HOSTS += _list("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = _list("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "whosonline.runserver",  # before staticfiles, whose runserver knows no sockets
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "whosonline",
    "lobby",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "lobby.middleware.content_security_policy",
    "lobby.middleware.stream_files",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "lobby.urls"
ASGI_APPLICATION = "lobby.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Before the admin's templates, which also has a registration/logged_out.html.
        "DIRS": [BASE_DIR / "lobby" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {"default": dj_database_url.config(default=f"sqlite:///{BASE_DIR / 'lobby.sqlite3'}")}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["OPTIONS"] = {
        # Writers wait for each other instead of failing, and readers wait for nobody.
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
elif DATABASES["default"]["ENGINE"].endswith("postgresql"):
    # Connections that persist in threads don't go with ASGI, whose threads come and go: a pool does.
    DATABASES["default"]["CONN_MAX_AGE"] = 0
    DATABASES["default"].setdefault("OPTIONS", {})["pool"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]

# Ten failures for one name from one address, then a quarter of an hour of rest: see lobby/throttle.py.
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # who is told to wait is not counted, nor waits longer
AXES_DISABLE_ACCESS_LOG = True
AXES_HANDLER = "lobby.throttle.Handler"
AXES_CLIENT_IP_CALLABLE = "lobby.throttle.address"
AXES_LOCKOUT_CALLABLE = "lobby.throttle.wait"
AXES_VERBOSE = False

LOGIN_URL = "log_in"
LOGIN_REDIRECT_URL = "list"
LOGOUT_REDIRECT_URL = "log_in"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
# With DEBUG files come from where they are edited; else hashed, compressed, from STATIC_ROOT.
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_AUTOREFRESH = DEBUG
if not DEBUG:
    STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "lobby.storage.ModulesStorage"},
    }

SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
if not DEBUG and not _flag("PLAIN_HTTP"):
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SECURE_SSL_REDIRECT = True
    # Behind a proxy the server tells whether a request came over TLS: see --forwarded-allow-ips of serve.
    # For this host alone, and for a month: a promise for all of a domain is not a lobby's to make.
    SECURE_HSTS_SECONDS = 30 * 24 * 3600
    SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
else:
    SECURE_CROSS_ORIGIN_OPENER_POLICY = None  # over plain HTTP browsers only complain of it

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    # In place of Django's own handlers, which would print each line a second time.
    "loggers": {"django": {"handlers": ["console"], "level": "WARNING", "propagate": False}},
}

# Who is online: the defaults are meant. See docs/settings.md.
WHOSONLINE: dict[str, object] = {}
if os.environ.get("REDIS_URL"):
    WHOSONLINE["STORE"] = os.environ["REDIS_URL"]
