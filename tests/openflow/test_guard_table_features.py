"""The verdicts are those of Open vSwitch 3.1, which tests/system/sweep asks for the same and more."""
from __future__ import annotations

from struct import pack

import pytest

from hvproxy.errors import Refused
from hvproxy.openflow import guard
from hvproxy.openflow.constants import NICIRA_ID, ONF_ID
from hvproxy.openflow.oxm_fields import OWN_REGISTER
from tests.openflow.pieces import BMC_LEN, TFFC_LEN, features, prop, table, tl

BAD_TABLE, BAD_TYPE, BAD_ARGUMENT = (13, 0), (13, 2), (13, 4)
UNKNOWN_INSTRUCTION, BAD_FIELD, BAD_MASK = (3, 0), (4, 6), (4, 8)
BAD_EXPERIMENTER, BAD_EXP_TYPE = (0xffff, 4445), (0xffff, 4446)
MISSING = DUPLICATE = (0xffff, 10)
IN_PORT, ETH_DST_MASKED = b"\x80\0\0\4", b"\x80\0\7\x0c"
ONF_TCP_FLAGS, NICIRA_TCP_FLAGS = (pack("!HBBI", 0xffff, 84, 6, number) for number in (ONF_ID, 0x2320))


WHOLE = b"".join(prop(kind, b"") for kind in range(0, 16, 2))


def verdict(message: bytes) -> tuple[int, int] | None:
    try:
        guard.check(message, False)
    except Refused as refused:
        whose = NICIRA_ID if refused.code == MISSING[1] else ONF_ID
        assert refused.experimenter == (whose if refused.error_type == 0xffff else None)
        return refused.error_type, refused.code
    return None


@pytest.mark.parametrize(("name", "properties", "error"), [
    ("none", b"", None),
    ("one of no type", prop(16, b""), BAD_TYPE),
    ("one of no experimenter's type", prop(0xfffe, pack("!II", 0x2320, 0)), BAD_TYPE),
    ("an experimenter's cut short", prop(0xffff, bytes(4)), TFFC_LEN),
    ("one of no experimenter", prop(0xffff, bytes(8)), BAD_EXPERIMENTER),
    ("an experimenter's of a great type", prop(0xffff, pack("!II", 0x2320, 1 << 16)), BAD_EXP_TYPE),
    ("an experimenter's, taken for instructions", prop(0xffff, pack("!II", 0x2320, 0)), None),
    ("an experimenter's, taken for tables", prop(0xffff, pack("!IIB", 0x2320, 2, 255)), BAD_ARGUMENT),
    ("an experimenter's, taken for none", prop(0xffff, pack("!II", 0x2320, 16)), BAD_TYPE),
    ("the first fault counts", prop(2, b"\xff") + prop(16, b""), BAD_ARGUMENT),
    ("one twice", prop(2, b"\1") + prop(2, b"\xff"), DUPLICATE),
    ("instructions", prop(0, tl(1, b"") + tl(6, b"")), None),
    ("instruction 0", prop(0, tl(0, b"")), UNKNOWN_INSTRUCTION),
    ("instruction 7", prop(1, tl(7, b"")), UNKNOWN_INSTRUCTION),
    ("an experimenter's instruction", prop(0, tl(0xffff, b"")), UNKNOWN_INSTRUCTION),
    ("an unknown instruction in front of a bad length", prop(0, tl(9, b"") + tl(1, b"", 3)), UNKNOWN_INSTRUCTION),
    ("tables", prop(2, b"\1\xfe"), None),
    ("all tables", prop(3, b"\1\xff"), BAD_ARGUMENT),
    ("unknown actions", prop(4, tl(99, b"") + tl(0xffff, b"")), None),
    ("half an action", prop(6, b"\0\0"), TFFC_LEN),
    ("fields", prop(8, IN_PORT + ETH_DST_MASKED), None),
    ("a whole tag and type of service", prop(8, b"\0\0\x08\2" b"\0\0\x09\4" b"\0\0\x0a\1"), None),
    ("masks elsewhere", prop(10, ETH_DST_MASKED), BAD_MASK),
    ("unknown field", prop(10, b"\x80\0\xfe\4"), BAD_FIELD),
    ("a field of another length", prop(12, b"\x80\0\0\5"), BAD_FIELD),
    ("a mask of an odd length", prop(8, b"\x80\0\7\x0e"), BAD_FIELD),
    ("an unknown field in front of half a one", prop(8, b"\x80\0\xfe\4\x80\0"), BAD_FIELD),
    ("half a field behind another", prop(8, IN_PORT + b"\x80\0"), BMC_LEN),
    ("the ONF's field", prop(8, ONF_TCP_FLAGS), None),
    ("the ONF's field cut short", prop(8, ONF_TCP_FLAGS[:4]), BMC_LEN),
    ("an unknown experimenter's field", prop(8, NICIRA_TCP_FLAGS), BAD_FIELD),
    ("hvproxy's register", prop(8, OWN_REGISTER.header.to_bytes(4, "big")), BAD_FIELD),
], ids=lambda value: value if isinstance(value, str) else "")
def test_properties_are_judged_one_by_one(name: str, properties: bytes, error: tuple[int, int] | None) -> None:
    assert verdict(features(table(properties))) == (error or MISSING)


def test_all_tables_are_no_table() -> None:
    every = table(prop(16, b""))
    assert verdict(features(every[:2] + b"\xff" + every[3:])) == BAD_TABLE


def test_all_that_must_be_told_of_one_table_is_missed_before_the_next_is_looked_at() -> None:
    assert verdict(features(table(WHOLE))) is None
    assert verdict(features(table(WHOLE) + table(prop(16, b"")))) == BAD_TYPE
    for kind in range(0, 16, 2):
        without = b"".join(prop(other, b"") for other in range(0, 16, 2) if other != kind)
        assert verdict(features(table(without) + table(prop(16, b"")))) == MISSING
