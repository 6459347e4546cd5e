"""Ports are free, different, and none that the kernel gives to connections which go out."""
from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tools import ports


def test_ports_are_free_and_none_that_the_kernel_lends() -> None:
    lent = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found = ports.free_ports(20)
    assert len(set(found)) == 20 and all(port < lent for port in found)
    for port in found:
        socket.create_server(("127.0.0.1", port)).close()


def test_a_port_in_use_is_not_found_and_too_few_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = ports.free_port()
    lent = tmp_path / "lent"
    lent.write_text(f"{free + 1}\t60999\n")
    monkeypatch.setattr(ports, "_LENT", lent)
    monkeypatch.setattr(ports, "_FIRST", free)
    assert ports.free_ports(1) == [free]
    with socket.create_server(("127.0.0.1", free)), pytest.raises(OSError, match="there are no 1 free TCP ports"):
        ports.free_port()
