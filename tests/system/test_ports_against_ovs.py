"""Ports, queues and table descriptions of a logical switch over real Open vSwitch are those of a plain bridge."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct

import pytest

from tests.system import ovs
from tests.system.network import wait_until
from tests.system.side_by_side import LISTEN_PORT, LOGICAL, MARK, OTHER_PORT, PLAIN, PORTS, SideBySide
from tests.tools.controller import ALL, CONTROLLER, FLOOD, IN_PORT, TABLE, apply, bucket, flow_mod, group, group_mod
from tests.tools.controller import match, output
from tools.emulator import wire

DOWN, NO_RECV, NO_FWD, NO_PACKET_IN = 1, 4, 32, 64
CONFIGURABLE = 101
LINK_DOWN, LIVE = 1, 4
PORT_DESC = Struct("!I4x6s2x16sIIIIIIII")
LOCAL = 0xFFFFFFFE
FRAME = b"\xff" * 6 + MARK + b"\x08\x00" + bytes.fromhex("4500002e00000000401100000a0000010a000002") + bytes(26)
LAST = b"\2\0\0\0\0\1" + MARK + b"\x88\xb6" + bytes(46)
"""Goes out of port 3, which is never configured, behind all others."""
BPDU = b"\x01\x80\xc2\0\0\0" + MARK + b"\0\x26\x42\x42\x03" + bytes(35)


@pytest.fixture(scope="module")
def both() -> Iterator[SideBySide]:
    ovs.require()
    with SideBySide(ports=[{"number": "LOCAL", "name": "plain"}]) as started:
        yield started


def described(both: SideBySide, side: str) -> dict[int, tuple[int, ...]]:
    """Port -> configuration, state, features and speeds."""
    body = both.sessions[side].multipart(13)
    records = (PORT_DESC.unpack_from(body, at) for at in range(0, len(body), PORT_DESC.size))
    return {record[0]: record[3:] for record in records if record[0] != LOCAL}


def address(both: SideBySide, side: str, number: int) -> bytes:
    body = both.sessions[side].multipart(13)
    return next(body[at + 8:at + 14] for at in range(0, len(body), PORT_DESC.size)
                if body[at:at + 4] == number.to_bytes(4, "big"))


def configure(both: SideBySide, number: int, config: int, mask: int = CONFIGURABLE, advertise: int = 0,
              carrier: bool = True) -> None:
    """Until it is as it is to stay: its carrier, unless the host has taken it away, goes and comes with it."""
    for side in (PLAIN, LOGICAL):
        body = wire.PORT_MOD_BODY.pack(number, address(both, side, number), config, mask, advertise)
        assert both.sessions[side].request(wire.PORT_MOD, body) == []
    state = LIVE if carrier and not config & mask & DOWN else LINK_DOWN
    for side in (PLAIN, LOGICAL):
        wait_until(lambda: described(both, side)[number][1] == state, f"port {number} of {side} is not {state}")
        if state == LIVE:
            wait_until(lambda: both.carries(side, number), f"the interface at port {number} of {side} does not carry")
    both.same(lambda side: described(both, side), f"port {number} configured {config:#x}")
    both.ovs.forget_flows()  # Open vSwitch renews cached flows late


def statuses(both: SideBySide, side: str) -> list[tuple[int, int, int, int]]:
    """(reason, port, configuration, state) of the PORT_STATUS messages."""
    found = []
    for message in both.watching[side].told():
        if message[1] == wire.PORT_STATUS:
            port, _, _, config, state, *_ = PORT_DESC.unpack_from(message, 16)
            found.append((message[8], port, config, state))
    return found


def same_statuses(both: SideBySide, *expected: tuple[int, int]) -> None:
    """Port 1 was told with these configurations and states on both sides, and nothing else was."""
    for side in (PLAIN, LOGICAL):
        told: list[tuple[int, int, int, int]] = []
        wait_until(lambda: told.extend(statuses(both, side)) or len(told) >= len(expected), f"{side} tells too little")
        assert told == [(2, 1, config, state) for config, state in expected], side


def test_port_mod_is_taken_told_and_described_alike(both: SideBySide) -> None:
    for side in (PLAIN, LOGICAL):
        both.watching[side].told()
    for config, states in (
        (NO_RECV, (LIVE,)), (NO_RECV | NO_FWD, (LIVE,)), (NO_PACKET_IN, (LIVE,)), (DOWN, (0, LINK_DOWN)),
        (DOWN | NO_FWD, (LINK_DOWN,)), (0, (LINK_DOWN, LIVE)), (0xFFFFFFFF, (0, LINK_DOWN)), (0, (LINK_DOWN, LIVE)),
    ):
        configure(both, 1, config, 0xFFFFFFFF)
        same_statuses(both, *((config & CONFIGURABLE, state) for state in states))
    configure(both, 2, 0, 0, 0x40)
    same_statuses(both)


def test_a_carrier_that_is_lost_and_comes_back_is_told_alike(both: SideBySide) -> None:
    def carrier(up: bool) -> None:
        for side in (PLAIN, LOGICAL):
            both.set_carrier(side, 1, up)

    carrier(False)
    same_statuses(both, (0, 0), (0, LINK_DOWN))
    configure(both, 1, DOWN, carrier=False)
    configure(both, 1, 0, carrier=False)
    same_statuses(both, (DOWN, LINK_DOWN), (0, LINK_DOWN))
    carrier(True)
    same_statuses(both, (0, LIVE))
    both.same(lambda side: described(both, side), "the carrier came back")


def test_port_mod_is_refused_alike(both: SideBySide) -> None:
    for number, right in ((1, False), (9, True), (9, False), (0, True), (0xFF00, True), (0xFFFFFF00, True),
                          (CONTROLLER, True), (0xFFFFFFFF, True)):
        for config, advertise in ((0, 0), (2, 0x80000000), (DOWN, 0)):
            both.same(lambda side: both.sessions[side].refusal(wire.PORT_MOD, wire.PORT_MOD_BODY.pack(
                number, address(both, side, 1) if right else b"\2\2\2\2\2\2", config, config, advertise)),
                f"port {number:#x} {config} {advertise:#x}")


def packet_out(both: SideBySide, side: str, in_port: int, *acts: bytes, frame: bytes = FRAME) -> None:
    actions = b"".join(acts)
    assert both.sessions[side].request(wire.PACKET_OUT, wire.PACKET_OUT_BODY.pack(
        0xFFFFFFFF, in_port, len(actions)) + actions + frame) == []


def carried(both: SideBySide, what: str, act: Callable[[str], None]) -> list[tuple[int, str]]:
    """What comes out on the plain side when `act` is done on one; on the other it is the same."""
    came: dict[str, list[tuple[int, bytes]]] = {PLAIN: [], LOGICAL: []}

    def collect(side: str) -> list[tuple[int, str]]:
        came[side] += both.out(side)
        return sorted((port, frame[:6].hex()) for port, frame in came[side] if frame != LAST)

    for side in (PLAIN, LOGICAL):
        both.out(side)
        act(side)
        packet_out(both, side, CONTROLLER, output(3), frame=LAST)
        wait_until(lambda: collect(side) is None or (3, LAST) in came[side], "the last frame has not come")
        both.ovs.carry_on()  # it may carry out a packet-out before it takes up what waits at a port
    both.same(collect, what)
    return collect(PLAIN)


@pytest.mark.parametrize("config", [0, NO_RECV, NO_FWD, NO_RECV | NO_FWD, DOWN, NO_PACKET_IN])
def test_frames_take_the_same_way_as_a_port_is_configured(both: SideBySide, config: int) -> None:
    for side in (PLAIN, LOGICAL):
        session = both.sessions[side]
        entry = flow_mod(match(), apply(output(FLOOD), output(IN_PORT)), priority=0)
        assert session.request(wire.FLOW_MOD, entry) == []
        session.request(wire.GROUP_MOD, group_mod(2, 0, 0xFFFFFFFC))
        assert session.request(wire.GROUP_MOD, group_mod(0, 0, 7, bucket(output(1)), bucket(output(IN_PORT)))) == []
    configure(both, 1, config)
    for port, frame in ((1, FRAME), (2, FRAME), (3, FRAME), (1, BPDU), (2, BPDU)):
        if not (config & DOWN and port == 1):
            carried(both, f"frame at {port}", lambda side: both.send(side, port, frame))
    for in_port in (*PORTS, CONTROLLER):
        for action in (output(1), output(2), output(IN_PORT), output(FLOOD), output(ALL), output(TABLE), group(7)):
            carried(both, f"packet-out at {in_port:#x}: {action.hex()}",
                    lambda side: packet_out(both, side, in_port, action))
    configure(both, 1, 0)


def test_what_arrives_while_a_port_is_down_goes_nowhere_and_the_other_tenant_hears_nothing(both: SideBySide) -> None:
    """The host's own carrier stays up: its frames come, and are dropped."""
    other = both.session(LOGICAL, OTHER_PORT)
    other.request(wire.SET_CONFIG, b"\0\0\xff\xff")
    configure(both, 1, DOWN)
    both.out(LOGICAL)
    both.send(LOGICAL, 1, FRAME)
    both.ovs.carry_on()
    packet_out(both, LOGICAL, CONTROLLER, output(3), frame=LAST)
    came: list[tuple[int, bytes]] = []
    wait_until(lambda: came.extend(both.out(LOGICAL)) or (3, LAST) in came, "the last frame has not come")
    assert came == [(3, LAST)]
    configure(both, 1, 0)
    assert other.told() == []
    other.close()


