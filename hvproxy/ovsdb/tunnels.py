"""The tunnel ports in an Open vSwitch database: how they are to be, which there are, and what makes one the other.

hvproxy knows its own by a key of their external_ids, which says for which pair of datapaths they are; nothing else is
touched. A port carries the label in its key (`key=flow`). It has BFD, so that groups which watch it and hvproxy learn
of a dead tunnel; with `check_tnl_key` only frames of key 0 are BFD's, and a tenant's own BFD, which is under a label,
passes. The Don't Fragment bit stays set (`df_default`): userspace Open vSwitch puts no fragments together. Checksums
of the outer header are left as Open vSwitch has them, for what is inside has its own.
"""
from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2s
from typing import Final

from hvproxy.ovsdb.replica import Row
from hvproxy.ovsdb.transact import Operation, delete_from, insert, insert_into, update

MARK: Final = "hv-tunnel"
"""The key of external_ids: whose port it is."""
ENDPOINT: Final = "hv-tunnel-ip"
"""The key of external_ids, of a bridge or else of its Open_vSwitch, that says where tunnels end."""
FIRST_PORT: Final = 0x8000
"""Tunnels ask for port numbers from here on: a lower one may be meant for what is still to come."""
BFD_INTERVAL: Final = 0.1
"""Seconds between two frames of BFD, unless the operator says otherwise."""
_BFD: Final = {"enable": "true", "check_tnl_key": "true"}
_NAME: Final = re.compile(r"hv[0-9a-f]{12}")


def is_tunnel_name(name: str) -> bool:
    """Whether an interface is called as tunnel ports are."""
    return _NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True, order=True)
class TunnelPort:
    """One end of a tunnel, as it is to be."""

    local: int
    """The datapath that has it."""
    remote: int
    kind: str
    """The type of the interface: gre, vxlan or geneve."""
    local_ip: str
    remote_ip: str
    bfd_interval: float = BFD_INTERVAL
    """Seconds; Open vSwitch counts in milliseconds."""

    @property
    def mark(self) -> str:
        return _mark_and_name(self.local, self.remote)[0]

    @property
    def name(self) -> str:
        """The same for this end of this pair always, and short enough for an interface."""
        return _mark_and_name(self.local, self.remote)[1]

    @property
    def bfd(self) -> dict[str, str]:
        interval = str(round(self.bfd_interval * 1000))
        return {**_BFD, "min_rx": interval, "min_tx": interval}

    @property
    def options(self) -> dict[str, str]:
        return {"local_ip": self.local_ip, "remote_ip": self.remote_ip, "key": "flow", "df_default": "true"}


@lru_cache(maxsize=1 << 14)
def _mark_and_name(local: int, remote: int) -> tuple[str, str]:
    mark = f"{local:016x}-{remote:016x}"
    return mark, "hv" + blake2s(mark.encode(), digest_size=6).hexdigest()


@dataclass(frozen=True, slots=True, order=True)
class SeenTunnel:
    """A port of hvproxy's own, as it is."""

    name: str
    mark: str
    bridge: str
    """The row."""
    port: str
    interface: str
    ofport: int | None
    """None until Open vSwitch has made it."""
    kind: str
    options: tuple[tuple[str, str], ...]
    bfd: tuple[tuple[str, str], ...]
    error: str | None
    """Why Open vSwitch could not make it."""

    def carries(self, wanted: TunnelPort) -> bool:
        """Whether frames get through as they should, and BFD sees it when they do not, however often it looks."""
        return (self.kind == wanted.kind and dict(self.options) == wanted.options
                and _BFD.items() <= dict(self.bfd).items())

    def right(self, wanted: TunnelPort) -> bool:
        """Whether it is as it should be; more may be set of BFD."""
        return self.carries(wanted) and wanted.bfd.items() <= dict(self.bfd).items()


def tunnels_of(tables: Mapping[str, Mapping[str, Row]], bridge: str) -> tuple[SeenTunnel, ...]:
    """The tunnel ports of hvproxy's own on a bridge."""
    found = []
    for port in tables["Bridge"][bridge]["ports"]:
        for name in tables["Port"].get(port, {"interfaces": ()})["interfaces"]:
            row = tables["Interface"].get(name)
            if row is not None and MARK in row["external_ids"]:
                found.append(SeenTunnel(
                    row["name"], row["external_ids"][MARK], bridge, port, name, row["ofport"], row["type"],
                    tuple(sorted(row["options"].items())), tuple(sorted(row["bfd"].items())), row["error"]))
    return tuple(sorted(found, key=lambda each: (each.name, each.interface)))


def creation(bridge: str, wanted: TunnelPort, number: int) -> list[Operation]:
    """The operations that add a port to a bridge; those of several ports may be in one transaction."""
    interface, port = f"{wanted.name}_interface", f"{wanted.name}_port"
    return [
        insert("Interface", interface, {
            "name": wanted.name, "type": wanted.kind, "options": _map(wanted.options), "bfd": _map(wanted.bfd),
            "external_ids": _map({MARK: wanted.mark}), "ofport_request": number}),
        insert("Port", port, {"name": wanted.name, "interfaces": ["named-uuid", interface]}),
        insert_into("Bridge", bridge, "ports", ["named-uuid", port]),
    ]


def correction(seen: SeenTunnel, wanted: TunnelPort) -> list[Operation]:
    """The operations that make a port what it should be."""
    bfd = {**dict(seen.bfd), **wanted.bfd}
    return [update("Interface", seen.interface, {
        "type": wanted.kind, "options": _map(wanted.options), "bfd": _map(bfd)})]


def removal(seen: SeenTunnel) -> list[Operation]:
    """The operations that take a port away: Open vSwitch drops what no bridge has."""
    return [delete_from("Bridge", seen.bridge, "ports", ["uuid", seen.port])]


def _map(values: Mapping[str, str]) -> list[object]:
    return ["map", [[key, values[key]] for key in sorted(values)]]
