"""What is read of an Open vSwitch database: its bridges, what they should be set to, and where the VIFs are.

An interface whose external_ids have an iface-id is a VIF; its place is its bridge's datapath id and its own OpenFlow
port number, once Open vSwitch has given it one. Of several with one iface-id the hypervisor beside the switch may mark
those that its workload does not use with iface-status=inactive (ovs-vswitchd.conf.db(5)). For tunnel ports see
tunnels. `observe` is a pure function of the rows.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from hvproxy.errors import DatabaseError
from hvproxy.ovsdb.replica import Columns, Row
from hvproxy.ovsdb.transact import Operation, insert_into, set_key, update
from hvproxy.ovsdb.tunnels import ENDPOINT, MARK, SeenTunnel, tunnels_of
from hvproxy.ovsdb.values import integer, optional, set_of, text, texts_by_text, uuid

DATABASE: Final = "Open_vSwitch"
LAST_PORT: Final = 0xFFFFFF00
"""OFPP_MAX of OF 1.3.5 section 7.2.1."""
PROTOCOL: Final = "OpenFlow13"
_DPID_DIGITS: Final = 16


def _dpid(value: object) -> int | None:
    digits = optional(text)(value)
    if digits is None:
        return None
    if len(digits) != _DPID_DIGITS or not set(digits) <= set("0123456789abcdefABCDEF"):
        raise DatabaseError(f"a datapath id of 16 hexadecimal digits expected, got {digits!r:.80}")
    return int(digits, 16) or None


TABLES: Final[Mapping[str, Columns]] = {
    "Open_vSwitch": {"bridges": set_of(uuid), "other_config": texts_by_text, "external_ids": texts_by_text},
    "Bridge": {
        "name": text, "datapath_id": _dpid, "ports": set_of(uuid), "fail_mode": optional(text),
        "protocols": set_of(text), "external_ids": texts_by_text,
    },
    "Port": {"interfaces": set_of(uuid)},
    "Interface": {
        "name": text, "ofport": optional(integer), "external_ids": texts_by_text, "admin_state": optional(text),
        "link_state": optional(text), "type": text, "options": texts_by_text, "bfd": texts_by_text,
        "error": optional(text), "mtu": optional(integer), "status": texts_by_text,
    },
}


@dataclass(frozen=True, slots=True, order=True)
class SeenVif:
    """A VIF where it is now."""

    iface_id: str
    dpid: int
    port_no: int
    interface: str = ""
    mac: str | None = None
    """What its workload is said to use (external_ids:attached-mac)."""
    admin: str | None = None
    link: str | None = None
    active: bool = True
    """Not marked with iface-status=inactive."""


@dataclass(frozen=True, slots=True, order=True)
class Setting:
    """A setting that is not as hvproxy needs it."""

    name: str
    has: str
    needs: str


@dataclass(frozen=True, slots=True, order=True)
class SeenMtu:
    """How large frames may be that leave by a port."""

    ofport: int
    interface: str
    """Whose MTU it is: of a tunnel, the one that its packets leave by."""
    mtu: int


@dataclass(frozen=True, slots=True, order=True)
class SeenBridge:
    """A bridge, and what of it is not as hvproxy needs it."""

    name: str
    uuid: str
    root: str
    """The row of the table Open_vSwitch that has it."""
    dpid: int | None
    """None until Open vSwitch has made it."""
    iface_ids: frozenset[str] = field(compare=False)
    """Of all VIFs on it, also those that have no place yet."""
    wrong: tuple[Setting, ...] = ()
    endpoint: str | None = None
    """Where it says that its tunnels end."""
    tunnels: tuple[SeenTunnel, ...] = ()
    ofports: frozenset[int] = field(default=frozenset(), compare=False)
    """The OpenFlow port numbers of its interfaces."""
    mtus: tuple[SeenMtu, ...] = ()
    """Of the ports whose MTU is known, and of hvproxy's own tunnels."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What one database says."""

    bridges: tuple[SeenBridge, ...] = ()
    vifs: tuple[SeenVif, ...] = ()
    """By iface-id, then place."""
    pending: frozenset[str] = frozenset()
    """The iface-ids of interfaces that have no place yet: Open vSwitch has not made them, or not said so since its
    database was started."""


