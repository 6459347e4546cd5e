"""The flow tables of a switch: entries, their lookup by a packet, and what flow-mods do to them (OF 1.3.5 section 6.4).

Entries with the same fields and masks form a tuple space, a dict from masked values to entries; a packet's lookup
tries the spaces in the order of their highest priority and stops when none left can win. Strict operations are
dict accesses. A table remembers recent lookups in a small cache, which any change of the table empties.
"""
from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tools.emulator.decode import GROUP_ANY, PORT_ANY, Instructions
from tools.emulator.oxm import Match, OFError

SEND_FLOW_REM, CHECK_OVERLAP, RESET_COUNTS = 1, 2, 4
IDLE_TIMEOUT, HARD_TIMEOUT, DELETE, GROUP_DELETE = 0, 1, 2, 3
METER_DELETE = 4
"""Of OpenFlow 1.4: told as DELETE, to connections that want reasons of that number."""
FLOW_MOD_FAILED, TABLE_FULL, OVERLAP = 5, 1, 3
CACHED_SPACES, CACHE_SIZE = 3, 4096
Signature = tuple[tuple[int, int], ...]
Key = tuple[int, ...]


class Entry:
    """One flow entry."""

    __slots__ = ("table_id", "priority", "match", "match_raw", "signature", "key", "cookie", "idle", "hard", "flags",
                 "instructions", "packets", "bytes", "created", "modified", "used", "alive")

    def __init__(self, table_id: int, priority: int, match: Match, match_raw: bytes, instructions: Instructions,
                 now: float, *, cookie: int = 0, idle: int = 0, hard: int = 0, flags: int = 0) -> None:
        self.table_id = table_id
        self.priority = priority
        self.match = match
        self.match_raw = match_raw
        self.signature, self.key = split(match)
        self.cookie = cookie
        self.idle = idle
        self.hard = hard
        self.flags = flags
        self.instructions = instructions
        self.packets = 0
        self.bytes = 0
        self.created = self.modified = self.used = now
        self.alive = True

    @property
    def is_miss(self) -> bool:
        """Whether this is a table-miss entry (OF 1.3.5 section 5.4)."""
        return self.priority == 0 and not self.match

    def deadline(self) -> tuple[float, int] | None:
        """When and for which reason it expires if nothing happens; of both at once for the hard timeout."""
        times = []
        if self.idle:
            times.append((self.used + self.idle, IDLE_TIMEOUT))
        if self.hard:
            times.append((self.modified + self.hard, HARD_TIMEOUT))
        return min(times, key=lambda each: (each[0], -each[1])) if times else None


class Filter(NamedTuple):
    """Which entries a request is about."""

    table_id: int
    match: Match
    cookie: int = 0
    cookie_mask: int = 0
    out_port: int = PORT_ANY
    out_group: int = GROUP_ANY

    def accepts(self, entry: Entry) -> bool:
        """Whether cookie and outputs are as asked."""
        return (not (entry.cookie ^ self.cookie) & self.cookie_mask
                and (self.out_port == PORT_ANY or self.out_port in entry.instructions.ports)
                and (self.out_group == GROUP_ANY or self.out_group in entry.instructions.groups))


def split(match: Match) -> tuple[Signature, Key]:
    """A match as its tuple space and its place there."""
    fields = sorted(match)
    return tuple((field, match[field][1]) for field in fields), tuple(match[field][0] for field in fields)


class Space:
    """The entries of one table that constrain the same bits."""

    __slots__ = ("signature", "places", "top")

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.places: dict[Key, list[Entry]] = {}
        """Masked values to entries, highest priority first."""
        self.top = -1
        """No entry here has a higher priority; it may be too high after deletions."""

    def find(self, fields: dict[int, int]) -> Entry | None:
        """The entry of highest priority here for a packet."""
        try:
            here = self.places.get(tuple([fields[field] & mask for field, mask in self.signature]))
        except KeyError:
            return None
        return here[0] if here else None


