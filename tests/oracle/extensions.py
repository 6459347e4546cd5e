"""Random flow-mods and packet-outs with Open vSwitch's own fields and actions, those that a logical switch has.

Entries of the first tables write registers that those of later ones match. Resubmits go to later tables only, so that
they end, and one list of actions sends to controllers of one id (see README).
"""
from __future__ import annotations

from tests.openflow import learn_cases
from tests.oracle.frames import MACS, Dice, frame
from tests.oracle.operations import PORTS, Step
from tests.oracle.sessions import NICIRA, SETTLED, Maker, some_of
from tests.tools.controller import TABLE, apply, flow_mod, goto, output, packet_out, set_field, write
from tools.emulator import oxm, wire

TABLES = (0, 1, 2, 10)
ETH_DST, ETH_SRC, IPV4_SRC, TCP_SRC, METADATA = 0x80000606, 0x80000806, 0x80001604, 0x80001a02, 0x80000408
VLAN_TCI, TUNNEL_ID = 0x00000802, 0x80004c08
NO_TAG_MASK = 0x1fff
"""Under another mask it is another match than that of OpenFlow's own field, for Open vSwitch only (see README)."""


def register(number: int) -> int:
    """The header of a register."""
    return 0x00010004 | number << 9


def wide(number: int) -> int:
    """The header of a register of 64 bits."""
    return 0x80010008 | number << 9


def tlv(header: int, value: int, mask: int | None = None) -> bytes:
    """A field by its header."""
    size = header & 0xff
    if mask is None:
        return header.to_bytes(4, "big") + value.to_bytes(size, "big")
    return ((header & 0xffffff00 | 0x100 | 2 * size).to_bytes(4, "big") + (value & mask).to_bytes(size, "big")
            + mask.to_bytes(size, "big"))


def own(kind: int, body: bytes) -> bytes:
    """An action of Open vSwitch's own."""
    length = 10 + len(body) + 7 & ~7
    return b"\xff\xff" + length.to_bytes(2, "big") + NICIRA.to_bytes(4, "big") + kind.to_bytes(2, "big") + (
        body + bytes(length - 10 - len(body)))


def half(*numbers: int) -> bytes:
    """Numbers of 16 bits."""
    return b"".join(number.to_bytes(2, "big") for number in numbers)


def load(header: int, first: int, bits: int, value: int) -> bytes:
    return own(7, half(first << 6 | bits - 1) + header.to_bytes(4, "big") + value.to_bytes(8, "big"))


def move(source: int, destination: int, bits: int, from_first: int = 0, to_first: int = 0) -> bytes:
    return own(6, half(bits, from_first, to_first) + source.to_bytes(4, "big") + destination.to_bytes(4, "big"))


def stack(kind: int, header: int, bits: int, first: int = 0) -> bytes:
    return own(kind, half(first) + header.to_bytes(4, "big") + half(bits))


def resubmit(table: int, port: int = 0xfff8) -> bytes:
    return own(14, half(port) + bytes((table,)))


def multipath(header: int, bits: int, fields: int, algorithm: int, most: int) -> bytes:
    return own(10, half(fields, 5, 0, algorithm, most) + bytes(6) + half(bits - 1) + header.to_bytes(4, "big"))


def controller(most: int, number: int, reason: int) -> bytes:
    return own(20, half(most, number) + bytes((reason,)))


def sends_up(action: bytes) -> bool:
    """Whether this is Open vSwitch's controller action; those of other makers than `some_actions` are for id 0."""
    return action[4:10] == own(20, b"")[4:10]


def note(text: bytes) -> bytes:
    return own(8, text)


def ids(*numbers: int) -> bytes:
    """A decrement of the TTL with ids of controllers to tell."""
    return own(21, half(len(numbers)) + bytes(4) + half(*numbers))


UNMAPPED = load(0x00015004, 0, 8, 1)
"""It names an option of tunnels that no table maps."""


