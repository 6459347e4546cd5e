"""A tenant's entry, compiled for the edges and met by frames."""
from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest

from hvproxy.compiler.entries import REMEMBERED, rules_for
from hvproxy.compiler.lowering import Edge
from hvproxy.model.layout import GROUP_FLAG, HOLDING_TABLES, SHARED_FLAG, Table, cookie
from hvproxy.model.view import LogicalSwitchView
from hvproxy.openflow import actions, nicira
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.instructions import Instructions, decode
from hvproxy.openflow.oxm import Match, metadata_tlv, tlv
from hvproxy.openflow.oxm_fields import CT_MARK, CT_STATE, CT_ZONE, NX, OWN_REGISTER
from tests.compiler.placed import FRAME, LAYOUT, LS_ID, VIEW, VIFS, AnEntry, a_group, edge, plane, sent, told

CONTROLLER, FLOOD, IN_PORT = of13.OFPP_CONTROLLER, of13.OFPP_FLOOD, of13.OFPP_IN_PORT
TUNNEL_ID = of13.OFPXMT_OFB_TUNNEL_ID
PLAIN = replace(VIEW, plain=frozenset((2,)))
"""Where the second datapath has no registers."""
TO_DST = tlv(of13.OFPXMT_OFB_ETH_DST, 0x020000000002)


def in_port(number: int) -> Match:
    return Match.from_tlvs(tlv(of13.OFPXMT_OFB_IN_PORT, number))


def entry(number: int = 1, table: int = 0, match: Match = Match.EMPTY, priority: int = 5, apply: bytes = b"",
          write: bytes = b"", clear: bool = False, goto: int | None = None,
          metadata: tuple[int, int] | None = None) -> AnEntry:
    return AnEntry(number, table, priority, match,
                   Instructions(goto=goto, metadata=metadata, apply=apply, write=write, clear=clear, meter=None))


def tunnel(value: int, mask: int = (1 << 64) - 1) -> Match:
    return Match.from_tlvs(tlv(TUNNEL_ID, value, mask))


def out(*numbers: int) -> bytes:
    return b"".join(actions.output(number) for number in numbers)


def test_the_rules_of_an_entry_have_its_priority_table_and_cookie() -> None:
    rules = rules_for(entry(number=9, table=2, priority=77, apply=out(1)), edge())
    assert {(rule.table, rule.priority, rule.cookie) for rule in rules} == {(Table.LOGICAL + 2, 77, cookie(LS_ID, 9))}


@pytest.mark.parametrize("match", [Match.EMPTY, Match.from_tlvs(TO_DST), Match.from_tlvs(metadata_tlv(3, 7)),
                                   in_port(1), in_port(3), in_port(CONTROLLER)])
@pytest.mark.parametrize("write", [b"", out(1)])
def test_the_rules_of_an_entry_match_disjoint_packets_of_its_logical_switch_alone(match: Match, write: bytes) -> None:
    rules = rules_for(entry(table=1, match=match, apply=out(2), write=write), edge())
    matches = [Match.from_tlvs(rule.match) for rule in rules]
    assert matches and all(not a.overlaps(b) for a, b in combinations(matches, 2))
    context = Match.from_tlvs(metadata_tlv(LAYOUT.context(LS_ID), LAYOUT.logical_switch_mask))
    assert all(context.covers(each) for each in matches)


def test_what_does_not_depend_on_the_ingress_is_one_rule_for_all_shared_ports() -> None:
    assert len(rules_for(entry(apply=out(CONTROLLER)), edge())) == 2
    assert len(rules_for(entry(apply=out(1)), edge())) == 3
    assert len(rules_for(entry(match=in_port(1), apply=out(2)), edge())) == 1


def test_an_entry_for_one_port_is_on_the_edge_of_that_port_only() -> None:
    for number, vif in VIFS.items():
        for dpid in (1, 2):
            rules = rules_for(entry(match=in_port(number), apply=out(1)), edge(dpid))
            assert len(rules) == (dpid == vif.dpid)
    for nowhere in (7, 99):
        assert not any(rules_for(entry(match=in_port(nowhere)), edge(dpid)) for dpid in (1, 2))


def test_an_entry_for_the_controllers_packets_is_on_every_edge_and_meets_no_frame_of_a_port() -> None:
    asked = entry(match=in_port(CONTROLLER), apply=out(1))
    assert len(rules_for(asked, edge(1))) == len(rules_for(asked, edge(2))) == 1
    assert all(not sent(plane(asked), number) for number in VIFS)


