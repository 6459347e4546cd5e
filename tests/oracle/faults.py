"""Random messages that random makers have made, wrong in one part: the whole of a message is laid out, any part of it
is made another one, and what stands around it is put right.

`laid_out` finds the parts: numbers, lengths, kinds, headers of fields, paddings, and blocks that can be missing, be
there twice, or be exchanged, down to actions within buckets, within actions and within what is put into a bundle. A
fault need not be one: what a switch takes all the same is compared by what it tells then.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.oracle.frames import Dice
from tests.oracle.operations import BUNDLE_ADD
from tools.emulator import wire

GOTO, WRITE_METADATA, WRITE, APPLY, CLEAR, METER = 1, 2, 3, 4, 5, 6
OUTPUT, GROUP, SET_QUEUE, PUSHES, POP_MPLS, TTLS, SET_FIELD = 0, 22, 21, (17, 19), 20, (15, 23), 25
EXPERIMENTER = 0xffff
CT, LEARN, LOAD, MOVE, PUSH, POP, BUNDLE, BUNDLE_LOAD, MULTIPATH, LOAD_2 = 35, 16, 7, 6, 27, 28, 12, 13, 10, 33
RESUBMITS, CONTROLLER = (1, 14), 20
METADATA = b"\x80\x00\x04"
HEADERS_AT = {LOAD: (12,), MOVE: (16, 20), PUSH: (12,), POP: (12,), MULTIPATH: (28,), BUNDLE: (16, 24),
              BUNDLE_LOAD: (16, 24), LOAD_2: (10,)}
"""Where Open vSwitch's own actions name fields."""
BASIC, MASKED_TAG = 0x8000, 0x000009
LEAST_FIELD, FIELD_SIZES = 3, {
    3: 6, 4: 6, 5: 2, 6: 2, 7: 1, 8: 1, 9: 1, 10: 1, 11: 4, 12: 4, 13: 2, 14: 2, 15: 2, 16: 2, 17: 2, 18: 2, 19: 1,
    20: 1, 21: 2, 22: 4, 23: 4, 24: 6, 25: 6, 26: 16, 27: 16, 28: 4, 29: 1, 30: 1, 31: 16, 32: 6, 33: 6, 34: 4, 35: 1,
    36: 1}
"""The fields of OpenFlow 1.3 that a switch has and a logical switch has as well, and their bytes."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes of a message that are one thing."""

    start: int
    size: int
    sort: str
    """`number`, `length`, `kind`, `padding`, `header`, `port` and others, which say what to put there."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some parts that come and go together."""

    start: int
    end: int
    sort: str


@dataclass(frozen=True, slots=True)
class Counted:
    """A length, and what it counts."""

    place: int
    size: int
    start: int
    end: int
    padded: bool = False
    """What it counts is filled up with zeros to eight bytes, which it does not count."""


@dataclass(slots=True)
class Layout:
    """What a message is made of."""

    body: bytes
    parts: list[Part] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    counted: list[Counted] = field(default_factory=list)

    def number(self, start: int, size: int) -> int:
        return int.from_bytes(self.body[start:start + size], "big")

    def put(self, start: int, *parts: tuple[str, int]) -> int:
        """Parts one behind the other; the offset behind them."""
        for sort, size in parts:
            self.parts.append(Part(start, size, sort))
            start += size
        return start

    def length(self, place: int, start: int, end: int, size: int = 2, padded: bool = False) -> None:
        """A length at `place` of what is from `start` to `end`."""
        self.parts.append(Part(place, size, "length"))
        self.counted.append(Counted(place, size, start, end, padded))

    def block(self, start: int, end: int, sort: str) -> None:
        self.blocks.append(Block(start, end, sort))


def laid_out(kind: int, body: bytes) -> Layout:
    """A message of that kind in its parts. Raises ValueError for one whose lengths are wrong."""
    layout = Layout(body)
    try:
        _message(layout, kind, 0, len(body))
    except IndexError:
        raise ValueError("it is cut") from None
    if any(part.start + part.size > len(body) or part.size < 0 for part in layout.parts):
        raise ValueError("it is cut")
    layout.parts = [part for part in layout.parts if part.size]
    return layout