def some_match(rng: Dice) -> tuple[str, bytes]:
    """(what it constrains, struct ofp_match) of a match with fields of Open vSwitch's own."""
    ip = tlv(0x80000a02, 0x0800)
    found: dict[str, bytes] = {}

    def add(name: str, header: int, value: int, mask: int | None = None, before: bytes = b"") -> None:
        found[f"{name}/{mask}/{before.hex()}"] = before + tlv(header, value, mask)

    if rng.random() < 0.3:
        add("in_port", 0x80000004, rng.choice(rng.ports))
    if rng.random() < 0.5:
        number = rng.choice((0, 1, 2, 3))
        add(f"reg{number}", register(number), rng.choice((0, 1, 5, 0x11)), rng.choice((None, None, 0xf, 0x10)))
    if rng.random() < 0.1:
        add("xreg2", wide(2), rng.choice((5 << 32, 1, 0)), rng.choice((None, 0xff, 0xff << 32)))
    if rng.random() < 0.15:
        header, value, mask = rng.choice((
            (TUNNEL_ID, 5, None), (0x0001d604 | 0, 0x20, 0x20), (0x00010804, 0, None), (METADATA, 0x11, 0xff),
            (VLAN_TCI, 0x1005, 0x1fff), (VLAN_TCI, 0, NO_TAG_MASK), (0x00014204, 0, None)))
        add(f"{header:x}", header, value, mask)
    if rng.random() < 0.3:
        header, value, mask, before = rng.choice((
            (0x00013a01, 64, None, ip), (0x00013a01, 1, None, ip), (0x00013401, 0, 1, ip), (0x00013401, 1, 3, ip),
            (0x00014402, 2, 2, ip + tlv(0x80001401, 6)), (0x00014402, 2, None, ip + tlv(0x80001401, 6)),
            (0x80005402, 0x10, 0x12, ip + tlv(0x80001401, 6)), (0x00013c01, 64, None, tlv(0x80000a02, 0x8847))))
        add(f"{header:x}", header, value, mask, before)
    if rng.random() < 0.05:
        header = rng.choice((0x80005a04, 0x00010006, 0x12340004, 0x80011604))
        add(f"{header:x}", header, 0)
    body = b"".join(found.values())
    return repr(sorted(found)), b"\0\1" + (4 + len(body)).to_bytes(2, "big") + body + bytes(-(4 + len(body)) % 8)


def some_action(rng: Dice) -> bytes:
    """An action that writes or reads, or does nothing."""
    some, other = register(rng.choice((0, 1, 2, 3))), register(rng.choice((0, 1, 2, 3)))
    return rng.choice((
        lambda: load(some, 0, 32, rng.choice((0, 1, 5, 0x11))), lambda: load(some, 4, 4, rng.choice((1, 0xf))),
        lambda: load(some, 0, 32, 5), lambda: load(ETH_DST, 0, 48, rng.choice(MACS)),
        lambda: load(METADATA, 0, 32, 0x11), lambda: load(METADATA, 4, 8, 0x10), lambda: load(wide(2), 32, 32, 5),
        lambda: load(TUNNEL_ID, 0, 64, 5), lambda: load(VLAN_TCI, 0, 13, 0x1005),
        lambda: move(some, other, 32), lambda: move(ETH_SRC, some, 32), lambda: move(some, ETH_SRC, 16, 0, 8),
        lambda: move(ETH_SRC, ETH_DST, 48), lambda: move(METADATA, some, 32), lambda: load(some + 0x104, 0, 8, 7),
        lambda: move(some, METADATA, 16), lambda: move(wide(0), wide(1), 64),
        lambda: stack(27, some, 32), lambda: stack(27, ETH_SRC, 48), lambda: stack(28, some, 32),
        lambda: stack(28, ETH_SRC, 48), lambda: stack(28, other, 8, 8),
        lambda: note(rng.choice((b"", b"abc", b"x" * 20))),
        lambda: own(5, b""), lambda: own(17, b"") if rng.random() < 0.2 else own(43, b""),
        lambda: multipath(some, 8, rng.randrange(6), rng.randrange(4), rng.choice((0, 1, 7, 255))),
        lambda: some_bundle(rng, None), lambda: some_bundle(rng, (some, rng.choice((0, 8)), 16)),
        lambda: set_field(oxm.ETH_DST, rng.choice(MACS)),
    ))()


def some_bundle(rng: Dice, into: tuple[int, int, int] | None) -> bytes:
    """An action that chooses among ports, for an output or for a part of a field: (header, first, bits)."""
    ports = [rng.choice((*PORTS, 0xfff8, 77)) for _ in range(rng.randrange(5))]
    return learn_cases.bundle(*ports, into=into, algorithm=rng.choice((0, 1)), fields=rng.randrange(6))


