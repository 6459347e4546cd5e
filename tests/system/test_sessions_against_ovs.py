"""What a logical switch's controllers can ask for themselves is answered as plain Open vSwitch 3.1 answers it."""
from __future__ import annotations

from collections.abc import Iterator
from struct import pack

import pytest

from tests.system.ovs import require
from tests.system.pair import Client, Pair
from tests.tools.controller import (
    CONTROLLER, apply, flow_mod, goto, match, metadata, output, packet_out, set_field, simple, write,
)
from tools.emulator.host import ipv4
from tools.emulator.oxm import REG0, TUNNEL_ID

NICIRA, ONF = 0x2320, 0x4F4E4600
SET_CONFIG, EXPERIMENTER, PACKET_OUT, FLOW_MOD, MULTIPART, ROLE, GET_ASYNC, SET_ASYNC = 9, 4, 13, 14, 18, 24, 26, 28
DELETE = 3
DEC_TTL = simple(24)


def words(*numbers: int) -> bytes:
    return pack(f"!{len(numbers)}I", *numbers)


def nicira(kind: int, *numbers: int) -> bytes:
    return words(NICIRA, kind, *numbers)


def role(wanted: int, generation: int) -> bytes:
    return words(wanted, 0) + pack("!Q", generation)


@pytest.fixture(scope="module")
def both() -> Iterator[Pair]:
    require()
    with Pair() as pair:
        yield pair


def same(both: Pair, requests: list[tuple[int, bytes]]) -> None:
    """The requests, on a dialled connection and on one of the switch's listener."""
    for connect in (lambda side: side.primary, lambda side: side.service()):
        clients: list[Client] = [connect(side) for side in both.sides]
        for kind, body in requests:
            plain, logical = (client.ask(kind, body) for client in clients)
            assert logical == plain, (kind, body.hex(), [m.hex() for m in logical], [m.hex() for m in plain])
            assert [m for m in clients[1].news if m[1] != 12] == [m for m in clients[0].news if m[1] != 12]
    # Leave the dialled connection as it was.
    for side in both.sides:
        side.primary.ask(SET_ASYNC, words(3, 0, 7, 7, 15, 0))
        side.primary.ask(ROLE, role(1, 0))
        side.primary.ask(EXPERIMENTER, nicira(16, 0))
        side.primary.ask(EXPERIMENTER, nicira(20, 0, 0))


def test_async_masks(both: Pair) -> None:
    masks = [(GET_ASYNC, b"")]
    for asked in (words(7, 7, 7, 7, 15, 15), words(0xFF, 0, 0xFF, 0, 0xFF, 0), words(*[0xFFFFFFFF] * 6), words(1, 2, 3),
                  words(*[0] * 6)):
        masks += [(SET_ASYNC, asked), (GET_ASYNC, b""), (7, b"")]
    same(both, [*masks, (GET_ASYNC, bytes(8)), (27, bytes(24))])


def test_niciras_async_masks(both: Pair) -> None:
    def mask(kind: int, value: int) -> bytes:
        return pack("!HHI", kind, 8, value)

    requests = []
    for body in (nicira(19, 7, 7, 7, 7, 15, 15), nicira(19, *[0xFFFFFFFF] * 6), nicira(19, 7, 7, 7, 7, 15),
                 nicira(27), nicira(27) + mask(1, 7) + mask(5, 1), nicira(27) + mask(9, 1), nicira(27) + mask(9, 0x18),
                 nicira(27) + mask(25, 1), nicira(27) + mask(1, 0xFF),
                 nicira(27) + mask(5, 0x3F), nicira(27) + mask(4, 0x7F), nicira(27) + mask(0, 4) + mask(2, 2),
                 nicira(27) + pack("!HHII4x", 1, 12, 1, 1), nicira(27) + mask(1, 7)[:6], nicira(27, 0x00010007, 1),
                 nicira(27, 0x00010000, 1)):
        requests += [(EXPERIMENTER, body), (GET_ASYNC, b"")]
    same(both, requests)


