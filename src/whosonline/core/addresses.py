"""Whose address it is that connects, and how many connections each has."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address

ONE_CUSTOMER = 64
"""Bits of an IPv6 address that name a customer's network; the others are the customer's to choose."""


class AddressFull(Exception):
    """An address has as many connections as are allowed."""


@lru_cache(maxsize=4096)
def network_of(address: str | None) -> str | None:
    """Return the address that stands for all that one customer may choose from: of IPv6 the /64's first.

    None for what is no address: a proxy may not say who asks, or call them by another name.
    """
    try:
        found = ip_address(address or "")
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        mapped = found.ipv4_mapped
        host_bits = 128 - ONE_CUSTOMER
        found = mapped if mapped is not None else IPv6Address(int(found) >> host_bits << host_bits)
    return str(found)


@lru_cache(maxsize=4096)
def is_this_machine(address: str | None) -> bool:
    """Return whether an address is of the machine that this runs on."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return (mapped or found).is_loopback


class Place:
    """An address, for as long as something is open from there. All that is open from there shares it."""

    __slots__ = ("_addresses", "name", "open")

    def __init__(self, addresses: Addresses, name: str) -> None:
        self._addresses = addresses
        self.name = name
        self.open = 0

    def leave(self) -> None:
        """Count one out."""
        self.open -= 1
        if not self.open:
            self._addresses.forget(self)


class Addresses:
    """Counts what is open from each address.

    Args:
        most: So many may be open from one.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._places: dict[str, Place] = {}

    def __len__(self) -> int:
        return len(self._places)

    def enter(self, address: str | None) -> Place | None:
        """Count one in; return its place, which it must leave.

        None, and not counted: a connection from this machine itself, which is a proxy that does not say for
        whom it asks, and one of whom no address is known. They would be taken for one person.

        Raises:
            AddressFull: so many are open from there as are allowed.
        """
        name = network_of(address)
        if name is None or is_this_machine(address):
            return None
        place = self._places.get(name)
        if place is None:
            place = self._places[name] = Place(self, name)
        if place.open >= self._most:
            raise AddressFull(name)
        place.open += 1
        return place

    def forget(self, place: Place) -> None:
        """Count nothing of a place any more; for the place itself."""
        del self._places[place.name]