def _message(layout: Layout, kind: int, at: int, end: int) -> None:
    if kind == wire.FLOW_MOD:
        at = layout.put(at, ("number", 8), ("number", 8), ("table", 1), ("command", 1), ("timeout", 2), ("timeout", 2),
                        ("number", 2), ("number", 4), ("port", 4), ("group", 4), ("flags", 2), ("padding", 2))
        _instructions(layout, _match(layout, at), end)
    elif kind == wire.GROUP_MOD:
        _buckets(layout, layout.put(at, ("group command", 2), ("type", 1), ("padding", 1), ("own group", 4)), end)
    elif kind == wire.METER_MOD:
        at = layout.put(at, ("command", 2), ("flags", 2), ("meter", 4))
        for start, stop in _each(layout, at, end, 2):
            layout.block(start, stop, "band")
            layout.put(start, ("kind", 2))
            layout.put(start + 4, ("number", 4), ("number", 4), ("padding", 4))
    elif kind == wire.PACKET_OUT:
        size = layout.number(at + 8, 2)
        layout.length(at + 8, at + 16, at + 16 + size)
        layout.put(at, ("number", 4), ("port", 4))
        layout.put(at + 10, ("padding", 6))
        _actions(layout, at + 16, at + 16 + size)
    elif kind == wire.MULTIPART_REQUEST:
        _multipart(layout, at, end)
    elif kind == wire.EXPERIMENTER:
        at = layout.put(at, ("experimenter", 4), ("subtype", 4))
        if layout.body.startswith(BUNDLE_ADD):
            # Another bundle would be begun by it, and end when nobody expects it.
            at = layout.put(at + 4, ("padding", 2), ("flags", 2), ("version", 1), ("message", 1))
            layout.length(at, at - 2, end)
            _message(layout, layout.body[at - 1], at + 6, end)
        else:
            _words(layout, at, end)
    elif kind == wire.PORT_MOD:
        # What an interface may advertise is its own affair.
        layout.put(at, ("port", 4), ("padding", 4), ("number", 6), ("padding", 2), ("number", 4), ("number", 4))
        layout.put(at + 28, ("padding", 4))
    elif kind == wire.SET_CONFIG:
        layout.put(at, ("configuration", 2), ("number", 2))
    else:
        _words(layout, at, end)


def _words(layout: Layout, at: int, end: int) -> None:
    """What is not told apart."""
    while at < end:
        size = min(4, end - at)
        at = layout.put(at, ("number", size))


def _multipart(layout: Layout, at: int, end: int) -> None:
    kind = layout.number(at, 2)
    at = layout.put(at, ("multipart", 2), ("more", 2), ("padding", 4))
    if kind in (1, 2):
        _match(layout, layout.put(at, ("table", 1), ("padding", 3), ("port", 4), ("group", 4), ("padding", 4),
                                  ("number", 8), ("number", 8)))
    elif kind in (4, 5):
        layout.put(at, ("port", 4), ("padding" if kind == 4 else "number", 4))
    elif kind in (6, 9, 10):
        layout.put(at, ("group" if kind == 6 else "meter", 4), ("padding", 4))
    else:
        _words(layout, at, end)


def _match(layout: Layout, at: int) -> int:
    """The parts of a match; the offset behind it."""
    size = layout.number(at + 2, 2)
    if size < 4 or at + size > len(layout.body):
        raise ValueError("a length is wrong")
    layout.put(at, ("kind", 2))
    layout.length(at + 2, at, at + size, padded=True)
    place = at + 4
    while place < at + size:
        stop = place + 4 + layout.body[place + 3]
        layout.block(place, stop, "field")
        _field(layout, place, stop)
        place = stop
    if size % 8:
        layout.put(at + size, ("padding", -size % 8))
    return at + (size + 7) // 8 * 8


