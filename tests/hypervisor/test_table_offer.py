from dataclasses import replace
from typing import Any

import pytest
from ryu.ofproto import ofproto_v1_3_parser as parser

from hvproxy.hypervisor.lacking import UNTOLD
from hvproxy.hypervisor.table_offer import ACTIONS, features_of
from hvproxy.model.intent import MOST_ENTRIES
from hvproxy.model.layout import HOLDING_TABLES
from hvproxy.openflow.abilities import Ability, TablesReading, named
from hvproxy.openflow.constants import of13
from hvproxy.openflow.oxm_fields import BY_NUMBER, EXTENSIONS, NX, OWN_REGISTER
from hvproxy.openflow.table_features import (
    APPLY_ACTIONS, APPLY_SETFIELD, INSTRUCTIONS, MATCH, MISS, WILDCARDS, WRITE_ACTIONS, WRITE_SETFIELD, TableFeatures,
)
from tests.harness import described_tables, spec


def offered(table_id: int, tables: int = 3, extended: bool = True) -> Any:
    """One table's features as ryu reads them."""
    wanted = spec("red", {1: (1, 1)})
    body = features_of(type(wanted)(**{name: getattr(wanted, name) for name in wanted.__struct_fields__}
                                    | {"tables": tables}), table_id, extended=extended).encode()
    return parser.OFPTableFeaturesStats.parser(body, 0)


def properties(features: Any) -> dict[int, Any]:
    return {each.type: each for each in features.properties}


def test_tenants_may_use_the_low_half_of_the_metadata() -> None:
    features = offered(0)
    assert (features.metadata_match, features.metadata_write) == (0xFFFFFFFF, 0xFFFFFFFF)


def test_tables_lead_to_later_tables_and_the_last_one_nowhere() -> None:
    following = {table: list(properties(offered(table))[of13.OFPTFPT_NEXT_TABLES].table_ids) for table in range(3)}
    assert following == {0: [1, 2], 1: [2], 2: []}
    kinds = {table: {each.type for each in properties(offered(table))[of13.OFPTFPT_INSTRUCTIONS].instruction_ids}
             for table in range(3)}
    assert of13.OFPIT_GOTO_TABLE in kinds[1] and of13.OFPIT_GOTO_TABLE not in kinds[2]
    assert of13.OFPIT_METER in kinds[0]


def test_tables_without_a_place_in_a_datapath_hold_nothing_and_say_so() -> None:
    room = {table: offered(table, 254).max_entries for table in (0, HOLDING_TABLES - 1, HOLDING_TABLES, 253)}
    assert room == {0: MOST_ENTRIES, HOLDING_TABLES - 1: MOST_ENTRIES, HOLDING_TABLES: 0, 253: 0}


def test_the_tunnel_id_is_offered_where_it_is_not_ours() -> None:
    for kind in (of13.OFPTFPT_MATCH, of13.OFPTFPT_WILDCARDS, of13.OFPTFPT_APPLY_SETFIELD, of13.OFPTFPT_WRITE_SETFIELD):
        for extended in (True, False):
            fields = {oxm.type for oxm in properties(offered(0, extended=extended))[kind].oxm_ids}
            assert ("tunnel_id" in fields) is extended


def test_every_table_has_its_number_and_no_name_yet() -> None:
    assert [(offered(t).table_id, offered(t).name) for t in (0, 2)] == [(0, b""), (2, b"")]


@pytest.mark.parametrize("kind", [of13.OFPTFPT_WRITE_ACTIONS, of13.OFPTFPT_APPLY_ACTIONS])
def test_the_actions_are_offered_written_and_applied(kind: int) -> None:
    assert {each.type for each in properties(offered(0))[kind].action_ids} == set(ACTIONS)


