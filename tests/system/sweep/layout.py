"""What a message is made of, and every way in which one part of it can be wrong.

A layout is a tree of numbers, paddings, lengths and blocks. `mutants` replaces every part of it in turn: numbers by
their boundaries and the reserved numbers that the layout names (and every power of two if asked for), paddings by ones,
lengths by wrong ones, and blocks by cut, doubled, missing, longer and exchanged ones, both with the lengths of what
they are in put right and with their own length a lie. So what is laid out is swept completely, and a new part is swept
as soon as it is laid out.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

Path = tuple[int, ...]
STEP = 4
"""Blocks are cut at every multiple of it."""


@dataclass(frozen=True, slots=True)
class Number:
    """An unsigned number, with further values that mean something to somebody."""

    name: str
    size: int
    value: int
    also: tuple[int, ...] = ()

    def values(self, bits: bool) -> list[int]:
        """What to put in its place; each single bit too if `bits`."""
        top = (1 << 8 * self.size) - 1
        sign = 1 << 8 * self.size - 1
        tried = [0, 1, 2, self.value - 1, self.value + 1, self.value ^ sign, sign - 1, sign, top - 1, top, *self.also]
        if bits:
            tried += [1 << bit for bit in range(min(8 * self.size, 64))]
        return [value for value in dict.fromkeys(tried) if 0 <= value <= top and value != self.value]


@dataclass(frozen=True, slots=True)
class Pad:
    """Bytes that are to be zero."""

    size: int


@dataclass(frozen=True, slots=True)
class Given:
    """Bytes that the connection puts in when it sends the message."""

    size: int


@dataclass(frozen=True, slots=True)
class Length:
    """Bytes of the block it is in, or of the part of that name beside it."""

    size: int = 2
    of: str | None = None
    less: int = 0
    """So many bytes do not count."""


@dataclass(frozen=True, slots=True)
class Block:
    """Parts one after another, with zeros behind them up to a multiple of `align`, which its own length does not
    count."""

    name: str
    parts: tuple[Part, ...]
    align: int = 1


Part = Number | Pad | Given | Length | Block


@dataclass(frozen=True, slots=True)
class Mutant:
    """One wrong message, or the right one."""

    name: str
    data: bytes = field(repr=False)


def block(name: str, *parts: Part, align: int = 1) -> Block:
    return Block(name, parts, align)


def render(part: Part, changes: Mapping[Path, bytes] | None = None, path: Path = ()) -> bytes:
    """The bytes of a part, with some of what is in it, by path, replaced; lengths are those of what was replaced."""
    changes = changes or {}
    if path in changes:
        return changes[path]
    match part:
        case Number():
            return part.value.to_bytes(part.size, "big")
        case Pad() | Given():
            return bytes(part.size)
        case Length():
            return bytes(part.size)
        case Block():
            return _block(part, changes, path)


def _block(part: Block, changes: Mapping[Path, bytes], path: Path) -> bytes:
    pieces = [render(each, changes, (*path, index)) for index, each in enumerate(part.parts)]
    for index, each in enumerate(part.parts):
        if isinstance(each, Length) and (*path, index) not in changes:
            counted = [piece for piece, beside in zip(pieces, part.parts, strict=True)
                       if each.of is None or not isinstance(beside, Length | Pad | Given) and beside.name == each.of]
            size = sum(map(len, counted)) - each.less
            pieces[index] = (size & (1 << 8 * each.size) - 1).to_bytes(each.size, "big")
    data = b"".join(pieces)
    return data + bytes(-len(data) % part.align)


def mutants(name: str, message: Block, only: Block | None = None, bits: bool = False) -> Iterator[Mutant]:
    """The message, then every wrong one, or every one that is wrong in one block of it.

    The length in the header of the message, its third part, is always right: a wrong one is no message.
    """
    seen = {render(message)}
    yield Mutant(name, render(message))
    path, part = ((), message) if only is None else _found(message, only, ())
    for how, changes in _wrong(message, part, path, name, bits):
        data = render(message, changes)
        if data not in seen and 8 <= len(data) < 1 << 16:
            seen.add(data)
            yield Mutant(how, data)
    if only is None:
        whole = render(message)
        for size in range(8, len(whole), STEP):
            yield Mutant(f"{name}: cut to {size}", _header_length(whole[:size]))
        for more in (b"\0", b"\1", bytes(4), bytes(8), b"\xff" * 8, bytes(16), bytes(64)):
            yield Mutant(f"{name}: {len(more)} of {more[0]} more", _header_length(whole + more))


def _found(part: Block, wanted: Block, path: Path) -> tuple[Path, Block]:
    """Where a block is, which is one of those in it."""
    for index, each in enumerate(part.parts):
        if each is wanted:
            return (*path, index), wanted
        if isinstance(each, Block):
            try:
                return _found(each, wanted, (*path, index))
            except LookupError:
                continue
    raise LookupError(wanted.name)


def _header_length(data: bytes) -> bytes:
    return data[:2] + len(data).to_bytes(2, "big") + data[4:]


Wrong = tuple[str, dict[Path, bytes]]


def _wrong(message: Block, part: Block, path: Path, name: str, bits: bool) -> Iterator[Wrong]:
    if path:
        yield from _wrong_blocks(part, path, name)
    for index, each in enumerate(part.parts):
        here = (*path, index)
        match each:
            case Number():
                for value in each.values(bits):
                    yield f"{name}/{each.name}={value:#x}", {here: value.to_bytes(each.size, "big")}
            case Pad():
                ones = {b"\1" + bytes(each.size - 1), bytes(each.size - 1) + b"\1", b"\xff" * each.size}
                for data in sorted(ones):
                    yield f"{name}/padding {index}={data.hex()}", {here: data}
            case Length():
                if here != (2,):
                    true = int.from_bytes(_within(message, here), "big")
                    for value in _wrong_lengths(true, each.size):
                        yield f"{name}/length{index}={value}", {here: value.to_bytes(each.size, "big")}
            case Block():
                yield from _wrong(message, each, here, f"{name}/{each.name}", bits)
    for index in range(len(part.parts) - 1):
        first, second = part.parts[index:index + 2]
        if isinstance(first, Block) and isinstance(second, Block):
            yield (f"{name}: {first.name} and {second.name} exchanged",
                   {(*path, index): render(second), (*path, index + 1): render(first)})


def _within(message: Block, path: Path) -> bytes:
    """The bytes of a length where it is."""
    inner: Part = message
    for index in path[:-1]:
        assert isinstance(inner, Block)
        inner = inner.parts[index]
    assert isinstance(inner, Block)
    at = sum(len(render(each)) for each in inner.parts[:path[-1]])
    size = len(render(inner.parts[path[-1]]))
    return render(inner)[at:at + size]


def _wrong_lengths(true: int, size: int) -> list[int]:
    top = (1 << 8 * size) - 1
    tried = [0, 1, 3, 4, 5, 7, 8, 12, 15, 16, 24, 32, true - 16, true - 8, true - 4, true - 1, true + 1, true + 2,
             true + 4, true + 8, true + 16, true + 64, top >> 1, (top >> 1) + 1, top - 7, top]
    return [value for value in dict.fromkeys(tried) if 0 <= value <= top and value != true]


def _wrong_blocks(part: Block, path: Path, name: str) -> Iterator[Wrong]:
    whole = render(part)
    fits = _own_length(part)
    yield f"{name}: not there", {path: b""}
    yield f"{name}: twice", {path: whole * 2}
    for size in range(STEP, len(whole), STEP):
        yield f"{name}: cut to {size} of {len(whole)}", {path: whole[:size]}
        if fits is not None:
            yield f"{name}: only {size} of {len(whole)}", {path: fits(whole[:size])}
    for more in (bytes(1), bytes(4), bytes(8), b"\xff" * 8, bytes(64)):
        yield f"{name}: {len(more)} of {more[0]} behind", {path: whole + more}
        if fits is not None:
            yield f"{name}: {len(more)} of {more[0]} more", {path: fits(whole + more)}


def _own_length(part: Block):  # type: ignore[no-untyped-def]
    """What puts a block's own length right after a change of its size; None if it has none."""
    at = 0
    for each in part.parts:
        if isinstance(each, Length) and each.of is None:
            size, start = each.size, at
            return lambda data: data if len(data) < start + size else (
                data[:start] + (len(data) & (1 << 8 * size) - 1).to_bytes(size, "big") + data[start + size:])
        at += len(render(each))
    return None