def _field(layout: Layout, at: int, stop: int) -> None:
    layout.put(at, ("header", 3))
    layout.length(at + 3, at + 4, stop, 1)
    masked = layout.body[at + 2] & 1
    sort = "port" if layout.number(at, 2) == BASIC and layout.body[at + 2] >> 1 == 0 else "value"
    if layout.number(at, 3) in (0x800004, 0x800005):
        sort = "metadata"
    if layout.number(at, 3) == MASKED_TAG:
        return  # a part of its priority is no field of OpenFlow 1.3
    size = (stop - at - 4) >> masked
    layout.put(at + 4, (sort, size), *([("mask" if sort == "value" else sort, size)] if masked else []))


def _each(layout: Layout, at: int, end: int, length_at: int) -> Iterator[tuple[int, int]]:
    """(start, end) of what stands one behind the other, with its length."""
    while at < end:
        size = layout.number(at + length_at, 2)
        if size < 4 or at + size > end:
            raise ValueError("a length is wrong")
        layout.length(at + length_at, at, at + size)
        yield at, at + size
        at += size


def _instructions(layout: Layout, at: int, end: int) -> None:
    for start, stop in _each(layout, at, end, 2):
        layout.block(start, stop, "instruction")
        kind = layout.number(start, 2)
        inside = layout.put(start, ("instruction", 2)) + 2
        if kind == GOTO:
            layout.put(inside, ("next table", 1), ("padding", 3))
        elif kind == WRITE_METADATA:
            layout.put(inside, ("padding", 4), ("metadata", 8), ("metadata", 8))
        elif kind == METER:
            layout.put(inside, ("meter", 4))
        else:
            _actions(layout, layout.put(inside, ("padding", 4)), stop)


def _buckets(layout: Layout, at: int, end: int) -> None:
    for start, stop in _each(layout, at, end, 0):
        layout.block(start, stop, "bucket")
        _actions(layout, layout.put(start + 2, ("number", 2), ("port", 4), ("group", 4), ("padding", 4)), stop)


def _actions(layout: Layout, at: int, end: int) -> None:
    for start, stop in _each(layout, at, end, 2):
        layout.block(start, stop, "action")
        kind = layout.number(start, 2)
        inside = layout.put(start, ("action", 2)) + 2
        if kind == OUTPUT:
            layout.parts[-1] = Part(start, 2, "output")
            layout.put(inside, ("port", 4), ("number", 2), ("padding", 6))
        elif kind == GROUP:
            layout.put(inside, ("group", 4))
        elif kind == SET_QUEUE:
            layout.put(inside, ("number", 4))
        elif kind in PUSHES or kind == POP_MPLS:
            layout.put(inside, ("ethertype", 2), ("padding", 2))
        elif kind in TTLS:
            layout.put(inside, ("number", 1), ("padding", 3))
        elif kind == SET_FIELD:
            end_of_field = inside + 4 + layout.body[inside + 3]
            _field(layout, inside, end_of_field)
            layout.parts = [part for part in layout.parts if (part.start, part.sort) != (inside, "header")]
            layout.put(inside, ("field that is set", 3))
            layout.put(end_of_field, ("padding", stop - end_of_field))
        elif kind == EXPERIMENTER:
            _own(layout, start, inside, stop)
        else:
            layout.put(inside, ("padding", stop - inside))


def _own(layout: Layout, start: int, inside: int, stop: int) -> None:
    """An action of Open vSwitch's own."""
    subtype = layout.number(inside + 4, 2)
    at = layout.put(inside, ("experimenter", 4), ("own", 2))
    headers = [start + place for place in HEADERS_AT.get(subtype, ())]
    if subtype == CT:
        layout.put(at, ("flags", 2))
        layout.put(at + 6, ("number", 2), ("table", 1), ("padding", 3))  # helpers are not offered
        _actions(layout, start + 24, stop)
        return
    if subtype == LEARN:  # what it is made of is in tests.openflow.learn_cases
        layout.put(at, ("timeout", 2), ("timeout", 2), ("number", 2), ("number", 8), ("flags", 2), ("table", 1),
                   ("padding", 1))
        return
    if METADATA in layout.body[start:stop]:  # which part of it there is a tenant sees
        return
    if subtype == BUNDLE_LOAD:
        at = layout.put(at + 4, ("number", 2)) + 4
        at = layout.put(at, ("number", 2), ("number", 2), ("header of an action", 4)) + 4
    if subtype == CONTROLLER:  # to whom, and why
        layout.put(at, ("number", 2))
        layout.put(at + 5, ("padding", 1))
        return
    if subtype in RESUBMITS:  # from another port than the packet's none is done
        at = layout.put(at, ("timeout", 2), ("table", 1))
    while at < stop:
        if at in headers:
            at = layout.put(at, ("header of an action", 4))
        else:
            at = layout.put(at, ("number", min(2, stop - at)))


