"""Actions learn and bundle with the (type, code) that Open vSwitch 3.1 refuses them with; None where it takes them."""
from __future__ import annotations

from struct import pack

REG0, REG1, XXREG1, ETH_SRC, ETH_DST, IN_PORT = 0x00010004, 0x00010204, 0x0001e210, 0x406, 0x206, 0x002
TCI, ETH_TYPE, UDP_SRC, IP_PROTO, OXM_IN_PORT = 0x802, 0x602, 0x1602, 0xc01, 0x80000004
BAD_LEN, BAD_OUT_PORT, BAD_ARGUMENT, MISFIT = (2, 1), (2, 4), (2, 5), (2, 10)
BAD_SET_TYPE, BAD_SET_LEN, BAD_SET_ARGUMENT, BAD_TYPE = (2, 13), (2, 14), (2, 15), (2, 0)
MATCH, LOAD, OUTPUT = 0, 1, 2


def nx(body: bytes) -> bytes:
    size = 8 + len(body) + 7 & ~7
    return (pack("!HHI", 0xffff, size, 0x2320) + body).ljust(size, b"\0")


def field(about: int, bits: int, source: int, target: int | None, first: int = 0, to: int = 0) -> bytes:
    """A specification with a field as its source."""
    return pack("!HIH", about << 11 | bits, source, first) + (b"" if target is None else pack("!IH", target, to))


def value(about: int, bits: int, value: int, target: int, to: int = 0) -> bytes:
    """A specification with a value as its source."""
    return (pack("!H", 1 << 13 | about << 11 | bits) + value.to_bytes(2 * ((bits + 15) // 16), "big")
            + pack("!IH", target, to))


def learn(*specs: bytes, table: int = 2, idle: int = 0, hard: int = 0, priority: int = 9, cookie: int = 5,
          flags: int = 0, padding: int = 0, fin: tuple[int, int] = (0, 0)) -> bytes:
    return nx(pack("!HHHHQHBBHH", 16, idle, hard, priority, cookie, flags, table, padding, *fin) + b"".join(specs))


def bundle(*members: int, into: tuple[int, int, int] | None = None, algorithm: int = 1, fields: int = 0,
           kind: int = 0x2, count: int | None = None, zero: bytes = bytes(4)) -> bytes:
    """`into` is (header, first, bits)."""
    place, header = (0, 0) if into is None else (into[1] << 6 | into[2] - 1, into[0])
    return nx(pack("!HHHHIHHI", 12 if into is None else 13, algorithm, fields, 7, kind,
                   len(members) if count is None else count, place, header) + zero
              + b"".join(pack("!H", each) for each in members))


BACK = field(MATCH, 48, ETH_SRC, ETH_DST)
TO_PORT = field(OUTPUT, 16, IN_PORT, None)
CASES: dict[str, tuple[bytes, tuple[int, int] | None]] = {
    "learn": (learn(BACK, TO_PORT), None),
    "learn nothing": (learn(), None),
    "learn, with all of the head": (learn(BACK, TO_PORT, idle=3, hard=4, cookie=1 << 63, flags=3, table=254), None),
    "learn into table 255": (learn(BACK, table=255), BAD_ARGUMENT),
    "learn, padding": (learn(BACK, padding=1), BAD_ARGUMENT),
    "learn, unknown flag": (learn(BACK, flags=8), BAD_ARGUMENT),
    "learn, something behind the end": (learn(BACK, pack("!HH", 0, 1)), BAD_ARGUMENT),
    "learn, output of a value": (learn(pack("!HH", 1 << 13 | OUTPUT << 11 | 16, 1)), BAD_ARGUMENT),
    "learn, neither": (learn(pack("!HIH", 3 << 11 | 16, REG0, 0)), BAD_ARGUMENT),
    "learn cut short": (learn(pack("!HIH", 48, ETH_SRC, 0)), BAD_LEN),
    "learn, no head": (nx(pack("!H", 16)), BAD_LEN),
    "learn, unknown source": (learn(field(MATCH, 16, 0x7ffe, REG0)), BAD_SET_TYPE),
    "learn, unknown target": (learn(field(MATCH, 16, REG0, 0x7ffe)), BAD_SET_TYPE),
    "learn, too many bits of the source": (learn(field(MATCH, 40, REG0, ETH_DST)), BAD_SET_LEN),
    "learn, too many bits of the target": (learn(field(LOAD, 40, ETH_DST, REG0)), BAD_SET_LEN),
    "learn, bits beyond the end": (learn(field(LOAD, 16, ETH_DST, REG0, to=17)), BAD_SET_LEN),
    "learn to load what cannot be": (learn(field(LOAD, 16, REG0, ETH_TYPE)), BAD_SET_ARGUMENT),
    "learn, source without its prerequisite": (learn(field(LOAD, 16, UDP_SRC, REG0)), MISFIT),
    "learn, match without its prerequisite": (learn(field(MATCH, 16, REG0, UDP_SRC)), MISFIT),
    "learn, match with its prerequisite": (
        learn(value(MATCH, 16, 0x800, ETH_TYPE), value(MATCH, 8, 17, IP_PROTO), field(MATCH, 16, REG0, UDP_SRC)), None),
    "learn, load without its prerequisite": (learn(value(LOAD, 16, 1, UDP_SRC)), MISFIT),
    "learn a wide register": (learn(value(LOAD, 80, 1 << 79 | 5, XXREG1), field(MATCH, 12, TCI, TCI)), None),
    "learn in_port of both widths": (
        learn(field(MATCH, 16, IN_PORT, IN_PORT), field(LOAD, 32, OXM_IN_PORT, REG0)), None),
    "bundle": (bundle(1, 2, 3), None),
    "bundle of none": (bundle(), None),
    "bundle in order": (bundle(1, 2, 3, algorithm=0, fields=5), None),
    "bundle of reserved ports": (bundle(0xfff8, 0xfffb, 0xfffc, 0xfffe, 0xffff), None),
    "bundle, unknown way": (bundle(1, algorithm=2), BAD_ARGUMENT),
    "bundle, other members": (bundle(1, kind=REG0), BAD_ARGUMENT),
    "bundle, zeros": (bundle(1, zero=b"\0\0\0\1"), BAD_ARGUMENT),
    "bundle, more members": (bundle(1, count=9), BAD_LEN),
    "bundle to the controller": (bundle(1, 0xfffd), BAD_OUT_PORT),
    "bundle, no port": (bundle(1, 0xff05), BAD_OUT_PORT),
    "bundle_load": (bundle(1, 2, into=(REG0, 8, 16)), None),
    "bundle_load into more": (bundle(1, 2, into=(ETH_DST, 0, 48)), None),
    "bundle_load into too little": (bundle(1, 2, into=(REG0, 0, 15)), BAD_ARGUMENT),
    "bundle_load beyond the end": (bundle(1, 2, into=(REG0, 20, 16)), BAD_SET_LEN),
    "bundle_load into nothing": (bundle(1, 2, into=(0x7ffe, 0, 16)), BAD_SET_TYPE),
    "bundle_load into what cannot be": (bundle(1, 2, into=(ETH_TYPE, 0, 16)), BAD_SET_ARGUMENT),
    "bundle_load without its prerequisite": (bundle(1, 2, into=(UDP_SRC, 0, 16)), MISFIT),
}
