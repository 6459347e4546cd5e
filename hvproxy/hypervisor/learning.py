"""Carrying out actions learn: a packet that teaches something has come up, and changes the logical table.

Then all edges hold the new entry, as of a tenant's flow-mod, and an answer for the packets that teach the same
(aside). One logical switch learns from so many packets a second; what comes beyond is passed over, and comes again.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hvproxy.compiler.learning import index_of
from hvproxy.errors import Refused
from hvproxy.hypervisor.compiled_switch import joined
from hvproxy.hypervisor.entries import Edit, Entry
from hvproxy.model.layout import PLACE
from hvproxy.openflow.constants import of13
from hvproxy.openflow.messages import PacketIn
from hvproxy.openflow.nicira_learn import Learn
from hvproxy.openflow.oxm import Match
from hvproxy.openflow.oxm_fields import BY_NUMBER, CT_LABEL, CT_MARK, CT_STATE, OWN_REGISTER, REGISTERS
from hvproxy.openflow.taught import decided_by, learns, taught
from hvproxy.trace.frame import SHORTEST, Frame

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_switch import LogicalSwitch

MOST_PER_SECOND: Final = 1000
"""Packets that a logical switch learns from: a host that makes up addresses costs others no more than this."""
MOST_SENT: Final = 256
"""Lists of packet-outs kept until what they teach has come up."""
_BESIDE: Final = (*(register for register in REGISTERS if register is not OWN_REGISTER),
                  *(BY_NUMBER[number] for number in (CT_STATE, CT_MARK, CT_LABEL)))
"""What may be learnt that is no part of the frame, nor of its context."""


@dataclass(eq=False, slots=True)
class Lesson:
    """What a packet has taught, while datapaths may refuse to hold it."""

    logical_switch: LogicalSwitch
    edits: list[Edit]

    def take_back(self, now: float) -> None:
        """A datapath has no room for it: nothing is learnt, and nothing more in this second."""
        ls, edits, self.edits = self.logical_switch, self.edits, []
        inverse = ls.tables.undo(edits)
        ls.monitors.report(inverse)
        ls.down.change(ls.edited(inverse, now, farewell=False), now)
        ls.pupil.rest(now)


class Pupil:
    """How much a logical switch learns, and from which lists that are no entry's."""

    def __init__(self) -> None:
        self._second = 0.0
        self._packets = 0
        self._sent: dict[int, bytes] = {}
        self._last = PLACE

    def takes_one(self, now: float) -> bool:
        """Whether one more packet is learnt from."""
        if now >= self._second + 1:
            self._second, self._packets = now, 0
        self._packets += 1
        return self._packets <= MOST_PER_SECOND

    def rest(self, now: float) -> None:
        """Nothing more is learnt in this second."""
        self._second, self._packets = now, MOST_PER_SECOND

    def send(self, data: bytes) -> int:
        """A packet-out with such actions is sent: the number that stands for them."""
        self._last = self._last + 1 if self._last < PLACE + MOST_SENT else PLACE + 1
        self._sent[self._last] = data
        return self._last

    def sent(self, number: int) -> bytes:
        return self._sent.get(number, b"")


def heard(ls: LogicalSwitch, arrived: PacketIn, now: float) -> None:
    """A packet teaches something, as far as the datapath knows that it came from."""
    if not ls.pupil.takes_one(now):
        return
    fields = Match.from_tlvs(arrived.match_tlvs)
    number, index = _value(fields, OWN_REGISTER.number), index_of(arrived.metadata)
    teacher = ls.tables.by_number(number)
    lessons = learns(ls.pupil.sent(number) if teacher is None else teacher.instructions.apply)
    packet = _packet(ls, arrived, fields)
    if packet is None or index >= len(lessons):
        return
    learn = lessons[index]
    decided = decided_by(learn, packet)
    if teacher is not None and ls.aside.knows(teacher, index, *decided) is not None:
        return  # it was under way when the answer came
    learnt, edits = _learn(ls, learn, packet, now)
    ls.monitors.report(edits)
    changes = ls.edited(edits, now)
    if teacher is not None and (learnt is not None or not _can(ls, learn)):
        answer, gone = ls.aside.know(teacher, index, *decided, learnt)
        changes = joined(changes, ls.hidden_changes([answer], gone))
    ls.down.change(changes, now, Lesson(ls, edits))


def _learn(ls: LogicalSwitch, learn: Learn, packet: int, now: float) -> tuple[Entry | None, list[Edit]]:
    if not _can(ls, learn):
        return None, []
    try:
        return ls.tables.learn(learn, *taught(learn, packet), now)
    except Refused:
        return None, []  # the table is full


def _can(ls: LogicalSwitch, learn: Learn) -> bool:
    return learn.table_id < min(ls.tables.n_tables, ls.tables.holding)


def _packet(ls: LogicalSwitch, arrived: PacketIn, fields: Match) -> int | None:
    """The packet as values in the fixed layout; None of what comes from a port that is gone, or is no frame."""
    _, index, metadata = ls.layout.read(arrived.metadata)
    port = ls.port_at.get(index)
    if index and port is None or len(arrived.data) < SHORTEST:
        return None
    frame = Frame(arrived.data, of13.OFPP_CONTROLLER if port is None else port.number, metadata,
                  _value(fields, of13.OFPXMT_OFB_TUNNEL_ID))
    for field in _BESIDE:
        frame.fields[field.number] = _value(fields, field.number)
    return frame.value


def _value(fields: Match, number: int) -> int:
    found = fields.get(number)
    return 0 if found is None else found[0]