class Table:
    """One flow table."""

    def __init__(self, table_id: int, limit: int | None = None) -> None:
        self.table_id = table_id
        self.limit = limit
        """How many entries it takes, None for any number."""
        self.lookups = 0
        self.matched = 0
        self.count = 0
        self.spaces: dict[Signature, Space] = {}
        self._order: list[Space] = []
        self._fields: list[int] = []
        self._cache: dict[tuple[int | None, ...], Entry | None] = {}

    def __iter__(self) -> Iterator[Entry]:
        for space in self.spaces.values():
            for here in space.places.values():
                yield from here

    def lookup(self, fields: dict[int, int]) -> Entry | None:
        """The entry that a packet hits, not counted yet."""
        order = self._order
        if len(order) <= CACHED_SPACES:
            return self._search(fields)
        key = tuple([fields.get(field) for field in self._fields])
        cache = self._cache
        if key in cache:
            return cache[key]
        found = self._search(fields)
        if len(cache) >= CACHE_SIZE:
            cache.clear()
        cache[key] = found
        return found

    def _search(self, fields: dict[int, int]) -> Entry | None:
        best: Entry | None = None
        for space in self._order:
            if best is not None and best.priority >= space.top:
                break
            found = space.find(fields)
            if found is not None and (best is None or found.priority > best.priority):
                best = found
        return best

    def exact(self, priority: int, match: Match) -> Entry | None:
        """The entry with exactly this match and priority."""
        signature, key = split(match)
        space = self.spaces.get(signature)
        for entry in space.places.get(key, ()) if space else ():
            if entry.priority == priority:
                return entry
        return None

    def covered(self, match: Match) -> list[Entry]:
        """Entries whose every packet matches `match` too."""
        found: list[Entry] = []
        wanted = list(match.items())
        for space in self.spaces.values():
            masks = dict(space.signature)
            if any(mask & ~masks.get(field, 0) for field, (_, mask) in wanted):
                continue
            places = [index for index, (field, _) in enumerate(space.signature) if field in match]
            tests = [(index, *match[space.signature[index][0]]) for index in places]
            for key, here in space.places.items():
                if all(key[index] & mask == value for index, value, mask in tests):
                    found.extend(here)
        return found

    def overlaps(self, priority: int, match: Match) -> bool:
        """Whether some packet could match both this and an entry of the same priority."""
        for entry in self:
            if entry.priority == priority and compatible(entry.match, match):
                return True
        return False

    def insert(self, entry: Entry) -> None:
        """Add an entry that is known not to be there."""
        space = self.spaces.get(entry.signature)
        if space is None:
            space = self.spaces[entry.signature] = Space(entry.signature)
            self._order.append(space)
            self._fields = sorted({field for signature in self.spaces for field, _ in signature})
        here = space.places.setdefault(entry.key, [])
        here.append(entry)
        if len(here) > 1:
            here.sort(key=lambda item: -item.priority)
        if entry.priority > space.top:
            space.top = entry.priority
            self._order.sort(key=lambda item: -item.top)
        self.count += 1
        self._cache.clear()

    def remove(self, entry: Entry) -> None:
        """Take an entry out."""
        entry.alive = False
        space = self.spaces[entry.signature]
        here = space.places[entry.key]
        here.remove(entry)
        if not here:
            del space.places[entry.key]
            if not space.places:
                del self.spaces[entry.signature]
                self._order.remove(space)
                self._fields = sorted({field for signature in self.spaces for field, _ in signature})
        self.count -= 1
        self._cache.clear()


def compatible(one: Match, other: Match) -> bool:
    """Whether the constraints on the fields in both can hold together."""
    for field, (value, mask) in one.items():
        if field in other:
            other_value, other_mask = other[field]
            if (value ^ other_value) & mask & other_mask:
                return False
    return True


