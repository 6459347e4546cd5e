"""Flow tables: lookup equals the plain definition, and flow-mods find what they are about."""
from __future__ import annotations

from random import Random

import pytest

from tools.emulator import oxm
from tools.emulator.decode import Instructions
from tools.emulator.oxm import Match, OFError
from tools.emulator.tables import (
    CHECK_OVERLAP, DELETE, HARD_TIMEOUT, IDLE_TIMEOUT, RESET_COUNTS, Entry, Filter, FlowTables, Table)

MAC = (1 << 48) - 1


def entry(match: Match, priority: int = 100, now: float = 0.0, table: int = 0, **more: int) -> Entry:
    """An entry that does nothing."""
    return Entry(table, priority, match, oxm.encode_match(match), Instructions(), now, **more)


def tables(now: list[float] | None = None, limit: int | None = None) -> tuple[FlowTables, list[tuple[Entry, int]]]:
    """Tables whose clock is now[0], and what they tell of removals."""
    told: list[tuple[Entry, int]] = []
    clock = now or [0.0]
    return FlowTables(lambda: clock[0], lambda gone, reason: told.append((gone, reason)), limit), told


def hits(match: Match, fields: dict[int, int]) -> bool:
    """Whether a packet matches, by the definition."""
    return all(field in fields and fields[field] & mask == value for field, (value, mask) in match.items())


@pytest.mark.parametrize("seed", range(6))
def test_a_lookup_finds_what_a_linear_search_finds(seed: int) -> None:
    rng = Random(seed)
    table = Table(0)
    entries: list[Entry] = []

    def random_match() -> Match:
        match: Match = {}
        for field, size in ((oxm.IN_PORT, 32), (oxm.METADATA, 64), (oxm.ETH_DST, 48), (oxm.IPV4_DST, 32)):
            if rng.random() < 0.5:
                mask = rng.choice(((1 << size) - 1, 3, 6, 1))
                match[field] = (rng.randrange(8) & mask, mask)
        return match

    for _ in range(400):
        if entries and rng.random() < 0.3:
            table.remove(entries.pop(rng.randrange(len(entries))))
        else:
            new = entry(random_match(), rng.randrange(1 << 16))
            if table.exact(new.priority, new.match) is None:
                table.insert(new)
                entries.append(new)
        for _ in range(3):
            fields = {field: rng.randrange(8) for field in (oxm.IN_PORT, oxm.METADATA, oxm.ETH_DST, oxm.IPV4_DST)
                      if rng.random() < 0.8}
            expected = max((one.priority for one in entries if hits(one.match, fields)), default=None)
            found = table.lookup(fields)
            assert (found.priority if found else None) == expected
    assert sorted(map(id, table)) == sorted(map(id, entries)) and table.count == len(entries)


def test_a_request_covers_entries_that_are_narrower_in_every_field() -> None:
    flow_tables, _ = tables()
    wide = entry({oxm.IPV4_DST: (0x0a000000, 0xff000000), oxm.ETH_TYPE: (0x0800, 0xffff)})
    narrow = entry({oxm.IPV4_DST: (0x0a000100, 0xffffff00), oxm.ETH_TYPE: (0x0800, 0xffff)})
    other = entry({oxm.ETH_TYPE: (0x0806, 0xffff)})
    for one in (wide, narrow, other):
        flow_tables.add(one)
    asked = {oxm.IPV4_DST: (0x0a000000, 0xffff0000), oxm.ETH_TYPE: (0x0800, 0xffff)}
    assert flow_tables.loose(Filter(0, asked)) == [narrow]
    assert len(flow_tables.loose(Filter(0xff, {}))) == 3
    assert flow_tables.strict(Filter(0xff, wide.match), 100) == [wide]
    assert flow_tables.strict(Filter(0, wide.match), 99) == []


def test_filters_by_cookie_port_and_group() -> None:
    flow_tables, _ = tables()
    one = Entry(0, 1, {}, b"", Instructions(ports=frozenset((3,))), 0.0, cookie=0x12)
    two = Entry(1, 1, {}, b"", Instructions(groups=frozenset((7,))), 0.0, cookie=0x22)
    flow_tables.add(one)
    flow_tables.add(two)
    assert flow_tables.loose(Filter(0xff, {}, cookie=0x10, cookie_mask=0xf0)) == [one]
    assert flow_tables.loose(Filter(0xff, {}, out_port=3)) == [one]
    assert flow_tables.loose(Filter(0xff, {}, out_group=7)) == [two]
    assert flow_tables.using_group(7) == [two]
    flow_tables.modify([two], Instructions(), 0)
    assert flow_tables.using_group(7) == []


def test_overlap_is_refused_only_on_request_and_only_at_one_priority() -> None:
    flow_tables, _ = tables()
    flow_tables.add(entry({oxm.IPV4_DST: (0x0a000000, 0xff000000)}))
    overlapping = {oxm.ETH_DST: (5, MAC)}
    with pytest.raises(OFError) as refused:
        flow_tables.add(entry(overlapping, flags=CHECK_OVERLAP))
    assert (refused.value.error_type, refused.value.code) == (5, 3)
    flow_tables.add(entry(overlapping, 99, flags=CHECK_OVERLAP))
    flow_tables.add(entry({oxm.IPV4_DST: (0x0b000000, 0xff000000)}, flags=CHECK_OVERLAP))
    flow_tables.add(entry(overlapping))
    assert flow_tables.count == 4


def test_a_full_table_takes_replacements_only() -> None:
    flow_tables, _ = tables(limit=1)
    flow_tables.add(entry({}))
    flow_tables.add(entry({}))
    with pytest.raises(OFError) as refused:
        flow_tables.add(entry({oxm.ETH_DST: (5, MAC)}))
    assert (refused.value.error_type, refused.value.code) == (5, 1)


@pytest.mark.parametrize(("flags", "packets"), [(0, 4), (RESET_COUNTS, 0)])
def test_adding_again_keeps_counters_unless_told_to_reset(flags: int, packets: int) -> None:
    flow_tables, told = tables()
    flow_tables.add(entry({}))
    old = flow_tables.strict(Filter(0, {}), 100)[0]
    old.packets = 4
    flow_tables.add(entry({}, flags=flags))
    assert flow_tables.strict(Filter(0, {}), 100)[0].packets == packets
    assert told == [] and flow_tables.count == 1


def test_entries_expire_by_use_and_by_age() -> None:
    now = [0.0]
    flow_tables, told = tables(now)
    idle, hard = entry({}, 1, idle=2), entry({}, 2, hard=3)
    flow_tables.add(idle)
    flow_tables.add(hard)
    now[0] = 1.9
    idle.used = 1.9
    assert flow_tables.next_deadline() == 2.0
    now[0] = 3.0
    flow_tables.expire()
    assert told == [(hard, HARD_TIMEOUT)]
    now[0] = flow_tables.expire() or 0
    assert now[0] == 3.9
    flow_tables.expire()
    assert told[1:] == [(idle, IDLE_TIMEOUT)] and flow_tables.next_deadline() is None


def test_deleted_entries_are_told_once() -> None:
    flow_tables, told = tables()
    doomed = entry({}, hard=1)
    flow_tables.add(doomed)
    flow_tables.delete(flow_tables.loose(Filter(0, {})))
    flow_tables.expire()
    assert told == [(doomed, DELETE)]


def test_of_two_timeouts_at_once_the_hard_one_is_told() -> None:
    now = [0.0]
    table, told = tables(now)
    table.add(entry({}, idle=2, hard=2))
    now[0] = 2.0
    table.expire()
    assert [reason for _, reason in told] == [HARD_TIMEOUT]