def test_what_is_ours_cannot_be_matched_or_set() -> None:
    settable = {oxm.type for oxm in properties(offered(0))[of13.OFPTFPT_APPLY_SETFIELD].oxm_ids}
    assert "in_port" not in settable and "metadata" in settable
    plain = {oxm.type for oxm in properties(offered(0, extended=False))[of13.OFPTFPT_APPLY_SETFIELD].oxm_ids}
    assert not {"metadata", "in_port", "tunnel_id"} & plain
    assert {"eth_dst", "ipv4_src", "vlan_vid"} <= settable


def below(**lacking: Any) -> Ability:
    reading = TablesReading()
    reading.take(b"".join(described_tables(1, **lacking)))
    return reading.done().of(0)


def lists(*abilities: Ability, extended: bool = False) -> TableFeatures:
    return features_of(spec("red", {1: (1, 1)}), 0, "", abilities, extended=extended)


def test_switches_that_can_do_everything_change_nothing() -> None:
    assert lists(below(), below(without_match=(of13.OFPXMT_OFB_TUNNEL_ID,))) == lists()


@pytest.mark.parametrize(("lacking", "kinds", "lost"), [
    ({"without_actions": (of13.OFPAT_PUSH_MPLS, of13.OFPAT_SET_QUEUE)}, (WRITE_ACTIONS, APPLY_ACTIONS),
     of13.OFPAT_PUSH_MPLS),
    ({"without_set": (of13.OFPXMT_OFB_ETH_DST,)}, (WRITE_SETFIELD, APPLY_SETFIELD), 0x80000606),
    ({"without_instructions": (of13.OFPIT_METER,)}, (INSTRUCTIONS,), of13.OFPIT_METER),
])
def test_what_one_switch_lacks_is_not_told(lacking: dict[str, Any], kinds: tuple[int, ...], lost: int) -> None:
    told, everything = lists(below(), below(**lacking)).properties, lists().properties
    for kind, found in told.items():
        assert set(everything[kind]) - set(found) == ({lost} if kind & ~MISS in kinds else set())


def test_fields_are_told_as_they_can_be_matched() -> None:
    told = lists(below(without_match=(of13.OFPXMT_OFB_IPV4_SRC,), exact=(of13.OFPXMT_OFB_ETH_DST,)))
    assert set(lists().properties[MATCH]) - set(told.properties[MATCH]) == {0x8000070c, 0x80001708}
    assert set(told.properties[MATCH]) - set(lists().properties[MATCH]) == {0x80000606}
    assert set(lists().properties[WILDCARDS]) - set(told.properties[WILDCARDS]) == {0x80001604}


def test_metadata_and_sizes_are_the_least() -> None:
    told = lists(below(metadata=0xFFFF00000000FFFF))
    assert (told.metadata_match, told.metadata_write) == (0xFFFF, 0xFFFF)
    assert lists(replace(below(), max_entries=5), replace(below(), max_entries=0)).max_entries == 5


def test_extensions_are_told_where_switches_list_them() -> None:
    plain, extended = lists(below()).properties, lists(below(), extended=True).properties
    new = set(extended[MATCH]) - set(plain[MATCH])
    assert {0x10108, 0xFFFF55084F4E4600} <= new
    assert {named(header) for header in new if named(header) in BY_NUMBER} == {
        of13.OFPXMT_OFB_TUNNEL_ID, *(field.number for field in EXTENSIONS if not field.zero)} - {OWN_REGISTER.number}
    assert 0x80000408 in set(extended[APPLY_SETFIELD]) - set(plain[APPLY_SETFIELD]), "the metadata"
    assert 0x10004 not in lists(below(without_set=(NX,)), extended=True).properties[APPLY_SETFIELD]


def test_a_switch_that_says_nothing_is_taken_at_what_is_required() -> None:
    told = lists(UNTOLD.of(10)).properties
    assert told[INSTRUCTIONS] == (of13.OFPIT_GOTO_TABLE, of13.OFPIT_WRITE_METADATA, of13.OFPIT_WRITE_ACTIONS,
                                  of13.OFPIT_APPLY_ACTIONS)
    assert of13.OFPAT_PUSH_MPLS not in told[APPLY_ACTIONS] and 0x80002002 not in told[APPLY_SETFIELD]
