from __future__ import annotations

import pytest

from whosonline.core.addresses import Addresses, AddressFull, network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("unknown", None),
        ("", None),
        (None, None),
    ],
)
def test_an_address_stands_for_what_one_customer_has(address: str | None, network: str | None) -> None:
    assert network_of(address) == network


def test_an_address_has_as_many_connections_as_are_allowed_and_others_do_not_notice() -> None:
    addresses = Addresses(2)
    places = [addresses.enter("203.0.113.7") for _ in range(2)]
    with pytest.raises(AddressFull, match=r"203\.0\.113\.7"):
        addresses.enter("203.0.113.7")
    addresses.enter("203.0.113.8")
    assert places[0] is not None
    places[0].leave()
    addresses.enter("203.0.113.7")
    with pytest.raises(AddressFull):
        addresses.enter("203.0.113.7")


def test_the_addresses_of_one_ipv6_network_count_as_one() -> None:
    addresses = Addresses(1)
    addresses.enter("2001:db8:1:2::1")
    with pytest.raises(AddressFull):
        addresses.enter("2001:db8:1:2:ffff::9")
    addresses.enter("2001:db8:1:3::1")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "unknown", None])
def test_who_has_no_address_that_tells_people_apart_is_not_counted(address: str | None) -> None:
    addresses = Addresses(1)
    assert [addresses.enter(address) for _ in range(3)] == [None] * 3


def test_an_address_that_has_nothing_open_is_forgotten() -> None:
    addresses = Addresses(1)
    for number in range(5):
        place = addresses.enter(f"203.0.113.{number}")
        assert place is not None
        place.leave()
    assert len(addresses) == 0