# Faults

LENGTHS = (-64, -16, -8, -4, -2, -1, 1, 2, 4, 8, 16, 64)
SOME = (0, 1, 2, 3, 4, 7, 8, 16, 24)
PORTS = (1, 2, 6, 77, 0xfeff, 0xff00, 0xffff, 0x10000, 0xfffffeff, 0xffffff00, 0xffffff01, 0xfffffff7, 0xfffffff8,
         0xfffffffa, 0xfffffffb, 0xfffffffc, 0xfffffffd, 0xffffffff)
GROUPS = (0, 99, 0xfffffeff, 0xffffff00, 0xffffff01, 0xfffffffb, 0xfffffffc, 0xfffffffd, 0xffffffff)
METERS = (0, 1, 2, 9, 0xfffeffff, 0xffff0000, 0xffff0001, 0xfffffffc, 0xffffffff)
TABLES = (0, 1, 9, 10, 11, 127, 243, 255)
ACTIONS = (0, 11, 12, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 26, 27, 28, 29, 99, 0x7fff, 25, 0xffff)
OWN = (0, 3, 5, 7, 8, 10, 11, 12, 13, 16, 17, 18, 20, 21, 27, 28, 34, 43, 52, 99, 0xffff)
ETHER_TYPES = (0, 0x5ff, 0x600, 0x800, 0x8100, 0x88a8, 0x9100, 0x8847, 0x8848, 0x86dd, 0xffff)
WRONG_HEADERS = (0x80005a04, 0x80000603, 0xffff0004, 0x00000000, 0x12340004, 0x00010006, 0x80011604)


def other_value(rng: Dice, sort: str, value: int, size: int) -> int | None:
    """What to put in the place of a part; None where there is nothing."""
    top = (1 << 8 * size) - 1
    some: tuple[int, ...] = (0, 1, 2, 3, value - 1, value + 1, value ^ 1 << rng.randrange(8 * size), top, top - 1,
                             top >> 1, 1 << 8 * size - 1)
    if sort == "length":
        some = (*SOME, *(value + each for each in LENGTHS), top, top - 7)
    elif sort == "kind":
        some = (0, 1, 2, 3, 4, 5, 6, 7, 9, 99, top)
    elif sort == "instruction":
        some = (0, 1, 5, 6, 7, 9, 99, top)  # what tracks connections or learns is not written
    elif sort in ("type", "command", "flags", "version"):
        some = (*range(8), 9, 16, 32, 0x4000, value ^ 1 << rng.randrange(8 * size), top)
    elif sort == "group command":
        some = (0, 1, 2, 4, 6, 7, 99, 0x4000, top)
    elif sort == "subtype":
        some = (0, 1, 10, 12, 14, 15, 16, 18, 19, 20, 21, 27, 29, 30, 31, 99, 2300, 2301, top)
    elif sort == "configuration":
        some = (0, 1, 2, 4, 5, 8, top)
    elif sort == "metadata":
        some = tuple(each & 0xffffffff for each in some)
    elif sort == "header":
        some = (value ^ 1, *(each >> 8 for each in (*WRONG_HEADERS, fields_header(rng))))
    elif sort == "header of an action":
        some = (*WRONG_HEADERS, value ^ 0x100, fields_header(rng), fields_header(rng))
    elif sort == "field that is set":
        mine = FIELD_SIZES.get(value >> 1 & 0x7f)  # of another length it is wrong twice
        fits = [BASIC << 8 | number << 1 for number, each in FIELD_SIZES.items() if each == mine]
        some = tuple(fits) if value >> 8 == BASIC and not value & 1 else ()
    else:
        some = {"port": PORTS, "group": GROUPS, "own group": GROUPS[2:], "meter": METERS, "table": TABLES,
                "next table": TABLES[:-1], "action": ACTIONS, "output": ACTIONS[:-2], "own": OWN,
                "ethertype": ETHER_TYPES, "experimenter": (0, 0x2320, 0x4f4e4600, 0x123456, top), "timeout": (),
                "more": (2, 4, 0x8000), "multipart": (*range(1, 8), 9, 10, 11, 13, 14, 15, 77, 0xfffe, top),
                "message": (wire.FLOW_MOD, wire.GROUP_MOD, wire.PORT_MOD, wire.BARRIER_REQUEST, 99)}.get(sort, some)
    able = sorted({each for each in some if 0 <= each <= top and each != value})
    return rng.choice(able) if able else None


