"""TCP ports for programs that are about to be started.

Who asks the kernel for any port gets one of those that it also gives to connections which go out: before the program
listens there, such a connection may have it. So ports are looked for below these. And who looks for ports elsewhere at
the same time must not find the same ones before the programs listen: each is claimed by a name that goes with the
socket that has it, and is of the same network namespace.
"""
from __future__ import annotations

import socket
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from random import SystemRandom
from typing import Final

_FIRST: Final = 10_000
_LENT: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_CLAIM: Final = "\0hvproxy-port-{}"
_claimed: deque[socket.socket] = deque(maxlen=100)
"""The last claims. Those before them are given up: by now the programs listen, or have ended."""


def free_ports(count: int) -> list[int]:
    """Different ports of the loopback interface that nobody uses now, and nobody else finds soon. Raises OSError where
    there are not so many."""
    lent = int(_LENT.read_text().split()[0])
    free: list[int] = []
    with ExitStack() as held:
        for port in SystemRandom().sample(range(_FIRST, lent), max(0, lent - _FIRST)):
            try:
                held.enter_context(socket.create_server(("127.0.0.1", port)))
                _claimed.append(_claim(port))
            except OSError:
                continue  # somebody has it
            free.append(port)
            if len(free) == count:
                return free
    raise OSError(f"there are no {count} free TCP ports from {_FIRST} to {lent - 1}")


def free_port() -> int:
    """One of them."""
    return free_ports(1)[0]


def _claim(port: int) -> socket.socket:
    """Keep others from finding this port. Raises OSError where somebody else has found it."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(_CLAIM.format(port))
    except OSError:
        claim.close()
        raise
    return claim
