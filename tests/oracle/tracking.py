"""Random entries that learn and that track connections, and packets that meet them one behind the other.

What a packet teaches, and what is known of its connection, depend on the packets before it: so these are packet-outs of
one controller, and the entries go before anything else is sent. Connections are tracked in tables of their own, where
nothing is written into the action set: with one that waits, Open vSwitch 3.1 stops (see README). Zones are none that
hvproxy hands out first, for all bridges of the bench have one datapath.
"""
from __future__ import annotations

from tests.oracle.extensions import (
    ETH_DST, ETH_SRC, controller, half, load, move, own, register, some_action, some_match, tlv)
from tests.oracle.frames import ADDRESSES, MACS, SIX, Dice, frame, mac
from tests.oracle.operations import Step, multipart
from tests.oracle.sessions import NICIRA, SETTLED, Maker, experimenter, sent_by
from tests.openflow import learn_cases
from tests.tools.controller import TABLE, apply, flow_mod, flow_request, goto, output, packet_out, set_field
from tools.emulator import oxm, wire
from tools.emulator.host import checksum, ipv4

LEARNING, TRACKING = 0x61, 0x71
"""The cookies of entries that go at the end."""
LEARNT_TABLES = (2, 10)
TABLES = (0, 20, 21)
"""Where connections are tracked: packets come to 0 with an empty action set, and to the others from there only."""
ZONES = (0, 4000, 4001, 0xffff)
CT_STATE, CT_ZONE, CT_MARK, CT_LABEL = 0x0001d204, 0x0001d402, 0x0001d604, 0x0001d810
NEW, ESTABLISHED, RELATED, REPLY, INVALID, TRACKED = 1, 2, 4, 8, 16, 32
SYN, ACK, FIN, RESET = 2, 16, 1, 4
COMMIT, FORCE = 1, 2
TRANSLATED = 0x0a800000
"""The first bits of addresses that only translations give."""
EVERY_FLOW = multipart(1, flow_request())


def removal(cookie: int) -> Step:
    """The end of all entries of a cookie."""
    return Step("flow-mod", wire.FLOW_MOD, flow_mod(command=3, table=0xff, cookie=cookie, mask=(1 << 64) - 1))


def by_one(rng: Dice, steps: list[Step]) -> list[Step]:
    """Steps as one of the controllers takes them."""
    by = rng.randrange(2)
    return [sent_by(step, by) for step in steps]


# Learning

def some_learn(rng: Dice) -> bytes:
    """An action learn, rarely a wrong one."""
    if rng.random() < 0.1:
        return rng.choice([action for action, error in learn_cases.CASES.values() if error])
    about = learn_cases.MATCH, learn_cases.LOAD
    field, value = learn_cases.field, learn_cases.value
    matches = [each for each in (
        learn_cases.BACK, field(about[0], 12, learn_cases.TCI, learn_cases.TCI),
        field(about[0], 16, learn_cases.IN_PORT, learn_cases.IN_PORT),
        field(about[0], 8, register(1), register(1), 0, 8),
    ) if rng.random() < 0.5]
    does = [each for each in (
        learn_cases.TO_PORT, field(about[1], 32, register(1), register(2)), value(about[1], 32, 5, register(0)),
        field(about[1], 48, ETH_SRC, ETH_DST), value(about[1], 16, 0x1234, ETH_DST, 8)) if rng.random() < 0.4]
    return learn_cases.learn(
        *matches, *does, table=rng.choice(LEARNT_TABLES), cookie=LEARNING, flags=rng.choice((0, 0, 1, 2)),
        priority=rng.priority(f"learn {matches}"), idle=rng.choice((0, 300)))


def some_teacher(rng: Dice) -> Step:
    """An entry that learns."""
    constrained, fields = some_match(rng)
    table = rng.choice((0, 0, 1))
    parts = [*(some_action(rng) for _ in range(rng.choice((0, 1, 2)))), some_learn(rng),
             *([output(rng.choice(rng.ports))] if rng.random() < 0.7 else [])]
    rng.shuffle(parts)
    return Step("flow-mod", wire.FLOW_MOD, flow_mod(
        fields, apply(*parts) + (goto(rng.choice(LEARNT_TABLES)) if rng.random() < 0.6 else b""), table=table,
        priority=rng.priority(constrained), cookie=LEARNING))