NUMBERS = (1, 3, LOCAL, 9, 0, 0xFF00, 0xFFFFFF00, IN_PORT, CONTROLLER, 0xFFFFFFFF)


def replied(both: SideBySide, kind: int, body: bytes) -> Callable[[str], list[tuple[int, bytes]]]:
    """Type and body of what is answered to a message that has nothing of its own switch in it."""
    def ask(side: str) -> list[tuple[int, bytes]]:
        return [(answer[1], answer[8:12] if answer[1] == wire.ERROR else answer[8:])
                for answer in both.sessions[side].request(kind, body)]
    return ask


def test_questions_about_queues_are_answered_alike(both: SideBySide) -> None:
    for number in NUMBERS:
        port = number.to_bytes(4, "big")
        both.same(replied(both, wire.QUEUE_REQUEST, port + bytes(4)), f"configuration of {number:#x}")
        for queue in (0, 1, 7, 0xFFFFFFFE, 0xFFFFFFFF):
            both.same(replied(both, wire.MULTIPART_REQUEST, b"\0\5" + bytes(6) + port + queue.to_bytes(4, "big")),
                      f"statistics of {number:#x}, {queue:#x}")


def test_a_queue_may_be_chosen_and_is_told_back(both: SideBySide) -> None:
    for side in (PLAIN, LOGICAL):
        both.sessions[side].request(wire.FLOW_MOD, flow_mod(command=3, table=0xFF))
    for queue in (0, 1, 0xFFFFFFFE, 0xFFFFFFFF):
        chosen = b"\0\x15\0\x08" + queue.to_bytes(4, "big")
        entry = flow_mod(match(), apply(chosen, output(2)), priority=9)
        both.same(replied(both, wire.FLOW_MOD, entry))
        both.same(lambda side: both.sessions[side].ask(wire.MULTIPART_REQUEST, b"\0\1" + bytes(6) + EVERYTHING)[72:])
        both.ovs.forget_flows()
        carried(both, f"queue {queue:#x}", lambda side: both.send(side, 1, FRAME))
    both.same(replied(both, wire.FLOW_MOD, flow_mod(command=3, table=0xFF)))


