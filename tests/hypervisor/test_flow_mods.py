from __future__ import annotations

from typing import Any

import pytest

from hvproxy.errors import Refused
from hvproxy.hypervisor.flow_mods import ADD, DELETE, DELETE_STRICT, MODIFY, MODIFY_STRICT, read
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from tests.hypervisor.flow_mod_messages import ALL_TABLES, apply_actions, goto, in_port, message, output

BAD_MATCH = in_port(1) + in_port(2)
BAD_INSTRUCTION = b"\x00\x09\x00\x08\x00\x00\x00\x00"
BAD_ARGUMENT = apply_actions(b"\x00\x11\x00\x08\x12\x34\x00\x00")
"""push_vlan with an Ethernet type that is none of VLAN's: wrong in itself."""
INCONSISTENT = apply_actions(b"\x00\x18\x00\x08\x00\x00\x00\x00")
"""dec_nw_ttl: wrong for a match that does not say IP."""

FAULTS: list[tuple[str, dict[str, Any], tuple[int, int]]] = [
    ("match", {"match": BAD_MATCH}, (of13.OFPET_BAD_MATCH, of13.OFPBMC_DUP_FIELD)),
    ("all tables", {"table_id": ALL_TABLES}, (of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_BAD_TABLE_ID)),
    ("out_port", {"out_port": 0xfffffe00}, (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_PORT)),
    ("command", {"command": 9}, (of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_BAD_COMMAND)),
    ("instruction", {"instructions": BAD_INSTRUCTION}, (of13.OFPET_BAD_INSTRUCTION, of13.OFPBIC_UNKNOWN_INST)),
    ("action", {"instructions": BAD_ARGUMENT}, (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_ARGUMENT)),
    ("flags", {"flags": 0x20}, (of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_BAD_FLAGS)),
    ("misfit", {"instructions": INCONSISTENT}, (of13.OFPET_BAD_ACTION, of13.OFPBAC_MATCH_INCONSISTENT)),
    ("goto", {"instructions": goto(0)}, (of13.OFPET_BAD_INSTRUCTION, of13.OFPBIC_BAD_TABLE_ID)),
    ("table", {"table_id": 4}, (of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_TABLE_ID)),
    ("hidden", {"table_id": 254}, (of13.OFPET_BAD_REQUEST, of13.OFPBRC_EPERM)),
    ("buffer", {"buffer_id": 7}, (of13.OFPET_BAD_REQUEST, of13.OFPBRC_BUFFER_UNKNOWN)),
]
"""In the order in which Open vSwitch 3.1 finds them."""


def refusal(**fields: Any) -> tuple[int, int] | None:
    try:
        read(message(**fields), n_tables=4)
    except Refused as refused:
        return refused.error_type, refused.code
    return None


@pytest.mark.parametrize(("name", "fault", "error"), FAULTS, ids=[name for name, _, _ in FAULTS])
def test_each_fault_has_its_error(name: str, fault: dict[str, Any], error: tuple[int, int]) -> None:
    assert refusal(**fault) == error


@pytest.mark.parametrize("first", range(len(FAULTS)))
def test_the_first_of_two_faults_is_told(first: int) -> None:
    for _, later, _ in FAULTS[first + 1:]:
        fault = FAULTS[first][1]
        if not fault.keys() & later.keys():
            assert refusal(**later, **fault) == FAULTS[first][2]


@pytest.mark.parametrize("command", [MODIFY, MODIFY_STRICT])
def test_a_modify_may_not_name_all_tables_or_a_buffer(command: int) -> None:
    assert refusal(command=command, table_id=ALL_TABLES) == (5, of13.OFPFMFC_BAD_TABLE_ID)
    assert refusal(command=command, buffer_id=7) == (1, of13.OFPBRC_BUFFER_UNKNOWN)


@pytest.mark.parametrize("command", [DELETE, DELETE_STRICT])
def test_a_delete_may_name_all_tables_and_ignores_the_buffer(command: int) -> None:
    request = read(message(command, table_id=ALL_TABLES, buffer_id=7), n_tables=4)
    assert request.deletes


@pytest.mark.parametrize("command", [DELETE, DELETE_STRICT])
def test_a_deletes_instructions_and_flags_are_judged_too(command: int) -> None:
    assert refusal(command=command, instructions=BAD_ARGUMENT) == (2, of13.OFPBAC_BAD_ARGUMENT)
    assert refusal(command=command, flags=0x8000) == (5, of13.OFPFMFC_BAD_FLAGS)


@pytest.mark.parametrize("command", [ADD, MODIFY, DELETE, DELETE_STRICT])
def test_whether_there_is_a_group_is_asked_where_entries_are(command: int) -> None:
    assert read(message(command=command, instructions=apply_actions(actions.group(of13.OFPG_MAX + 1))), 10)


def test_goto_leads_to_later_tables_only() -> None:
    assert refusal(table_id=1, instructions=goto(1)) == (3, of13.OFPBIC_BAD_TABLE_ID)
    assert refusal(table_id=1, instructions=goto(4)) == (3, of13.OFPBIC_BAD_TABLE_ID)
    assert refusal(table_id=1, instructions=goto(2)) is None
    assert refusal(command=DELETE, table_id=ALL_TABLES, instructions=goto(0)) is None


def test_with_all_tables_goto_leads_where_nothing_is_too() -> None:
    for table in (2, 253, 254, 255):
        read(message(table_id=1, instructions=goto(table)), n_tables=254)


@pytest.mark.parametrize("command", [ADD, MODIFY, MODIFY_STRICT])
@pytest.mark.parametrize("fields", [{}, {"match": in_port(1)}, {"cookie": 1, "cookie_mask": 1}])
def test_the_hidden_table_cannot_be_changed(command: int, fields: dict[str, Any]) -> None:
    assert refusal(command=command, table_id=254, **fields) == (1, of13.OFPBRC_EPERM)


def test_of_the_hidden_table_only_what_is_there_cannot_be_deleted() -> None:
    for fields in ({}, {"out_port": of13.OFPP_CONTROLLER}, {"cookie": 2, "cookie_mask": 1}):
        assert refusal(command=DELETE, table_id=254, **fields) == (1, of13.OFPBRC_EPERM)
        assert refusal(command=DELETE_STRICT, table_id=254, **fields) is None
    for fields in ({"match": in_port(1)}, {"out_port": 1}, {"out_group": 1}, {"cookie": 3, "cookie_mask": 1}):
        assert refusal(command=DELETE, table_id=254, **fields) is None


def test_filter_ports_are_16_bit_or_reserved() -> None:
    assert [refusal(command=DELETE, out_port=port) is None
            for port in (0, 0xfeff, 0xff00, 0xfffffeff, 0xffffff00, 0xfffffffd)
            ] == [True, True, False, False, True, True]


def test_a_good_request_carries_its_parts() -> None:
    request = read(message(ADD, in_port(3), apply_actions(output(4))), n_tables=4)
    assert request.match.in_port == 3
    assert request.instructions.apply == output(4)
    assert not request.deletes
