"""The order in which an action set, or a bucket, is carried out (OF 1.3.5 section 5.10, as Open vSwitch 3.1 has it).

Of Open vSwitch's own actions those that write fields stand among the set-fields, a resubmit comes last where there is
neither a group nor an output, and all others do nothing. Must not know what an action does to a frame.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from hvproxy.openflow import nicira
from hvproxy.openflow.constants import of13
from hvproxy.trace.switch import Flow

_FINAL: Final[dict[int, int]] = {of13.OFPAT_GROUP: 2, of13.OFPAT_OUTPUT: 1}
"""What beats what: of these, and of resubmits (0), one is carried out."""
_ORDER: Final = (of13.OFPAT_POP_VLAN, of13.OFPAT_POP_MPLS, of13.OFPAT_PUSH_MPLS, of13.OFPAT_PUSH_VLAN,
                 of13.OFPAT_DEC_NW_TTL, of13.OFPAT_DEC_MPLS_TTL)
"""Before what sets fields."""
_SETTERS: Final = frozenset((of13.OFPAT_SET_FIELD, of13.OFPAT_SET_NW_TTL, of13.OFPAT_SET_MPLS_TTL,
                             of13.OFPAT_SET_QUEUE))


class Item(NamedTuple):
    """An action of an action set."""

    kind: int
    action: bytes
    writer: Flow | None


def in_order(items: Iterable[Item]) -> list[Item]:
    """An action set in the order in which it is carried out."""
    slots: dict[int, Item] = {}
    setters: list[Item] = []
    final: Item | None = None
    rank = -1
    for item in items:
        kind = item.kind
        extension = nicira.kind_of(item.action) if kind == of13.OFPAT_EXPERIMENTER else None
        if kind in _SETTERS or extension in (nicira.LOAD, nicira.MOVE):
            setters.append(item)
        elif kind in _FINAL or extension in (nicira.RESUBMIT, nicira.RESUBMIT_TABLE):
            if _FINAL.get(kind, 0) >= rank:
                final, rank = item, _FINAL.get(kind, 0)
        elif extension == nicira.DEC_TTL_IDS:
            slots[of13.OFPAT_DEC_NW_TTL] = item
        elif kind != of13.OFPAT_EXPERIMENTER:
            slots[kind] = item
    return [*(slots[kind] for kind in _ORDER if kind in slots), *setters, *(() if final is None else (final,))]


def sends(items: Sequence[Item]) -> bool:
    """Whether an action set in order does anything: without what sends the frame on it does nothing."""
    return bool(items) and (items[-1].kind in _FINAL or items[-1].kind == of13.OFPAT_EXPERIMENTER
                            and nicira.resubmits(items[-1].action))
