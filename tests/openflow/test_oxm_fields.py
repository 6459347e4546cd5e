from __future__ import annotations

import pytest

from hvproxy.openflow.constants import of13
from hvproxy.openflow.oxm_fields import BY_NUMBER, EXTENSIONS, FIELDS, HEADERS_EXACT, HEADERS_MASKED, Field, Headers
from tests.openflow.error_cases import SIZES


def test_fields_do_not_share_bits_of_the_layout() -> None:
    used = 0
    for field in (*FIELDS, *EXTENSIONS):
        assert not used & field.full << field.shift
        used |= field.full << field.shift
    assert used == (1 << used.bit_length()) - 1


def test_fields_have_the_numbers_and_sizes_of_the_specification() -> None:
    assert {field.number: field.size for field in FIELDS} == {
        number: size for number, size in enumerate(SIZES) if number not in (1, 37, 39)}
    assert [field.number for field in (*FIELDS, *EXTENSIONS)] == sorted(BY_NUMBER)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_headers_are_those_of_ryu(field: Field) -> None:
    name = field.name.upper()
    assert field.header == getattr(of13, f"OXM_OF_{name}")
    assert HEADERS_EXACT[field.header] is field
    masked = field.header & ~0xff | 0x100 | 2 * field.size
    assert HEADERS_MASKED[masked] is field
    if field.maskable:
        assert masked == getattr(of13, f"OXM_OF_{name}_W")


@pytest.mark.parametrize(("number", "headers", "allowed"), [
    (3, Headers(), True),
    (7, Headers(), False),
    (7, Headers(vlans=1), True),
    (10, Headers(0x86dd), True),
    (10, Headers(0x806), False),
    (13, Headers(0x800, 6), True),
    (13, Headers(0x800, 17), False),
    (13, Headers(0, 6), False),
    (31, Headers(0x86dd, 58, 135), True),
    (31, Headers(0x86dd, 58, 136), True),
    (31, Headers(0x86dd, 58, 135, 1), False),
    (32, Headers(0x86dd, 58, 136), False),
    (33, Headers(0x86dd, 58, 136), True),
])
def test_prerequisites(number: int, headers: Headers, allowed: bool) -> None:
    assert BY_NUMBER[number].allows(headers) is allowed


@pytest.mark.parametrize(("number", "value", "holds"), [
    (0, 0xfeff, True), (0, 0xff00, False), (0, 0xfffffeff, False), (0, 0xffffff00, True),
    (6, 0x1fff, True), (6, 0x2000, False), (21, 255, True), (21, 256, False), (36, 1, True), (36, 2, False),
])
def test_values_a_field_can_hold(number: int, value: int, holds: bool) -> None:
    assert BY_NUMBER[number].holds(value) is holds