def test_roles(both: Pair) -> None:
    requests = [(ROLE, role(wanted, generation)) for wanted, generation in (
        (0, 0), (3, 5), (7, 9), (0, 0), (3, 4), (1, 0), (2, 6), (2, 5), (1, 1), (2, 6))]
    requests += [(ROLE, bytes(8))]
    requests += [(EXPERIMENTER, nicira(10, wanted)) for wanted in (0, 1, 2, 0, 3)]
    for side in both.sides:
        side.primary.ask(ROLE, role(2, 1 << 63))  # some generation for both to begin with
        side.primary.ask(ROLE, role(2, (1 << 64) - 1))
        side.primary.ask(ROLE, role(1, 0))
    same(both, requests)


def test_what_a_slave_may_send(both: Pair) -> None:
    requests = [(ROLE, role(3, 20))]
    for kind, body in ((FLOW_MOD, flow_mod()), (15, pack("!HBxI", 0, 0, 1)), (16, bytes(32)), (17, bytes(8)),
                       (29, pack("!HHI", 0, 1, 1)), (PACKET_OUT, packet_out(bytes(60), output(1))),
                       (SET_CONFIG, pack("!HH", 0, 100)), (7, b""), (SET_ASYNC, bytes(24)), (GET_ASYNC, b""),
                       (EXPERIMENTER, nicira(15, 0, 0)), (EXPERIMENTER, nicira(16, 1)), (5, bytes(1)),
                       (ROLE, role(1, 0))):
        requests.append((kind, body))
    same(both, requests)


def test_who_was_master_is_told_who_is_now(both: Pair) -> None:
    told = []
    for side in both.sides:
        one, other = side.service(), side.service()
        one.ask(ROLE, role(2, 30))
        other.ask(ROLE, role(2, 31))
        first = one.told(1)
        one.ask(EXPERIMENTER, nicira(10, 1))
        told.append((first, other.told(1), one.ask(ROLE, role(0, 0))[0][8:], other.ask(ROLE, role(0, 0))[0][8:]))
        for each in (one, other):
            each.ask(ROLE, role(1, 0))
            each.close()
    assert told[0] == told[1]


def test_messages_of_experimenters(both: Pair) -> None:
    bodies = [nicira(kind) for kind in (8, 9, 10, 11, 12, 15, 16, 17, 18, 19, 20, 28, 30, 31, 99)]
    bodies += [nicira(16, form) for form in (1, 2, 3, 0)]
    bodies += [nicira(20) + pack("!6xH", 5), nicira(20) + b"\0\0\1\0\0\0\0\0", nicira(20) + bytes(8)]
    bodies += [nicira(12, form) for form in range(5)]
    bodies += [nicira(15, 1 << 24, 0), nicira(15, 0, 0), nicira(11, 1), nicira(17) + bytes(60), nicira(30, 8, 0)]
    bodies += [nicira(28) + bytes(8), nicira(28) + pack("!HH60x", 0, 64), nicira(28, 0x00630008, 0)]
    bodies += [words(0x123456, 1), words(ONF, 1), words(ONF, 1911) + bytes(16), words(ONF, 1911) + bytes(4),
               words(NICIRA)]
    multiparts = [words(0x123456, 0), words(NICIRA, 0), words(NICIRA, 1), words(NICIRA, 2), words(NICIRA, 3),
                  words(NICIRA, 4), words(NICIRA, 3, 0), words(ONF, 0), words(ONF)]
    same(both, [(EXPERIMENTER, body) for body in bodies]
         + [(MULTIPART, pack("!HH4x", 0xFFFF, 0) + body) for body in multiparts])


def test_unknown_messages_and_kinds(both: Pair) -> None:
    same(both, [(kind, bytes(24)) for kind in (5, 6, 8, 10, 11, 12, 19, 21, 23, 25, 27, 30, 33, 99)]
         + [(MULTIPART, pack("!HH4x", kind, 0)) for kind in (14, 16, 77)])


def frame(ttl: int = 64) -> bytes:
    payload = pack("!4H", 5, 6, 108, 0) + bytes(100)
    return bytes.fromhex("020000000002020000000001") + b"\x08\0" + ipv4(
        bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)), 17, payload, ttl)


