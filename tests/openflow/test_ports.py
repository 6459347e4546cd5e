from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ryu.lib import addrconv  # type: ignore[import-untyped]
from ryu.ofproto import ofproto_v1_3_parser as ryu13  # type: ignore[import-untyped]

from hvproxy.openflow.constants import of13
from hvproxy.openflow.ports import PORT_SIZE, PortDesc, decode_ports, read_text, write_text

U32 = st.integers(0, 2**32 - 1)
NAME = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=15).filter(
    lambda name: len(name.encode()) < 16)
PORT = st.builds(PortDesc, U32, st.binary(min_size=6, max_size=6), NAME, *[U32] * 8)


def from_ryu(port: ryu13.OFPPort) -> PortDesc:
    return PortDesc(port.port_no, addrconv.mac.text_to_bin(port.hw_addr), port.name.decode(), port.config, port.state,
                    port.curr, port.advertised, port.supported, port.peer, port.curr_speed, port.max_speed)


@given(PORT)
def test_ryu_reads_the_port_we_write(port: PortDesc) -> None:
    assert from_ryu(ryu13.OFPPort.parser(port.encode(), 0)) == port


@given(st.binary(min_size=PORT_SIZE, max_size=PORT_SIZE))
def test_we_read_the_numbers_ryu_reads(wire: bytes) -> None:
    # The name is arbitrary bytes here, which ryu leaves as they are: it is made the same first.
    ours = PortDesc.decode(wire)
    theirs = ryu13.OFPPort.parser(wire, 0)
    assert from_ryu(theirs._replace(name=ours.name.encode())) == ours


@given(st.lists(PORT, max_size=4), st.binary(max_size=9))
def test_ports_are_read_one_after_another_and_at_any_offset(ports: list[PortDesc], before: bytes) -> None:
    body = b"".join(port.encode() for port in ports)
    assert decode_ports(body) == ports
    for index, port in enumerate(ports):
        assert PortDesc.decode(before + body, len(before) + index * PORT_SIZE) == port


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
@example("a" * 16)
@example("é" * 8)
def test_a_long_name_is_cut_between_characters_and_keeps_its_nul(name: str) -> None:
    wire = write_text(name, 16)
    assert len(wire) <= 15
    assert name.startswith(wire.decode("utf-8"))
    longer = name[:len(wire.decode("utf-8")) + 1]
    assert longer == wire.decode("utf-8") or len(longer.encode()) > 15


def test_text_ends_at_the_first_nul_and_bad_bytes_are_replaced() -> None:
    assert read_text(b"eth0\0rest") == "eth0"
    assert read_text(b"full") == "full"
    assert read_text(b"\xffx\0") == "\ufffdx"


def test_a_name_read_from_bad_bytes_can_be_written_again() -> None:
    assert read_text(write_text("\ud800", 16)) == "?"


@pytest.mark.parametrize(("curr", "curr_speed", "speed"), [
    (0, 0, 0), (of13.OFPPF_COPPER, 0, 0), (of13.OFPPF_1GB_HD | of13.OFPPF_COPPER, 0, 1000),
    (of13.OFPPF_10GB_FD | of13.OFPPF_1GB_FD, 0, 10_000), (of13.OFPPF_1GB_FD, 2_500_000, 2500),
])
def test_the_speed_is_what_the_port_says_or_its_fastest_rate(curr: int, curr_speed: int, speed: int) -> None:
    assert PortDesc(1, bytes(6), "a", curr=curr, curr_speed=curr_speed).speed == speed