def some_wrong(rng: Dice) -> bytes:
    """An action that is refused, or that only some packets may meet."""
    reg0 = register(0)
    return rng.choice((
        lambda: load(reg0, 30, 4, 1), lambda: load(reg0, 0, 4, 0x10), lambda: load(0x80000b04, 0, 16, 1),
        lambda: load(0x80000a02, 0, 16, 1), lambda: load(0x80005a04, 0, 32, 1), lambda: stack(27, reg0 + 0x104, 8),
        lambda: move(reg0, 0x12340004, 32), lambda: UNMAPPED, lambda: stack(27, 0x00010005, 8),
        lambda: move(reg0, 0x80000a02, 16), lambda: move(reg0, reg0, 0),
        lambda: move(reg0, reg0, 33), lambda: move(IPV4_SRC, reg0, 32), lambda: load(TCP_SRC, 0, 16, 80),
        lambda: stack(27, reg0, 0), lambda: stack(28, 0x80000a02, 16), lambda: stack(27, reg0, 40),
        lambda: multipath(reg0, 8, 9, 0, 1), lambda: multipath(reg0, 8, 0, 9, 1), lambda: multipath(reg0, 4, 0, 0, 99),
        lambda: ids(0), lambda: ids(0, 1), lambda: own(34, bytes((0, 2)) + b"\0\0\0\1"), lambda: own(7, bytes(8)),
        lambda: own(6, b""), lambda: own(27, bytes(4)), lambda: own(20, b"")[:-1] + b"\1", lambda: own(99, b""),
        lambda: rng.choice([action for action, error in learn_cases.CASES.values() if error]),
        lambda: own(5, b"\1"), lambda: resubmit(1)[:-1] + b"\1", lambda: own(21, half(9)),
    ))()


def some_actions(rng: Dice, table: int) -> list[bytes]:
    """A list of actions of an entry of that table, the wrong ones rare."""
    parts = [some_action(rng) for _ in range(rng.choice((0, 1, 2, 3, 4)))]
    if rng.random() < 0.1:
        parts.append(some_wrong(rng))
    later = [number for number in TABLES if number > table]
    if later and rng.random() < 0.4:
        parts.append(resubmit(rng.choice(later)))
    if rng.random() < 0.6:
        parts.append(output(rng.choice(rng.ports)))
    if rng.random() < 0.25:
        number = 0 if any(map(sends_up, parts)) else rng.choice((0, 0, 7))
        parts.append(controller(rng.choice((0, 30, 0xffff)), number, rng.choice((0, 1, 2))))
    if rng.random() < 0.5:
        rng.shuffle(parts)
    return parts


def some_flow_mod(rng: Dice) -> Step:
    """A flow-mod with fields and actions of Open vSwitch's own."""
    constrained, fields = some_match(rng)
    table = rng.choice(TABLES)
    parts = apply(*some_actions(rng, table))
    if rng.random() < 0.15:
        parts += write(*(some_action(rng) for _ in range(rng.choice((1, 2)))), output(rng.choice(rng.ports)))
    later = [number for number in TABLES if number > table]
    if later and rng.random() < 0.4:
        parts += goto(rng.choice(later))
    command = rng.choice((0, 0, 0, 0, 0, 0, 1, 2, 3, 4))
    return Step("flow-mod", wire.FLOW_MOD, flow_mod(
        fields, parts, command=command, table=table, priority=rng.priority(constrained), cookie=0x51,
        flags=rng.choice((0, 1))))


def some_packet_out(rng: Dice) -> Step:
    """A packet-out whose actions are of Open vSwitch's own, none of them UNMAPPED, as README's deviation table says."""
    actions = [each for each in some_actions(rng, max(TABLES)) if each != UNMAPPED]
    if rng.random() < 0.4:
        actions.append(output(TABLE))
    return Step("packet-out", wire.PACKET_OUT, packet_out(frame(rng), *actions, in_port=rng.choice(rng.ports)))


def some_extensions(rng: Dice, others: tuple[Maker, ...]) -> list[Step]:
    """Entries with fields and actions of Open vSwitch's own, and packets that meet them."""
    steps = [SETTLED]
    for _ in range(rng.randrange(1, 4)):
        steps += [some_flow_mod(rng) for _ in range(rng.randrange(1, 8))] + [SETTLED]
        steps += some_of(rng, (some_packet_out, some_flow_mod, *others))
    return steps
