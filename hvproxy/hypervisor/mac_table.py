"""Which hosts a logical switch knows, for output to NORMAL: the table of addresses of a learning switch.

Like Open vSwitch's with its defaults: 8192 addresses, forgotten when nothing was heard for 300 s; when it is full, the
port with most addresses loses the one heard of longest ago. Pure; what is known is also told as entries of the hidden
tables (compiler.normal), and what those count says who is alive. Knows no datapath.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Final

from hvproxy.compiler.normal import FIRST_HOST, HiddenEntry, destination, fixed, next_host, source
from hvproxy.model.hosts import GROUP_BIT
from hvproxy.model.layout import HIDDEN

MOST_HOSTS: Final = 8192
AGEING: Final = 300.0
LOOK_EVERY: Final = 15.0
"""Seconds between two looks at what the entries have counted: a silent host may stay known that much longer."""
MOST_PER_SECOND: Final = 1000
"""Hosts learnt or moved: a host that makes up addresses costs the datapaths no more than this. Frames for what was
not learnt are flooded."""


@dataclass(eq=False, slots=True)
class Host:
    """Where an address was seen last."""

    number: int
    address: int
    vlan: int
    port: int
    used: float
    source: HiddenEntry
    destination: HiddenEntry


class MacTable:
    """(VLAN, address) -> host. Nothing until `begin`, which the first use of NORMAL calls."""

    def __init__(self) -> None:
        self.in_use = False
        self.next_look = inf
        """When what the entries have counted must be looked at."""
        self.noted: Callable[[int, Host | None], None] = lambda number, host: None
        """Told of the number of every host that is new, elsewhere or (None) forgotten."""
        self._fixed: list[HiddenEntry] = []
        self._hosts: dict[tuple[int, int], Host] = {}
        self._by_number: dict[int, Host] = {}
        self._by_port: dict[int, dict[Host, None]] = {}
        """Port -> its hosts, the one heard of longest ago first."""
        self._next = FIRST_HOST
        self._second = -inf
        self._this_second = 0

    def __len__(self) -> int:
        return len(self._hosts)

    def begin(self) -> list[HiddenEntry]:
        """The entries that are needed from now on, if they are new."""
        if self.in_use:
            return []
        self.in_use = True
        self._fixed = fixed()
        return self._fixed

    def entries(self) -> Iterator[HiddenEntry]:
        """All hidden entries there should be."""
        yield from self._fixed
        for host in self._hosts.values():
            yield host.source
            yield host.destination

    def where(self, address: int, vlan: int) -> int | None:
        """The port at which a host is."""
        host = self._hosts.get((vlan, address))
        return None if host is None else host.port

    def heard(self, port: int, address: int, vlan: int, now: float) -> tuple[list[HiddenEntry], list[HiddenEntry]]:
        """A frame of that source entered at `port`: (entries that are new or changed, entries that go)."""
        known = self._hosts.get((vlan, address))
        if address & GROUP_BIT or known is not None and known.port == port:
            return [], []
        if now >= self._second + 1:
            self._second, self._this_second = now, 0
        if self._this_second >= MOST_PER_SECOND:
            return [], []
        self._this_second += 1
        if known is not None:
            return self._move(known, port, now)
        gone = self._forget([self._least_needed()]) if len(self._hosts) >= MOST_HOSTS else []
        number = self._next
        while number in self._by_number:
            number = next_host(number)
        host = self._learn(number, port, address, vlan, now)
        if self.next_look == inf:
            self.next_look = now + LOOK_EVERY
        return [host.source, host.destination], gone

    @property
    def numbers(self) -> list[int]:
        """Those of all hosts."""
        return list(self._by_number)

    def restore(self, number: int, port: int, address: int, vlan: int, used: float) -> None:
        """A host that was known before a restart. Raises ValueError where another is known as that."""
        if number in self._by_number or (vlan, address) in self._hosts:
            raise ValueError("another host is known as that")
        self._learn(number, port, address, vlan, used)

    def _learn(self, number: int, port: int, address: int, vlan: int, used: float) -> Host:
        self._next = next_host(number)
        host = Host(number, address, vlan, port, used, source(number, port, address, vlan),
                    destination(number, port, address, vlan))
        self._hosts[vlan, address] = self._by_number[number] = host
        self._by_port.setdefault(port, {})[host] = None
        self.noted(number, host)
        return host

    def alive(self, number: int, now: float) -> None:
        """The entry of that number has counted packets."""
        host = self._by_number.get((number & ~HIDDEN) >> 1)
        if host is not None and number == host.source.number:
            host.used = now
            hosts = self._by_port[host.port]
            del hosts[host]
            hosts[host] = None

    def looked(self, now: float) -> list[HiddenEntry]:
        """What was counted is known up to now: the entries of hosts not heard of for too long, which go."""
        gone = self._forget([host for host in self._hosts.values() if now >= host.used + AGEING])
        self.next_look = now + LOOK_EVERY if self._hosts else inf
        return gone

    def port_gone(self, port: int) -> list[HiddenEntry]:
        """The port is no more: the entries that go with it."""
        return self._forget(list(self._by_port.get(port, ())))

    def emptied(self) -> list[HiddenEntry]:
        """Everything goes: all the entries there were."""
        gone, self._fixed, self.in_use = self._fixed, [], False
        return gone + self._forget(list(self._hosts.values()))

    def _move(self, host: Host, port: int, now: float) -> tuple[list[HiddenEntry], list[HiddenEntry]]:
        before = host.source
        self._leave(host)
        host.port, host.used = port, now
        self._by_port.setdefault(port, {})[host] = None
        host.source = source(host.number, port, host.address, host.vlan)
        host.destination.instructions = destination(host.number, port, host.address, host.vlan).instructions
        self.noted(host.number, host)
        return [host.source, host.destination], [before]

    def _least_needed(self) -> Host:
        port = max(self._by_port, key=lambda port: len(self._by_port[port]))
        return next(iter(self._by_port[port]))

    def _forget(self, hosts: Iterable[Host]) -> list[HiddenEntry]:
        gone = []
        for host in hosts:
            del self._hosts[host.vlan, host.address], self._by_number[host.number]
            self._leave(host)
            self.noted(host.number, None)
            gone += [host.source, host.destination]
        return gone

    def _leave(self, host: Host) -> None:
        hosts = self._by_port[host.port]
        del hosts[host]
        if not hosts:
            del self._by_port[host.port]
