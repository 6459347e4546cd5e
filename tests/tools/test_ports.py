"""Ports are free, different, none that the kernel gives to connections which go out, and nobody else's soon."""
from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.test_scale import ROOT
from tools import ports


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """The one port that can be found, which is free, and claimed by nobody any more."""
    free = ports.free_port()
    ports._claimed.pop().close()
    lent = tmp_path / "lent"
    lent.write_text(f"{free + 1}\t60999\n")
    monkeypatch.setattr(ports, "_LENT", lent)
    monkeypatch.setattr(ports, "_FIRST", free)
    return free


def test_ports_are_free_and_none_that_the_kernel_lends() -> None:
    lent = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found = ports.free_ports(20)
    assert len(set(found)) == 20 and all(port < lent for port in found)
    for port in found:
        socket.create_server(("127.0.0.1", port)).close()


def test_a_port_in_use_is_not_found_and_too_few_are_an_error(only: int) -> None:
    with socket.create_server(("127.0.0.1", only)), pytest.raises(OSError, match="there are no 1 free TCP ports"):
        ports.free_port()
    assert ports.free_ports(1) == [only]


def test_a_port_that_another_process_has_found_is_not_found_until_that_ends(only: int) -> None:
    code = f"from tools import ports; claim = ports._claim({only}); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(OSError, match="there are no 1 free TCP ports"):
            ports.free_port()
        other.communicate(b"\n")
    assert ports.free_port() == only


def test_old_claims_are_given_up(only: int) -> None:
    assert ports.free_port() == only
    with pytest.raises(OSError):
        ports._claim(only)
    for number in range(ports._claimed.maxlen or 0):
        ports._claimed.append(socket.socket())
    ports._claim(only).close()
