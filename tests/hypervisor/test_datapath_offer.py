import pytest

from hvproxy.hypervisor.datapath_offer import QUESTIONS, DatapathOffer
from hvproxy.hypervisor.lacking import UNTOLD
from hvproxy.openflow.meters import NO_METERS, MeterFeatures
from hvproxy.openflow.multipart import Desc, GroupFeatures, Kind
from tests.harness import described_tables
from tests.hypervisor.switch import FEATURES

OPEN_VSWITCH = Desc("Nicira, Inc.", "Open vSwitch", "3.1.0", "None", "br0")
GROUPS = GroupFeatures(0xF, 0, (1, 1, 1, 1), (0, 0, 0, 0))
METERS = MeterFeatures(9, 2, 0xF, 8, 0)
TABLES = described_tables(3)
ANSWERS = {Kind.DESC: OPEN_VSWITCH.encode(), Kind.GROUP_FEATURES: GROUPS.encode(),
           Kind.METER_FEATURES: METERS.encode(), Kind.TABLE_FEATURES: b"".join(TABLES)}


def known() -> DatapathOffer:
    offer = DatapathOffer()
    offer.begin(FEATURES)
    for kind in QUESTIONS:
        offer.take(kind, ANSWERS[kind])
        assert offer.answered(kind, True)
    return offer


def test_what_is_answered_is_known() -> None:
    offer = known()
    assert (offer.features, offer.desc, offer.group_features, offer.meter_features) == (
        FEATURES, OPEN_VSWITCH, GROUPS, METERS)
    assert offer.extended
    assert offer.tables is not None and len(offer.tables.tables) == 3


def test_a_new_session_forgets_all_but_what_it_is_until_it_says_so() -> None:
    offer = known()
    offer.begin(FEATURES)
    assert (offer.desc, offer.group_features, offer.meter_features, offer.extended) == (None, None, None, True)
    offer.take(Kind.DESC, Desc("m", "h", "s", "n", "d").encode())
    offer.answered(Kind.DESC, True)
    assert offer.extended is False
    assert offer.tables is not None and len(offer.tables.tables) == 3
    offer.take(Kind.TABLE_FEATURES, TABLES[0])
    offer.answered(Kind.TABLE_FEATURES, True)
    assert len(offer.tables.tables) == 1


@pytest.mark.parametrize("kind", QUESTIONS)
def test_what_is_not_answered_is_not_there(kind: Kind) -> None:
    offer = DatapathOffer()
    offer.begin(FEATURES)
    assert offer.answered(kind, False) == (kind in (Kind.METER_FEATURES, Kind.TABLE_FEATURES))
    assert (offer.desc, offer.group_features) == (None, None)
    assert offer.extended is (False if kind is Kind.DESC else None)
    assert offer.meter_features == (NO_METERS if kind is Kind.METER_FEATURES else None)
    assert offer.tables is (UNTOLD if kind is Kind.TABLE_FEATURES else None)