@pytest.mark.parametrize("ingress", VIFS)
@pytest.mark.parametrize("how", ["apply", "write"])
def test_an_output_arrives_from_everywhere_but_the_port_itself(ingress: int, how: str) -> None:
    for target in VIFS:
        made = plane(entry(apply=out(target)) if how == "apply" else entry(write=out(target)))
        assert sent(made, ingress) == ({target: FRAME} if target != ingress else {})


@pytest.mark.parametrize("ingress", VIFS)
@pytest.mark.parametrize("how", ["apply", "write"])
def test_in_port_sends_back_and_flood_everywhere_else(ingress: int, how: str) -> None:
    others = set(VIFS) - {ingress}
    for port, expected in ((IN_PORT, {ingress}), (FLOOD, others), (of13.OFPP_ALL, others)):
        made = plane(entry(apply=out(port)) if how == "apply" else entry(write=out(port)))
        assert sent(made, ingress) == dict.fromkeys(expected, FRAME)


@pytest.mark.parametrize("table", [HOLDING_TABLES, 253, 254, 255])
def test_a_packet_sent_to_a_table_without_a_place_ends_as_in_an_empty_one(table: int) -> None:
    group = a_group(1, of13.OFPGT_INDIRECT, bucket(out(4)))
    for doing in (dict(apply=out(2)), dict(write=out(5)), dict(apply=out(2), write=actions.group(1)),
                  dict(metadata=(1, 1), clear=True, write=out(5), apply=out(CONTROLLER))):
        empty = plane(entry(goto=9, **doing), groups=[group])  # type: ignore[arg-type]
        far = plane(entry(goto=table, **doing), groups=[group])  # type: ignore[arg-type]
        for ingress in (1, 3):
            assert sent(far, ingress) == sent(empty, ingress) and told(far) == told(empty)
    assert sent(plane(entry(goto=table, write=out(5))), 1) == {5: FRAME}


@pytest.mark.parametrize("ingress", VIFS)
def test_the_last_output_written_wins_even_if_it_leads_nowhere(ingress: int) -> None:
    assert sent(plane(entry(write=out(1, 2))), ingress) == ({2: FRAME} if ingress != 2 else {})
    for nowhere in (ingress, 7, 99):
        assert sent(plane(entry(write=out(1 if ingress != 1 else 2, nowhere))), ingress) == {}


@pytest.mark.parametrize("ingress", [1, 3, 5, 6])
@pytest.mark.parametrize(("second", "expected"), [
    (dict(write=out(2)), {4}), (dict(clear=True, write=out(2)), {2}), (dict(clear=True), set()), (dict(), {4}),
    (dict(write=out(FLOOD)), {4}), (dict(write=out(99)), {4}),
])
def test_a_group_written_earlier_beats_an_output_written_later_until_it_is_cleared(
    ingress: int, second: dict[str, object], expected: set[int],
) -> None:
    group = a_group(1, of13.OFPGT_INDIRECT, bucket(out(4)))
    made = plane(entry(1, write=actions.group(1), goto=1), entry(2, table=1, goto=2, **second),  # type: ignore
                 entry(3, table=2), groups=[group])
    assert sent(made, ingress) == dict.fromkeys(expected, FRAME)


def test_a_group_cleared_is_forgotten_in_the_tables_that_follow() -> None:
    group = a_group(1, of13.OFPGT_INDIRECT, bucket(out(4)))
    made = plane(entry(1, write=actions.group(1), goto=1), entry(2, table=1, clear=True, goto=2),
                 entry(3, table=2, write=out(2)), groups=[group])
    assert sent(made, 1) == {2: FRAME}


def test_what_a_tenant_writes_outside_its_own_mask_is_not_written() -> None:
    for written, lowered in (((0xFF, 0x0F), (0x0F, 0x0F)), ((0xFF, 0), None)):
        rules = rules_for(entry(1, goto=1, metadata=written), edge())
        assert {decode(rule.instructions).metadata for rule in rules} == {lowered}


def test_a_tenants_metadata_goes_with_the_packet_and_its_context_is_not_touched() -> None:
    made = plane(entry(1, goto=1, metadata=(0xFFFFFFFF, 0xFFFFFFFF)),
                 entry(2, table=1, match=Match.from_tlvs(metadata_tlv(0x80000001, 0x80000001)), goto=2,
                       metadata=(0, 1)),
                 entry(3, table=2, match=Match.from_tlvs(metadata_tlv(0xFFFFFFFE, 0xFFFFFFFF)), apply=out(CONTROLLER)))
    for number in (1, 3, 6):
        assert sent(made, number) == {}
        packet, = told(made)
        lport = next(lport for lport in edge().lports.values() if lport.number == number)
        assert isinstance(packet["metadata"], int)
        assert LAYOUT.read(packet["metadata"]) == (LS_ID, lport.index, 0xFFFFFFFE)
        assert packet["metadata"] & SHARED_FLAG == SHARED_FLAG * lport.shared


