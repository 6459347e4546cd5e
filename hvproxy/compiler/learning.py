"""A tenant's action learn, lowered: a question whether what the packet teaches is known, in the table ASIDE.

What is learnt must be known to all edges, and is the tenant's to see and to remove; so hvproxy learns, as it does for
NORMAL. An entry there answers for all packets whose fields teach the same, and says nothing; of all others a copy goes
up, and what it says of itself tells what to learn: the number of the entry in the register which is hvproxy's own,
which of its actions it is in the metadata, and the packet as it is at that point. Both are as before afterwards.
Where logical switches are wired together, these bits of the metadata count how many wires a packet has crossed: there
they are kept meanwhile.

Pure. What is taught is said in openflow.taught.
"""
from __future__ import annotations

from typing import Final

from hvproxy.compiler.members import ASIDE, OWN
from hvproxy.compiler.normal import HiddenEntry
from hvproxy.model import layout
from hvproxy.model.layout import CROSSING_BITS, FIRST_CROSSING_BIT, LEARN_SHIFT, LEARNS_FLAG
from hvproxy.openflow import actions, nicira
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.nicira_parts import METADATA, Part
from hvproxy.openflow.oxm import Match, metadata_tlv, of_layout, tlv
from hvproxy.openflow.oxm_fields import OWN_REGISTER

LEARN_MASK: Final = 7 << LEARN_SHIFT | LEARNS_FLAG
UNKNOWN: Final = layout.ASIDE
"""The number of the entry that copies to hvproxy what teaches something."""
FIRST_KNOWN: Final = 1
LAST_KNOWN: Final = (1 << 28) - 1
_WHOLE: Final = Part(OWN, 0, 32)
_CROSSINGS: Final = Part(METADATA.header, FIRST_CROSSING_BIT, CROSSING_BITS)
_FLAG_BIT: Final = LEARNS_FLAG.bit_length() - 1
_PRIORITY: Final = 100


def ask(number: int, index: int, crossed: bool = False) -> bytes:
    """What carries out the action learn of that index in the list of the entry of that number; on packets, where that
    is said, that may have crossed wires."""
    place, bits = METADATA.header, LEARN_MASK.bit_length() - _FLAG_BIT
    keep, restore = ((nicira.stack(kind, _CROSSINGS) for kind in (nicira.PUSH, nicira.POP)) if crossed else (b"", b""))
    return actions.canonical(
        keep + nicira.stack(nicira.PUSH, _WHOLE) + nicira.load(0, 32, OWN, number)
        + nicira.load(_FLAG_BIT, bits, place, _metadata(index) >> _FLAG_BIT) + actions.resubmit(layout.Table.ASIDE)
        + nicira.load(_FLAG_BIT, bits, place, 0) + nicira.stack(nicira.POP, _WHOLE) + restore)


def index_of(metadata: int) -> int:
    """Which of an entry's actions a packet with that metadata is about."""
    return (metadata & LEARN_MASK) >> LEARN_SHIFT


def unknown() -> HiddenEntry:
    """What copies to hvproxy all that teaches something."""
    return HiddenEntry(UNKNOWN, ASIDE, 1, Match.from_tlvs(metadata_tlv(LEARNS_FLAG, LEARNS_FLAG)),
                       Instructions(apply=actions.output(of13.OFPP_CONTROLLER)))


def known(place: int, number: int, index: int, value: int, mask: int) -> HiddenEntry:
    """What answers for packets with such fields, in the fixed layout, which teach nothing new."""
    value, mask = value & mask | _metadata(index) << METADATA.shift, mask | LEARN_MASK << METADATA.shift
    match = of_layout(value, mask) + tlv(OWN_REGISTER.number, number)
    return HiddenEntry(UNKNOWN | place, ASIDE, _PRIORITY, Match.from_tlvs(match), Instructions())


def _metadata(index: int) -> int:
    return index << LEARN_SHIFT | LEARNS_FLAG