@pytest.mark.parametrize("form", [0, 1, 2])
def test_packet_ins(both: Pair, form: int) -> None:
    """Both connections, what they have set, and every way for a packet to come up."""
    ip = match(ETH_TYPE=0x800)
    told: list[list[list[bytes]]] = [[], []]
    for side, found in zip(both.sides, told, strict=True):
        service = side.service()
        clients = [side.primary, service]

        def tell(counts: tuple[int, int]) -> None:
            found.extend(client.told(count) for client, count in zip(clients, counts, strict=True))

        def set_up(*bodies: bytes) -> None:
            for body in (flow_mod(command=DELETE, table=0xFF), *bodies):
                assert side.primary.ask(FLOW_MOD, body) == []

        for client in clients:
            client.ask(EXPERIMENTER, nicira(16, form))
        set_up(flow_mod(match(), apply(output(CONTROLLER, 40)), priority=0, cookie=1))
        side.frame(frame())
        tell((1, 0))
        service.ask(SET_CONFIG, pack("!HH", 0, 30))
        side.frame(frame())
        tell((1, 1))
        set_up(flow_mod(match(IN_PORT=1), metadata(0xAB, 0xFF) + goto(1), cookie=2),
               flow_mod(ip, apply(output(CONTROLLER, 40), output(CONTROLLER, 20), output(CONTROLLER, 0)), table=1,
                        cookie=3))
        side.frame(frame())
        tell((3, 3))
        named = (set_field(TUNNEL_ID, 1 << 63 | 5), set_field(REG0 + 14, 6), set_field(REG0, 7))
        set_up(flow_mod(match(TUNNEL_ID=0, REG0=0), metadata(0xAB, 0xFF) + apply(*named, output(CONTROLLER))
                        + write(output(CONTROLLER)), cookie=6))
        side.frame(frame())
        tell((2, 2))
        set_up(flow_mod(ip, apply(DEC_TTL, output(2)), cookie=4))
        side.primary.ask(SET_ASYNC, words(7, 0, 7, 7, 15, 0))
        side.frame(frame(1))
        tell((1, 0))
        side.primary.ask(SET_ASYNC, words(0, 7, 0, 0, 0, 0))
        service.ask(SET_ASYNC, words(4, 0, 0, 0, 0, 0))
        side.frame(frame(1))
        tell((0, 1))
        side.primary.ask(SET_ASYNC, words(3, 0, 7, 7, 15, 0))
        service.ask(SET_ASYNC, words(2, 0, 0, 0, 0, 0))
        assert side.primary.ask(PACKET_OUT, packet_out(frame(), output(CONTROLLER, 33))) == []
        tell((1, 1))
        service.ask(EXPERIMENTER, nicira(20) + pack("!6xH", 5))
        set_up(flow_mod(ip, apply(output(CONTROLLER)), cookie=5))
        side.frame(frame())
        tell((1, 0))
        side.primary.ask(EXPERIMENTER, nicira(16, 0))
        service.close()
    assert told[1] == told[0]


def test_a_ttl_that_expires_in_the_action_set_names_the_entry_that_wrote_it(both: Pair) -> None:
    """Open vSwitch names the first entry the packet matched, which here is the same."""
    told = []
    for side in both.sides:
        side.primary.ask(FLOW_MOD, flow_mod(command=DELETE, table=0xFF))
        side.primary.ask(SET_ASYNC, words(7, 0, 0, 0, 0, 0))
        side.primary.ask(FLOW_MOD, flow_mod(match(ETH_TYPE=0x800), write(DEC_TTL, output(2)), cookie=9))
        side.frame(frame(1))
        told.append(side.primary.told(1))
        side.primary.ask(SET_ASYNC, words(3, 0, 7, 7, 15, 0))
    assert told[1] == told[0]


@pytest.mark.parametrize("arguments", [("65534",), ("65534", "invalid_ttl"), ("-P", "standard", "128"),
                                       ("-P", "nxt_packet_in", "128")])
def test_ovs_ofctl_monitors_alike(both: Pair, arguments: tuple[str, ...]) -> None:
    said = []
    for side in both.sides:
        side.primary.ask(FLOW_MOD, flow_mod(command=DELETE, table=0xFF))
        monitor = side.monitor(*arguments)
        if "invalid_ttl" not in arguments:
            side.ofctl("probe", "TARGET")
            side.primary.ask(FLOW_MOD, flow_mod(match(), apply(output(CONTROLLER, 40)), priority=0, cookie=1))

            def packet(text: str) -> bool:
                side.frame(frame())
                return "PACKET_IN" in text

            text = monitor.text(packet)
            said.append(text[:text.index("PACKET_IN") + 200])
        else:
            said.append(monitor.text(lambda text: "invalid_ttl" in text))
        monitor.stop()
    assert said[1] == said[0]