def fields_header(rng: Dice) -> int:
    """The header of some field, of its length or another one."""
    number = rng.choice([*FIELD_SIZES])
    return BASIC << 16 | number << 9 | (FIELD_SIZES[number] if rng.random() < 0.8 else rng.choice((1, 2, 3, 4, 6, 8)))


def faulty(rng: Dice, kind: int, body: bytes) -> tuple[str, bytes] | None:
    """(what is wrong, the body with it) of a message that is right; None where a fault would be none."""
    how = rng.random()
    try:
        layout = laid_out(kind, body)
    except ValueError:
        return _cut(rng, body)
    if how < 0.1 or not layout.parts:
        return _cut(rng, body)
    if how < 0.3 and layout.blocks:
        return _moved(rng, layout)
    part = rng.choice(layout.parts)
    value = other_value(rng, part.sort, layout.number(part.start, part.size), part.size)
    if value is None:
        return None
    return (f"{part.sort} at {part.start} is {value:#x}",
            body[:part.start] + value.to_bytes(part.size, "big") + body[part.start + part.size:])


def _cut(rng: Dice, body: bytes) -> tuple[str, bytes]:
    """The message as a whole is too short or too long."""
    if body and rng.random() < 0.6:
        size = rng.choice((rng.randrange(len(body)), rng.randrange(len(body)) & ~7))
        return f"cut to {size}", body[:size]
    more = rng.choice((b"\0", bytes(4), bytes(8), b"\xff" * 8, bytes(16), b"\1" * 40))
    return f"{len(more)} more", body + more


def _moved(rng: Dice, layout: Layout) -> tuple[str, bytes]:
    """A block is missing, is there twice, or stands elsewhere, and the lengths around it are right."""
    block = rng.choice(layout.blocks)
    inside = layout.body[block.start:block.end]
    beside = [each for each in layout.blocks if each.sort == block.sort and each.start == block.end]
    how = rng.choice(("missing", "twice", "exchanged" if beside else "missing"))
    if how == "exchanged":
        behind = layout.body[beside[0].start:beside[0].end]
        return f"{block.sort} at {block.start} exchanged", replaced(layout, block.start, beside[0].end, behind + inside)
    return f"{block.sort} at {block.start} {how}", replaced(
        layout, block.start, block.end, b"" if how == "missing" else inside * 2)


def replaced(layout: Layout, start: int, end: int, data: bytes) -> bytes:
    """The body with other bytes from `start` to `end`, and lengths that count them."""
    body, more = layout.body[:start] + data + layout.body[end:], len(data) - (end - start)
    lengths: list[tuple[int, int, int]] = []
    for each in sorted(layout.counted, key=lambda one: one.end - one.start):
        if each.start <= start and end <= each.end and not start <= each.place < end:
            value = each.end - each.start + more
            lengths.append((each.place, each.size, value))
            if each.padded:
                behind = each.end + more
                body = body[:behind] + bytes(-value % 8) + body[behind + -(each.end - each.start) % 8:]
                more += -value % 8 - -(each.end - each.start) % 8
    for place, size, value in lengths:
        moved = place if place < end else place + more
        body = body[:moved] + (value & (1 << 8 * size) - 1).to_bytes(size, "big") + body[moved + size:]
    return body
