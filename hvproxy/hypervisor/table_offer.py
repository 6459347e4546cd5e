"""What the tables of a logical switch offer, told by TABLE_FEATURES (OF 1.3.5 section 7.3.5.5, trap 37)."""
from __future__ import annotations

from hvproxy.model.intent import LogicalSwitchSpec
from hvproxy.model.layout import TENANT_MASK
from hvproxy.openflow.constants import of13
from hvproxy.openflow.oxm_fields import FIELDS
from hvproxy.openflow.table_features import TableFeatures, table_features

INSTRUCTIONS = (of13.OFPIT_GOTO_TABLE, of13.OFPIT_WRITE_METADATA, of13.OFPIT_WRITE_ACTIONS, of13.OFPIT_APPLY_ACTIONS,
                of13.OFPIT_CLEAR_ACTIONS, of13.OFPIT_METER)
MOST_ENTRIES = 1_000_000
"""Per logical table, as Open vSwitch tells."""
ACTIONS = (of13.OFPAT_OUTPUT, of13.OFPAT_SET_MPLS_TTL, of13.OFPAT_DEC_MPLS_TTL, of13.OFPAT_PUSH_VLAN,
           of13.OFPAT_POP_VLAN, of13.OFPAT_PUSH_MPLS, of13.OFPAT_POP_MPLS, of13.OFPAT_SET_QUEUE, of13.OFPAT_GROUP,
           of13.OFPAT_SET_NW_TTL, of13.OFPAT_DEC_NW_TTL, of13.OFPAT_SET_FIELD)


def features_of(spec: LogicalSwitchSpec, table_id: int) -> TableFeatures:
    """The features of one logical table."""
    last = spec.tables - 1
    offered = [field for field in FIELDS if field.number != of13.OFPXMT_OFB_TUNNEL_ID]
    headers = tuple(field.header for field in offered)
    match = tuple(_with_mask(field.header, field.size) if field.maskable else field.header for field in offered)
    writable = tuple(field.header for field in offered if field.writable and field.number != of13.OFPXMT_OFB_METADATA)
    instructions = INSTRUCTIONS if table_id < last else INSTRUCTIONS[1:]
    return table_features(
        table_id, f"table{table_id}", instructions=instructions, next_tables=range(table_id + 1, last + 1),
        write_actions=ACTIONS, apply_actions=ACTIONS, match=match, wildcards=headers, write_setfield=writable,
        apply_setfield=writable, metadata_match=TENANT_MASK, metadata_write=TENANT_MASK,
        max_entries=MOST_ENTRIES)


def _with_mask(header: int, size: int) -> int:
    return header & ~0x1FF | 0x100 | size * 2
