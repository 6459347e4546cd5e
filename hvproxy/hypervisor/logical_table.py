"""The flow tables of one logical switch, as its tenant sees them: Open vSwitch 3.1's behaviour over OpenFlow 1.3.

They are the truth (design 1.1): filters, overlap, cookies, timeouts and errors are decided here on what the tenant
sent, whatever became of it in the switches. Every change is a list of edits, and a list of edits can be undone when a
switch refuses its part. Knows no datapath, no clock and no counter: what is counted, is counted by entry number.

An ADD or a strict command costs a look-up; other commands scan the tables they name, and only those.
"""
from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator

from hvproxy.errors import Refused
from hvproxy.hypervisor.buffers import NONE, Buffers
from hvproxy.hypervisor.entries import Edit, EditKind, Entry, Snapshot
from hvproxy.hypervisor.entry_index import EntryIndex
from hvproxy.hypervisor.entry_numbers import EntryNumbers
from hvproxy.hypervisor.expiry import Expiry
from hvproxy.hypervisor.flow_mods import (
    ADD, ALL_TABLES, ANY_GROUP, ANY_PORT, CHECK_OVERLAP, DELETE_STRICT, HIDDEN_TABLE, MODIFY_STRICT, RESET_COUNTS,
    SEND_FLOW_REM, Request, check_out_port, check_table_id, means_hidden, read, refuse_hidden,
)
from hvproxy.hypervisor.lacking import check
from hvproxy.model.layout import TABLES
from hvproxy.openflow import actions, nicira_learn
from hvproxy.openflow.abilities import Ability
from hvproxy.openflow.constants import NO_BUFFER, of13
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.messages import FlowMod
from hvproxy.openflow.nicira_learn import Learn
from hvproxy.openflow.oxm import Match

_KEEP_COOKIE = 0xffffffffffffffff
_NOTED_PER_TIMEOUT = 4
"""How often the store hears that an entry is learnt again; after a restart it is learnt from the next packet."""
_RESTORED = ("instructions", "cookie", "idle_timeout", "hard_timeout", "flags", "created", "modified")
_ROLLED_BACK = ("number", *_RESTORED)


