"""Which origins may open a socket."""

import pytest

from whosonline.origins import allowed_hosts, origin_allowed

HOST = "example.com"
HOSTS = ["example.com", "127.0.0.1", "[::1]"]

# With "*" the site may be addressed by any name; that lets no other page in.
every_kind_of_hosts = pytest.mark.parametrize("hosts", [HOSTS, ["*"]], ids=["hosts", "any host"])


@every_kind_of_hosts
@pytest.mark.parametrize(
    ("origin", "host", "secure"),
    [
        ("https://example.com", "example.com", True),
        ("https://example.com:443", "example.com", True),
        ("https://example.com", "example.com:443", True),
        ("https://example.com:8443", "example.com:8443", True),
        ("http://example.com", "example.com", False),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", False),
        ("http://[::1]:8000", "[::1]:8000", False),
        ("https://EXAMPLE.com", "example.com", True),
    ],
)
def test_a_page_of_the_same_site_is_allowed(origin, host, secure, hosts):
    assert origin_allowed(origin, host, secure, [], hosts)


@every_kind_of_hosts
@pytest.mark.parametrize(
    ("origin", "host", "secure"),
    [
        (None, HOST, True),
        ("", HOST, True),
        ("null", HOST, True),
        ("https://evil.example", HOST, True),
        ("https://example.com.evil.example", HOST, True),
        ("https://sub.example.com", HOST, True),
        ("http://example.com", HOST, True),
        ("https://example.com", HOST, False),
        ("https://example.com:8443", HOST, True),
        ("https://example.com:80", HOST, True),
        ("https://example.com:0", HOST, True),
        ("https://example.com", "example.com:8443", True),
        ("https://example.com:port", HOST, True),
        ("https://[::1", HOST, True),
        ("https://example.com@evil.example", HOST, True),
        ("https://evil.example@example.com", HOST, True),
        ("https://example.com/", HOST, True),
        ("//example.com", HOST, True),
        ("https://example.com", None, True),
        ("https://example.com", "", True),
        ("https://", "", True),
    ],
)
def test_any_other_is_not(origin, host, secure, hosts):
    assert not origin_allowed(origin, host, secure, [], hosts)


def test_a_page_of_a_host_that_the_site_is_not_addressed_by_is_not_allowed():
    assert not origin_allowed("https://evil.example", "evil.example", True, [], HOSTS)
    assert origin_allowed("https://sub.example.com", "sub.example.com", True, [], [".example.com"])


def test_in_development_the_hosts_are_as_django_has_them(settings):
    settings.ALLOWED_HOSTS = []
    settings.DEBUG = False
    assert not origin_allowed("http://localhost:8000", "localhost:8000", False, [], allowed_hosts())
    settings.DEBUG = True
    assert origin_allowed("http://localhost:8000", "localhost:8000", False, [], allowed_hosts())
    assert not origin_allowed("http://evil.example", "evil.example", False, [], allowed_hosts())


def test_trusted_origins_are_allowed_as_for_csrf():
    trusted = ["https://app.example.org", "https://*.example.net"]
    assert origin_allowed("https://app.example.org", HOST, True, trusted, HOSTS)
    assert origin_allowed("https://a.b.example.net", HOST, True, trusted, HOSTS)
    for origin in (
        "http://app.example.org",
        "https://app.example.org:444",
        "https://example.net",
        "https://badexample.net",
        "http://a.example.net",
        "https://a.example.net:8443",
    ):
        assert not origin_allowed(origin, HOST, True, trusted, HOSTS)
