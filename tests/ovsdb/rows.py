"""What a database of Open vSwitch sends: rows of bridges and VIFs as updates, and the other end of a session."""
from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_OID, uuid5

Updates = dict[str, dict[str, dict[str, Any]]]


def name_of(*parts: object) -> str:
    """The UUID of a row, the same for the same parts."""
    return str(uuid5(NAMESPACE_OID, repr(parts)))


def reference(*parts: object) -> list[str]:
    return ["uuid", name_of(*parts)]


def optional(value: object) -> object:
    return ["set", []] if value is None else value


def mapping(values: Mapping[str, str | None]) -> object:
    return ["map", [[key, value] for key, value in values.items() if value is not None]]


@dataclass
class Vif:
    """An interface on a bridge; without an iface-id it is none."""

    iface_id: str | None
    port_no: int | None = 1
    bridge: str = "br"
    mac: str | None = None
    mtu: int | None = None
    status: str | None = None


@dataclass
class Tunnel:
    """A port that hvproxy has had made."""

    name: str
    kind: str
    options: dict[str, str]
    bfd: dict[str, str]
    external_ids: dict[str, str]
    ofport: int | None
    bridge: str = "br"
    error: str | None = None
    egress: str | None = None
    """The interface its packets leave by."""


@dataclass
class Contents:
    """What a database holds."""

    vifs: list[Vif] = field(default_factory=list)
    dpids: dict[str, int | None] = field(default_factory=lambda: {"br": 1})
    """Of the bridges."""
    fail_mode: str | None = "secure"
    protocols: tuple[str, ...] = ("OpenFlow13",)
    other_config: dict[str, str] = field(default_factory=dict)
    endpoint: str | None = None
    """Of the Open_vSwitch."""
    endpoints: dict[str, str] = field(default_factory=dict)
    """Of bridges."""
    tunnels: list[Tunnel] = field(default_factory=list)

    def rows(self) -> dict[str, dict[str, dict[str, Any]]]:
        """table -> row -> columns, as a database writes them."""
        tables: dict[str, dict[str, dict[str, Any]]] = {"Open_vSwitch": {}, "Bridge": {}, "Port": {}, "Interface": {}}
        tables["Open_vSwitch"][name_of("root")] = {
            "bridges": ["set", [reference("bridge", name) for name in self.dpids]],
            "other_config": mapping(self.other_config),
            "external_ids": mapping({} if self.endpoint is None else {"hv-tunnel-ip": self.endpoint})}
        for name, dpid in self.dpids.items():
            ports = [reference("port", number) for number, vif in enumerate(self.vifs) if vif.bridge == name]
            ports += [reference("port", each.name) for each in self.tunnels if each.bridge == name]
            tables["Bridge"][name_of("bridge", name)] = {
                "name": name, "datapath_id": optional(None if dpid is None else f"{dpid:016x}"),
                "ports": ports[0] if len(ports) == 1 else ["set", ports], "fail_mode": optional(self.fail_mode),
                "protocols": ["set", list(self.protocols)],
                "external_ids": mapping({"hv-tunnel-ip": self.endpoints[name]} if name in self.endpoints else {})}
        for number, vif in enumerate(self.vifs):
            ids = {"iface-id": vif.iface_id, "attached-mac": vif.mac, "iface-status": vif.status, "other": "text"}
            tables["Port"][name_of("port", number)] = {"interfaces": reference("interface", number)}
            tables["Interface"][name_of("interface", number)] = {
                "name": f"tap{number}", "ofport": optional(vif.port_no), "admin_state": "up",
                "link_state": optional(None), "type": "", "options": mapping({}), "bfd": mapping({}),
                "error": optional(None), "external_ids": mapping(ids), "mtu": optional(vif.mtu), "status": mapping({})}
        for each in self.tunnels:
            tables["Port"][name_of("port", each.name)] = {"interfaces": reference("interface", each.name)}
            tables["Interface"][name_of("interface", each.name)] = {
                "name": each.name, "ofport": optional(each.ofport), "admin_state": "up", "link_state": "up",
                "type": each.kind, "options": mapping(each.options), "bfd": mapping(each.bfd),
                "error": optional(each.error), "external_ids": mapping(each.external_ids), "mtu": optional(None),
                "status": mapping({"tunnel_egress_iface": each.egress})}
        return tables


def updates(before: Contents | None, after: Contents) -> Updates:
    """What a monitor is told when a database changes, or (from None) at first."""
    old = {} if before is None else before.rows()
    new = after.rows()
    found: Updates = {}
    for table in new:
        for uuid in {**old.get(table, {}), **new[table]}:
            change = {which: rows[table][uuid] for which, rows in (("old", old), ("new", new))
                      if uuid in rows.get(table, {})}
            if change.get("old") != change.get("new"):
                found.setdefault(table, {})[uuid] = change
    return found


def initial(contents: Contents) -> bytes:
    """The reply to the monitor request."""
    return json.dumps({"id": "monitor", "error": None, "result": updates(None, contents)}).encode()


def update(before: Contents, after: Contents) -> bytes:
    return json.dumps({"id": None, "method": "update", "params": [None, updates(before, after)]}).encode()


def messages(sent: list[bytes]) -> list[dict[str, Any]]:
    """What was written, decoded."""
    decoder = json.JSONDecoder()
    text, found = b"".join(sent).decode(), []
    while text:
        message, end = decoder.raw_decode(text)
        found.append(message)
        text = text[end:]
    return found
