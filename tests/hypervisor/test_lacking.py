"""What switches lack is told to the operator, and refused to tenants before it reaches a switch."""
from __future__ import annotations

from typing import Any

import pytest

from hvproxy.errors import Refused
from hvproxy.hypervisor.lacking import UNTOLD, Below, check, missing
from hvproxy.openflow import actions
from hvproxy.openflow.abilities import Ability, SwitchTables, TablesReading
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.multipart import GroupFeatures
from hvproxy.openflow.oxm import Match, tlv
from hvproxy.openflow.oxm_fields import NX
from tests.harness import described_tables

VLAN_VID, VLAN_PCP, METADATA = of13.OFPXMT_OFB_VLAN_VID, of13.OFPXMT_OFB_VLAN_PCP, of13.OFPXMT_OFB_METADATA
ETH_DST, TUNNEL = of13.OFPXMT_OFB_ETH_DST, of13.OFPXMT_OFB_TUNNEL_ID
ALL_ACTIONS = (1 << 26) - 1
PUSH_MPLS = bytes((0, of13.OFPAT_PUSH_MPLS, 0, 8, 0x88, 0x47, 0, 0))
SET_QUEUE = bytes((0, of13.OFPAT_SET_QUEUE, 0, 8, 0, 0, 0, 1))


def tables(count: int = 40, **lacking: Any) -> SwitchTables:
    reading = TablesReading()
    reading.take(b"".join(described_tables(count, **lacking)))
    return reading.done()


def groups(types: int = 0xF, offered: int = ALL_ACTIONS) -> GroupFeatures:
    return GroupFeatures(types, 0xF, (9,) * 4, (offered,) * 4)


def test_a_switch_that_has_everything_lacks_nothing() -> None:
    assert missing(254, tables(), groups(), 8) == []
    assert missing(18, tables(18), groups(), 8) == [], "the last table needs no goto, and there is none behind it"
    assert missing(254, UNTOLD, None, 8) == [] == missing(254, None, None, 8)


@pytest.mark.parametrize(("n_tables", "has", "offered", "lacks"), [
    (17, {"count": 17}, groups(), ["18 tables (it has 17)"]),
    (254, {}, groups(types=0b0010), ["groups of type ALL", "groups of type INDIRECT", "groups of type FAST_FAILOVER"]),
    (254, {}, groups(offered=1), ["push_vlan in buckets", "set_field in buckets"]),
    (254, {"without_actions": (of13.OFPAT_POP_VLAN,)}, groups(), ["action pop_vlan in tables 0 to 1"]),
    (254, {"without_actions": (of13.OFPAT_GROUP,)}, groups(), ["action group in tables 0, 1, 2, 10, 11"]),
    (254, {"without_match": (VLAN_PCP,)}, groups(), ["match of vlan_pcp in table 2"]),
    (254, {"without_instructions": (of13.OFPIT_GOTO_TABLE,)}, groups(),
     ["instruction goto_table in tables 0, 1, 10"]),
    (254, {"metadata": 0xFFFFFFFF}, groups(),
     ["metadata bits 0xffffffff00000000 to write in tables 0, 1, 10, 11",
      "metadata bits 0xffffffff00000000 to match in tables 2, 10, 11"]),
])
def test_what_a_switch_lacks_is_told_exactly(
    n_tables: int, has: dict[str, Any], offered: GroupFeatures, lacks: list[str],
) -> None:
    assert missing(n_tables, tables(**has), offered, 8 if n_tables == 17 else 2) == lacks


def test_a_switch_that_only_carries_needs_no_logical_tables() -> None:
    assert missing(10, tables(3), groups(), 0) == []


def refused(ability: Ability, match: Match | None = Match.EMPTY, **instructions: Any) -> tuple[int, int] | None:
    try:
        check([tables().of(0), ability], Instructions(**instructions), match)
    except Refused as error:
        return error.error_type, error.code
    return None


def able(**lacking: Any) -> Ability:
    return tables(**lacking).of(0)


@pytest.mark.parametrize(("lacking", "used", "error"), [
    ({"without_actions": (of13.OFPAT_PUSH_MPLS,)}, {"apply": PUSH_MPLS}, (2, of13.OFPBAC_BAD_TYPE)),
    ({"without_actions": (of13.OFPAT_PUSH_MPLS,)}, {"write": PUSH_MPLS}, (2, of13.OFPBAC_BAD_TYPE)),
    ({"without_actions": (of13.OFPAT_PUSH_MPLS,)}, {"apply": actions.push_vlan()}, None),
    ({"without_actions": (of13.OFPAT_SET_QUEUE,)}, {"apply": SET_QUEUE}, None),
    ({"without_set": (ETH_DST,)}, {"apply": actions.set_field(tlv(ETH_DST, 1))}, (2, of13.OFPBAC_BAD_SET_TYPE)),
    ({"without_set": (ETH_DST,)}, {"apply": actions.set_field(tlv(NX, 1))}, None),
    ({"without_set": (NX + 1,)}, {"apply": actions.set_field(b"\x80\x01\0\x08" + bytes(8))},
     (2, of13.OFPBAC_BAD_SET_TYPE)),
    ({"without_instructions": (of13.OFPIT_METER,)}, {"meter": 1}, (3, of13.OFPBIC_UNSUP_INST)),
    ({"without_instructions": (of13.OFPIT_METER,)}, {"goto": 1, "clear": True}, None),
    ({"metadata": 0xFFFF}, {"metadata": (1, 0xFFFF)}, None),
    ({"metadata": 0xFFFF}, {"metadata": (0, 0x10000)}, (3, of13.OFPBIC_UNSUP_METADATA_MASK)),
])
def test_instructions_are_refused_as_the_switch_would(
    lacking: dict[str, Any], used: dict[str, Any], error: tuple[int, int] | None,
) -> None:
    assert refused(able(**lacking), **used) == error


