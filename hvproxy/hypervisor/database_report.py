"""What the databases of the switches say, as plain objects: what the HTTP API and the command line show. Only reads."""
from __future__ import annotations

from hvproxy.hypervisor.databases import Database
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.hypervisor.report import Row
from hvproxy.model.schema import format_dpid


def databases(hv: Hypervisor) -> list[Row]:
    """Every configured database, with what it says or said last."""
    waiting: dict[str | None, list[str]] = {}
    for name, ls in sorted(hv.logical_switches.items()):
        for number, port in sorted(ls.ports.items()):
            if port.spec.attach is not None:
                waiting.setdefault(port.spec.attach.iface_id, []).append(f"{name}/{number}")
    return [_database(hv, database, waiting) for database in hv.databases.all.values()]


def _database(hv: Hypervisor, database: Database, waiting: dict[str | None, list[str]]) -> Row:
    places = hv.databases.places
    bridges = [{
        "name": bridge.name,
        "dpid": None if bridge.dpid is None else format_dpid(bridge.dpid),
        "ours": hv.databases.is_ours(bridge),
        "settings": [{"name": wrong.name, "has": wrong.has, "needs": wrong.needs} for wrong in bridge.wrong],
    } for bridge in database.seen.bridges]
    vifs = []
    for vif in database.seen.vifs:
        counts = places.get(vif.iface_id) == (vif.dpid, vif.port_no)
        vifs.append({
            "iface_id": vif.iface_id, "dpid": format_dpid(vif.dpid), "port_no": vif.port_no,
            "interface": vif.interface, "mac": vif.mac, "admin": vif.admin, "link": vif.link, "counts": counts,
            "bound": waiting.get(vif.iface_id, []) if counts else [],
        })
    return {"address": database.address, "state": database.state, "fault": database.fault, "bridges": bridges,
            "vifs": vifs}
