"""The fabric as a whole, as plain objects: edges, tunnels, labels, and the paths between edges. Only reads."""
from __future__ import annotations

from hvproxy.errors import NotFound
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.hypervisor.report import Row, find_datapath, links
from hvproxy.model.schema import format_dpid
from hvproxy.model.view import Carriage, Dpid
from hvproxy.ovsdb.tunnels import TunnelPort


def fabric(hv: Hypervisor) -> Row:
    """Everything about it but paths."""
    edges = sorted({dpid for view in hv.fabric.placed.values() for dpid in view.edges})
    shared: dict[Dpid, list[str]] = {dpid: [] for dpid in edges}
    for name, ls in sorted(hv.logical_switches.items()):
        for dpid in ls.view.edges:
            shared.setdefault(dpid, []).append(name)
    return {
        "edges": [{"dpid": format_dpid(dpid), "endpoint": hv.tunnels.endpoints.get(dpid),
                   "logical_switches": shared[dpid]} for dpid in sorted(shared)],
        "endpoints": [{"dpid": format_dpid(dpid), "address": address}
                      for dpid, address in sorted(hv.tunnels.endpoints.items())],
        "overlapping": [{"address": address, "dpids": [format_dpid(dpid) for dpid in sorted(dpids)]}
                        for address, dpids in sorted(hv.tunnels.overlapping.items())],
        "links": links(hv),
        "tunnels": [_tunnel(hv, pair) for pair in sorted(hv.tunnels.wanted)],
        "labels": [{"kind": kind, "used": len(space.used), "free": space.free, "size": space.size}
                   for kind, space in zip(("vlan", "tunnel"), hv.fabric.label_spaces, strict=True)],
    }


def _tunnel(hv: Hypervisor, pair: tuple[Dpid, Dpid]) -> Row:
    """A tunnel that is to be."""
    ends = [_end(hv, port) for port in hv.tunnels.ports(pair)] if set(pair) <= hv.tunnels.endpoints.keys() else []
    up = any(link.carriage is Carriage.TUNNEL and (link.a_dpid, link.b_dpid) == pair for link in hv.links.in_use)
    made = all(end["port_no"] is not None for end in ends) and bool(ends)
    return {"dpids": [format_dpid(dpid) for dpid in pair], "kind": hv.tunnels.kind, "ends": ends,
            "state": "up" if up else "down" if made else "missing"}


def _end(hv: Hypervisor, port: TunnelPort) -> Row:
    seen = hv.tunnels.seen(port)
    return {"dpid": format_dpid(port.local), "name": port.name, "address": port.local_ip,
            "port_no": None if seen is None else seen.ofport, "error": None if seen is None else seen.error}


def path(hv: Hypervisor, source: Dpid, destination: Dpid) -> list[Row]:
    """The links that frames cross from one datapath to another while nothing fails. Raises NotFound."""
    for dpid in (source, destination):
        find_datapath(hv, dpid)
    tree = hv.fabric.tree_to(destination)
    if not hv.fabric.reaches(source, destination):
        raise NotFound("", f"no way leads from {format_dpid(source)} to {format_dpid(destination)}")
    hops: list[Row] = []
    here = source
    while here != destination:
        port = tree.parent[here]
        there = tree.peers[here, port]
        backup = tree.backup.get(here)
        hops.append({
            "from": {"dpid": format_dpid(here), "port": port}, "to": {"dpid": format_dpid(there[0]), "port": there[1]},
            "kind": hv.tunnels.kind if (here, port) in tree.tunnels else "vlan", "backup_port": backup})
        here = there[0]
    return hops
