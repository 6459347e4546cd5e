"""What the databases of the switches say, as plain objects: what the HTTP API and the command line show. Only reads."""
from __future__ import annotations

from hvproxy.hypervisor.databases import Database
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.hypervisor.report import Row
from hvproxy.model.schema import format_dpid


def databases(hv: Hypervisor) -> list[Row]:
    """Every configured database, with what it says or said last."""
    waiting: dict[tuple[str, object], list[str]] = {}
    for name, ls in sorted(hv.logical_switches.items()):
        for number, port in sorted(ls.ports.items()):
            attach = port.spec.attach
            if attach is not None and attach.iface_id is not None:
                waiting.setdefault((attach.iface_id, hv.place(ls, port)), []).append(f"{name}/{number}")
    return [_database(hv, database, waiting) for database in hv.databases.all.values()]


def _database(hv: Hypervisor, database: Database, waiting: dict[tuple[str, object], list[str]]) -> Row:
    places = hv.databases.places
    bridges = [{
        "name": bridge.name,
        "dpid": None if bridge.dpid is None else format_dpid(bridge.dpid),
        "ours": hv.databases.is_ours(bridge),
        "settings": [{"name": wrong.name, "has": wrong.has, "needs": wrong.needs} for wrong in bridge.wrong],
    } for bridge in database.seen.bridges]
    vifs = []
    for vif in database.seen.vifs:
        place = (vif.dpid, vif.port_no)
        bound = waiting.get((vif.iface_id, place), [])
        counts = bool(bound) or places.get(vif.iface_id, ())[:1] == (place,)
        vifs.append({
            "iface_id": vif.iface_id, "dpid": format_dpid(vif.dpid), "port_no": vif.port_no,
            "interface": vif.interface, "mac": vif.mac, "admin": vif.admin, "link": vif.link, "active": vif.active,
            "counts": counts, "bound": bound,
        })
    return {"address": database.address, "state": database.state, "fault": database.fault, "bridges": bridges,
            "vifs": vifs}
