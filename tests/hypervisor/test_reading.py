"""One reading of a switch."""
from __future__ import annotations

from hvproxy.hypervisor.reading import REQUIRED, Reading, is_physical
from hvproxy.hypervisor.reconcile import rule_flags
from hvproxy.model.rules import Content
from hvproxy.openflow import oxm
from hvproxy.openflow.constants import of13
from hvproxy.openflow.multipart import FlowStats, GroupDesc, Kind, decode_flow_stats_request
from hvproxy.openflow.ports import PortDesc
from tests.hypervisor.contents import group, rule


def test_all_rules_of_all_tables_are_asked_for() -> None:
    request = decode_flow_stats_request(dict(REQUIRED)[Kind.FLOW])
    assert (request.table_id, request.cookie_mask, request.out_port, request.out_group) == (
        of13.OFPTT_ALL, 0, of13.OFPP_ANY, of13.OFPG_ANY)


def test_parts_add_up() -> None:
    reading = Reading(Content())
    for number in (1, 2):
        one = rule(number)
        reading.take(Kind.PORT_DESC, PortDesc(number, bytes(6), "p").encode())
        reading.take(Kind.GROUP_DESC, GroupDesc(1, group(number).group_id, group(number).buckets).encode())
        reading.take(Kind.FLOW, FlowStats(one.table, 0, 0, one.priority, 0, 0, rule_flags(one.cookie), one.cookie, 0, 0,
                                          oxm.ofp_match(one.match)[:14], one.instructions).encode())
    assert sorted(reading.ports) == [1, 2]
    assert set(reading.found.groups) == {group(1).group_id, group(2).group_id}
    assert set(reading.found.rules) == {rule(1).key, rule(2).key}


def test_complete_only_when_every_answer_is() -> None:
    reading = Reading(Content())
    assert [reading.complete(kind) for kind, _ in REQUIRED] == [False] * (len(REQUIRED) - 1) + [True]
    again = Reading(Content())
    assert not any(again.complete(Kind.FLOW) for _ in REQUIRED)


def test_reserved_ports_are_not_physical() -> None:
    reading = Reading(Content())
    for number in (of13.OFPP_LOCAL, 0xff01, of13.OFPP_MAX):
        reading.take(Kind.PORT_DESC, PortDesc(number, bytes(6), "p").encode())
    assert sorted(reading.ports) == [0xff01, of13.OFPP_MAX]
    assert not is_physical(of13.OFPP_MAX + 1)
