"""What a switch tells of its tables is read as what they can do, and equal things are read once."""
from __future__ import annotations

from hvproxy.openflow.abilities import Ability, TablesReading, named
from hvproxy.openflow.constants import ONF_ID, of13
from hvproxy.openflow.oxm_fields import BY_NUMBER, NX, TCP_FLAGS
from hvproxy.openflow.table_features import table_features
from tests.harness import described_tables

ETH_DST, METADATA, PUSH_MPLS = of13.OFPXMT_OFB_ETH_DST, of13.OFPXMT_OFB_METADATA, of13.OFPAT_PUSH_MPLS


def read(*parts: list[bytes]) -> TablesReading:
    reading = TablesReading()
    for records in parts:
        reading.take(b"".join(records))
    return reading


def test_everything_that_a_table_can_do_is_read() -> None:
    eth, metadata = BY_NUMBER[ETH_DST].header, BY_NUMBER[METADATA].header
    record = table_features(
        0, "t", instructions=(1, 4), next_tables=(1,), write_actions=(0,), apply_actions=(0, PUSH_MPLS),
        match=(eth & ~0xff | 0x10c, metadata), wildcards=(eth,), write_setfield=(), apply_setfield=(eth,),
        metadata_match=7, metadata_write=3, max_entries=9).encode()
    assert read([record]).done().of(0) == Ability(
        frozenset((1, 4)), frozenset((0,)), frozenset((0, PUSH_MPLS)), frozenset((ETH_DST, METADATA)),
        frozenset((ETH_DST,)), frozenset((ETH_DST,)), frozenset(), frozenset((ETH_DST,)), 7, 3, 9)


def test_the_bits_and_the_fields_without_mask_follow() -> None:
    ability = read(described_tables(1, without_match=(METADATA,), exact=(ETH_DST,))).done().of(0)
    eth, metadata = BY_NUMBER[ETH_DST], BY_NUMBER[METADATA]
    assert ability.bits >> eth.shift & eth.full == eth.full and not ability.bits >> metadata.shift & metadata.full
    assert ability.exact == (eth,)
    narrow = read(described_tables(1, metadata=0xFF)).done().of(0)
    assert narrow.bits >> metadata.shift & metadata.full == 0xFF


def test_a_table_that_is_not_described_can_do_nothing() -> None:
    tables = read(described_tables(3)[:1], described_tables(3)[2:]).done()
    assert tables.of(0) == tables.of(2) != Ability() == tables.of(1) == tables.of(3)
    assert read().done().of(0) == Ability()


def test_equal_tables_and_equal_switches_share_one_value() -> None:
    records = described_tables(5)
    one, other = read(records).done(), read(records[:2], records[2:]).done()
    assert one is other and one.of(0) is one.of(4)
    weaker = read(described_tables(5, without_actions=(PUSH_MPLS,))).done()
    assert weaker is not one and one.of(0).apply_actions - weaker.of(0).apply_actions == {PUSH_MPLS}


def test_what_some_table_can_do_can_be_done_somewhere() -> None:
    tables = read(described_tables(1, without_actions=(PUSH_MPLS,)), described_tables(2, without_set=(ETH_DST,))[1:],
                  ).done()
    assert PUSH_MPLS not in tables.of(0).apply_actions and ETH_DST not in tables.of(1).write_fields
    assert PUSH_MPLS in tables.anywhere.apply_actions & tables.anywhere.write_actions
    assert ETH_DST in tables.anywhere.apply_fields & tables.anywhere.write_fields
    assert read().done().anywhere == Ability()


def test_a_field_is_known_under_all_its_headers() -> None:
    assert {named(header) for header in (0x80000606, 0x8000070c, 0x00000206, 0x0000030c)} == {ETH_DST}
    onf = (0xFFFF << 16 | 42 << 9) << 32 | ONF_ID
    assert {named(onf | 6 << 32), named(onf | 0x108 << 32), named(1 << 16 | 34 << 9 | 2)} == {TCP_FLAGS}
    assert named(1 << 16 | 4) == NX
    assert named(0x80010008) == named(0x80010110) not in BY_NUMBER
    assert named((0xFFFF << 16 | 42 << 9) << 32 | 0x2320) != TCP_FLAGS
