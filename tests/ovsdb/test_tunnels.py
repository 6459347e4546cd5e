"""Tunnel ports: how they are called and set, how they are found again, and what makes them right."""
from __future__ import annotations

from dataclasses import replace

import pytest

from hvproxy.ovsdb.replica import Replica
from hvproxy.ovsdb.tunnels import (
    FIRST_PORT, TunnelPort, correction, creation, is_tunnel_name, removal, tunnels_of,
)
from hvproxy.ovsdb.vswitch import TABLES, observe
from tests.ovsdb.rows import Contents, Tunnel, Vif, name_of, updates

PORT = TunnelPort(1, 0xFFFFFFFFFFFFFFFF, "gre", "192.0.2.1", "198.51.100.1")
BFD = {"enable": "true", "min_rx": "100", "min_tx": "100", "check_tnl_key": "true"}


def held(ofport: int | None = 9, **changes: object) -> Tunnel:
    return replace(Tunnel(PORT.name, "gre", PORT.options, BFD, {"hv-tunnel": PORT.mark}, ofport),
                   **changes)  # type: ignore[arg-type]


def replica_of(contents: Contents) -> Replica:
    replica = Replica(TABLES)
    replica.update(updates(None, contents))
    return replica


def test_names_are_those_of_the_ends_of_pairs_and_short_enough_for_interfaces() -> None:
    back = TunnelPort(PORT.remote, PORT.local, "gre", "198.51.100.1", "192.0.2.1")
    assert PORT.name != back.name and replace(PORT, kind="vxlan", remote_ip="192.0.2.9").name == PORT.name
    for each in (PORT, back):
        assert len(each.name) <= 15 and is_tunnel_name(each.name)
    for other in ("eth0", "hv", PORT.name + "0", PORT.name.upper(), "hv-" + PORT.name[3:]):
        assert not is_tunnel_name(other)


def test_a_port_is_right_only_as_it_is_to_be_but_for_more_settings_of_bfd() -> None:
    (seen,) = tunnels_of(replica_of(Contents(tunnels=[held()])).tables, name_of("bridge", "br"))
    assert (seen.name, seen.mark, seen.ofport, seen.error) == (PORT.name, PORT.mark, 9, None)
    assert (seen.bridge, seen.port) == (name_of("bridge", "br"), name_of("port", PORT.name))
    assert seen.right(PORT)
    for tunnel, right in ((held(kind="vxlan"), False), (held(options={**PORT.options, "out_key": "7"}), False),
                          (held(bfd={}), False), (held(bfd={**BFD, "min_rx": "1000"}), False),
                          (held(bfd={**BFD, "bfd_dst_mac": "02:00:00:00:00:01"}), True)):
        (seen,) = tunnels_of(replica_of(Contents(tunnels=[tunnel])).tables, name_of("bridge", "br"))
        assert seen.right(PORT) is right


def test_another_interval_of_bfd_is_not_right_and_lets_frames_through() -> None:
    (seen,) = tunnels_of(replica_of(Contents(tunnels=[held()])).tables, name_of("bridge", "br"))
    quick = replace(PORT, bfd_interval=0.015)
    assert quick.bfd == {**BFD, "min_rx": "15", "min_tx": "15"}
    assert seen.carries(quick) and not seen.right(quick)
    assert correction(seen, quick)[0]["row"]["bfd"] == ["map", [[key, quick.bfd[key]] for key in sorted(BFD)]]
    assert creation("bridge", quick, 5)[0]["row"]["bfd"] == ["map", [[key, quick.bfd[key]] for key in sorted(BFD)]]
    for tunnel in (held(bfd={}), held(bfd={**BFD, "enable": "false"}), held(kind="vxlan"), held(options={})):
        (seen,) = tunnels_of(replica_of(Contents(tunnels=[tunnel])).tables, name_of("bridge", "br"))
        assert not seen.carries(quick)


def test_ports_that_are_not_marked_are_not_ours() -> None:
    contents = Contents([Vif("a")], {"br": 1, "br2": 2}, tunnels=[
        held(external_ids={"other": "x"}), held(name="other", bridge="br2", ofport=None, error="no such device")])
    assert tunnels_of(replica_of(contents).tables, name_of("bridge", "br")) == ()
    (seen,) = tunnels_of(replica_of(contents).tables, name_of("bridge", "br2"))
    assert (seen.ofport, seen.error) == (None, "no such device")


@pytest.mark.parametrize(("contents", "endpoint"), [
    (Contents(), None), (Contents(endpoint="192.0.2.1"), "192.0.2.1"),
    (Contents(endpoint="192.0.2.1", endpoints={"br": "192.0.2.2"}), "192.0.2.2"),
])
def test_a_bridge_says_where_its_tunnels_end_or_else_its_open_vswitch(contents: Contents, endpoint: str | None) -> None:
    contents.tunnels = [held()]
    contents.vifs = [Vif("a", 3), Vif("b", None)]
    (bridge,) = observe(replica_of(contents).tables).bridges
    assert bridge.endpoint == endpoint and bridge.ofports == {3, 9}
    assert [tunnel.name for tunnel in bridge.tunnels] == [PORT.name]


def test_operations_name_one_row_and_nothing_else() -> None:
    interface, port, into = creation("bridge-row", PORT, FIRST_PORT)
    assert (interface["table"], port["table"], into["table"]) == ("Interface", "Port", "Bridge")
    assert interface["row"] == {
        "name": PORT.name, "type": "gre", "ofport_request": FIRST_PORT,
        "external_ids": ["map", [["hv-tunnel", PORT.mark]]],
        "options": ["map", [["df_default", "true"], ["key", "flow"], ["local_ip", "192.0.2.1"],
                            ["remote_ip", "198.51.100.1"]]],
        "bfd": ["map", [[key, BFD[key]] for key in sorted(BFD)]]}
    assert port["row"] == {"name": PORT.name, "interfaces": ["named-uuid", interface["uuid-name"]]}
    assert into["mutations"] == [["ports", "insert", ["named-uuid", port["uuid-name"]]]]
    (seen,) = tunnels_of(replica_of(Contents(tunnels=[held(bfd={"bfd_dst_mac": "x"})])).tables,
                         name_of("bridge", "br"))
    (changed,) = correction(seen, PORT)
    assert changed["where"] == [["_uuid", "==", ["uuid", seen.interface]]] and changed["row"] == {
        "type": "gre", "options": interface["row"]["options"],  # type: ignore[index]
        "bfd": ["map", sorted([["bfd_dst_mac", "x"], *([key, value] for key, value in BFD.items())])]}
    (gone,) = removal(seen)
    assert (gone["table"], gone["mutations"]) == ("Bridge", [["ports", "delete", ["uuid", seen.port]]])
