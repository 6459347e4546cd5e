"""The logical tables and a real Open vSwitch get the same flow-mods and must give the same errors and dumps."""
from __future__ import annotations

from collections.abc import Iterator
from struct import pack
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hvproxy.errors import Refused
from hvproxy.hypervisor.flow_mods import ADD, DELETE, DELETE_STRICT, MODIFY, MODIFY_STRICT
from hvproxy.hypervisor.logical_table import LogicalTables
from hvproxy.openflow.build import flow_mod
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import build, canonical
from hvproxy.openflow.messages import decode_flow_mod
from hvproxy.openflow.multipart import decode_flow_stats
from hvproxy.openflow.oxm import Match, ofp_match
from tests.hypervisor.flow_mod_messages import (
    ALL_TABLES, apply_actions, goto, group, in_port, metadata, output, tlv, write_actions,
)
from tests.system.private_ovs import PrivateOvs, Session, require

Row = tuple[Any, ...]
OVS_TABLES = 254
"""Table 254 is its own, hidden. A full cookie mask uncovers its flows, whose cookie is 0: hence none of the cookies
here is."""
GROUP = 1
ETH_IP, ETH_ARP = tlv(5, 0x0800, 2), tlv(5, 0x0806, 2)
TCP = tlv(10, 6, 1)
MATCHES = [
    *[b"", in_port(1), ETH_IP] * 6, in_port(2), metadata(1, 1), metadata(1, 3), in_port(1) + metadata(2, 2),
    ETH_IP, ETH_IP + TCP, ETH_IP + TCP + tlv(14, 80, 2), ETH_IP + tlv(10, 17, 1), ETH_ARP,
    ETH_IP + tlv(12, 0x0a000000, 4, 0xff000000), ETH_IP + tlv(12, 0x0a010000, 4, 0xffff0000),
    ETH_IP + tlv(12, 0x0b000000, 4, 0xff000000), ETH_IP + tlv(12, 0x0a010203, 4),
    tlv(6, 0, 2), tlv(6, 0x1000, 2, 0x1000), tlv(6, 0x1005, 2), tlv(6, 0x1005, 2) + tlv(7, 3, 1),
    tlv(3, 0x010000000000, 6, 0x010000000000), tlv(3, 0xffffffffffff, 6),
    tlv(5, 0x86dd, 2) + tlv(27, 1 << 120, 16, 0xff << 120),
]
BAD_MATCHES = [
    in_port(1) + in_port(2), TCP, ETH_IP + tlv(14, 80, 2), tlv(6, 0x2000, 2), tlv(12, 0x0a000000, 4),
    ETH_IP + tlv(12, 0x0a000001, 4, 0xff000000), tlv(77, 1, 1),
]
DEC_TTL = pack("!HH4x", 24, 8)
PUSH_VLAN, PUSH_BAD = pack("!HHH2x", 17, 8, 0x8100), pack("!HHH2x", 17, 8, 0x1234)
SET_VID = pack("!HH", 25, 16) + tlv(6, 0x1007, 2) + bytes(6)
WRITE_METADATA = pack("!HH4xQQ", 2, 24, 5, 7)
CLEAR = pack("!HH4x", 5, 8)
INSTRUCTIONS = [
    b"", apply_actions(output(1)), apply_actions(output(2)), apply_actions(output(0xfffffffd)),
    write_actions(output(1)), apply_actions(group(GROUP)), write_actions(group(GROUP), output(2)),
    goto(1), goto(2) + apply_actions(output(1)),
    WRITE_METADATA + goto(3) + CLEAR, apply_actions(PUSH_VLAN, SET_VID, output(2)), apply_actions(), goto(253),
    goto(254), goto(255),
    apply_actions(DEC_TTL, output(1)), apply_actions(SET_VID, output(1)),
]
BAD_INSTRUCTIONS = [
    apply_actions(PUSH_BAD), apply_actions(output(0xff05)), goto(0), pack("!HH4x", 9, 8),
    apply_actions(group(7)), write_actions(group(7)), apply_actions(pack("!HH4x", 99, 8)),
]


