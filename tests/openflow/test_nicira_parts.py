"""Parts of fields: where their bits lie in the fixed layout of all fields, and which of them are the tenant's."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvproxy.errors import Refused
from hvproxy.openflow.constants import of13
from hvproxy.openflow.nicira_parts import (
    NXM_IN_PORT, TARGETS, Part, check_bits, check_named, check_part, check_settable, part_text, read, told, write,
)
from hvproxy.openflow.oxm_aliases import OWN_HEADERS, VLAN_TCI
from hvproxy.openflow.oxm_fields import BY_NUMBER, CT_STATE, REGISTERS

REG0, XREG0, ETH_SRC, OXM_ETH_SRC, METADATA = 0x00010004, 0x80010008, 0x406, 0x80000806, 0x80000408
OXM_IN_PORT, TUN_SRC, ETH_TYPE = 0x80000004, 0x00013e04, 0x602
XXREG1 = next(header for header, target in TARGETS.items()
              if [field for field, _ in target.pieces] == list(REGISTERS[4:8]) and not header & 0x100)
EXACT = sorted(header for header in TARGETS if not header & 0x100 and header not in (
    NXM_IN_PORT, BY_NUMBER[CT_STATE].header))
"""Not that of the state of a connection, of whose bits only the first are there."""


@given(st.sampled_from(EXACT), st.data())
def test_what_is_written_is_read_and_nothing_beside_it(header: int, data: st.DataObject) -> None:
    bits = data.draw(st.integers(1, TARGETS[header].bits))
    part = Part(header, data.draw(st.integers(0, TARGETS[header].bits - bits)), bits)
    value = data.draw(st.integers(0, (1 << bits) - 1))
    layout, mask = write(part, value)
    assert not layout & ~mask and bin(mask).count("1") == bits
    assert read(part, layout) == value
    everything = (1 << 4096) - 1
    assert read(part, everything & ~mask) == 0 and read(part, everything) == (1 << bits) - 1


def test_wide_registers_and_tags_are_made_of_several_fields() -> None:
    reg4, reg7 = REGISTERS[4], REGISTERS[7]
    assert write(Part(XXREG1, 0, 32), 5) == (5 << reg7.shift, reg7.full << reg7.shift)
    assert write(Part(XXREG1, 96, 32), 5) == (5 << reg4.shift, reg4.full << reg4.shift)
    vid, pcp = BY_NUMBER[of13.OFPXMT_OFB_VLAN_VID], BY_NUMBER[of13.OFPXMT_OFB_VLAN_PCP]
    assert write(Part(VLAN_TCI, 0, 12), 7) == (7 << vid.shift, 0xfff << vid.shift)
    assert read(Part(VLAN_TCI, 0, 16), 0x1007 << vid.shift | 3 << pcp.shift) == 0x7007


def test_in_port_has_two_widths() -> None:
    whole = Part(NXM_IN_PORT, 0, 16)
    assert write(whole, 0xfffe) == (0xfffffffe, 0xffffffff) and read(whole, 0xfffffffe) == 0xfffe
    assert write(Part(NXM_IN_PORT, 0, 8), 1) == (1, 0xff)
    assert read(Part(OXM_IN_PORT, 0, 32), 0xfffffffe) == 0xfffffffe
    assert (TARGETS[NXM_IN_PORT].header, TARGETS[OXM_IN_PORT].header) == (NXM_IN_PORT, OXM_IN_PORT)


def test_headers_are_told_as_the_older_of_two() -> None:
    assert told(OXM_ETH_SRC) == told(ETH_SRC) == ETH_SRC.to_bytes(4, "big")
    assert not OWN_HEADERS & TARGETS.keys()


@pytest.mark.parametrize(("check", "wrong", "type_", "code"), [
    (lambda: check_settable(0x7ffe), "unknown", 2, 13), (lambda: check_named(0x7ffe), "unknown", 4, 6),
    (lambda: check_named(REG0 + 4 | 0x100), "masked", 4, 8), (lambda: check_bits(Part(REG0, 30, 3)), "long", 2, 14),
    (lambda: check_bits(Part(REG0, 3, 0)), "empty", 2, 14),
    (lambda: check_part(Part(OXM_IN_PORT, 0, 16), written=False), "below", 2, 15),
    (lambda: check_part(Part(TUN_SRC, 0, 16), written=False), "below", 2, 15),
    (lambda: check_part(Part(METADATA, 20, 13), written=False), "hypervisor's", 2, 15),
    (lambda: check_part(Part(ETH_TYPE, 0, 16), written=True), "not writable", 2, 15),
    (lambda: check_settable(1 << 16 | 40 << 9 | 4), "tunnel option", 0xffff, 37),
])
def test_what_is_not_the_tenants_is_refused(check: object, wrong: str, type_: int, code: int) -> None:
    with pytest.raises(Refused) as raised:
        check()  # type: ignore[operator]
    assert (raised.value.error_type, raised.value.code) == (type_, code), wrong


def test_parts_are_told_in_words() -> None:
    assert [part_text(Part(*each)) for each in ((REG0, 0, 32), (REG0, 4, 1), (XREG0, 4, 4), (VLAN_TCI, 0, 12))] == [
        "reg0[]", "reg0[4]", "xreg0[4..7]", "vlan_tci[0..11]"]
    check_settable(REG0 + 4 | 0x100)
    check_part(Part(METADATA, 0, 32), written=True)
