"""Addresses of hosts, as operators write them and switches' databases tell them.

Of single hosts only: what names several, or none, is no address here. Must not know whose they are.
"""
from __future__ import annotations

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from re import compile as pattern
from typing import Final

GROUP_BIT: Final = 1 << 40
"""Of a MAC: it names several hosts."""
_MAC: Final = pattern(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")


@dataclass(frozen=True, slots=True, order=True)
class Mac:
    """The MAC address of one host."""

    value: int

    @classmethod
    def parse(cls, text: str) -> Mac:
        """Raises ValueError with what is wrong, in words for the operator."""
        value = int(text.replace(":", ""), 16) if _MAC.fullmatch(text) else 0
        if not value or value & GROUP_BIT:
            raise ValueError(f"{text!r} is not the MAC address of a host; write 02:00:00:00:00:01")
        return cls(value)

    def __str__(self) -> str:
        return self.value.to_bytes(6, "big").hex(":")


@dataclass(frozen=True, slots=True, order=True)
class HostAddress:
    """The IP address of one host."""

    version: int
    """4 or 6."""
    value: int

    @classmethod
    def parse(cls, text: str) -> HostAddress:
        """Raises ValueError with what is wrong, in words for the operator."""
        try:
            address = IPv6Address(text) if ":" in text else IPv4Address(text)
        except AddressValueError:
            address = IPv4Address(0)
        if address.is_unspecified or address.is_multicast or "%" in text:
            raise ValueError(f"{text!r} is not the IP address of a host; write 192.0.2.1 or 2001:db8::1")
        return cls(address.version, int(address))

    def __str__(self) -> str:
        return str(IPv4Address(self.value) if self.version == 4 else IPv6Address(self.value))
