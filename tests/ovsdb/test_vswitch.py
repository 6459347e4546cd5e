"""What rows say of bridges, their settings and VIFs."""
from __future__ import annotations

import pytest

from hvproxy.errors import DatabaseError
from hvproxy.ovsdb.replica import Replica
from hvproxy.ovsdb.vswitch import TABLES, Observation, SeenMtu, SeenVif, Setting, correction, observe
from tests.ovsdb.rows import Contents, Tunnel, Vif, name_of, updates


def observed(contents: Contents) -> Observation:
    replica = Replica(TABLES)
    replica.update(updates(None, contents))
    return observe(replica.tables)


def test_vifs_are_interfaces_with_an_iface_id_on_a_bridge() -> None:
    contents = Contents([Vif("b", 7, "br2", "02:00:00:00:00:07"), Vif(None, 8), Vif("a", 9), Vif("", 10)],
                        {"br": 1, "br2": 0xFFFFFFFFFFFFFFFF})
    assert observed(contents).vifs == (
        SeenVif("a", 1, 9, "tap2", None, "up", None),
        SeenVif("b", 0xFFFFFFFFFFFFFFFF, 7, "tap0", "02:00:00:00:00:07", "up", None))


def test_a_vif_without_a_place_is_pending_and_a_failed_one_is_not_there() -> None:
    seen = observed(Contents([Vif("a", None), Vif("b", 1, "new"), Vif("c", -1), Vif("d", 0), Vif("e", 1 << 40)],
                             {"br": 1, "new": None}))
    assert (seen.vifs, seen.pending) == ((), {"a", "b"})
    assert [(bridge.name, bridge.dpid, bridge.iface_ids) for bridge in seen.bridges] == [
        ("br", 1, {"a", "c", "d", "e"}), ("new", None, {"b"})]


def test_what_is_referred_to_and_not_there_is_passed_over() -> None:
    rows = updates(None, Contents([Vif("a"), Vif("b"), Vif("c", 1, "gone")], {"br": 1, "gone": 2}))
    del rows["Interface"][name_of("interface", 0)], rows["Port"][name_of("port", 1)], rows["Bridge"][
        name_of("bridge", "gone")]
    replica = Replica(TABLES)
    replica.update(rows)
    assert observe(replica.tables).vifs == () and len(observe(replica.tables).bridges) == 1


def test_the_mtu_of_a_tunnel_is_that_of_the_interface_its_packets_leave_by() -> None:
    def tunnel(number: int | None, egress: str | None) -> Tunnel:
        return Tunnel(f"hv{number}", "gre", {}, {}, {"hv-tunnel": "pair"}, number, egress=egress)

    (bridge, _) = observed(Contents(
        [Vif("a", 9, mtu=1400), Vif(None, 8, mtu=None), Vif(None, None, mtu=1300), Vif(None, 1, "phys", mtu=1600)],
        {"br": 1, "phys": None}, tunnels=[
            tunnel(5, "tap3"), tunnel(6, "tap1"), tunnel(7, "eth0"), tunnel(4, None), tunnel(None, "tap3")])).bridges
    assert bridge.mtus == (SeenMtu(5, "tap3", 1600), SeenMtu(9, "tap0", 1400))


@pytest.mark.parametrize(("contents", "wrong"), [
    (Contents(), []), (Contents(protocols=()), []), (Contents(protocols=("OpenFlow10", "OpenFlow13")), []),
    (Contents(other_config={"vlan-limit": "1", "x": "y"}), []),
    (Contents(fail_mode=None), [Setting("fail_mode", "standalone", "secure")]),
    (Contents(fail_mode="standalone"), [Setting("fail_mode", "standalone", "secure")]),
    (Contents(protocols=("OpenFlow15", "OpenFlow10")), [Setting("protocols", "OpenFlow10,OpenFlow15", "OpenFlow13")]),
    (Contents(other_config={"vlan-limit": "0"}), [Setting("other_config:vlan-limit", "0", "1")]),
])
def test_settings_that_are_not_as_needed_are_seen(contents: Contents, wrong: list[Setting]) -> None:
    (bridge,) = observed(contents).bridges
    assert list(bridge.wrong) == wrong


def test_a_correction_changes_one_row_and_one_column() -> None:
    (bridge,) = observed(Contents(fail_mode=None, protocols=("OpenFlow10",), other_config={"vlan-limit": "2"})).bridges
    operations = [operation for setting in bridge.wrong for operation in correction(bridge, setting)]
    assert [(each["table"], each.get("row", each.get("mutations"))) for each in operations] == [
        ("Bridge", {"fail_mode": "secure"}), ("Bridge", [["protocols", "insert", "OpenFlow13"]]),
        ("Open_vSwitch", [["other_config", "delete", ["set", ["vlan-limit"]]]]),
        ("Open_vSwitch", [["other_config", "insert", ["map", [["vlan-limit", "1"]]]]])]
    assert [each["where"] for each in operations[1:3]] == [
        [["_uuid", "==", ["uuid", name]]] for name in (name_of("bridge", "br"), name_of("root"))]
    with pytest.raises(ValueError):
        correction(bridge, Setting("other", "a", "b"))


@pytest.mark.parametrize("dpid", ["1", "000000000000000g", "0x00000000000001", "00000000000000001"])
def test_a_datapath_id_has_its_form(dpid: str) -> None:
    rows = updates(None, Contents())
    rows["Bridge"][name_of("bridge", "br")]["new"]["datapath_id"] = dpid
    with pytest.raises(DatabaseError, match="a datapath id of 16 hexadecimal digits expected"):
        Replica(TABLES).update(rows)


def test_a_datapath_id_of_zero_is_none() -> None:
    assert observed(Contents([Vif("a")], {"br": 0})).pending == {"a"}
