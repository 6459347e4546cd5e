"""Which of Open vSwitch's own actions are refused, and how: but for `OURS` as Open vSwitch 3.1 does it."""
from __future__ import annotations

from struct import pack

import pytest

from tests.openflow.error_cases import IP, TCP, out, sf, t
from tests.openflow.test_nicira import (
    CONJUNCTION, CONTROLLER, CT_CLEAR, ETH_TYPE, EXIT, HERE, IN_PORT, IP_SRC, METADATA, NOTE, POP_QUEUE, REG0, REG1,
    REG15, TTL_IDS, XREG7, XXREG3, load, longer, move, multipath, nx, refusal, resubmit, stack,
)

BAD_TYPE, BAD_LEN, NO_EXPERIMENTER, BAD_EXP_TYPE, BAD_ARGUMENT = (2, 0), (2, 1), (2, 2), (2, 3), (2, 5)
MISFIT, BAD_SET_LEN, BAD_SET_ARGUMENT = (2, 10), (2, 14), (2, 15)
NX_UNKNOWN_OPTION, NX_CONJUNCTION, NX_NOT_ZERO = (0xffff, 37), (0xffff, 15), (0xffff, 4)
BAD_SET_TYPE, BAD_FIELD = (2, 13), (4, 6)

REFUSED: dict[str, tuple[bytes, bytes, tuple[int, int]]] = {
    "value too large": (b"", load(REG0, 4, 4, 0x15), BAD_ARGUMENT),
    "bits beyond": (b"", load(REG0, 30, 6, 1), BAD_SET_LEN),
    "load eth_type": (b"", load(ETH_TYPE, 0, 16, 1), BAD_SET_ARGUMENT),
    "load without IP": (b"", load(IP_SRC, 0, 32, 1), MISFIT),
    "short move": (b"", nx(6, bytes(6)), (4, 1)),
    "bytes behind a move": (b"", longer(move(REG0, REG1, 8), b"\0" * 7 + b"\1"), NX_NOT_ZERO),
    "load an option": (b"", load(0x0001c604, 0, 32, 1), NX_UNKNOWN_OPTION),
    "push an option": (b"", stack(27, 0x00015004, 32), NX_UNKNOWN_OPTION),
    "load unknown": (b"", load(0x00010005, 0, 32, 1), BAD_SET_TYPE),
    "multipath to unknown": (b"", multipath(0x12340004, 8), BAD_SET_TYPE),
    "move unknown": (b"", move(0x80005a04, REG0, 32), BAD_FIELD), "push unknown": (b"", stack(27, 0, 32), BAD_FIELD),
    "load masked eth_type": (b"", load(0x80000b04, 0, 16, 1), BAD_SET_ARGUMENT),
    "pop of an experimenter's": (b"", stack(28, 0xffff0003, 32), (4, 1)),
    "pop of an unknown experimenter's": (b"", stack(28, 0xffff0004, 32), BAD_FIELD),
    "move to an experimenter's": (b"", move(REG0, 0xffff0008, 32), (4, 1)),
    "move of an experimenter's": (b"", move(0xffff0008, REG0, 32), BAD_FIELD),
    "push masked": (b"", stack(27, 0x00010108, 32), (4, 8)),
    "load fragments": (IP, load(0x00013401, 0, 2, 1), BAD_SET_ARGUMENT),
    "move without IP": (b"", move(IP_SRC, REG0, 32), MISFIT), "move too much": (b"", move(REG0, REG1, 33), BAD_SET_LEN),
    "move nothing": (b"", move(REG0, REG1, 0), BAD_SET_LEN), "move masked": (b"", move(0x00010108, REG1, 32), (4, 8)),
    "move to eth_type": (b"", move(REG0, ETH_TYPE, 16), BAD_SET_ARGUMENT),
    "push beyond": (b"", stack(27, REG0, 32, 10), BAD_SET_LEN),
    "pop eth_type": (b"", stack(28, ETH_TYPE, 16), BAD_SET_ARGUMENT),
    "padding of pop": (b"", stack(28, REG0, 32, padding=b"\1" * 6), NX_NOT_ZERO),
    "too many links": (b"", multipath(REG0, 2, most=5), BAD_ARGUMENT),
    "no such fields": (b"", multipath(REG0, 32, fields=9), BAD_ARGUMENT),
    "no such algorithm": (b"", multipath(REG0, 32, algorithm=9), BAD_ARGUMENT),
    "padding of resubmit": (b"", nx(14, pack("!HB3s", 0xfff8, 1, b"\1\1\1")), BAD_ARGUMENT),
    "conjunction with output": (b"", CONJUNCTION + out(2), NX_CONJUNCTION),
    "conjunction of one": (b"", nx(34, pack("!BBI", 0, 1, 7)), NX_CONJUNCTION),
    "clause beyond": (b"", nx(34, pack("!BBI", 2, 2, 7)), NX_CONJUNCTION),
    "padding of ids": (b"", nx(21, pack("!HIHH", 9, 1, 0, 1)), NX_NOT_ZERO),
    "ids cut short": (IP, nx(21, pack("!H4xHH", 9, 0, 1)), BAD_LEN), "ids without IP": (b"", TTL_IDS, MISFIT),
    "long exit": (b"", nx(17, bytes(14)), BAD_LEN), "unknown": (b"", nx(99, bytes(6)), BAD_EXP_TYPE),
    "another's": (b"", nx(1, bytes(6), 0x1234), NO_EXPERIMENTER),
    "another's short one": (b"", bytes.fromhex("ffff000800000001"), NO_EXPERIMENTER),
}
OURS: dict[str, tuple[bytes, bytes, tuple[int, int]]] = {
    "load in_port": (b"", load(IN_PORT, 0, 16, 5), BAD_SET_ARGUMENT),
    "load reg15": (b"", load(REG15, 0, 32, 5), BAD_SET_TYPE),
    "load half of xreg7": (b"", load(XREG7, 32, 32, 5), BAD_SET_TYPE),
    "load the rest of xxreg3": (b"", load(XXREG3, 96, 32, 5), BAD_SET_TYPE),
    "move reg15": (b"", move(REG15, REG0, 32), BAD_FIELD),
    "move masked reg15": (b"", move(0x00011f08, REG0, 32), BAD_FIELD),
    "move into xreg7": (b"", move(REG0, XREG7, 32), BAD_FIELD),
    "push reg15": (b"", stack(27, REG15, 32), BAD_FIELD),
    "pop xxreg3": (b"", stack(28, XXREG3, 32), BAD_FIELD),
    "multipath to reg15": (b"", multipath(REG15, 32), BAD_SET_TYPE),
    "set reg15": (b"", sf(t(15, 5, size=4, oxm_class=1)), BAD_SET_TYPE),
    "set xreg7": (b"", sf(t(7, 5, size=8, oxm_class=0x8001)), BAD_SET_TYPE),
    "set xxreg3": (b"", sf(t(114, 5, size=16, oxm_class=1)), BAD_SET_TYPE),
    "load tun_src": (b"", load(0x00013e04, 0, 32, 5), BAD_SET_ARGUMENT),
    "load upper metadata": (b"", load(METADATA, 32, 32, 1), BAD_SET_ARGUMENT),
    "load one bit too much": (b"", load(METADATA, 0, 33, 1 << 32), BAD_SET_ARGUMENT),
    "move in_port": (b"", move(IN_PORT, REG0, 16), BAD_SET_ARGUMENT),
    "move upper metadata": (b"", move(METADATA, REG0, 32, first=1), BAD_SET_ARGUMENT),
    "move into metadata": (b"", move(REG0, METADATA, 32, to=8), BAD_SET_ARGUMENT),
    "move tun_src": (b"", move(0x00013e04, REG0, 32), BAD_SET_ARGUMENT),
    "push metadata": (b"", stack(27, METADATA, 64), BAD_SET_ARGUMENT),
    "pop metadata": (b"", stack(28, METADATA, 64), BAD_SET_ARGUMENT),
    "pop in_port": (b"", stack(28, IN_PORT, 16), BAD_SET_ARGUMENT),
    "multipath to metadata": (b"", multipath(METADATA, 33), BAD_SET_ARGUMENT),
    "resubmit with a port": (b"", resubmit(1, 3), BAD_ARGUMENT),
    "resubmit as a port": (b"", nx(1, pack("!HB3x", 3, 0)), BAD_ARGUMENT),
    "a reason beyond all masks": (b"", nx(20, pack("!HHBx", 128, 0, 32)), BAD_ARGUMENT),
    "controllers of two ids": (b"", CONTROLLER + nx(20, pack("!HHBx", 128, 3, 1)), BAD_ARGUMENT),
    "a controller and another": (b"", out(0xfffffffd) + nx(20, pack("!HHBx", 128, 3, 1)), BAD_ARGUMENT),
    "the ONF's copy": (b"", bytes.fromhex("ffff00204f4e46000c8000000020000000000000000100040001020400000000"),
                       NO_EXPERIMENTER),
    "set upper metadata": (b"", sf(t(2, 1 << 32)), BAD_SET_ARGUMENT),
    **{f"action {kind}": (TCP, nx(kind, bytes(6)), BAD_EXP_TYPE) for kind in (15, 19, 29, 32, 37, 42, 45)},
}
"""Refused although Open vSwitch takes them."""


@pytest.mark.parametrize("name", [*REFUSED, *OURS])
def test_errors_are_those_of_the_table(name: str) -> None:
    match, data, error = {**REFUSED, **OURS}[name]
    assert refusal(match, data) == error


@pytest.mark.parametrize("data, error", [
    (load(REG0, 0, 32, 5), None), (move(REG0, REG1, 32), None), (resubmit(1), None), (CT_CLEAR, None),
    (HERE, BAD_ARGUMENT), (resubmit(255), BAD_ARGUMENT),
    *((data, BAD_TYPE) for data in (NOTE, EXIT, POP_QUEUE, CONTROLLER, CONJUNCTION, multipath(REG0, 32),
                                    stack(27, REG0, 32), stack(28, REG0, 32))),
])
def test_an_action_set_takes_few_of_them(data: bytes, error: tuple[int, int] | None) -> None:
    assert refusal(b"", data, write=True) == error
