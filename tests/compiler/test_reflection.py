"""What becomes of the frames by which hvproxy finds out whether a switch forwards."""
from __future__ import annotations

from itertools import combinations

import pytest

from hvproxy.compiler.pipeline import base
from hvproxy.compiler.reflection import address, name
from hvproxy.model.layout import RuleKind, cookie
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from tests.packets import Plane, tagged
from tests.tools.controller import packet_in_parts

DISCOVERY_MAC = 0x0300000000AA
ASKS, ASKED, OTHER = 1, 2, 3
ACCESS, LINK, TUNNEL = 1, 7, 8


def plane() -> Plane:
    """Two switches, joined by a VLAN link; another is at one's other link."""
    made = Plane()
    for dpid in (ASKS, ASKED, OTHER):
        made.add_switch(dpid, (ACCESS, 6, LINK, TUNNEL))
        content = base(dpid, frozenset((6, LINK, TUNNEL)), DISCOVERY_MAC, frozenset((TUNNEL,)))
        made.load(dpid, content.rules.values(), content.groups.values())
    made.add_link((ASKS, LINK), (ASKED, LINK))
    made.add_link((ASKS, 6), (OTHER, 6))
    return made


def question(of: int = ASKED) -> bytes:
    return (address(DISCOVERY_MAC).to_bytes(6, "big") + name(DISCOVERY_MAC, of).to_bytes(6, "big") + b"\x88\xcc"
            + bytes(range(46)))


def asked(made: Plane, frame: bytes, port: int = LINK) -> list[tuple[int, int, bytes]]:
    """A switch is had to send a frame: who hands it to hvproxy then, in at which port."""
    made.request(ASKS, build.packet_out(1, of13.OFPP_CONTROLLER, actions.output(port), frame))
    return heard(made)


def heard(made: Plane) -> list[tuple[int, int, bytes]]:
    found = []
    for dpid, message in made.packet_ins():
        parts = packet_in_parts(message)
        assert parts["cookie"] == cookie(0, RuleKind.REFLECTION)
        found.append((dpid, parts["in_port"], parts["data"]))
    return found


def test_the_switch_at_the_other_end_sends_it_back_as_it_is_and_the_one_that_asks_hands_it_up() -> None:
    assert asked(plane(), question()) == [(ASKS, LINK, question())]


def test_another_switch_than_the_one_that_is_asked_sends_nothing_back() -> None:
    assert asked(plane(), question(), 6) == [(OTHER, 6, question())]


def test_a_switch_without_rules_sends_nothing_back() -> None:
    made = plane()
    made.request(ASKED, build.flow_mod(1, of13.OFPFC_DELETE, table_id=of13.OFPTT_ALL, out_port=of13.OFPP_ANY,
                                       out_group=of13.OFPG_ANY))
    assert asked(made, question()) == []


@pytest.mark.parametrize("port", [ACCESS, TUNNEL])
def test_what_comes_in_elsewhere_than_by_a_vlan_link_is_dropped(port: int) -> None:
    made = plane()
    for frame in (question(), question(ASKS)):
        assert made.send(ASKED, port, frame) == [] and heard(made) == []


@pytest.mark.parametrize("vid", [0, 5, 4095])
def test_a_frame_with_a_tag_is_none(vid: int) -> None:
    assert asked(plane(), tagged(question(), vid)) == []


def test_names_differ_and_can_be_the_source_of_a_frame_and_stay() -> None:
    names = [name(DISCOVERY_MAC, dpid) for dpid in range(1000)]
    assert len({*names, address(DISCOVERY_MAC)}) == 1001
    assert all(each >> 40 & 3 == 2 for each in names)
    assert address(DISCOVERY_MAC) >> 40 & 3 == 3 and address(DISCOVERY_MAC) != DISCOVERY_MAC
    assert name(DISCOVERY_MAC, 7) == name(DISCOVERY_MAC, 7) != name(DISCOVERY_MAC ^ 2, 7)


def test_a_datapath_without_vlan_links_has_no_rules_for_it() -> None:
    held = [base(1, frozenset(ports), DISCOVERY_MAC, frozenset((TUNNEL,))).rules for ports in ((TUNNEL,), (6, TUNNEL))]
    kinds = [{rule.cookie for rule in rules.values()} for rules in held]
    assert [cookie(0, RuleKind.REFLECTION) in each for each in kinds] == [False, True]


def test_rules_for_it_overlap_with_none_of_labels() -> None:
    rules = [rule for rule in base(1, frozenset((6,)), DISCOVERY_MAC).rules.values() if rule.table == 1]
    assert all(a.priority != b.priority for a, b in combinations(rules, 2))
