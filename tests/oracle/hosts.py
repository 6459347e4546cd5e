"""Random frames between hosts that NORMAL learns, and frames that a meter drops, each under an ethertype of its own.

What NORMAL learns counts from a round to the next: a logical switch learns some milliseconds after the frame (see
README). Hosts have addresses that no other script has, for what is learnt outlives a script.
"""
from __future__ import annotations

from struct import pack

from tests.oracle.frames import VIDS, Dice
from tests.oracle.operations import Step, multipart, sent
from tests.oracle.sessions import SETTLED, Maker, sent_by, some_of
from tests.tools.controller import CONTROLLER, TABLE, apply, flow_mod, match, output, packet_out
from tools.emulator import wire
from tools.emulator.meters import ADD, BAND, DELETE, KBPS

NORMAL = 0xfffffffa
HOSTS, METERED = 0x88b8, 0x88b7
"""Ethertypes that no other frame has."""
HOSTS_PRIORITY, METERED_PRIORITY = 62001, 62002
"""Above those of all but a few other entries, and of no other."""
BURST = 4
SMALL, GREAT = 1, 10_000
"""Bursts in kilobits: less than every such frame is, and more than all of them are."""
RATES = (2_000_000, 3_000_000)
"""In kilobits a second: a bucket is full again in no time."""
FIRST_METER = 10
"""Each port has its own, so that its share is all of it."""


def some_hosts(rng: Dice, others: tuple[Maker, ...]) -> list[Step]:
    """Hosts that send to each other, to nobody yet known and to all, and move."""
    hosts = [b"\x0a" + rng.serial()[1:] for _ in range(3)]
    places = {host: rng.choice(rng.ports) for host in hosts}
    entry = match(ETH_TYPE=HOSTS)
    steps = [Step("hosts", wire.FLOW_MOD, flow_mod(
        entry, apply(output(NORMAL)), priority=HOSTS_PRIORITY, cookie=0x61)), SETTLED]
    tag = rng.choice((b"", b"", b"\x81\0" + rng.choice(VIDS).to_bytes(2, "big")))
    for _ in range(rng.randrange(3, 9)):
        source, target = rng.sample([*hosts, b"\x0a" + rng.serial()[1:], b"\xff" * 6], 2)
        if source not in places:
            source, target = target, source
        if source not in places:
            continue
        if rng.random() < 0.15:
            places[source] = rng.choice(rng.ports)
        data = target + source + tag + HOSTS.to_bytes(2, "big") + rng.serial() + bytes(40)
        steps += [sent(places[source], data), SETTLED]
    steps += [Step("no hosts", wire.FLOW_MOD, flow_mod(entry, command=4, priority=HOSTS_PRIORITY)), SETTLED]
    by = rng.randrange(2)
    return [sent_by(step, by) for step in steps]


def large_frame(rng: Dice) -> bytes:
    """A frame of more than a kilobit."""
    return b"\x02" + bytes(4) + b"\x01\x02" + bytes(4) + b"\x02" + METERED.to_bytes(2, "big") + rng.serial() + bytes(
        rng.choice((120, 300, 1000)))


def some_drops(rng: Dice, others: tuple[Maker, ...]) -> list[Step]:
    """A meter that drops what is larger than the burst of a band, whenever it comes, and frames that are."""
    port = rng.choice(rng.ports)
    meter = FIRST_METER + rng.ports.index(port)
    bands = [(rate, rng.choice((SMALL, SMALL, GREAT))) for rate in rng.sample(RATES, rng.choice((1, 2)))]
    shown = [output(rng.choice(rng.ports)), *([output(CONTROLLER)] if rng.random() < 0.3 else [])]
    steps = [
        SETTLED, Step("meter", wire.METER_MOD, pack("!HHI", ADD, KBPS | BURST, meter) + b"".join(
            BAND.pack(1, 16, rate, burst, 0) for rate, burst in bands)),
        Step("metered", wire.FLOW_MOD, flow_mod(
            match(IN_PORT=port, ETH_TYPE=METERED), b"\0\6\0\x08" + meter.to_bytes(4, "big") + apply(*shown),
            priority=METERED_PRIORITY, cookie=0x62))]
    steps += [sent(port, large_frame(rng)) for _ in range(rng.randrange(6))]
    steps += [Step("packet-out", wire.PACKET_OUT, packet_out(large_frame(rng), output(TABLE), in_port=port))
              for _ in range(rng.randrange(3))]
    steps += [multipart(9, meter.to_bytes(4, "big") + bytes(4)), *some_of(rng, others, 6)]
    return steps + [Step("no meter", wire.METER_MOD, pack("!HHI", DELETE, 0, meter))] * (rng.random() < 0.7)
