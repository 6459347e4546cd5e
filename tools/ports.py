"""TCP ports for programs that are about to be started.

Who asks the kernel for any port gets one of those that it also gives to connections which go out: before the program
listens there, such a connection may have it. So ports are looked for below these.
"""
from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path
from random import SystemRandom
from typing import Final

_FIRST: Final = 10_000
_LENT: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_ports(count: int) -> list[int]:
    """Different ports of the loopback interface that nobody uses now. Raises OSError where there are not so many."""
    lent = int(_LENT.read_text().split()[0])
    free: list[int] = []
    with ExitStack() as held:
        for port in SystemRandom().sample(range(_FIRST, lent), max(0, lent - _FIRST)):
            try:
                held.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue  # somebody has it
            free.append(port)
            if len(free) == count:
                return free
    raise OSError(f"there are no {count} free TCP ports from {_FIRST} to {lent - 1}")


def free_port() -> int:
    """One of them."""
    return free_ports(1)[0]
