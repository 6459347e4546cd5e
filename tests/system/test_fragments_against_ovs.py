"""A logical switch over real Open vSwitch treats IP fragments as a plain bridge does, and those of nobody else."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system import ovs
from tests.system.network import wait_until
from tests.system.side_by_side import LOGICAL, MARK, OTHER_PORT, PLAIN, SideBySide
from tests.tools.controller import CONTROLLER, FLOOD, TABLE, apply, flow_mod, match, output
from tools.emulator import wire

NORMAL, DROP, REASM, NX_MATCH = range(4)
BROADCAST = b"\xff" * 6 + MARK


def ipv4(fragment: int) -> bytes:
    """A UDP packet with these flags and offset."""
    return b"\x08\0" + bytes.fromhex("4500002e0001") + fragment.to_bytes(2, "big") + bytes.fromhex(
        "401100000a0000010a000002") + b"\0\7\0\x09\0\x1a\0\0" + bytes(18)


def ipv6(fragment: int | None) -> bytes:
    """The same with a fragment header, or none."""
    inner = b"\0\7\0\x09\0\x1a\0\0" + bytes(18)
    header = b"" if fragment is None else b"\x11\0" + fragment.to_bytes(2, "big") + b"\0\0\0\1"
    return (b"\x86\xdd\x60\0\0\0" + len(header + inner).to_bytes(2, "big") + (b"\x2c" if header else b"\x11") + b"\x40"
            + bytes(15) + b"\1" + bytes(15) + b"\2" + header + inner)


FRAMES = {
    "whole": ipv4(0), "do not fragment": ipv4(0x4000), "first": ipv4(0x2000), "middle": ipv4(0x2005), "last": ipv4(5),
    "whole 6": ipv6(None), "atomic 6": ipv6(0), "first 6": ipv6(1), "middle 6": ipv6(0x29), "last 6": ipv6(0x28),
    "tagged": b"\x81\0\0\5" + ipv4(0), "tagged first": b"\x81\0\0\5" + ipv4(0x2000),
    "tagged last 6": b"\x81\0\0\5" + ipv6(0x28),
    "label": b"\x88\x47\0\0\x11\x40" + ipv4(5)[2:], "arp": b"\x08\x06" + bytes(46),
}
FRAGMENTS = {name for name in FRAMES if name.split()[-1] in ("first", "middle", "last")
             or name.endswith(" 6") and name.split()[-2] in ("first", "middle", "last")}


@pytest.fixture(scope="module")
def both() -> Iterator[SideBySide]:
    ovs.require()
    with SideBySide() as started:
        for side in (PLAIN, LOGICAL):
            flood = flow_mod(match(), apply(output(FLOOD)), priority=1)
            assert started.sessions[side].request(wire.FLOW_MOD, flood) == []
        yield started


def configured(both: SideBySide, side: str) -> list[bytes]:
    """What GET_CONFIG tells two controllers."""
    return [each[side].request(wire.GET_CONFIG_REQUEST, b"")[0][8:10] for each in (both.sessions, both.watching)]


def configure(both: SideBySide, flags: int) -> None:
    for side in (PLAIN, LOGICAL):
        assert both.sessions[side].request(wire.SET_CONFIG, flags.to_bytes(2, "big") + b"\0\0") == []
        assert configured(both, side) == [flags.to_bytes(2, "big")] * 2
    both.ovs.forget_flows()


def came(both: SideBySide, side: str, into: int, frame: bytes, packet_out: bytes = b"") -> list[tuple[int, str]]:
    """The ports a frame comes out of that goes into a port, or into a packet-out with these actions."""
    both.out(side)
    if packet_out:
        assert both.sessions[side].request(wire.PACKET_OUT, wire.PACKET_OUT_BODY.pack(
            0xFFFFFFFF, into, len(packet_out)) + packet_out + frame) == []
    else:
        both.send(side, into, frame)
    both.ovs.carry_on()
    return sorted((port, data.hex()) for port, data in both.out(side))


def test_the_flags_are_of_the_switch_and_not_of_the_connection(both: SideBySide) -> None:
    for flags in (DROP, REASM, 4, 5, 0x8000, NORMAL, REASM, DROP, NORMAL):
        both.same(lambda side: both.sessions[side].refusal(wire.SET_CONFIG, flags.to_bytes(2, "big") + b"\0\x4d"))
        both.same(lambda side: configured(both, side), f"flags {flags}")
    assert both.sessions[LOGICAL].refusal(wire.SET_CONFIG, b"\0\3\0\x4d") == (10, 0)


@pytest.mark.parametrize("flags", [DROP, NORMAL])
def test_fragments_take_the_same_way(both: SideBySide, flags: int) -> None:
    configure(both, flags)
    for name, frame in FRAMES.items():
        for port in (1, 3):
            ways = [came(both, side, port, BROADCAST + frame) for side in (PLAIN, LOGICAL)]
            assert ways[0] == ways[1], f"{name} into {port}"
            assert bool(ways[0]) == (flags != DROP or name not in FRAGMENTS), name
        for port in (1, CONTROLLER):
            for actions in (output(TABLE), output(2)):
                ways = [came(both, side, port, BROADCAST + frame, actions) for side in (PLAIN, LOGICAL)]
                assert ways[0] == ways[1], f"{name} out of {port:#x}: {actions.hex()}"
    configure(both, NORMAL)


def test_what_is_dropped_is_counted_as_looked_up_and_matched(both: SideBySide) -> None:
    def counts(side: str) -> tuple[int, int]:
        body = both.sessions[side].ask(wire.MULTIPART_REQUEST, b"\0\3" + bytes(6))[16:]
        return int.from_bytes(body[8:16], "big"), int.from_bytes(body[16:24], "big")

    configure(both, DROP)
    both.ovs.control("revalidator/wait")  # Open vSwitch has counted what came before
    before = {side: counts(side) for side in (PLAIN, LOGICAL)}

    def more(side: str) -> tuple[int, ...]:
        return tuple(now - then for now, then in zip(counts(side), before[side], strict=True))

    for side in (PLAIN, LOGICAL):
        for name in ("first", "last 6", "whole"):
            came(both, side, 1, BROADCAST + FRAMES[name])
        came(both, side, CONTROLLER, BROADCAST + FRAMES["middle"], output(TABLE))
    wait_until(lambda: more(PLAIN) == (4, 4), "Open vSwitch has not counted all")
    both.same(more)
    configure(both, NORMAL)


def test_the_other_tenant_keeps_its_fragments(both: SideBySide) -> None:
    other = both.session(LOGICAL, OTHER_PORT)
    configure(both, DROP)
    assert other.request(wire.GET_CONFIG_REQUEST, b"")[0][8:10] == b"\0\0"
    other.close()
    for rules in (both.get("/v1/datapaths/0x1/rules"), both.get("/v1/datapaths/0x2/rules")):
        assert sum("drops fragments of red" in str(rule) or "fragments of packet-outs to red" in str(rule)
                   for rule in rules) > 2  # type: ignore[attr-defined]
        assert "fragments of other" not in str(rules) and "packet-outs to other" not in str(rules)
    configure(both, NORMAL)
    assert "drops fragments" not in str(both.get("/v1/datapaths/0x1/rules"))