def mostly(good: list[Any], bad: list[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 14).flatmap(lambda dice: st.sampled_from(bad if dice == 0 else good))


flow_mods = st.fixed_dictionaries({
    "command": mostly([ADD, ADD, ADD, MODIFY, MODIFY_STRICT, DELETE, DELETE_STRICT], [5, 9, 255]),
    "table_id": mostly([0, 0, 0, 0, 1, 253], [254, ALL_TABLES]),
    "priority": st.sampled_from([1, 1, 2]),
    "match_tlvs": mostly(MATCHES, BAD_MATCHES),
    "instructions": mostly(INSTRUCTIONS, BAD_INSTRUCTIONS),
    "cookie": st.sampled_from([1, 1, 2, 3, (1 << 64) - 1]),
    "cookie_mask": st.sampled_from([0, 0, 0, 1, 3, (1 << 64) - 1]),
    "idle_timeout": st.sampled_from([0, 500]),
    "hard_timeout": st.sampled_from([0, 600]),
    "flags": mostly([0, 0, 0, 1, 2, 4, 2 | 4, 8 | 16], [0x20, 0x8000]),
    "buffer_id": mostly([0xffffffff], [7]),
    "out_port": mostly([0xffffffff, 0xffffffff, 1, 2, 0xfffffffd], [0, 0xff00, 0xfffffeff, 0xffffff00]),
    "out_group": st.sampled_from([0xffffffff, 0xffffffff, GROUP, 7]),
})
requests = st.fixed_dictionaries({
    "table_id": st.sampled_from([0, 1, 253, ALL_TABLES, ALL_TABLES]),
    "match": st.sampled_from(MATCHES),
    "cookie": st.sampled_from([1, 2, 3]),
    "cookie_mask": st.sampled_from([0, 1, (1 << 64) - 1]),
    "out_port": mostly([0xffffffff, 1, 0xfffffffd], [0, 0xff00]),
    "out_group": st.sampled_from([0xffffffff, GROUP]),
})


@pytest.fixture(scope="module")
def switch() -> Iterator[Session]:
    require()
    with PrivateOvs() as ovs:
        session = ovs.session()
        assert session.refusal(of13.OFPT_GROUP_MOD, pack("!HBxI", of13.OFPGC_ADD, of13.OFPGT_ALL, GROUP)) is None
        yield session
        session.close()


def clear(switch: Session) -> None:
    assert switch.refusal(of13.OFPT_FLOW_MOD, flow_mod(1, DELETE, table_id=ALL_TABLES)[8:]) is None


def dump_of_switch(switch: Session, request: dict[str, Any]) -> list[Row] | tuple[int, int]:
    body = pack("!HH4xB3xII4xQQ", of13.OFPMP_FLOW, 0, request["table_id"], request["out_port"], request["out_group"],
                request["cookie"], request["cookie_mask"]) + ofp_match(request["match"])
    error = switch.refusal(of13.OFPT_MULTIPART_REQUEST, body)
    if error is not None:
        return error
    return sorted((s.table_id, s.priority, Match.parse(s.match).tlvs, canonical(s.instructions), s.cookie, s.idle,
                   s.hard, s.flags) for s in decode_flow_stats(switch.multipart(of13.OFPMP_FLOW, body[8:])))


def dump_of_tables(logical: LogicalTables, request: dict[str, Any]) -> list[Row] | tuple[int, int]:
    try:
        found = logical.select(**{**request, "match": Match.from_tlvs(request["match"])})
    except Refused as refused:
        return refused.error_type, refused.code
    return sorted((e.table_id, e.priority, e.match.tlvs, build(e.instructions), e.cookie, e.idle_timeout,
                   e.hard_timeout, e.flags) for e in found)


EVERYTHING = {"table_id": ALL_TABLES, "match": b"", "cookie": 0, "cookie_mask": 0, "out_port": 0xffffffff,
              "out_group": 0xffffffff}


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(script=st.lists(flow_mods, min_size=10, max_size=40), asked=st.lists(requests, max_size=4))
def test_same_errors_and_same_dump(switch: Session, script: list[dict[str, Any]], asked: list[dict[str, Any]]) -> None:
    clear(switch)
    logical = LogicalTables(OVS_TABLES, 1_000_000)
    for step, fields in enumerate(script):
        wire = flow_mod(1, **fields)
        ours = None
        try:
            logical.flow_mod(decode_flow_mod(wire), float(step), groups={GROUP})
        except Refused as refused:
            ours = (refused.error_type, refused.code)
        assert (step, ours) == (step, switch.refusal(of13.OFPT_FLOW_MOD, wire[8:]))
    for request in [EVERYTHING, *asked]:
        assert dump_of_tables(logical, request) == dump_of_switch(switch, request)
