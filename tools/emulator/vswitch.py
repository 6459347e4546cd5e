"""What ovs-vswitchd does beside OpenFlow: a switch as its database describes it.

It makes, changes and removes the tunnel ports that the database has, and tells there which numbers they have got; the
ports that the switch has otherwise are rows from the beginning.
"""
from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from tools.emulator.database import ROOT, Changes, Database, Row
from tools.emulator.decode import PORT_LOCAL
from tools.emulator.ports import TunnelPort
from tools.emulator.switch import Switch
from tools.emulator.underlay import KEY_BITS, Route, Underlay

ENDPOINT, IFACE_ID = "hv-tunnel-ip", "iface-id"
NUMBER_OF_LOCAL = 65534
FAILED = -1


class Made(NamedTuple):
    """A tunnel port that is there."""

    route: Route
    port: TunnelPort


class VSwitch:
    """A switch and its database."""

    def __init__(self, switch: Switch, underlay: Underlay, endpoint: str | None, vifs: Mapping[int, str]) -> None:
        """`vifs`: the iface-ids of ports."""
        self.switch = switch
        self.database = database = Database()
        self._underlay = underlay
        self._made: dict[str, Made] = {}
        """Rows of the table Interface -> what was made of them."""
        self._due = False
        ports = []
        for number, port in sorted(switch.ports.items()):
            interface = database.insert("Interface", {
                "name": (port.name,), "type": ("internal" if number == PORT_LOCAL else "",),
                "ofport": (NUMBER_OF_LOCAL if number == PORT_LOCAL else number,), "admin_state": ("up",),
                "link_state": ("up" if port.up else "down",), "mtu": (port.mtu,),
                "external_ids": {IFACE_ID: vifs[number]} if number in vifs else {}})
            ports.append(database.insert("Port", {"name": (port.name,), "interfaces": (interface,)}))
        self._bridge = database.insert("Bridge", {
            "name": (switch.name,), "datapath_id": (f"{switch.dpid:016x}",), "ports": tuple(sorted(ports)),
            "fail_mode": ("secure",), "protocols": ("OpenFlow13",)})
        database.tables[ROOT][database.root] |= {
            "bridges": (self._bridge,), "external_ids": {} if endpoint is None else {ENDPOINT: endpoint}}
        database.watchers.append(self._changed)

    def _changed(self, changes: Changes) -> None:
        if not self._due and any(table != ROOT for table, _ in changes):
            self._due = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        """Make the switch what the database says."""
        tables = self.database.tables
        wanted = {interface: tables["Interface"][interface] for port in tables["Bridge"][self._bridge]["ports"]
                  for interface in tables["Port"][port]["interfaces"]
                  if tables["Interface"][interface]["type"][0] in KEY_BITS}  # type: ignore[index]
        for interface, made in list(self._made.items()):
            if interface not in wanted or _route(wanted[interface]) != made.route:
                self._underlay.detach(made.route)
                self.switch.remove_port(made.port.number)
                del self._made[interface]
        for interface, row in wanted.items():
            if interface not in self._made:
                self.database.change("Interface", interface, self._make(interface, row))
        self._due = False  # what was told meanwhile is our own

    def _make(self, interface: str, row: Row) -> Row:
        """Make a tunnel port; what the database is told of it."""
        route = _route(row)
        (name,) = row["name"]
        if self._underlay.taken(route):
            return {"ofport": (FAILED,), "admin_state": (), "link_state": (),
                    "error": (f"could not add network device {name} to ofproto (File exists)",)}
        asked = tuple(row["ofport_request"])
        number = asked[0] if asked and asked[0] not in self.switch.ports else next(
            each for each in range(1, NUMBER_OF_LOCAL) if each not in self.switch.ports)
        port = self.switch.add_tunnel_port(number, name)
        self._made[interface] = Made(route, port)
        self._underlay.attach(route, self.switch, port)
        return {"ofport": (number,), "admin_state": ("up",), "link_state": ("up",), "error": ()}


def _route(row: Row) -> Route:
    options = row["options"]
    assert isinstance(options, dict)
    return Route(row["type"][0], options.get("local_ip", ""), options.get("remote_ip", ""))  # type: ignore[index]