def observe(tables: Mapping[str, Mapping[str, Row]]) -> Observation:
    """What these rows say."""
    bridges, vifs = [], []
    pending: set[str] = set()
    by_name = {row["name"]: row for row in tables["Interface"].values()}
    for root_uuid, root in tables["Open_vSwitch"].items():
        for bridge_uuid in root["bridges"]:
            bridge = tables["Bridge"].get(bridge_uuid)
            if bridge is None:
                continue
            iface_ids = set()
            interfaces = _interfaces(tables, bridge)
            for interface in interfaces:
                iface_id = interface["external_ids"].get("iface-id")
                if not iface_id:
                    continue
                iface_ids.add(iface_id)
                if bridge["datapath_id"] is None or interface["ofport"] is None:
                    pending.add(iface_id)
                elif 1 <= interface["ofport"] <= LAST_PORT:
                    vifs.append(SeenVif(
                        iface_id, bridge["datapath_id"], interface["ofport"], interface["name"],
                        interface["external_ids"].get("attached-mac"), interface["admin_state"],
                        interface["link_state"], interface["external_ids"].get("iface-status") != "inactive"))
            bridges.append(SeenBridge(bridge["name"], bridge_uuid, root_uuid, bridge["datapath_id"],
                                      frozenset(iface_ids), _wrong(root, bridge),
                                      bridge["external_ids"].get(ENDPOINT, root["external_ids"].get(ENDPOINT)),
                                      tunnels_of(tables, bridge_uuid),
                                      frozenset(each["ofport"] for each in interfaces if each["ofport"] is not None),
                                      _mtus(interfaces, by_name)))
    by_place = {(vif.iface_id, vif.dpid, vif.port_no): vif for vif in vifs}
    return Observation(tuple(sorted(bridges, key=lambda each: (each.name, each.uuid))),
                       tuple(by_place[key] for key in sorted(by_place)), frozenset(pending))


def _mtus(interfaces: Iterable[Row], by_name: Mapping[str, Row]) -> tuple[SeenMtu, ...]:
    found = []
    for interface in interfaces:
        # A tunnel has no MTU of its own: Open vSwitch says which interface its packets leave by.
        below = by_name.get(interface["status"].get("tunnel_egress_iface", "")) if MARK in interface["external_ids"] \
            else interface
        if interface["ofport"] is not None and below is not None and below["mtu"] is not None:
            found.append(SeenMtu(interface["ofport"], below["name"], below["mtu"]))
    return tuple(sorted(found))


def correction(bridge: SeenBridge, setting: Setting) -> list[Operation]:
    """The operations that make a setting what hvproxy needs, and change nothing else."""
    match setting.name:
        case "fail_mode":
            return [update("Bridge", bridge.uuid, {"fail_mode": setting.needs})]
        case "protocols":
            return [insert_into("Bridge", bridge.uuid, "protocols", setting.needs)]
        case "other_config:vlan-limit":
            return set_key("Open_vSwitch", bridge.root, "other_config", "vlan-limit", setting.needs)
    raise ValueError(setting.name)


def _interfaces(tables: Mapping[str, Mapping[str, Row]], bridge: Row) -> list[Row]:
    ports = (tables["Port"].get(name) for name in bridge["ports"])
    found = (tables["Interface"].get(name) for port in ports if port is not None for name in port["interfaces"])
    return [interface for interface in found if interface is not None]


def _wrong(root: Row, bridge: Row) -> tuple[Setting, ...]:
    """Absent, protocols are all of them and vlan-limit is 1 (ovs-vswitchd.conf.db(5)); fail_mode is standalone."""
    wrong = []
    if bridge["fail_mode"] != "secure":
        wrong.append(Setting("fail_mode", bridge["fail_mode"] or "standalone", "secure"))
    if bridge["protocols"] and PROTOCOL not in bridge["protocols"]:
        wrong.append(Setting("protocols", ",".join(sorted(bridge["protocols"])), PROTOCOL))
    if root["other_config"].get("vlan-limit", "1") != "1":
        wrong.append(Setting("other_config:vlan-limit", root["other_config"]["vlan-limit"], "1"))
    return tuple(wrong)
