"""What a tenant's flow-mod means before any table is looked at, and which error it gets first.

The order of the checks is Open vSwitch 3.1's, so that a message with several faults gets the same error from a logical
switch as from a real one. Knows no entry and no table, only how many tables there are.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NoReturn

from hvproxy.errors import Refused
from hvproxy.hypervisor.buffers import NONE, Buffers
from hvproxy.model.layout import TABLES
from hvproxy.openflow.constants import FIRST_BAD_PORT, FIRST_RESERVED_PORT, NO_BUFFER, of13
from hvproxy.openflow.instructions import Instructions, build, check, parse
from hvproxy.openflow.messages import FlowMod
from hvproxy.openflow.multipart import fits_flow_stats
from hvproxy.openflow.oxm import Match, ofp_match

ALL_TABLES: int = of13.OFPTT_ALL
ANY_PORT: int = of13.OFPP_ANY
ANY_GROUP: int = of13.OFPG_ANY
_WHOLE_COOKIE: Final = (1 << 64) - 1
ADD: int = of13.OFPFC_ADD
MODIFY: int = of13.OFPFC_MODIFY
MODIFY_STRICT: int = of13.OFPFC_MODIFY_STRICT
DELETE: int = of13.OFPFC_DELETE
DELETE_STRICT: int = of13.OFPFC_DELETE_STRICT
SEND_FLOW_REM: int = of13.OFPFF_SEND_FLOW_REM
CHECK_OVERLAP: int = of13.OFPFF_CHECK_OVERLAP
RESET_COUNTS: int = of13.OFPFF_RESET_COUNTS

HIDDEN_TABLE: Final = 254
"""Open vSwitch keeps entries of its own there, which nobody may touch, whatever other tables there are."""
_ANY_TABLE: Final = 255
_SURELY_TOLD: Final = 0x4000
"""So many bytes of instructions fit into flow statistics however they are written."""
_KNOWN_FLAGS: int = (SEND_FLOW_REM | CHECK_OVERLAP | RESET_COUNTS
                     | of13.OFPFF_NO_PKT_COUNTS | of13.OFPFF_NO_BYT_COUNTS)
_DELETES = frozenset((DELETE, DELETE_STRICT))


@dataclass(frozen=True, slots=True)
class Request:
    """A flow-mod that can be carried out unless the tables forbid it."""

    message: FlowMod
    match: Match
    instructions: Instructions

    @property
    def deletes(self) -> bool:
        return self.message.command in _DELETES


def read(mod: FlowMod, n_tables: int, buffers: Buffers = NONE) -> Request:
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
    # With all of Open vSwitch's tables goto is not limited: it takes 254 and 255 too, and a packet ends there.
    check(instructions, match, _ANY_TABLE if n_tables == TABLES else n_tables, mod.table_id)
    check_table_id(mod.table_id, n_tables)
    if mod.table_id == HIDDEN_TABLE and (not deletes or means_hidden(mod, match)):
        refuse_hidden()
    if not deletes and mod.buffer_id != NO_BUFFER:
        buffers.check(mod.buffer_id)
    if not deletes and len(mod.instructions) > _SURELY_TOLD and not fits_flow_stats(
            ofp_match(match.tlvs), build(instructions)):
        # Open vSwitch takes such an entry, and leaves it out when it is asked for its entries.
        raise Refused(of13.OFPET_BAD_ACTION, of13.OFPBAC_TOO_MANY, "no message can tell of the entry")
    return Request(mod, match, instructions)


def names_buffer(mod: FlowMod) -> bool:
    """Whether a packet that is kept goes through the tables after what the flow-mod does; a deletion never says so."""
    return mod.buffer_id != NO_BUFFER and mod.command not in _DELETES


def check_out_port(out_port: int) -> None:
    """Raises Refused when a filter names a port that no switch can have."""
    if FIRST_BAD_PORT <= out_port < FIRST_RESERVED_PORT:
        raise Refused(of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_PORT, f"no port {out_port}")


def refuse_hidden() -> NoReturn:
    raise Refused(of13.OFPET_BAD_REQUEST, of13.OFPBRC_EPERM, "the table is the switch's own")


def means_hidden(mod: FlowMod, match: Match) -> bool:
    """Whether a deletion means entries that Open vSwitch keeps in its hidden table: they have cookie 0, match what is
    no tenant's, and one outputs to the controller. One that means all tables finds them where it asks for just that
    cookie, and they are all that it finds."""
    return ((mod.table_id == HIDDEN_TABLE or mod.table_id == ALL_TABLES and mod.cookie_mask == _WHOLE_COOKIE)
            and mod.command == DELETE and match == Match.EMPTY and not mod.cookie & mod.cookie_mask
            and mod.out_port in (ANY_PORT, of13.OFPP_CONTROLLER) and mod.out_group == ANY_GROUP)


def check_table_id(table_id: int, n_tables: int) -> None:
    """Raises Refused unless `table_id` is a table, the hidden one or OFPTT_ALL."""
    if table_id not in (HIDDEN_TABLE, ALL_TABLES) and table_id >= n_tables:
        raise Refused(of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_TABLE_ID, f"no table {table_id}")
