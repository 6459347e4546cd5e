from typing import Any

import pytest
from ryu.ofproto import ofproto_v1_3_parser as parser

from hvproxy.hypervisor.table_offer import ACTIONS, MOST_ENTRIES, features_of
from hvproxy.model.layout import HOLDING_TABLES
from hvproxy.openflow.constants import of13
from tests.harness import spec


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
    assert not {"metadata", "in_port"} & settable
    assert {"eth_dst", "ipv4_src", "vlan_vid"} <= settable