@pytest.mark.parametrize("view, place", [(VIEW, OWN_REGISTER.number), (PLAIN, TUNNEL_ID)])
def test_what_the_action_set_sends_to_the_controller_names_the_entry_that_wrote_it(
    view: LogicalSwitchView, place: int,
) -> None:
    def names(made_by: AnEntry) -> set[bytes]:
        return {action for rule in rules_for(made_by, edge(groups=[group], view=view))
                for _, action in actions.walk(decode(rule.instructions).write)
                if action[4:8] in {tlv(each, 0)[:4] for each in (TUNNEL_ID, OWN_REGISTER.number)}}

    group = a_group(1, of13.OFPGT_INDIRECT, bucket(out(CONTROLLER)))
    for write in (out(CONTROLLER), actions.group(1)):
        assert names(entry(8, write=write)) == {actions.set_field(tlv(place, 8))}
        made = plane(entry(7, goto=1, write=out(CONTROLLER)), entry(8, table=1, write=write), groups=[group], view=view)
        assert sent(made, 3) == {}
        assert [packet["others"] for packet in told(made)] == [tlv(place, 8)]
    assert not names(entry(8, write=out(1))) and not names(entry(8, apply=out(CONTROLLER)))


def test_the_group_flag_is_written_only_where_something_follows_that_reads_it() -> None:
    group = a_group(1, of13.OFPGT_INDIRECT, bucket(out(4)))
    here = edge(groups=[group])

    def metadata(made_by: AnEntry) -> set[tuple[int, int] | None]:
        return {decode(rule.instructions).metadata for rule in rules_for(made_by, here)}

    assert metadata(entry(write=actions.group(1))) == {None}
    assert metadata(entry(write=actions.group(1), goto=1)) == {(GROUP_FLAG, GROUP_FLAG)}
    assert metadata(entry(clear=True, goto=1, metadata=(1, 3))) == {(1, GROUP_FLAG | 3)}


def test_entries_that_do_the_same_are_lowered_once_and_never_mixed_up() -> None:
    here = edge()
    for number in range(1, 2000):
        for target in (1, 2):
            made = entry(number, match=Match.from_tlvs(tlv(of13.OFPXMT_OFB_ETH_DST, number)), apply=out(target))
            assert rules_for(made, here) == rules_for(made, edge())
    assert len(here.remembered) == 2 * (1 + len(here.shared))


def test_what_is_remembered_is_bounded() -> None:
    here = edge()
    for number in range(1, REMEMBERED + 100):
        rules_for(entry(match=in_port(1), apply=actions.set_field(tlv(of13.OFPXMT_OFB_ETH_DST, number))), here)
    assert 0 < len(here.remembered) <= REMEMBERED


def test_a_resubmit_leads_to_the_tenants_table_wherever_it_stands() -> None:
    resubmits = Edge(LAYOUT, replace(VIEW, resubmits=True), 1, {})
    here, other = actions.resubmit(255), actions.resubmit(7)
    for each in (entry(table=3, apply=here + other), entry(table=3, apply=here, write=other + out(2), goto=5)):
        for rule in rules_for(each, resubmits):
            found = decode(rule.instructions)
            tables = {action[12] for data in (found.apply, found.write) for kind, action in actions.walk(data)
                      if nicira.resubmits(action)}
            assert tables <= {Table.ASIDE, Table.LOGICAL + 3, Table.LOGICAL + 7} and Table.LOGICAL + 3 in tables


def test_metadata_is_set_in_the_tenants_bits_only_and_queues_are_left_out() -> None:
    queue = bytes((0, of13.OFPAT_SET_QUEUE, 0, 8, 0, 0, 0, 1))
    written = actions.set_field(tlv(of13.OFPXMT_OFB_METADATA, 0x12345678)) + queue + out(2)
    for each in (entry(table=1, apply=written), entry(table=1, write=written)):
        for rule in rules_for(each, edge()):
            found = decode(rule.instructions)
            done = found.apply + found.write
            kinds = [kind for kind, _ in actions.walk(done)]
            assert of13.OFPAT_SET_QUEUE not in kinds
            (load,) = [action for kind, action in actions.walk(done) if kind == of13.OFPAT_EXPERIMENTER]
            assert load[10:] == bytes.fromhex("001f80000408") + (0x12345678).to_bytes(8, "big")