def some_pupils(rng: Dice, others: tuple[Maker, ...]) -> list[Step]:
    """Entries that learn, packets that teach, what has been learnt, and what it does."""
    steps = [SETTLED, *(some_teacher(rng) for _ in range(rng.randrange(1, 5))), SETTLED]
    for _ in range(rng.randrange(1, 8)):
        taught = [some_learn(rng)] if rng.random() < 0.2 else []
        steps.append(Step("packet-out", wire.PACKET_OUT, packet_out(
            frame(rng), *taught, output(TABLE), in_port=rng.choice(rng.ports))))
        steps.append(EVERY_FLOW)
    return by_one(rng, [*steps, removal(LEARNING), SETTLED])


# Connections

def ct(flags: int, zone: int, table: int, *nested: bytes) -> bytes:
    """The action ct, with others within it."""
    body = b"".join(nested)
    return own(35, half(flags) + bytes(4) + half(zone) + bytes((table,)) + bytes(5) + body)


def nat(flags: int = 0, address: int | None = None) -> bytes:
    """A translation of addresses."""
    return own(36, bytes(2) + half(flags, 0 if address is None else 1)
               + (b"" if address is None else address.to_bytes(4, "big")))


def some_ct(rng: Dice, table: int) -> bytes:
    """An action ct of an entry of that table, rarely a wrong one.

    Each translates into an address of its own, which no packet has yet: Open vSwitch 3.1 stops where a connection is
    translated into the address that it has (`conn->conn_type == CT_CONN_TYPE_DEFAULT`).
    """
    flags = rng.choice((0, 0, COMMIT, COMMIT, COMMIT | FORCE, *((FORCE,) if rng.random() < 0.1 else ())))
    nested = []
    if flags & COMMIT or rng.random() < 0.03:
        nested += [each for each in (
            set_header(CT_MARK, rng.choice((1, 7)).to_bytes(4, "big")), load(CT_MARK, 8, 8, 3),
            load(CT_LABEL, 64, 64, 9), move(register(1), CT_MARK, 16)) if rng.random() < 0.25]
    if rng.random() < 0.25:
        nested.append(nat(rng.choice((1, 2)), TRANSLATED | rng.randrange(1, 1 << 20)) if flags & COMMIT else nat())
    if rng.random() < 0.03:
        nested.append(rng.choice((output(1), own(43, b""), load(register(0), 0, 8, 1))))
    return ct(flags, rng.choice(ZONES), rng.choice((255, *(each for each in TABLES if each > table))), *nested)


def set_header(header: int, value: bytes) -> bytes:
    """A set-field by the header of its field."""
    body = header.to_bytes(4, "big") + value
    return b"\0\x19" + (4 + len(body) + 7 & ~7).to_bytes(2, "big") + body + bytes(-(4 + len(body)) % 8)


def some_question(rng: Dice, table: int) -> tuple[str, bytes]:
    """(what it constrains, struct ofp_match) of a match about a connection."""
    ip = rng.choice((0x0800, 0x0800, 0x0800, 0x86dd))
    body, constrained = tlv(0x80000a02, ip), f"ct {ip}"
    if rng.random() < 0.3:
        body, constrained = tlv(0x80000004, rng.choice(rng.ports)) + body, constrained + " port"
    if table and rng.random() < 0.8:
        known, mask = rng.choice((
            (TRACKED, TRACKED), (TRACKED | NEW, TRACKED | NEW), (TRACKED | ESTABLISHED, TRACKED | ESTABLISHED),
            (TRACKED | ESTABLISHED, TRACKED | ESTABLISHED | REPLY), (INVALID, INVALID), (REPLY, REPLY), (0, NEW)))
        body, constrained = body + tlv(CT_STATE, known, mask), f"{constrained} state {mask}"
    for header, value, given in (
            (CT_ZONE, rng.choice(ZONES), None), (CT_MARK, rng.choice((0, 1, 7)), rng.choice((None, 3))),
            (CT_LABEL, rng.choice((0, 9 << 64)), rng.choice((None, 15 << 64)))):
        if rng.random() < 0.2:
            body, constrained = body + tlv(header, value, given), f"{constrained} {header} {given}"
    return constrained, b"\0\1" + (4 + len(body)).to_bytes(2, "big") + body + bytes(-(4 + len(body)) % 8)


