"""What the tables of a logical switch offer, told by TABLE_FEATURES (OF 1.3.5 section 7.3.5.5, trap 37)."""
from __future__ import annotations

from hvproxy.errors import Refused
from hvproxy.model.intent import LogicalSwitchSpec
from hvproxy.model.layout import HOLDING_TABLES, TENANT_MASK
from hvproxy.openflow.constants import NICIRA_ID, of13
from hvproxy.openflow.oxm_fields import FIELDS
from hvproxy.openflow.table_features import (
    APPLY_ACTIONS, APPLY_SETFIELD, MATCH, MISS, NEXT_TABLES, WILDCARDS, WRITE_ACTIONS, WRITE_SETFIELD, TableFeatures,
    table_features,
)
from hvproxy.openflow.table_features import INSTRUCTIONS as INSTRUCTIONS_LIST

INSTRUCTIONS = (of13.OFPIT_GOTO_TABLE, of13.OFPIT_WRITE_METADATA, of13.OFPIT_WRITE_ACTIONS, of13.OFPIT_APPLY_ACTIONS,
                of13.OFPIT_CLEAR_ACTIONS, of13.OFPIT_METER)
MOST_ENTRIES = 1_000_000
"""Per logical table that holds any, as Open vSwitch tells."""
ACTIONS = (of13.OFPAT_OUTPUT, of13.OFPAT_SET_MPLS_TTL, of13.OFPAT_DEC_MPLS_TTL, of13.OFPAT_PUSH_VLAN,
           of13.OFPAT_POP_VLAN, of13.OFPAT_PUSH_MPLS, of13.OFPAT_POP_MPLS, of13.OFPAT_SET_QUEUE, of13.OFPAT_GROUP,
           of13.OFPAT_SET_NW_TTL, of13.OFPAT_DEC_NW_TTL, of13.OFPAT_SET_FIELD)

REQUIRED = frozenset((INSTRUCTIONS_LIST, NEXT_TABLES, WRITE_ACTIONS, APPLY_ACTIONS, MATCH, WILDCARDS, WRITE_SETFIELD,
                      APPLY_SETFIELD))
KNOWN = REQUIRED | {kind + MISS for kind in REQUIRED - {MATCH, WILDCARDS}}
BAD_FEATURES, DUP_TABLE = 10, 44
"""Open vSwitch's own errors, of Nicira's."""


def features_of(spec: LogicalSwitchSpec, table_id: int, name: str = "", *, extended: bool = True) -> TableFeatures:
    """The features of one logical table; `extended`: the switches have Open vSwitch's extensions."""
    last = spec.tables - 1
    offered = [field for field in FIELDS if extended or field.number != of13.OFPXMT_OFB_TUNNEL_ID]
    headers = tuple(field.header for field in offered)
    match = tuple(_with_mask(field.header, field.size) if field.maskable else field.header for field in offered)
    writable = tuple(field.header for field in offered if field.writable and field.number != of13.OFPXMT_OFB_METADATA)
    instructions = INSTRUCTIONS if table_id < last else INSTRUCTIONS[1:]
    return table_features(
        table_id, name, instructions=instructions, next_tables=range(table_id + 1, last + 1),
        write_actions=ACTIONS, apply_actions=ACTIONS, match=match, wildcards=headers, write_setfield=writable,
        apply_setfield=writable, metadata_match=TENANT_MASK, metadata_write=TENANT_MASK,
        max_entries=MOST_ENTRIES if table_id < HOLDING_TABLES else 0)


def renamed(offered: list[TableFeatures], wanted: list[TableFeatures]) -> dict[int, str]:
    """The names that TABLE_FEATURES with a body gives the tables, the only thing that Open vSwitch lets it change: it
    must tell of every table, and of each all that is told of it. Raises Refused."""
    found: dict[int, TableFeatures] = {}
    for each in wanted:
        if each.properties.keys() - KNOWN:
            raise Refused(of13.OFPET_TABLE_FEATURES_FAILED, of13.OFPTFFC_BAD_TYPE, "a property that is none")
        if REQUIRED - each.properties.keys():
            raise Refused(of13.OFPET_EXPERIMENTER, BAD_FEATURES, "a property is missing", NICIRA_ID)
        if each.table_id == of13.OFPTT_ALL:
            raise Refused(of13.OFPET_TABLE_FEATURES_FAILED, of13.OFPTFFC_BAD_TABLE, "all tables are no table")
        if each.table_id in found:
            raise Refused(of13.OFPET_EXPERIMENTER, DUP_TABLE, "a table for the second time", NICIRA_ID)
        found[each.table_id] = each
    if {table_id: _rest(each) for table_id, each in found.items()} != {each.table_id: _rest(each) for each in offered}:
        raise Refused(of13.OFPET_TABLE_FEATURES_FAILED, of13.OFPTFFC_EPERM, "of a table only the name can be changed")
    return {table_id: each.name for table_id, each in found.items()}


def _rest(features: TableFeatures) -> object:
    """All but the name, lists in whatever order, and the twins for the table-miss left out where they say the same."""
    lists = {kind: frozenset(value) for kind, value in features.properties.items()}
    told = {kind: lists.get(kind, lists.get(kind - MISS)) for kind in KNOWN}
    return (features.metadata_match, features.metadata_write, features.config, features.max_entries, told)


def _with_mask(header: int, size: int) -> int:
    return header & ~0x1FF | 0x100 | size * 2