def test_an_entry_that_no_packet_can_meet_has_no_rules() -> None:
    source = NX + 31  # of tunnels
    assert rules_for(entry(match=Match.from_tlvs(tlv(source, 5)), apply=out(2)), edge()) == ()
    with_zero = rules_for(entry(match=Match.from_tlvs(tlv(source, 0)), apply=out(2)), edge())
    assert with_zero == rules_for(entry(apply=out(2)), edge())


def test_where_the_tunnel_id_is_ours_it_is_zero_to_the_tenant() -> None:
    for dpid in (1, 2):  # one switch without a register is enough
        here = edge(dpid, view=PLAIN)
        assert rules_for(entry(match=tunnel(5)), here) == rules_for(entry(match=tunnel(4, 6)), here) == ()
        for match in (tunnel(0), tunnel(0, 7)):
            assert rules_for(entry(match=match, apply=out(2)), here) == rules_for(entry(apply=out(2)), here)


def test_where_the_tunnel_id_is_the_tenants_it_goes_with_the_packet() -> None:
    written = actions.set_field(tlv(TUNNEL_ID, 1 << 63 | 5))
    made = plane(entry(1, match=tunnel(0), apply=written, goto=1),
                 entry(2, table=1, match=tunnel(1 << 63, 1 << 63), goto=2),
                 entry(3, table=2, match=tunnel(1 << 63 | 5), apply=out(2, CONTROLLER)),
                 entry(4, table=2, priority=1, apply=out(4)))
    for number in (1, 3, 4):  # the last one is at the other datapath
        assert sent(made, number) == {2: FRAME}
        assert [packet["others"] for packet in told(made)] == [tlv(TUNNEL_ID, 1 << 63 | 5)]


AT_HOME = replace(VIEW, home=1)
TRACKING = bytes.fromhex("ffff0018000023200023000100000000") + b"\0\5\1" + bytes(5)


def home(dpid: int = 1, zones: dict[int, int] | None = None) -> Edge:
    return Edge(LAYOUT, AT_HOME, dpid, {}, {}, {5: 77} if zones is None else zones)


def test_connections_are_tracked_at_home_alone() -> None:
    tracked = entry(match=Match.from_tlvs(tlv(of13.OFPXMT_OFB_ETH_TYPE, 0x800)), apply=TRACKING)
    assert not rules_for(tracked, home(2))
    for rule in rules_for(tracked, home()):
        assert decode(rule.instructions).apply == (
            actions.resubmit(Table.HOP) + TRACKING[:16] + b"\0\x4d" + bytes((Table.LOGICAL + 1,)) + TRACKING[19:])
    (last,) = {decode(rule.instructions).apply[-6] for rule in rules_for(
        entry(apply=TRACKING[:18] + bytes((HOLDING_TABLES,)) + TRACKING[19:]), home())}
    assert last == Table.HOP


def test_ct_clear_does_something_where_something_is_tracked() -> None:
    clear = bytes.fromhex("ffff001000002320002b000000000000")
    for where, does in ((home(), clear), (home(2), b""), (edge(), b"")):
        assert {decode(rule.instructions).apply for rule in rules_for(entry(apply=clear), where)} == {does}


@pytest.mark.parametrize("asked, found", [(tlv(CT_STATE, 0x21, 0x21), [tlv(CT_STATE, 0x21, 0x21)]),
                                          (tlv(CT_ZONE, 5), [tlv(CT_ZONE, 77)]), (tlv(CT_ZONE, 6), []),
                                          (tlv(CT_ZONE, 0), [tlv(CT_ZONE, 0)]),
                                          (tlv(CT_STATE, 0, 0x20) + tlv(CT_MARK, 7), [tlv(CT_STATE, 0, 0x20)
                                                                                      + tlv(CT_MARK, 7)])])
def test_a_match_of_a_connection_is_looked_at_where_it_is_tracked(asked: bytes, found: list[bytes]) -> None:
    wanted = entry(match=Match.from_tlvs(asked), apply=out(CONTROLLER))
    assert {next((each for each in found if rule.match.endswith(each)), None)
            for rule in rules_for(wanted, home())} == set(found)
    elsewhere = rules_for(wanted, home(2))
    assert bool(elsewhere) is not Match.from_tlvs(asked).never


def test_at_home_an_entry_is_there_for_the_ports_of_other_edges_too() -> None:
    away = {lport.number for lport in AT_HOME.away}
    assert away
    for number in away:
        assert rules_for(entry(match=in_port(number), apply=out(FLOOD)), home())
