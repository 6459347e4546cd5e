"""What becomes of a tenant's outputs and groups on one edge."""
from __future__ import annotations

from dataclasses import replace
from struct import pack

import pytest

from hvproxy.compiler.buckets import tenant_groups
from hvproxy.compiler.entries import rules_for
from hvproxy.compiler.lowering import depends_on_ingress, lower, on_one_port, uncovered
from hvproxy.model.layout import GroupKind
from hvproxy.model.view import Lport, Vif
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket, walk_buckets
from hvproxy.openflow.instructions import Instructions, decode
from tests.compiler.placed import LAYOUT, LS_ID, SHARED, VIEW, AnEntry, a_group, edge

CONTROLLER, FLOOD, ALL, IN_PORT = of13.OFPP_CONTROLLER, of13.OFPP_FLOOD, of13.OFPP_ALL, of13.OFPP_IN_PORT
PUSH = actions.push_vlan()


def group(kind: GroupKind, index: int = 0) -> bytes:
    return actions.group(LAYOUT.group_id(kind, LS_ID, index))


def lowered(data: bytes, ingress: Lport | None = None, in_set: bool = False) -> bytes:
    return lower(data, edge(groups=[a_group(7, of13.OFPGT_ALL, b"")]), ingress, in_set=in_set)


@pytest.mark.parametrize("number", [1, 3, 5, 7])
@pytest.mark.parametrize("in_set", [False, True])
def test_an_output_becomes_the_group_of_its_port_wherever_that_port_is(number: int, in_set: bool) -> None:
    assert lowered(actions.output(number), in_set=in_set) == group(GroupKind.LPORT, 10 + number)


def test_everything_but_outputs_and_groups_stays_as_it_is_in_order() -> None:
    data = PUSH + actions.output(1) + actions.pop_vlan() + actions.output(2) + PUSH
    assert lowered(data) == (
        PUSH + group(GroupKind.LPORT, 11) + actions.pop_vlan() + group(GroupKind.LPORT, 12) + PUSH)


@pytest.mark.parametrize("port", [FLOOD, ALL])
@pytest.mark.parametrize("in_set", [False, True])
def test_a_flood_depends_on_the_ingress_only_where_that_is_shared(port: int, in_set: bool) -> None:
    assert lowered(actions.output(port), None, in_set) == group(GroupKind.FLOOD)
    assert lowered(actions.output(port), SHARED[3], in_set) == group(GroupKind.FLOOD_FROM, 13)


def test_in_port_is_the_switchs_own_unless_the_ingress_is_shared_or_the_output_is_written() -> None:
    data = actions.output(IN_PORT)
    assert lowered(data) == data
    assert lowered(data, in_set=True) == group(GroupKind.HAIRPIN)
    assert lowered(data, SHARED[4]) == lowered(data, SHARED[4], in_set=True) == group(GroupKind.HAIRPIN, 14)


def test_the_controller_gets_the_whole_packet_whatever_max_len_says() -> None:
    data = actions.output(CONTROLLER, 64)
    assert lowered(data) == actions.output(CONTROLLER, of13.OFPCML_NO_BUFFER)
    assert lowered(data, in_set=True) == group(GroupKind.CONTROLLER)


def test_a_sibling_on_the_physical_port_of_the_ingress_is_reached_through_in_port() -> None:
    assert lowered(actions.output(4), SHARED[3]) == group(GroupKind.HAIRPIN, 14)
    assert lowered(actions.output(6), SHARED[3]) == group(GroupKind.LPORT, 16)


@pytest.mark.parametrize("number", [3, 99])
def test_an_output_to_the_shared_ingress_itself_or_to_no_port_is_nothing_but_displaces_in_an_action_set(
    number: int,
) -> None:
    assert lowered(actions.output(number), SHARED[3]) == b""
    assert lowered(actions.output(number), SHARED[3], in_set=True) == group(GroupKind.NOWHERE)


def test_a_tenants_group_has_a_variant_for_each_shared_ingress() -> None:
    assert lowered(actions.group(7)) == group(GroupKind.TENANT, 70)
    assert lowered(actions.group(7), SHARED[3]) == group(GroupKind.TENANT, 73)


