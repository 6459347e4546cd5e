"""Random requests that say what tables shall be able to do, all of which a switch refuses.

One that it grants would have to tell every table as it is but for the name, and tables of a logical switch are not
those of a bridge (see README). So they are wrong, from their lengths to what they ask for.
"""
from __future__ import annotations

from tests.oracle.frames import Dice
from tests.oracle.operations import Step, multipart
from tests.oracle.sessions import Maker, some_of

TABLE_FEATURES = 12
INSTRUCTIONS, NEXT_TABLES, WRITE_ACTIONS, APPLY_ACTIONS, MATCH, WILDCARDS, WRITE_SET, APPLY_SET = (
    0, 2, 4, 6, 8, 10, 12, 14)
REQUIRED = (INSTRUCTIONS, NEXT_TABLES, WRITE_ACTIONS, APPLY_ACTIONS, MATCH, WILDCARDS, WRITE_SET, APPLY_SET)
HEADERS = (0x80000004, 0x80000606, 0x80000806, 0x80000a02, 0x80001604, 0x80001804, 0x00010004)
WITH_A_MASK = 0x80001908
"""Of one of them, which a match alone may have."""
WRONG_HEADERS = (0x80005a04, 0x80000603, 0xffff0004, 0x00000000)


def numbers(values: tuple[int, ...], size: int) -> bytes:
    return b"".join(value.to_bytes(size, "big") for value in values)


def property_of(kind: int, value: bytes, length: int | None = None) -> bytes:
    """One property, padded."""
    size = 4 + len(value)
    return (kind.to_bytes(2, "big") + (size if length is None else length).to_bytes(2, "big") + value
            + bytes(-size % 8))


def some_value(rng: Dice, kind: int, table: int) -> bytes:
    """A list that such a property may hold, mostly."""
    kind &= ~1
    if kind == INSTRUCTIONS:
        return b"".join(number.to_bytes(2, "big") + b"\0\4" for number in rng.sample((1, 2, 3, 4, 5, 6), 3))
    if kind in (WRITE_ACTIONS, APPLY_ACTIONS):
        return b"".join(number.to_bytes(2, "big") + b"\0\4" for number in rng.sample((0, 17, 18, 22, 24, 25), 3))
    if kind == NEXT_TABLES:
        return bytes(rng.sample(range(table + 1, 250), 3)) if table < 240 else b""
    if kind == MATCH and rng.random() < 0.3 or rng.random() < 0.02:
        return numbers((*(header for header in HEADERS if header != 0x80001804), WITH_A_MASK), 4)
    if kind in (MATCH, WILDCARDS) and rng.random() < 0.9:
        return numbers(HEADERS, 4)  # what can be left out must be what can be matched
    return numbers(tuple(rng.sample(HEADERS, 3)), 4)


def wrong_value(rng: Dice, kind: int) -> bytes:
    """A list that no such property may hold."""
    if kind & ~1 in (INSTRUCTIONS, WRITE_ACTIONS, APPLY_ACTIONS):
        return rng.choice((b"\0\1\0\5", b"\0\1\0", b"\0\x63\0\4", b"\xff\xff\0\4", b"\0\1\0\0"))
    return rng.choice((numbers((rng.choice(WRONG_HEADERS),), 4), b"\x80\0\0", bytes(1), b"\xff\xff"))


def some_record(rng: Dice, table: int) -> bytes:
    """What a table shall do; sometimes what it says is malformed."""
    kinds = list(REQUIRED) + rng.sample(tuple(kind + 1 for kind in REQUIRED if kind not in (MATCH, WILDCARDS)), 2)
    fault = rng.choice(("", "", "missing", "twice", "value", "kind", "length", "record", "order"))
    at = rng.randrange(len(kinds))
    if fault == "missing":
        del kinds[at]
    if fault == "twice":
        kinds.append(kinds[at])
    if fault == "kind":
        kinds.append(rng.choice((9, 11, 16, 0x20, 0x1000)))
    if fault == "order":
        rng.shuffle(kinds)
    properties = [property_of(kind, some_value(rng, kind, table)) for kind in kinds]
    if fault == "value":
        properties[at] = property_of(kinds[at], wrong_value(rng, kinds[at]))
    if fault == "length":
        properties[at] = property_of(kinds[at], some_value(rng, kinds[at], table), rng.choice((0, 3, 4, 200)))
    body = b"".join(properties)
    length = 64 + len(body) + (rng.choice((-8, 8, 4, 1)) if fault == "record" else 0)
    return (length.to_bytes(2, "big") + bytes((table,)) + bytes(5) + b"classifier".ljust(32, b"\0")
            + (0xffffffff).to_bytes(8, "big") * 2 + bytes(4) + (1000000).to_bytes(4, "big") + body)


def some_request(rng: Dice) -> Step:
    """A request for some tables, which is refused."""
    body = b"".join(some_record(rng, rng.choice((0, 1, 2, 100, 253, 254, 255))) for _ in range(rng.choice((1, 1, 2))))
    if rng.random() < 0.1:
        body = body[:rng.choice((4, 63, 64, len(body) - 4))]
    return multipart(TABLE_FEATURES, body)


def some_offers(rng: Dice, others: tuple[Maker, ...]) -> list[Step]:
    """Such requests among other things."""
    return some_of(rng, (some_request, some_request, some_request, some_request, *others))
