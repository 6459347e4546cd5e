"""What a tenant installed in a logical table, and what one change did to it.

An Entry is one object for as long as the tenant sees one flow entry; an Edit tells what happened to it, with enough
to take it back. Knows nothing of the rules that carry an entry out, beyond keeping them for whoever compiles.
"""
from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import inf

from hvproxy.model.rules import Rule
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.oxm import Match


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The attributes of an entry that an edit may change."""

    number: int
    instructions: Instructions
    cookie: int
    idle_timeout: int
    hard_timeout: int
    flags: int
    created: float
    modified: float


class Entry:
    """A tenant flow. Compared and hashed by identity."""

    __slots__ = (
        "number", "table_id", "priority", "match", "_instructions", "output_ports", "groups", "cookie",
        "idle_timeout", "hard_timeout", "flags", "created", "modified", "used", "rules", "queued",
    )

    def __init__(
        self, number: int, table_id: int, priority: int, match: Match, instructions: Instructions, cookie: int,
        idle_timeout: int, hard_timeout: int, flags: int, now: float,
    ) -> None:
        self.number = number
        """Unique in its logical switch while in use, below layout.PLACE; stands in the cookie of the entry's rules.

        It changes when the tenant resets the counters: another number is another rule, counted from zero.
        """
        self.table_id = table_id
        self.priority = priority
        self.match = match
        self.instructions = instructions
        self.cookie = cookie
        """The tenant's own."""
        self.idle_timeout = idle_timeout
        self.hard_timeout = hard_timeout
        self.flags = flags
        """OFPFF_* of the flow-mod that added it, all of them, as Open vSwitch reports them."""
        self.created = now
        """Duration counts from here."""
        self.modified = now
        """The hard timeout counts from here."""
        self.used = now
        """When traffic was last seen; the idle timeout counts from here."""
        self.rules: dict[int, tuple[Rule, ...]] = {}
        """dpid -> the rules last compiled for it."""
        self.queued: tuple[float, int] | None = None
        """Its place in the expiry queue, which owns it."""

    @property
    def instructions(self) -> Instructions:
        return self._instructions

    @instructions.setter
    def instructions(self, value: Instructions) -> None:
        """Also sets what filters ask about: `output_ports` and `groups` of apply and write actions together."""
        self._instructions = value
        self.output_ports, self.groups = actions.named(value.apply)
        if value.write:
            ports, groups = actions.named(value.write)
            self.output_ports, self.groups = self.output_ports | ports, self.groups | groups

    @property
    def is_table_miss(self) -> bool:
        """OF 1.3.5 section 5.4."""
        return self.priority == 0 and self.match == Match.EMPTY

    @property
    def deadline(self) -> float:
        """When it expires if no more traffic is seen; infinite without timeouts."""
        hard = self.modified + self.hard_timeout if self.hard_timeout else inf
        return min(hard, self.used + self.idle_timeout) if self.idle_timeout else hard

    def expiry_reason(self, now: float) -> int | None:
        """OFPRR_* once a timeout has passed, the hard one first as Open vSwitch does, else None."""
        if self.hard_timeout and now >= self.modified + self.hard_timeout:
            return int(of13.OFPRR_HARD_TIMEOUT)
        if self.idle_timeout and now >= self.used + self.idle_timeout:
            return int(of13.OFPRR_IDLE_TIMEOUT)
        return None

    def snapshot(self) -> Snapshot:
        return Snapshot(
            self.number, self._instructions, self.cookie, self.idle_timeout, self.hard_timeout, self.flags,
            self.created, self.modified,
        )

    def __repr__(self) -> str:
        return f"<Entry {self.number} table={self.table_id} priority={self.priority} cookie={self.cookie:#x}>"


class EditKind(Enum):
    """What happened to an entry."""

    ADDED = "added"
    REPLACED = "replaced"
    """By an ADD of the same match and priority: the entry stays the same object."""
    MODIFIED = "modified"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Edit:
    """One entry's part in a change of the logical tables."""

    kind: EditKind
    entry: Entry
    before: Snapshot | None = None
    """Of REPLACED and MODIFIED."""
    after: Snapshot | None = None
    """Of REPLACED and MODIFIED."""
    reason: int | None = None
    """Of REMOVED: OFPRR_*; None when it was undone, of which no tenant hears."""

    @property
    def reset_number(self) -> int | None:
        """The number that stood for the entry's counters until they were reset: rules with it must be replaced by
        rules that count from zero. None where nothing was reset."""
        if self.before is None or self.after is None or self.before.number == self.after.number:
            return None
        return self.before.number

    @property
    def meters(self) -> set[int]:
        """The tenant's meters whose use it changes."""
        each = [None if s is None else s.instructions.meter for s in (self.before, self.after)]
        return {meter for meter in (*each, self.entry.instructions.meter) if meter is not None}