EVERYTHING = b"\xff\0\0\0" + b"\xff" * 8 + bytes(20) + b"\0\1\0\4" + bytes(4)


def test_statistics_of_ports_are_asked_for_and_refused_alike(both: SideBySide) -> None:
    def shape(side: str, body: bytes) -> tuple[int, bytes]:
        answer = both.sessions[side].ask(wire.MULTIPART_REQUEST, body)
        return (answer[1], answer[8:12]) if answer[1] == wire.ERROR else (len(answer), answer[16:24])

    for number in NUMBERS[:-1]:
        both.same(lambda side: shape(side, b"\0\4" + bytes(6) + number.to_bytes(4, "big") + bytes(4)), f"{number:#x}")
    for body in (b"\0\4" + bytes(6), b"\0\x0d" + bytes(6) + b"\0\0\0\1" + bytes(4)):
        both.same(lambda side: shape(side, body))


def test_tables_and_fragments_are_configured_alike(both: SideBySide) -> None:
    for table in (0, 7, 254, 255):
        for config in (0, 1, 3, 4, 0x80000000):
            both.same(replied(both, wire.TABLE_MOD, bytes((table, 0, 0, 0)) + config.to_bytes(4, "big")))
    for flags in (2, 4, 8, 0x10, 0x8000, 0xFFFF, 0):
        both.same(replied(both, wire.SET_CONFIG, flags.to_bytes(2, "big") + b"\0\x4d"))
        both.same(replied(both, wire.GET_CONFIG_REQUEST, b""))
    both.same(lambda side: both.sessions[side].request(wire.FEATURES_REQUEST, b"")[0][24:])


