"""What random scripts say to ports, meters, queues and the switch as a whole, and what they ask about them.

Each maker gives one step; script puts them into its bursts by feature. Meters let everything through: what a meter
drops depends on the time.
"""
from __future__ import annotations

from struct import pack

from tests.oracle.frames import Dice
from tests.oracle.operations import OWN_ADDRESS, PORTS, Step, multipart
from tools.emulator import wire
from tools.emulator.meters import ADD, BAND, DELETE, KBPS, MODIFY, PKTPS

ANY = 0xffffffff
METERS = (1, 2, 3, 0xffff0000)
EVERY_METER = b"\xff" * 4 + bytes(4)
BURST, STATS = 4, 8
GREAT_RATES = (2_000_000, 3_000_000)
PORT_DOWN, CONFIGURABLE = 1, 101


def metered(rng: Dice) -> bytes:
    """A meter instruction."""
    return b"\x00\x06\x00\x08" + rng.choice(METERS).to_bytes(4, "big")


def some_meter_mod(rng: Dice) -> Step:
    """A meter-mod, usually valid."""
    command = rng.choice((ADD, ADD, ADD, MODIFY, DELETE))
    number = rng.choice(METERS)
    if rng.random() < 0.1:
        number = rng.choice((0, 0xffff0001, ANY if command == DELETE else 9))
    flags = rng.choice((KBPS, PKTPS)) | rng.choice((0, BURST, STATS, BURST | STATS))
    if rng.random() < 0.05:
        flags = rng.choice((0, KBPS | PKTPS, KBPS | 0x20))
    bands = [BAND.pack(1, 16, rng.choice(GREAT_RATES), rng.choice((0, 0, 1_000_000)), 0)
             for _ in range(0 if command == DELETE else rng.choice((1, 1, 2, 3)))]
    return Step("meter-mod", wire.METER_MOD, pack("!HHI", command, flags, number) + b"".join(bands))


def some_meter_question(rng: Dice) -> Step:
    """A request about meters."""
    kind = rng.choice((9, 9, 10, 11))
    return multipart(kind, b"" if kind == 11 else rng.choice((*METERS, ANY, 0)).to_bytes(4, "big") + bytes(4))


def some_port_mod(rng: Dice) -> Step:
    """A port-mod, usually valid. What an interface may advertise is its own affair: a veth has nothing to negotiate."""
    port = rng.choice(rng.ports) if rng.random() < 0.95 else rng.choice((77, 0, 0xff00, ANY))
    config = rng.choice((0, 0, 0, PORT_DOWN, 4, 32, 64, 36, 101, ANY))
    mask = rng.choice((CONFIGURABLE, CONFIGURABLE, ANY, 4, 32, 64, PORT_DOWN, 0))
    address = OWN_ADDRESS if rng.random() < 0.95 else bytes(6)
    advertise = 0x40 if port in PORTS and rng.random() < 0.3 else 0
    return Step("port-mod", wire.PORT_MOD, wire.PORT_MOD_BODY.pack(port, address, config, mask, advertise))


def some_table_mod(rng: Dice) -> Step:
    """A table-mod, which asks for what is no longer in OpenFlow 1.3."""
    return Step("table-mod", wire.TABLE_MOD, bytes((rng.choice((0, 1, 10, 243, 255)), 0, 0, 0))
                + rng.choice((0, 1, 3, 4, 1 << 31)).to_bytes(4, "big"))


def some_configuration(rng: Dice) -> Step:
    """What to do with fragments, and how much of a packet to send; or what was said about it."""
    if rng.random() < 0.5:
        return Step("get-config", wire.GET_CONFIG_REQUEST)
    return Step("set-config", wire.SET_CONFIG, pack("!HH", rng.choice((0, 0, 1, 1, 2, 4)),
                                                    rng.choice((0, 20, 128, 0xffe5, 0xffff))))


def some_queue_question(rng: Dice) -> Step:
    """A request about queues."""
    port = rng.choice((*rng.ports, ANY, 77, 0, 0xff00)).to_bytes(4, "big")
    if rng.random() < 0.5:
        return Step("queues", wire.QUEUE_REQUEST, port + bytes(4))
    return multipart(5, port + rng.choice((ANY, ANY, 0, 1)).to_bytes(4, "big"))