@pytest.mark.parametrize(("lacking", "match", "error"), [
    ({"without_match": (ETH_DST,)}, tlv(ETH_DST, 1), (4, of13.OFPBMC_BAD_FIELD)),
    ({"without_match": (ETH_DST,)}, tlv(VLAN_VID, 0), None),
    ({"exact": (ETH_DST,)}, tlv(ETH_DST, 1), None),
    ({"exact": (ETH_DST,)}, tlv(ETH_DST, 1, 1), (4, of13.OFPBMC_BAD_MASK)),
    ({"metadata": 0xFFFF}, tlv(METADATA, 1, 0x1FFFF), (4, of13.OFPBMC_BAD_MASK)),
    ({"without_match": (METADATA,)}, tlv(METADATA, 1, 1), (4, of13.OFPBMC_BAD_FIELD)),
    ({"without_match": (TUNNEL,)}, tlv(TUNNEL, 0), None),
])
def test_matches_are_refused_as_the_switch_would(
    lacking: dict[str, Any], match: bytes, error: tuple[int, int] | None,
) -> None:
    assert refused(able(**lacking), Match.from_tlvs(match)) == error
    assert refused(able(**lacking), None) is None


def below(*, lacking: Any = None, offered: int = ALL_ACTIONS, **others: Any) -> Below:
    """A switch that can do everything beside one that cannot."""
    return Below(groups=(groups(), groups(offered=offered)), tables=(tables(), tables(**(lacking or {}))), **others)


@pytest.mark.parametrize(("there", "data", "in_bucket", "in_packet_out"), [
    (below(offered=ALL_ACTIONS & ~(1 << of13.OFPAT_PUSH_MPLS)), PUSH_MPLS, (2, of13.OFPBAC_BAD_TYPE), None),
    (below(offered=ALL_ACTIONS & ~(1 << of13.OFPAT_PUSH_MPLS)), actions.output(1), None, None),
    (below(offered=ALL_ACTIONS & ~(1 << of13.OFPAT_SET_QUEUE)), SET_QUEUE, None, None),
    (below(offered=0), PUSH_MPLS, None, None),
    (below(lacking={"without_actions": (of13.OFPAT_PUSH_MPLS,)}), PUSH_MPLS, None, (2, of13.OFPBAC_BAD_TYPE)),
    (below(lacking={"without_set": (ETH_DST,)}), actions.set_field(tlv(ETH_DST, 1)), (2, of13.OFPBAC_BAD_SET_TYPE),
     (2, of13.OFPBAC_BAD_SET_TYPE)),
    (below(lacking={"without_set": (ETH_DST,)}), actions.set_field(tlv(VLAN_VID, 0x1001)), None, None),
    (below(extended=False), actions.set_field(tlv(NX, 1)), (2, of13.OFPBAC_BAD_SET_TYPE),
     (2, of13.OFPBAC_BAD_SET_TYPE)),
    (Below(), PUSH_MPLS + actions.set_field(tlv(ETH_DST, 1)), None, None),
])
def test_buckets_and_packet_outs_are_refused_as_the_switch_would(
    there: Below, data: bytes, in_bucket: tuple[int, int] | None, in_packet_out: tuple[int, int] | None,
) -> None:
    found: list[tuple[int, int] | None] = []
    for judge in (lambda: there.check_bucket(data, of13.OFPGT_ALL), lambda: there.check_packet_out(data)):
        try:
            judge()
        except Refused as error:
            found.append((error.error_type, error.code))
        else:
            found.append(None)
    assert found == [in_bucket, in_packet_out]


def test_a_bucket_is_judged_by_the_type_of_its_group() -> None:
    features = GroupFeatures(0xF, 0xF, (9,) * 4, (ALL_ACTIONS, 1, ALL_ACTIONS, ALL_ACTIONS))
    there = Below(groups=(features,))
    there.check_bucket(PUSH_MPLS, of13.OFPGT_ALL)
    with pytest.raises(Refused):
        there.check_bucket(PUSH_MPLS, of13.OFPGT_SELECT)
    there.check_bucket(PUSH_MPLS, 77)  # which is refused for that


def test_select_is_offered_where_no_switch_says_that_it_lacks_it() -> None:
    assert Below().selects and Below(groups=(groups(),)).selects
    assert not Below(groups=(groups(), groups(types=0b1101))).selects