def test_a_local_port_attached_to_nothing_is_that_of_a_bridge_nobody_has_set_up(both: SideBySide) -> None:
    def local(side: str) -> tuple[bytes, int, int]:
        body = both.sessions[side].multipart(13)
        records = {body[at:at + 4]: PORT_DESC.unpack_from(body, at) for at in range(0, len(body), PORT_DESC.size)}
        _, _, name, config, state, *_ = records[LOCAL.to_bytes(4, "big")]
        return name, config, state

    assert both.same(local) == (b"plain".ljust(16, b"\0"), DOWN, 1)
    for side in (PLAIN, LOGICAL):
        both.sessions[side].request(wire.FLOW_MOD, flow_mod(command=3, table=0xFF))
    both.same(replied(both, wire.FLOW_MOD, flow_mod(match(), apply(output(1), output(LOCAL), output(IN_PORT)))))
    both.ovs.forget_flows()
    for in_port, action in ((CONTROLLER, output(LOCAL)), (1, output(LOCAL)), (LOCAL, output(2)), (LOCAL, output(FLOOD)),
                            (LOCAL, output(IN_PORT)), (LOCAL, output(TABLE)), (2, output(FLOOD)), (0, output(2))):
        carried(both, f"packet-out at {in_port:#x}: {action.hex()}",
                lambda side: packet_out(both, side, in_port, action))
    for in_port in (0xFF00, 0xFFFFFF00, TABLE):
        body = wire.PACKET_OUT_BODY.pack(0xFFFFFFFF, in_port, 16) + output(2) + FRAME
        both.same(replied(both, wire.PACKET_OUT, body), f"packet-out at {in_port:#x}")


def parts(both: SideBySide, side: str, *sent: tuple[int, bytes]) -> list[tuple[int, bytes]]:
    """Type, and code or first bytes, of what is answered to the parts of one request, all with one xid."""
    session = both.session(side)
    try:
        return session.ask_in_parts(sent)
    finally:
        session.close()


def test_requests_come_in_parts_alike(both: SideBySide) -> None:
    any_port = b"\xff" * 4 + bytes(4)
    for sent in ([(0, b""), (0, b"")], [(4, b"\0\0\0\1" + bytes(4)), (4, b"")], [(4, b""), (4, b"\0\0\0\1" + bytes(4))],
                 [(4, any_port), (4, any_port)], [(0, b""), (4, any_port)], [(12, b""), (0, b"")], [(4, b""), (4, b"")],
                 [(13, b""), (13, b""), (0, b"")]):
        both.same(lambda side: parts(both, side, *sent), str(sent))


def test_tables_are_named_with_the_same_command(both: SideBySide) -> None:
    for place in (f"unix:{both.ovs.management('plain')}", f"tcp:127.0.0.1:{LISTEN_PORT}"):
        both.ovs.run("ovs-ofctl", "-O", "OpenFlow13", "mod-table", place, "0", "name:first")
        shown = both.ovs.run("ovs-ofctl", "-O", "OpenFlow13", "dump-table-features", place).stdout
        assert 'table 0 ("first")' in shown
