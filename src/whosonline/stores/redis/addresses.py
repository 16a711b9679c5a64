"""Where a Redis is, and the clients for it.

::

    redis://[[user]:password@]host[:6379][/db]            rediss:// over TLS
    unix://[[user]:password@]/path/to/socket[?db=0]
    redis+sentinel://[[user]:password@]host[:26379],host,...[/service[/db]]     rediss+sentinel://
    redis+cluster://[[user]:password@]host[:6379],host,...                      rediss+cluster://

``valkey`` may stand in place of ``redis``. Options follow a question mark, as redis-py knows them
(``ssl_ca_certs=/path``); ``sentinel_username`` and ``sentinel_password`` are for the sentinels themselves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.connection import parse_url

SERVICE = "mymaster"
"""The service that Sentinel's own documentation and configuration begin with."""

CONNECT_TIMEOUT = 1.0
"""Seconds."""


OURS = ("decode_responses", "encoding", "encoding_errors", "protocol")
"""Options of redis-py that would change what the store reads."""


class BadAddress(ValueError):
    """An address that cannot be one; the message says why, and never holds the password."""


@dataclass(frozen=True)
class Address:
    """A Redis, as a URL tells. :meth:`parse` makes it."""

    kind: str
    """single, sentinel or cluster"""
    shown: str
    """The URL without the password."""
    hosts: list[tuple[str, int]]
    service: str
    options: dict[str, Any] = field(repr=False)
    sentinel_options: dict[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> Address:
        """Raises BadAddress."""
        shown = _without_passwords(url)
        match = re.fullmatch(r"(?:(redis|valkey)(s?)(?:\+(sentinel|cluster))?|unix)://(.*)", url, re.DOTALL)
        if match is None:
            raise BadAddress(
                f"{shown!r} is no address of a Redis: it begins with redis://, rediss://, unix://, "
                "redis+sentinel:// or redis+cluster://"
            )
        name, tls, kind, rest = match.groups()
        scheme = f"redis{tls}" if name else "unix"
        try:
            address = cls._parse(kind or "single", shown, scheme, rest)
            if not tls:
                _refuse_tls_options(address, f"{name or 'redis'}s{f'+{kind}' if kind else ''}://")
            address._try_options()
        except (ValueError, TypeError, redis.RedisError) as error:
            reason = re.sub(r".* unexpected keyword argument", "redis-py knows no option", str(error))
            raise BadAddress(f"{shown!r} is no address of a Redis: {_without_passwords(reason)}") from None
        return address

    @classmethod
    def _parse(cls, kind: str, shown: str, scheme: str, rest: str) -> Address:
        parts = urlsplit(f"{scheme}://{rest}")
        login, at, hosts = parts.netloc.rpartition("@")
        query = dict(parse_qsl(parts.query))
        sentinel = {key[9:]: query.pop(key) for key in list(query) if key.startswith("sentinel_")}
        path, service = parts.path, SERVICE
        if kind == "sentinel":
            service, _, database = path.strip("/").partition("/")
            path = f"/{database}"
        elif kind == "cluster" and path.strip("/") not in ("", "0"):
            raise ValueError("a cluster has no numbered databases")
        if kind != "single" and not hosts:
            raise ValueError("it names no host")
        # redis-py knows the options and their types; of the hosts it can read one.
        host = hosts if kind == "single" else "host"
        options = parse_url(f"{scheme}://{login}{at}{host}{path}?{urlencode(query)}")
        if path.strip("/") and "db" not in options and scheme != "unix":
            raise ValueError(f"{path.strip('/')!r} is no number of a database")
        if kind != "single":
            options.pop("host", None)
            # Clients of several servers take it as a flag.
            options["ssl"] = options.pop("connection_class", None) is not None
        default = 26379 if kind == "sentinel" else 6379
        found = [_host(each, default) for each in hosts.split(",")] if kind != "single" else []
        return cls(kind, shown, found, service or SERVICE, options, sentinel)

    def _try_options(self) -> None:
        """Make what would be made of the options, without connecting: redis-py looks at them only then.

        Raises TypeError, ValueError or RedisError.
        """
        for option in OURS:
            if option in self.options:
                raise ValueError(f"{option!r} is not to be set")
        # The client of a cluster that is not asynchronous connects when it is made.
        for library in (redis, redis.asyncio) if self.kind != "cluster" else (redis.asyncio,):
            client = self._client(library, CONNECT_TIMEOUT)
            if self.kind != "cluster":
                client.connection_pool.make_connection()

    @property
    def secure(self) -> bool:
        """Whether what goes over it is encrypted, or leaves the machine not at all."""
        local = {"localhost", "127.0.0.1", "::1"}
        hosts = [host for host, _ in self.hosts] or [self.options.get("host", "localhost")]
        tls = self.options.get("ssl") or "connection_class" in self.options
        return bool(tls or local.issuperset(hosts))

    def client(self, timeout: float) -> Any:
        """Return a client for threads.

        Args:
            timeout: Seconds that an answer may take.
        """
        return self._client(redis, timeout)

    def async_client(self, timeout: float) -> Any:
        """Return a client for the loop that first uses it."""
        return self._client(redis.asyncio, timeout)

    def _client(self, library: Any, timeout: float) -> Any:
        """Return a client of redis, or of redis.asyncio, which has everything under the same names."""
        options = self._options(library, timeout)
        if self.kind == "cluster":
            nodes = [library.cluster.ClusterNode(host, port) for host, port in self.hosts]
            return library.RedisCluster(startup_nodes=nodes, **options)
        if self.kind == "sentinel":
            sentinel = library.Sentinel(self.hosts, sentinel_kwargs=self._for_sentinels(options), **options)
            return sentinel.master_for(self.service)
        if kind := options.get("connection_class"):
            options["connection_class"] = getattr(library.connection, kind.__name__)
        return library.Redis.from_pool(library.ConnectionPool(**options))

    def _options(self, library: Any, timeout: float) -> dict[str, Any]:
        """Return what every client is made with; redis-py's own defaults change with its releases."""
        return {
            "socket_connect_timeout": min(timeout, CONNECT_TIMEOUT),
            "socket_timeout": timeout,
            # The beat is health check enough; threads, which have none, try again.
            "health_check_interval": 0,
            # Once more on a new connection, at once: an old one may have been ended from the other side, or
            # cut in between without a word. Whoever calls decides about further tries, and knows how long it
            # may take.
            "retry": library.retry.Retry(NoBackoff(), 1, _worth_another_try(library)),
            # The older protocol: nothing here needs the newer, and nothing is pushed over it.
            "protocol": 2,
            **({} if "path" in self.options else {"socket_keepalive": True}),
            **self.options,
        }

    def _for_sentinels(self, options: dict[str, Any]) -> dict[str, Any]:
        own = {"username", "password", "db"}
        return {key: value for key, value in options.items() if key not in own} | self.sentinel_options


def _worth_another_try(library: Any) -> tuple[type[Exception], ...]:
    # In a loop a call is bounded as a whole, and who reads and waits has its own ways.
    lost = (redis.ConnectionError,)
    return lost if library is redis.asyncio else (*lost, redis.TimeoutError)


def _refuse_tls_options(address: Address, scheme: str) -> None:
    """Refuse what would be ignored without TLS, or not understood."""
    for option in (*address.options, *address.sentinel_options):
        if option.startswith("ssl_"):
            raise ValueError(f"{option!r} goes with TLS: {scheme}")


def _without_passwords(text: str) -> str:
    text = re.sub(r"//[^?]*@", "//***@", text)
    return re.sub(r"(password=)[^&]*", r"\1***", text)


def close(client: Any) -> None:
    """End a client's connections, and those to its sentinels; it makes new ones when it is used again."""
    client.close()
    for sentinel in _sentinels(client):
        sentinel.close()


async def aclose(client: Any) -> None:
    """Do the same with an asynchronous client."""
    await client.aclose()
    for sentinel in _sentinels(client):
        await sentinel.aclose()


def _sentinels(client: Any) -> list[Any]:
    manager = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    return manager.sentinels if manager is not None else []


def _host(text: str, default: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("it names no host")
    return parts.hostname, parts.port or default
