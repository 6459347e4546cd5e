"""Zones are nobody else's, and the home stays as long as it can."""
from __future__ import annotations

import pytest

from hvproxy.errors import Refused
from hvproxy.hypervisor.tracking import LAST_ZONE, MOST_ZONES, Tracking, Zones, choose, zones_named
from hvproxy.openflow.constants import of13
from hvproxy.openflow.oxm import Match, ofp_match, tlv
from hvproxy.openflow.oxm_fields import CT_ZONE
from tests.openflow.test_nicira_ct import ct


def test_no_zone_is_handed_out_twice_and_never_that_of_the_machine() -> None:
    zones = Zones()
    assert {zones.allot() for _ in range(LAST_ZONE)} == set(range(1, LAST_ZONE + 1)) and zones.free == 0


def test_the_zone_that_rests_longest_comes_next() -> None:
    zones = Zones()
    assert [zones.allot() for _ in range(3)] == [1, 2, 3]
    zones.release([1, 2])
    assert zones.allot() == 4 and zones.free == LAST_ZONE - 2
    for _ in range(LAST_ZONE - 4):
        zones.allot()
    assert zones.allot() == 1


def test_zones_of_before_a_restart_are_taken() -> None:
    zones = Zones()
    zones.take(7)
    assert zones.allot() == 8
    for zone in (7, 0, LAST_ZONE + 1):
        with pytest.raises(ValueError):
            zones.take(zone)


def test_the_tenants_zones_have_zones_for_good() -> None:
    zones, red, blue = Zones(), Tracking(), Tracking()
    assert red.take([5, 0], zones) == [1, 2] and red.take([5, 6], zones) == [3] and blue.take([5], zones) == [4]
    assert red.zones == {0: 1, 5: 2, 6: 3} and blue.zones == {5: 4}
    assert [red.of_tenant(zone) for zone in (0, 1, 2, 3, 4)] == [0, 0, 5, 6, 0]
    again, allocation = Tracking(), Zones()
    again.restore(red.zones, allocation)
    assert again.zones == red.zones and again.of_tenant(2) == 5 and allocation.allot() == 4


def test_a_tenant_has_so_many_and_no_more_than_there_are() -> None:
    zones, tracking = Zones(), Tracking()
    tracking.take(range(MOST_ZONES), zones)
    tracking.check([0, 1], zones)
    for one, allocation in ((tracking, zones), (Tracking(), _exhausted())):
        with pytest.raises(Refused) as refused:
            one.check([MOST_ZONES], allocation)
        assert (refused.value.error_type, refused.value.code) == (
            of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL)


def _exhausted() -> Zones:
    zones = Zones()
    for _ in range(LAST_ZONE):
        zones.allot()
    return zones


def test_an_entry_names_the_zones_of_its_match_and_of_its_actions() -> None:
    match = Match.parse(ofp_match(tlv(CT_ZONE, 9)))
    assert zones_named(match, ct(zone=7)) == {7, 9} and zones_named(Match.EMPTY, ct(zone=7)) == {7}


def test_the_home_is_where_most_ports_are_and_stays() -> None:
    assert choose(None, [3, 2, 3, 2, 1], {1, 2, 3}) == 2
    assert choose(None, [3, 2, 3, 2, 1], {1, 3}) == 3
    assert choose(1, [3, 2, 3, 2, 1], {1, 2, 3}) == 1
    assert choose(4, [3, 2], {2, 3, 4}) == 2, "it has no port there any more"
    assert choose(2, [], {2}) is None