class FlowTables:
    """All tables of a switch, made when first used, and the time their entries live."""

    def __init__(self, clock: Callable[[], float], removed: Callable[[Entry, int], None],
                 limit: int | None = None) -> None:
        self.clock = clock
        self._removed = removed
        self._limit = limit
        self.tables: dict[int, Table] = {}
        self.group_users: dict[int, set[Entry]] = {}
        """Group to the entries whose actions name it."""
        self.meter_users: dict[int, set[Entry]] = {}
        """The same for meters."""
        self._deadlines: list[tuple[float, int, Entry]] = []
        self._serial = 0

    def __getitem__(self, table_id: int) -> Table:
        table = self.tables.get(table_id)
        if table is None:
            table = self.tables[table_id] = Table(table_id, self._limit)
        return table

    @property
    def count(self) -> int:
        """How many entries there are."""
        return sum(table.count for table in self.tables.values())

    def add(self, entry: Entry) -> None:
        """OFPFC_ADD: an identical entry is replaced and leaves it its counters unless they are to be reset."""
        table = self[entry.table_id]
        old = table.exact(entry.priority, entry.match)
        if old is not None:
            table.remove(old)
            self._unregister(old)
            if not entry.flags & RESET_COUNTS:
                entry.packets, entry.bytes = old.packets, old.bytes
        elif entry.flags & CHECK_OVERLAP and table.overlaps(entry.priority, entry.match):
            raise OFError(FLOW_MOD_FAILED, OVERLAP)
        elif table.limit is not None and table.count >= table.limit:
            raise OFError(FLOW_MOD_FAILED, TABLE_FULL)
        table.insert(entry)
        self._register(entry)
        self._watch(entry)

    def modify(self, entries: list[Entry], instructions: Instructions, flags: int) -> None:
        """OFPFC_MODIFY: other instructions for existing entries."""
        now = self.clock()
        for entry in entries:
            self._unregister(entry)
            entry.instructions = instructions
            self._register(entry)
            entry.modified = now
            if flags & RESET_COUNTS:
                entry.packets = entry.bytes = 0

    def delete(self, entries: list[Entry], reason: int = DELETE) -> None:
        """Take entries out and tell."""
        for entry in entries:
            self[entry.table_id].remove(entry)
            self._unregister(entry)
            self._removed(entry, reason)

    def strict(self, wanted: Filter, priority: int) -> list[Entry]:
        """The entries with exactly this match and priority, one per table at most."""
        found = [table.exact(priority, wanted.match) for table in self._chosen(wanted.table_id)]
        return [entry for entry in found if entry is not None and wanted.accepts(entry)]

    def loose(self, wanted: Filter) -> list[Entry]:
        """The entries that a non-strict request is about."""
        return [entry for table in self._chosen(wanted.table_id) for entry in table.covered(wanted.match)
                if wanted.accepts(entry)]

    def using_group(self, group_id: int) -> list[Entry]:
        """The entries with an action that names this group."""
        return list(self.group_users.get(group_id, ()))

    def using_meter(self, meter_id: int) -> list[Entry]:
        """The entries that send packets through this meter."""
        return list(self.meter_users.get(meter_id, ()))

    def expire(self) -> float | None:
        """Remove what has expired; the time when to look again, or None."""
        now = self.clock()
        queue = self._deadlines
        while queue and queue[0][0] <= now:
            _, _, entry = heapq.heappop(queue)
            if not entry.alive:
                continue
            due = entry.deadline()
            if due is not None and due[0] <= now:
                self.delete([entry], due[1])
            elif due is not None:
                self._push(due[0], entry)
        return queue[0][0] if queue else None

    def next_deadline(self) -> float | None:
        """When to call expire() next."""
        return self._deadlines[0][0] if self._deadlines else None

    def clear(self) -> None:
        """Forget everything and tell nobody."""
        self.tables.clear()
        self.group_users.clear()
        self.meter_users.clear()
        self._deadlines.clear()

    def _chosen(self, table_id: int) -> list[Table]:
        if table_id == 0xff:
            return [self.tables[number] for number in sorted(self.tables)]
        return [self.tables[table_id]] if table_id in self.tables else []

    def _register(self, entry: Entry) -> None:
        for group_id in entry.instructions.groups:
            self.group_users.setdefault(group_id, set()).add(entry)
        if entry.instructions.meter is not None:
            self.meter_users.setdefault(entry.instructions.meter, set()).add(entry)

    def _unregister(self, entry: Entry) -> None:
        for group_id in entry.instructions.groups:
            users = self.group_users[group_id]
            users.discard(entry)
            if not users:
                del self.group_users[group_id]
        if entry.instructions.meter is not None:
            self.meter_users[entry.instructions.meter].discard(entry)

    def _watch(self, entry: Entry) -> None:
        due = entry.deadline()
        if due is not None:
            self._push(due[0], entry)

    def _push(self, when: float, entry: Entry) -> None:
        self._serial += 1
        heapq.heappush(self._deadlines, (when, self._serial, entry))
