"""What a Redis URL may say, and what it stands for."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from tests.redis_servers import RedisServer
from whosonline.stores.errors import StoreRefuses, StoreUnavailable
from whosonline.stores.redis import Address, BadAddress, RedisStore, RedisSyncStore
from whosonline.stores.redis.layout import Layout


@pytest.mark.parametrize(
    ("url", "kind", "hosts", "options"),
    [
        ("redis://host", "single", [], {"host": "host"}),
        (
            "valkey://me:p%40ss@host:1/2",
            "single",
            [],
            {"username": "me", "password": "p@ss", "port": 1, "db": 2},
        ),
        ("unix:///run/redis.sock?db=3", "single", [], {"path": "/run/redis.sock", "db": 3}),
        (
            "redis+sentinel://a,b:1,[::1]:2/main/4",
            "sentinel",
            [("a", 26379), ("b", 1), ("::1", 2)],
            {"db": 4},
        ),
        ("rediss+cluster://:x@a,b:1", "cluster", [("a", 6379), ("b", 1)], {"password": "x", "ssl": True}),
    ],
)
def test_a_url_says_where_a_redis_is(url: str, kind: str, hosts: list[tuple[str, int]], options: dict):
    address = Address.parse(url)
    assert (address.kind, address.hosts) == (kind, hosts)
    assert options.items() <= address.options.items()


def test_the_service_of_sentinel_is_named_or_is_the_usual_one():
    assert Address.parse("redis+sentinel://a/main").service == "main"
    assert Address.parse("redis+sentinel://a").service == "mymaster"


@pytest.mark.parametrize(
    "url", ["http://host", "redis:host", "redis://host:port", "redis://host/name", "redis+cluster://"]
)
def test_what_cannot_be_an_address_is_refused(url: str):
    with pytest.raises(BadAddress, match="is no address of a Redis"):
        Address.parse(url)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://host?bogus=1", "redis-py knows no option 'bogus'"),
        ("unix:///run/redis.sock?bogus=1", "redis-py knows no option 'bogus'"),
        ("rediss://host?bogus=1", "redis-py knows no option 'bogus'"),
        ("redis+sentinel://host/main?bogus=1", "redis-py knows no option 'bogus'"),
        ("redis+sentinel://host/main?sentinel_bogus=1", "redis-py knows no option 'bogus'"),
        ("redis+cluster://host?bogus=1", "redis-py knows no option 'bogus'"),
        ("redis://host?ssl_ca_certs=/ca.pem", "'ssl_ca_certs' goes with TLS: rediss://"),
        (
            "redis+sentinel://host/main?ssl_ca_certs=/ca.pem",
            "'ssl_ca_certs' goes with TLS: rediss+sentinel://",
        ),
        ("redis+sentinel://host/main?sentinel_ssl_ca_certs=/ca.pem", "goes with TLS: rediss+sentinel://"),
        ("valkey+cluster://host?ssl_ca_certs=/ca.pem", "'ssl_ca_certs' goes with TLS: valkeys+cluster://"),
        ("unix:///run/redis.sock?ssl_ca_certs=/ca.pem", "'ssl_ca_certs' goes with TLS"),
        ("rediss://host?ssl_cert_reqs=perhaps", "Invalid SSL Certificate Requirements Flag: perhaps"),
        ("redis://host?decode_responses=1", "'decode_responses' is not to be set"),
        ("redis://host?protocol=3", "'protocol' is not to be set"),
    ],
)
def test_an_option_that_cannot_work_is_refused_before_anything_is_connected(url: str, told: str):
    with pytest.raises(BadAddress) as refused:
        Address.parse(url)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://host?max_connections=5&client_name=lobby&health_check_interval=3",
        "rediss://host?ssl_ca_certs=/ca.pem&ssl_cert_reqs=none",
        "rediss+sentinel://host/main?ssl_ca_certs=/ca.pem&sentinel_username=me&sentinel_password=x",
        "rediss+cluster://host?ssl_ca_certs=/ca.pem",
        "redis+sentinel://host/main?socket_timeout=0.5&sentinel_socket_timeout=0.3",
    ],
)
def test_options_that_redis_py_knows_are_taken(url: str):
    assert Address.parse(url).options


def test_an_address_that_is_shown_shows_no_password():
    for url in (
        "redis://me:secret@host/1",
        "redis://me:pass@secret@host/1",
        "redis+sentinel://host/main?sentinel_password=secret&db=1",
        "redis://host/1?password=secret",
    ):
        address = Address.parse(url)
        assert "secret" not in address.shown + repr(address)
        with pytest.raises(BadAddress) as refused:
            Address.parse(url.replace("1", "name").replace("redis", "http"))
        assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "secure"),
    [
        ("redis://127.0.0.1", True),
        ("unix:///run/redis.sock", True),
        ("rediss://host", True),
        ("redis://host", False),
        ("redis+sentinel://localhost,host/main", False),
        ("rediss+cluster://a,b", True),
    ],
)
def test_what_goes_over_a_network_unencrypted_is_not_secure(url: str, secure: bool):
    assert Address.parse(url).secure is secure


@pytest.mark.parametrize("over", ["tcp", "tls", "unix"])
async def test_a_redis_is_reached_by_every_kind_of_connection(tmp_path: Path, over: str):
    with RedisServer(tmp_path, over=over, password="secret") as server:  # type: ignore[arg-type]
        store = RedisStore(Address.parse(server.url), Layout())
        await store.open("a", 10)
        assert store.sync.count("site") == 0
        await store.close(0)
        wrong = Address.parse(server.url.replace("secret", "guess"))
        with closing(RedisSyncStore(wrong, Layout())) as sync, pytest.raises(StoreRefuses, match="password"):
            sync.count("site")


async def test_a_redis_that_is_not_there_is_unavailable(tmp_path: Path):
    server = RedisServer(tmp_path)
    store = RedisStore(Address.parse(server.url), Layout())
    with pytest.raises(StoreUnavailable):
        await store.open("a", 10)
    with pytest.raises(StoreUnavailable):
        store.sync.count("site")
