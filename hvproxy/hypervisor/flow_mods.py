"""What a tenant's flow-mod means before any table is looked at, and which error it gets first.

The order of the checks is Open vSwitch 3.1's, so that a message with several faults gets the same error from a logical
switch as from a real one. Knows no entry and no table, only how many tables there are.
"""
from __future__ import annotations

from dataclasses import dataclass

from hvproxy.errors import Refused
from hvproxy.openflow.constants import NO_BUFFER, of13
from hvproxy.openflow.instructions import Instructions, check, parse
from hvproxy.openflow.messages import FlowMod
from hvproxy.openflow.oxm import Match

ALL_TABLES: int = of13.OFPTT_ALL
ANY_PORT: int = of13.OFPP_ANY
ANY_GROUP: int = of13.OFPG_ANY
ADD: int = of13.OFPFC_ADD
MODIFY: int = of13.OFPFC_MODIFY
MODIFY_STRICT: int = of13.OFPFC_MODIFY_STRICT
DELETE: int = of13.OFPFC_DELETE
DELETE_STRICT: int = of13.OFPFC_DELETE_STRICT
SEND_FLOW_REM: int = of13.OFPFF_SEND_FLOW_REM
CHECK_OVERLAP: int = of13.OFPFF_CHECK_OVERLAP
RESET_COUNTS: int = of13.OFPFF_RESET_COUNTS

_KNOWN_FLAGS: int = (SEND_FLOW_REM | CHECK_OVERLAP | RESET_COUNTS
                     | of13.OFPFF_NO_PKT_COUNTS | of13.OFPFF_NO_BYT_COUNTS)
_DELETES = frozenset((DELETE, DELETE_STRICT))
_RESERVED_PORTS_FROM = 0xffffff00
_PORTS_BELOW = 0xff00
"""Open vSwitch numbers ports in 16 bits and refuses what lies between those and the reserved 32-bit numbers."""


@dataclass(frozen=True, slots=True)
class Request:
    """A flow-mod that can be carried out unless the tables forbid it."""

    message: FlowMod
    match: Match
    instructions: Instructions

    @property
    def deletes(self) -> bool:
        return self.message.command in _DELETES


def read(mod: FlowMod, n_tables: int) -> Request:
    """Raises Refused with the error Open vSwitch would give first. Deletes are judged whole, actions included."""
    match = Match.parse(mod.match)
    deletes = mod.command in _DELETES
    if mod.table_id == ALL_TABLES and not deletes:
        raise Refused(of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_BAD_TABLE_ID, "only a delete may name all tables")
    check_out_port(mod.out_port)
    if mod.command > DELETE_STRICT:
        raise Refused(of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_BAD_COMMAND, f"no command {mod.command}")
    instructions = parse(mod.instructions)
    if mod.flags & ~_KNOWN_FLAGS:
        raise Refused(of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_BAD_FLAGS, f"unknown flags in {mod.flags:#x}")
    check(instructions, match, n_tables, mod.table_id)
    check_table_id(mod.table_id, n_tables)
    if not deletes and mod.buffer_id != NO_BUFFER:
        raise Refused(of13.OFPET_BAD_REQUEST, of13.OFPBRC_BUFFER_UNKNOWN, "packets are not buffered")
    return Request(mod, match, instructions)


def check_out_port(out_port: int) -> None:
    """Raises Refused when a filter names a port that no switch can have."""
    if _PORTS_BELOW <= out_port < _RESERVED_PORTS_FROM:
        raise Refused(of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_PORT, f"no port {out_port}")


def check_table_id(table_id: int, n_tables: int) -> None:
    """Raises Refused unless `table_id` is a table or OFPTT_ALL."""
    if table_id != ALL_TABLES and table_id >= n_tables:
        raise Refused(of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_TABLE_ID, f"no table {table_id}")