def some_tracker(rng: Dice, table: int | None = None) -> Step:
    """An entry that tracks connections, or asks about them."""
    table = rng.choice(TABLES) if table is None else table
    constrained, fields = some_question(rng, table)
    parts = [some_ct(rng, table) for _ in range(rng.choice((1, 1, 2) if not table else (0, 0, 1)))]
    parts += [output(rng.choice(rng.ports)) for _ in range(rng.choice((0, 1, 2)))]
    if rng.random() < 0.4:
        parts.append(rng.choice((
            lambda: own(43, b""), lambda: move(CT_MARK, register(1), 32), lambda: move(CT_LABEL, register(2), 32, 64),
            lambda: move(CT_STATE, register(3), 8), lambda: load(register(1), 0, 16, 6),
            lambda: set_field(oxm.ETH_DST, rng.choice(MACS)), lambda: controller(0xffff, 0, 1)))())
    rng.shuffle(parts)
    later = [each for each in TABLES if each > table]
    return Step("flow-mod", wire.FLOW_MOD, flow_mod(
        fields, apply(*parts) + (goto(rng.choice(later)) if later and rng.random() < 0.3 else b""), table=table,
        priority=rng.priority(f"{table and 1} {constrained}"), cookie=TRACKING))


def some_packet(rng: Dice) -> bytes:
    """A packet of one of few connections, in one of the two directions."""
    head = mac(rng.choice(MACS)) + mac(rng.choice(MACS[:3]))
    (first, one), (second, other) = rng.sample(((0, 1000), (1, 80)), 2)
    protocol = rng.choice((6, 6, 17, 17, 1))
    six = rng.random() < 0.2
    if six:
        source, destination = (SIX[each].to_bytes(16, "big") for each in (first, second))
        protocol = 17 if protocol == 1 else protocol
    else:
        source, destination = (ADDRESSES[each].to_bytes(4, "big") for each in (first, second))
    payload = rng.serial()
    if protocol == 1:
        data = bytes((8 if one == 1000 else 0, 0, 0, 0, 0, 1, 0, 2)) + payload
        data = data[:2] + checksum(data).to_bytes(2, "big") + data[4:]
    else:
        data = half(one, other)
        if protocol == 6:
            flags = rng.choice((SYN, SYN, SYN | ACK, ACK, ACK, FIN | ACK, RESET))
            data += (1000 + (not flags & SYN)).to_bytes(4, "big") + (1001 * bool(flags & ACK)).to_bytes(4, "big")
            data += bytes((0x50, flags)) + b"\x10\0" + bytes(4)
            place = 16
        else:
            data += half(8 + len(payload), 0) + payload
            place = 6
        pseudo = source + destination + len(data).to_bytes(4, "big") + protocol.to_bytes(4, "big")
        data = data[:place] + checksum(pseudo + data).to_bytes(2, "big") + data[place + 2:]
    if six:
        return head + b"\x86\xdd" + (6 << 28).to_bytes(4, "big") + half(len(data)) + bytes((protocol, 64)) + (
            source + destination + data)
    # Every packet is told from every other, and Ethernet's shortest frame is longer than these.
    return head + b"\x08\0" + ipv4(source, destination, protocol, data) + rng.serial() + bytes(14)


def some_connections(rng: Dice, others: tuple[Maker, ...]) -> list[Step]:
    """Entries that track connections, packets of these, and what the entries have counted."""
    steps = [SETTLED, *(experimenter("flush", NICIRA, 29, bytes(6) + half(zone)) for zone in ZONES)]
    for _ in range(rng.randrange(1, 4)):
        steps += [some_tracker(rng, 0), *(some_tracker(rng) for _ in range(rng.randrange(2, 12))), SETTLED]
        for _ in range(rng.randrange(1, 4)):
            steps += [Step("packet-out", wire.PACKET_OUT, packet_out(
                some_packet(rng), *([some_ct(rng, max(TABLES))] if rng.random() < 0.1 else []), output(TABLE),
                in_port=rng.choice(rng.ports))) for _ in range(rng.randrange(1, 12))]
            steps.append(EVERY_FLOW)
    return by_one(rng, [*steps, removal(TRACKING), SETTLED])
