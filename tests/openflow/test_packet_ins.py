"""The bytes are those Open vSwitch 3.1 sends; tests/system/test_sessions_against_ovs compares them."""
from __future__ import annotations

import pytest

from hvproxy.openflow import build
from hvproxy.openflow.oxm import tlv
from hvproxy.openflow.oxm_fields import NX
from hvproxy.openflow.packet_ins import NO_COOKIE, Format, PacketInParts

DATA = b"packet"


def test_the_standard_format_is_openflows() -> None:
    parts = PacketInParts(1, 7, 0x56, 2, 0xAB)
    assert parts.message(Format.STANDARD, DATA, 6) == build.packet_in(
        0, 0xFFFFFFFF, 6, 1, 7, 0x56, tlv(0, 2) + tlv(2, 0xAB), DATA)


def test_metadata_of_zero_is_not_told() -> None:
    assert PacketInParts(0, 0, 5, 2, 0).message(Format.STANDARD, DATA, 9, 3) == build.packet_in(
        0, 3, 9, 0, 0, 5, tlv(0, 2), DATA)


def test_niciras_first_format() -> None:
    assert PacketInParts(1, 1, 0x56, 1, 0xAB).message(Format.NICIRA, DATA, 0x8E) == bytes.fromhex(
        "04040048" "00000000" "00002320" "00000011" "ffffffff" "008e" "01" "01" "0000000000000056" "0012" "000000000000"
        "00000002" "0001" "80000408" "00000000000000ab" "000000000000" "0000") + DATA


def test_niciras_first_format_numbers_reserved_ports_in_16_bits() -> None:
    message = PacketInParts(1, 0, NO_COOKIE, 0xFFFFFFFD, 0).message(Format.NICIRA, DATA, 6)
    assert message[32:34] + message[40:-len(DATA)] == bytes.fromhex("0006" "00000002" "fffd" "0000" "0000")


OTHERS = tlv(38, 0x0123456789abcdef) + tlv(NX + 2, 7)


def test_the_tunnel_id_and_registers_are_told_between_in_port_and_metadata() -> None:
    assert PacketInParts(1, 7, 0x56, 2, 0xAB, OTHERS).message(Format.STANDARD, DATA, 6) == build.packet_in(
        0, 0xFFFFFFFF, 6, 1, 7, 0x56, tlv(0, 2) + OTHERS + tlv(2, 0xAB), DATA)
    second = PacketInParts(1, 7, 0x56, 2, 0xAB, OTHERS).message(Format.NICIRA2, DATA, 6)
    assert second.endswith(bytes.fromhex("0006002c") + tlv(0, 2) + OTHERS + tlv(2, 0xAB) + bytes(4))


@pytest.mark.parametrize("others, told", [
    (OTHERS, "00012008" "0123456789abcdef" "00010404" "00000007"), (tlv(NX + 2, 7), "00010404" "00000007"),
    (tlv(5, 0x800) + tlv(NX + 2, 7), "00000602" "0800" "00010404" "00000007")])
def test_niciras_first_format_has_headers_of_its_own_for_some_fields(others: bytes, told: str) -> None:
    message = PacketInParts(1, 1, 0x56, 1, 0xAB, others).message(Format.NICIRA, DATA, 6)
    fields = bytes.fromhex("00000002" "0001" + told + "80000408" "00000000000000ab")
    assert message[32:34] == len(fields).to_bytes(2, "big")
    assert message[40:] == fields + bytes((-len(fields) & 7) + 2) + DATA


def test_niciras_second_format() -> None:
    assert PacketInParts(1, 1, 0x56, 1, 0xAB).message(Format.NICIRA2, DATA, 6) == bytes.fromhex(
        "04040058" "00000000" "00002320" "0000001e" "0000000a") + DATA + bytes(6) + bytes.fromhex(
        "0003000501000000" "00040010" "00000000" "0000000000000056" "0005000501000000"
        "00060018" "80000004" "00000001" "80000408" "00000000000000ab")


def test_niciras_second_format_without_a_cookie_cut_and_buffered() -> None:
    assert PacketInParts(0, 0, NO_COOKIE, 0xFFFFFFFD, 0).message(Format.NICIRA2, DATA, 99, 5) == bytes.fromhex(
        "04040050" "00000000" "00002320" "0000001e" "0000000a") + DATA + bytes(6) + bytes.fromhex(
        "0001000800000063" "0002000800000005" "0003000500000000" "0005000500000000"
        "0006000c" "80000004" "fffffffd" "00000000")


@pytest.mark.parametrize("form", Format)
def test_a_packet_that_no_message_can_hold_is_cut(form: Format) -> None:
    everything = tlv(38, 5) + b"".join(tlv(NX + register, 7) for register in range(16))
    message = PacketInParts(1, 1, 0x56, 1, 0xAB, everything).message(form, bytes(65535), 65535)
    assert 65000 < len(message) <= 65535
    assert int.from_bytes(message[2:4], "big") == len(message)
