"""What operators are shown of the fabric as a whole."""
from __future__ import annotations

import json
from typing import Any

import pytest

from hvproxy.errors import NotFound
from hvproxy.hypervisor.fabric_report import fabric, path
from tests.hypervisor.tunnel_world import ADDRESS, TunnelWorld

D = "{:016x}".format


def island() -> TunnelWorld:
    """1 and 2 are joined, 3 is apart; tunnels end at 2 and 3."""
    return TunnelWorld(1, 2, 3, endpoints=(2, 3), links=(((1, 8), (2, 8)),)).start()


def test_it_tells_edges_endpoints_links_tunnels_and_labels() -> None:
    world = island()
    row: Any = fabric(world.hv)
    assert json.loads(json.dumps(row)) == row
    assert row["edges"] == [{"dpid": D(dpid), "endpoint": ADDRESS.format(dpid) if dpid > 1 else None,
                             "logical_switches": ["red"]} for dpid in (1, 2, 3)]
    assert [each["dpid"] for each in row["endpoints"]] == [D(2), D(3)] and row["overlapping"] == []
    assert sorted(link["kind"] for link in row["links"]) == ["gre", "vlan"]
    (tunnel,) = row["tunnels"]
    assert (tunnel["dpids"], tunnel["kind"], tunnel["state"]) == ([D(2), D(3)], "gre", "up")
    assert [(end["dpid"], end["address"], end["name"]) for end in tunnel["ends"]] == [
        (D(dpid), ADDRESS.format(dpid), world.ports(dpid)[0].name) for dpid in (2, 3)]
    vlan, keys = row["labels"]
    assert (vlan["kind"], vlan["used"], vlan["used"] + vlan["free"]) == ("vlan", 6, 4093)
    assert (keys["kind"], keys["used"]) == ("tunnel", 0)
    world.set_live(2, False)
    assert fabric(world.hv)["tunnels"][0]["state"] == "down"  # type: ignore[index]


def test_a_tunnel_whose_ports_are_not_there_is_missing_and_a_doubled_address_is_told() -> None:
    world = TunnelWorld(1, 2, 3)
    world.databases[2].refuse = "no"
    world.databases[3].contents.endpoint = ADDRESS.format(1)
    world.start()
    row: Any = fabric(world.hv)
    assert row["overlapping"] == [{"address": ADDRESS.format(1), "dpids": [D(1), D(3)]}] and row["tunnels"] == []
    world = TunnelWorld(1, 2)
    world.databases[2].refuse = "no"
    row = fabric(world.start().hv)
    assert [(each["state"], [end["port_no"] is None for end in each["ends"]]) for each in row["tunnels"]] == [
        ("missing", [False, True])]


def test_a_path_tells_each_link_and_its_kind() -> None:
    hv = island().hv
    hops: Any = path(hv, 1, 3)
    assert [(hop["from"]["dpid"], hop["to"]["dpid"], hop["kind"]) for hop in hops] == [
        (D(1), D(2), "vlan"), (D(2), D(3), "gre")]
    assert hops[0]["from"]["port"] == 8 and hops[0]["backup_port"] is None and path(hv, 2, 2) == []
    with pytest.raises(NotFound):
        path(hv, 1, 9)
    world = TunnelWorld(1, 2, endpoints=())
    with pytest.raises(NotFound, match="no way leads"):
        path(world.start().hv, 1, 2)