def test_beside_a_group_the_outputs_of_an_action_set_go() -> None:
    data = actions.output(1) + actions.group(7) + actions.output(2)
    assert lowered(data, in_set=True) == group(GroupKind.TENANT, 70)
    assert lowered(data) == group(GroupKind.LPORT, 11) + group(GroupKind.TENANT, 70) + group(GroupKind.LPORT, 12)


@pytest.mark.parametrize(("data", "depends"), [
    (b"", False), (PUSH, False), (actions.output(CONTROLLER), False), (actions.output(1), True),
    (actions.output(FLOOD), True), (actions.output(IN_PORT), True), (actions.group(7), True),
    (actions.output(CONTROLLER) + actions.output(1), True),
])
def test_what_depends_on_the_ingress(data: bytes, depends: bool) -> None:
    assert depends_on_ingress(data) is depends
    variants = {lowered(data, ingress) for ingress in (None, *SHARED.values())}
    assert depends or len(variants) == 1


def test_two_ports_are_on_one_port_only_if_both_are_bound_there() -> None:
    here, vlan = Lport(1, 1, Vif(1, 1)), Lport(2, 2, Vif(1, 1, 7))
    assert on_one_port(here, vlan)
    for other in (Lport(3, 3, Vif(1, 2)), Lport(4, 4, Vif(2, 1)), Lport(5, 5)):
        assert not on_one_port(here, other) and not on_one_port(other, here)


def test_an_edge_knows_its_own_shared_ports_only() -> None:
    assert [lport.number for lport in edge(1).shared] == [3, 4]
    assert [lport.number for lport in edge(2).shared] == [6]
    assert set(edge(2).lports) == {lport.number for lport in VIEW.lports}


def test_a_tenant_group_is_compared_by_what_it_is() -> None:
    one = a_group(1, of13.OFPGT_ALL, bucket(PUSH))
    assert one == a_group(1, of13.OFPGT_ALL, bucket(PUSH)) != a_group(1, of13.OFPGT_ALL, b"")


@pytest.mark.parametrize("in_set", [False, True])
def test_a_queue_that_a_tenant_chooses_reaches_no_switch(in_set: bool) -> None:
    queue = bytes((0, of13.OFPAT_SET_QUEUE, 0, 8, 0, 0, 0, 1))
    assert lowered(queue + actions.output(1) + queue, in_set=in_set) == group(GroupKind.LPORT, 11)
    assert lowered(queue, in_set=in_set) == b""


def pop_mpls(ethertype: int) -> bytes:
    return pack("!HHHxx", of13.OFPAT_POP_MPLS, 8, ethertype)


AGAIN = actions.move(of13.OFPXMT_OFB_METADATA, 63, of13.OFPXMT_OFB_METADATA, 63, 1)


def test_a_packet_is_taken_up_anew_as_soon_as_its_last_label_is_off() -> None:
    data = actions.output(1) + pop_mpls(0x8847) + pop_mpls(0x0800) + actions.output(2)
    assert uncovered(data, edge()) == (
        actions.output(1) + pop_mpls(0x8847) + pop_mpls(0x0800) + AGAIN + actions.output(2))
    assert uncovered(PUSH + actions.output(1), edge()) == PUSH + actions.output(1)


def test_every_list_that_others_follow_is_so_but_the_action_set_is_not() -> None:
    data = pop_mpls(0x0800) + actions.output(2)
    (rule,) = rules_for(AnEntry(table_id=1, instructions=Instructions(apply=data, write=data)), edge(2))[:1]
    found = decode(rule.instructions)
    assert found.apply == pop_mpls(0x0800) + AGAIN + group(GroupKind.LPORT, 12)
    assert found.write == pop_mpls(0x0800) + group(GroupKind.LPORT, 12)
    for each in tenant_groups(a_group(7, of13.OFPGT_ALL, bucket(data)), edge(2)):
        assert walk_buckets(each.buckets)[0].actions[:32] == pop_mpls(0x0800) + AGAIN


def test_other_switches_than_open_vswitch_take_nothing_up_anew() -> None:
    data = pop_mpls(0x0800) + actions.output(2)
    assert uncovered(data, edge(view=replace(VIEW, plain=frozenset({edge().dpid})))) == data
