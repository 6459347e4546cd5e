"""Addresses of single hosts, and nothing else."""
from __future__ import annotations

import pytest

from hvproxy.model.hosts import HostAddress, Mac


def test_a_mac_is_read_and_written_back() -> None:
    assert Mac.parse("02:00:00:00:00:aB") == Mac(0x0200000000AB)
    assert str(Mac(0x0200000000AB)) == "02:00:00:00:00:ab"


@pytest.mark.parametrize("text", ("", "2:0:0:0:0:1", "02-00-00-00-00-01", "02:00:00:00:00:01\n", "00:00:00:00:00:00",
                                  "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "02:00:00:00:00:01:02"))
def test_what_names_no_single_host_is_no_mac(text: str) -> None:
    with pytest.raises(ValueError, match="is not the MAC address of a host; write 02:00:00:00:00:01"):
        Mac.parse(text)


@pytest.mark.parametrize("text, found", (
    ("10.0.0.1", HostAddress(4, 0x0A000001)), ("fe80::1", HostAddress(6, 0xFE80 << 112 | 1))))
def test_an_address_is_read_and_written_back(text: str, found: HostAddress) -> None:
    assert HostAddress.parse(text) == found
    assert str(found) == text


@pytest.mark.parametrize("text", (
    "", "10.0.0", "10.0.0.1/24", "0.0.0.0", "224.0.0.1", "::", "ff02::1", "fe80::1%eth0", "host"))
def test_what_names_no_single_host_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="is not the IP address of a host; write 192.0.2.1 or 2001:db8::1"):
        HostAddress.parse(text)