class LogicalTables:
    """The entries of one logical switch, by table, by number, by what they name (EntryIndex) and by expiry."""

    def __init__(self, n_tables: int, max_entries: int, holding: int = TABLES) -> None:
        """`max_entries` is per table; those from `holding` on hold none."""
        self.n_tables = n_tables
        self.max_entries = max_entries
        self.holding = holding
        self._tables: list[dict[tuple[int, Match], Entry]] = [{} for _ in range(n_tables)]
        self._numbers: dict[int, Entry] = {}
        self.numbering = EntryNumbers(self._numbers)
        self.noted: Callable[[int, Entry | None], None] = lambda number, entry: None
        """Told of every number whose entry is new, changed or (None) gone."""
        self._index = EntryIndex()
        self._expiry = Expiry()

    # Restoring

    def restore(self, entry: Entry) -> None:
        """Put in an entry that was there before a restart. Raises ValueError where another has its place."""
        if entry.number in self._numbers or (entry.priority, entry.match) in self._tables[entry.table_id]:
            raise ValueError("another entry has its place")
        self._put(entry)

    # Asking

    def __len__(self) -> int:
        return len(self._numbers)

    def size(self, table_id: int) -> int:
        """How many entries a table holds."""
        return len(self._tables[table_id])

    def entries(self) -> Iterator[Entry]:
        """All entries, in no order that means anything."""
        return iter(self._numbers.values())

    def find(self, table_id: int, priority: int, tlvs: bytes) -> Entry | None:
        """The entry with just that match, as it is told, and priority."""
        if table_id >= self.n_tables:
            return None
        return self._tables[table_id].get((priority, Match.from_tlvs(tlvs)))

    def by_number(self, number: int) -> Entry | None:
        return self._numbers.get(number)

    def entries_with_group(self, group_id: int) -> list[Entry]:
        """Those whose actions name the tenant's group, by table, priority downwards, match."""
        return sorted(self._index.group(group_id), key=_order)

    def entries_with_meter(self, meter_id: int) -> list[Entry]:
        """Those that send packets through the tenant's meter, in the order of `select`."""
        return sorted(self._index.meter(meter_id), key=_order)

    def ingresses_of_meter(self, meter_id: int) -> Iterable[int | None]:
        """The in_ports of what such entries match; None: some match any."""
        return self._index.ingresses_of_meter(meter_id)

    def entries_choosing(self, ports: Iterable[int]) -> Iterable[Entry]:
        """Those that choose among some of the ports by which of them are alive."""
        return self._index.choosing(ports)

    def select(
        self, table_id: int, match: Match, cookie: int = 0, cookie_mask: int = 0, out_port: int = ANY_PORT,
        out_group: int = ANY_GROUP,
    ) -> list[Entry]:
        """What a flow or aggregate request asks for: by table, in the order they came. Raises Refused."""
        check_out_port(out_port)
        check_table_id(table_id, self.n_tables)
        return list(self._covered(table_id, match, cookie, cookie_mask, out_port, out_group))

    # Changing

    def flow_mod(
        self, mod: FlowMod, now: float, groups: Container[int] = (), meters: Container[int] = (), *,
        extended: bool = True, below: Iterable[Ability] = (), buffers: Buffers = NONE,
    ) -> list[Edit]:
        """Carries out a tenant's flow-mod, or raises Refused and changes nothing.

        `groups` and `meters` are the tenant's: no others may be named. `extended`: the switches have Open vSwitch's
        extensions. `below` is what the tables can do that carry the one concerned: a deletion needs nothing of it.
        `buffers` are those that may be named.
        A reset of counters gives the entry a new number (Edit.reset_number). The switches then hold a rule with another
        cookie; since an identical ADD keeps a switch's counts, the old rule must go first or the new one carry
        OFPFF_RESET_COUNTS.
        """
        request = read(mod, self.n_tables, buffers)
        if not extended:
            if request.match.extended:
                raise Refused(of13.OFPET_BAD_MATCH, of13.OFPBMC_BAD_FIELD, "the switches do not know the field")
            actions.refuse_extensions(request.instructions.apply)
            actions.refuse_extensions(request.instructions.write)
        if not request.deletes:
            check(below, request.instructions, request.match if mod.command == ADD else None)
        if mod.command == ADD:
            return [self._add(request, now, groups, meters), *self._unlearn()]
        if request.deletes:
            strict = mod.command == DELETE_STRICT
            meant = self._targets(request, strict, mod.out_port, mod.out_group)
            if not meant and means_hidden(mod, request.match):
                refuse_hidden()
            return self.remove(meant, of13.OFPRR_DELETE)
        # A modify has no output filters: OF 1.3.5 section 6.4 gives them to deletes alone.
        targets = self._targets(request, mod.command == MODIFY_STRICT, ANY_PORT, ANY_GROUP)
        if targets:
            _check_named(request.instructions, groups, meters)
        return [*(self._modify(entry, request, now) for entry in targets), *self._unlearn()]

    def learn(self, learn: Learn, match: Match, apply: bytes, now: float) -> tuple[Entry | None, list[Edit]]:
        """What a packet does that has taught an entry with that match and those actions: (the entry, edits). None where
        none is there, nor may be added. Raises Refused where the table is full.

        As Open vSwitch, a strict modification that adds, and leaves its timeouts and flags to an entry that it finds.
        """
        flags = SEND_FLOW_REM if learn.flags & nicira_learn.SEND_FLOW_REM else 0
        mod = FlowMod(xid=0, cookie=learn.cookie, cookie_mask=0, table_id=learn.table_id, command=MODIFY_STRICT,
                      idle_timeout=learn.idle_timeout, hard_timeout=learn.hard_timeout, priority=learn.priority,
                      buffer_id=NO_BUFFER, out_port=ANY_PORT, out_group=ANY_GROUP, flags=flags, match=b"",
                      instructions=b"")
        request = Request(mod, match, Instructions(apply=apply))
        entry = self._tables[learn.table_id].get((learn.priority, match))
        if entry is None and learn.cookie == _KEEP_COOKIE:
            return None, []
        if entry is None:
            added = self._add(request, now, (), ())
            return added.entry, [added]
        self.learnt_again(entry, now)
        if entry.instructions == request.instructions and learn.cookie in (entry.cookie, _KEEP_COOKIE):
            return entry, []
        before = entry.snapshot()
        if learn.cookie != _KEEP_COOKIE:
            entry.cookie = learn.cookie
        return entry, [self._changed(EditKind.MODIFIED, entry, before, request, now), *self._unlearn()]

    def learnt_again(self, entry: Entry | None, now: float) -> None:
        """A packet has taught an entry once more as it is: its hard timeout begins anew."""
        if entry is not None and self._holds(entry):
            step = max(entry.hard_timeout / _NOTED_PER_TIMEOUT, 1)
            before, entry.modified = entry.modified, now
            if before // step != now // step:
                self.noted(entry.number, entry)

    def remove(self, entries: Iterable[Entry], reason: int) -> list[Edit]:
        """Takes out entries for `reason` (OFPRR_*), and what they have learnt where they want it so; those that are
        gone already are passed over."""
        edits = []
        for entry in entries:
            if self._holds(entry):
                self._take(entry)
                edits.append(Edit(EditKind.REMOVED, entry, reason=reason))
        return edits + self._unlearn()

    def _unlearn(self) -> list[Edit]:
        """Takes out what was learnt by actions of which none is left, and wants to be deleted then."""
        places = self._index.unlearnt()
        if not places:
            return []
        return self.remove([entry for table_id, cookie in sorted(places) if table_id < self.n_tables
                            for entry in self._tables[table_id].values() if entry.cookie == cookie],
                           of13.OFPRR_DELETE)

    def undo(self, edits: Iterable[Edit]) -> list[Edit]:
        """Restores what was before `edits`, which the caller made last; returns the opposite edits.

        An entry whose counters had been reset gets one more new number, for the rules of the old one may be there or
        not and must not be counted twice; whoever counts adds up the numbers it has had. Where a later flow-mod has
        changed an entry again, what that one set stays.
        """
        opposites = [opposite for edit in reversed(list(edits)) for opposite in self._undo(edit)]
        self._index.unlearnt()  # what was learnt by what is undone stays
        return opposites

    def roll_back(self, edits: Iterable[Edit]) -> None:
        """Makes `edits`, all that was done since, undone to the last attribute: nobody may have heard of them yet."""
        for edit in reversed(list(edits)):
            entry = edit.entry
            if edit.kind is not EditKind.REMOVED:
                self._take(entry)
            if edit.before is not None:
                for name in _ROLLED_BACK:
                    setattr(entry, name, getattr(edit.before, name))
            if edit.kind is not EditKind.ADDED:
                self._put(entry)
        self._index.unlearnt()

    # Time

    def next_expiry(self) -> float | None:
        """When `expired` can first have something to tell, None when no entry has a timeout."""
        return self._expiry.next_look()

    def expired(self, now: float) -> list[tuple[Entry, int]]:
        """(entry, OFPRR_*) of all entries past a timeout as far as `used` is up to date; they stay until removed.

        As Open vSwitch: an ADD or MODIFY restarts the hard timeout, neither restarts the idle timeout.
        """
        return self._expiry.expired(now)

    def idle_entries(self) -> Iterator[Entry]:
        """The entries whose `used` matters."""
        return self._expiry.idle_entries()

    # Inside

    def _add(self, request: Request, now: float, groups: Container[int], meters: Container[int]) -> Edit:
        mod = request.message
        _check_named(request.instructions, groups, meters)
        table = self._tables[mod.table_id]
        key = (mod.priority, request.match)
        entry = table.get(key)
        if entry is not None:
            return self._replace(entry, request, now)
        if mod.flags & CHECK_OVERLAP and any(
                priority == mod.priority and match.overlaps(request.match) for priority, match in table):
            raise Refused(of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_OVERLAP)
        if mod.table_id >= self.holding or len(table) >= self.max_entries:
            raise Refused(of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL)
        entry = Entry(self.numbering.take(), mod.table_id, mod.priority, request.match, request.instructions,
                      mod.cookie, mod.idle_timeout, mod.hard_timeout, mod.flags, now)
        self._put(entry)
        return Edit(EditKind.ADDED, entry)

    def _replace(self, entry: Entry, request: Request, now: float) -> Edit:
        mod = request.message
        before = entry.snapshot()
        if mod.cookie != _KEEP_COOKIE:  # Open vSwitch's "no new cookie"
            entry.cookie = mod.cookie
        entry.idle_timeout = mod.idle_timeout
        entry.hard_timeout = mod.hard_timeout
        entry.flags = mod.flags
        entry.created = now
        return self._changed(EditKind.REPLACED, entry, before, request, now)

    def _modify(self, entry: Entry, request: Request, now: float) -> Edit:
        return self._changed(EditKind.MODIFIED, entry, entry.snapshot(), request, now)

    def _changed(self, kind: EditKind, entry: Entry, before: Snapshot, request: Request, now: float) -> Edit:
        self._set_instructions(entry, request.instructions)
        entry.modified = now
        if request.message.flags & RESET_COUNTS:
            self._renumber(entry)
        self._expiry.schedule(entry)
        self.noted(entry.number, entry)
        return Edit(kind, entry, before, entry.snapshot())

    def _undo(self, edit: Edit) -> list[Edit]:
        entry = edit.entry
        if edit.kind is EditKind.ADDED:
            if not self._holds(entry):
                return []
            self._take(entry)
            return [Edit(EditKind.REMOVED, entry)]
        if edit.kind is EditKind.REMOVED:
            if (entry.priority, entry.match) in self._tables[entry.table_id]:
                return []  # a later ADD stands in its place
            self._put(entry)
            return [Edit(EditKind.ADDED, entry)]
        assert edit.before is not None and edit.after is not None
        return self._undo_change(edit.kind, entry, edit.before, edit.after)

    def _undo_change(self, kind: EditKind, entry: Entry, before: Snapshot, after: Snapshot) -> list[Edit]:
        held = self._holds(entry)
        if held:
            self._take(entry)
        undone = entry.snapshot()
        for name in _RESTORED:
            if getattr(entry, name) == getattr(after, name):
                setattr(entry, name, getattr(before, name))
        if not held:
            return []  # a later delete; undoing that one brings back the entry as it is now
        if before.number != after.number:
            entry.number = self.numbering.take()
        self._put(entry)
        return [Edit(kind, entry, undone, entry.snapshot())]

    def _targets(self, request: Request, strict: bool, out_port: int, out_group: int) -> list[Entry]:
        mod = request.message
        if not strict:
            return list(self._covered(mod.table_id, request.match, mod.cookie, mod.cookie_mask, out_port, out_group))
        key = (mod.priority, request.match)
        return [entry for table in self._named(mod.table_id)
                if (entry := table.get(key)) is not None
                and _passes(entry, mod.cookie, mod.cookie_mask, out_port, out_group)]

    def _covered(
        self, table_id: int, match: Match, cookie: int, cookie_mask: int, out_port: int, out_group: int,
    ) -> Iterator[Entry]:
        everything = match == Match.EMPTY
        for table in self._named(table_id):
            for entry in table.values():
                if (_passes(entry, cookie, cookie_mask, out_port, out_group)
                        and (everything or match.covers(entry.match))):
                    yield entry

    def _named(self, table_id: int) -> list[dict[tuple[int, Match], Entry]]:
        if table_id == HIDDEN_TABLE:
            return []
        return self._tables if table_id == ALL_TABLES else [self._tables[table_id]]

    def _holds(self, entry: Entry) -> bool:
        return self._numbers.get(entry.number) is entry

    def _put(self, entry: Entry) -> None:
        self._tables[entry.table_id][entry.priority, entry.match] = entry
        self._numbers[entry.number] = entry
        self._index.put(entry)
        self._expiry.schedule(entry)
        self.noted(entry.number, entry)

    def _take(self, entry: Entry) -> None:
        del self._tables[entry.table_id][entry.priority, entry.match]
        del self._numbers[entry.number]
        self._index.take(entry)
        self._expiry.forget(entry)
        self.noted(entry.number, None)

    def _set_instructions(self, entry: Entry, instructions: Instructions) -> None:
        self._index.take(entry)
        entry.instructions = instructions
        self._index.put(entry)

    def _renumber(self, entry: Entry) -> None:
        del self._numbers[entry.number]
        self.noted(entry.number, None)
        entry.number = self.numbering.take()
        self._numbers[entry.number] = entry


def _order(entry: Entry) -> tuple[int, int, bytes]:
    return (entry.table_id, -entry.priority, entry.match.identity)


def _passes(entry: Entry, cookie: int, cookie_mask: int, out_port: int, out_group: int) -> bool:
    """The filters on the tenant's own cookie and actions (OF 1.3.5 section 6.4)."""
    return (not (entry.cookie ^ cookie) & cookie_mask
            and (out_port == ANY_PORT or out_port in entry.output_ports)
            and (out_group == ANY_GROUP or out_group in entry.groups))


def _check_named(instructions: Instructions, groups: Container[int], meters: Container[int]) -> None:
    if instructions.meter is not None and instructions.meter not in meters:
        raise Refused(of13.OFPET_METER_MOD_FAILED, of13.OFPMMFC_INVALID_METER, "no such meter")
    for data in (instructions.apply, instructions.write):
        if data and any(group not in groups for group in actions.groups(data)):
            raise Refused(of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_GROUP)
