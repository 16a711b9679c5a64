"""Which origins may open a socket."""

import pytest

from whosonline.origins import origin_allowed

HOST = "example.com"


@pytest.mark.parametrize(
    ("origin", "host", "secure"),
    [
        ("https://example.com", "example.com", True),
        ("https://example.com:443", "example.com", True),
        ("http://example.com", "example.com", False),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", False),
        ("http://[::1]:8000", "[::1]:8000", False),
        ("https://EXAMPLE.com", "example.com", True),
    ],
)
def test_a_page_of_the_same_site_is_allowed(origin, host, secure):
    assert origin_allowed(origin, host, secure, [])


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
        ("https://example.com:port", HOST, True),
        ("https://[::1", HOST, True),
        ("https://example.com", None, True),
    ],
)
def test_any_other_is_not(origin, host, secure):
    assert not origin_allowed(origin, host, secure, [])


def test_trusted_origins_are_allowed_as_for_csrf():
    trusted = ["https://app.example.org", "https://*.example.net"]
    assert origin_allowed("https://app.example.org", HOST, True, trusted)
    assert origin_allowed("https://a.b.example.net", HOST, True, trusted)
    for origin in (
        "http://app.example.org",
        "https://app.example.org:444",
        "https://example.net",
        "https://badexample.net",
        "http://a.example.net",
    ):
        assert not origin_allowed(origin, HOST, True, trusted)
