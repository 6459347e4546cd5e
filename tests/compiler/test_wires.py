"""What crosses a wire between two logical switches on one datapath, carried out by the emulated switch."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from hvproxy.compiler.entries import rules_for
from hvproxy.compiler.lowering import Edge
from hvproxy.compiler.pipeline import base, placement
from hvproxy.compiler.wires import crossing, crossings
from hvproxy.model.layout import MOST_CROSSINGS, PLACE, GroupKind, RuleKind, Table, cookie
from hvproxy.model.rules import Content
from hvproxy.model.view import LogicalSwitchView, Lport, Peer, Transport, Vif
from hvproxy.openflow import actions, nicira
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.oxm import Match, tlv
from hvproxy.openflow.oxm_fields import REGISTERS
from hvproxy.openflow.text import actions_text
from tests.compiler.placed import FRAME, LAYOUT, AnEntry, told
from tests.packets import Plane

HOST, WIRE = 1, 2
"""The ports of each: at the physical port of its id, and wired to the other one."""
NOTHING_BETWEEN = Transport({1: 1}, {1: frozenset((1,))}, lambda a, b: frozenset((a,)), {}, {})
METADATA = 0x80000408
FRAGMENT = FRAME[:12] + bytes.fromhex("0800 4500 0014 0000 2000 40 11 0000 0a000001 0a000002") + bytes(26)
STP = bytes.fromhex("0180c2000000 020000000001 0026 424203") + bytes(60)


def ls(number: int, **changed: object) -> LogicalSwitchView:
    wire = replace(Lport(WIRE, WIRE, None, True, peer=Peer(3 - number, WIRE)), **changed)
    return LogicalSwitchView(number, (Lport(HOST, HOST, Vif(1, number)), wire), wired=frozenset((1,)))


def plane(entries: dict[int, Iterable[AnEntry]], views: Iterable[LogicalSwitchView] = (ls(1), ls(2))) -> Plane:
    made = Plane()
    switch = made.add_switch(1, (1, 2, 3))
    content = Content()
    for view in views:
        for part in (base(1, frozenset(), None), placement(LAYOUT, view, NOTHING_BETWEEN)[1], crossings()):
            content.rules.update(part.rules)
            content.groups.update(part.groups)
        for entry in entries.get(view.ls_id, ()):
            for rule in rules_for(entry, Edge(LAYOUT, view, 1, {})):
                content.add_rule(rule)
    made.load(1, content.rules.values(), content.groups.values())
    assert switch is not None
    return made


def does(apply: bytes = b"", match: bytes = b"", number: int = 1, priority: int = 5, **more: object) -> AnEntry:
    return AnEntry(number, 0, priority, Match.from_tlvs(match), Instructions(apply=apply, **more))  # type: ignore


def out(made: Plane, frame: bytes = FRAME) -> list[int]:
    """The physical ports that a frame leaves by which the host of the first sends."""
    return [port for (_, port), _ in made.send(1, 1, frame)]


TO_WIRE, TO_HOST = does(actions.output(WIRE)), does(actions.output(HOST))


def test_a_packet_goes_on_in_the_other_logical_switch() -> None:
    assert out(plane({1: [TO_WIRE], 2: [TO_HOST]})) == [2]


def test_a_flood_crosses_and_comes_back_by_no_wire() -> None:
    assert out(plane({1: [does(actions.output(of13.OFPP_FLOOD))], 2: [does(actions.output(of13.OFPP_FLOOD))]})) == [2]


def test_in_port_sends_back_across_and_output_to_the_wire_does_not() -> None:
    back = does(actions.output(HOST) + actions.output(of13.OFPP_IN_PORT), match=tlv(of13.OFPXMT_OFB_IN_PORT, WIRE))
    home = does(actions.output(HOST), match=tlv(of13.OFPXMT_OFB_IN_PORT, WIRE), number=2, priority=9)
    assert out(plane({1: [TO_WIRE, home], 2: [back]})) == [2, 1]
    assert out(plane({1: [TO_WIRE, home], 2: [TO_WIRE]})) == []


def test_a_loop_ends_after_so_many_crossings() -> None:
    around = does(actions.output(of13.OFPP_IN_PORT) + actions.output(HOST))
    first = does(actions.output(WIRE), match=tlv(of13.OFPXMT_OFB_IN_PORT, HOST), priority=9, number=2)
    assert len(out(plane({1: [around, first], 2: [around]}))) == MOST_CROSSINGS


def test_registers_metadata_and_action_sets_stay_on_their_side() -> None:
    before = (actions.set_field(tlv(REGISTERS[2].number, 9)) + actions.set_field(tlv(of13.OFPXMT_OFB_TUNNEL_ID, 8))
              + nicira.load(0, 32, METADATA, 7))
    one = [does(before + actions.output(WIRE) + actions.output(of13.OFPP_CONTROLLER),
                write=actions.output(of13.OFPP_CONTROLLER))]
    two = [does(write=actions.output(of13.OFPP_CONTROLLER), number=4)]
    made = plane({1: one, 2: two})
    assert out(made) == []
    found = [(each["metadata"], each["cookie"]) for each in told(made)]
    context = LAYOUT.context
    assert [(LAYOUT.read(int(metadata))[0], LAYOUT.read(int(metadata))[2], number)
            for metadata, number in found] == [
        (2, 0, cookie(0, RuleKind.CROSSING)), (1, 7, cookie(1, 1)), (1, 7, cookie(1, PLACE | HOST))]
    assert context(2, WIRE) >> 40 == int(found[0][0]) >> 40


@pytest.mark.parametrize(("changed", "passing"), [
    ({}, [FRAME, STP]), ({"receives": False}, [STP]), ({"down": True}, []), ({"drops_fragments": True}, [FRAME, STP]),
])
def test_what_a_port_takes_in(changed: dict[str, bool], passing: list[bytes]) -> None:
    fragments = changed.pop("drops_fragments", False)
    other = replace(ls(2, **changed), drops_fragments=fragments)
    made = plane({1: [TO_WIRE], 2: [TO_HOST]}, (ls(1), other))
    assert [frame for frame in (FRAME, STP) if out(made, frame)] == passing
    assert bool(out(made, FRAGMENT)) is (not fragments and FRAME in passing)


def test_nothing_crosses_to_an_end_that_is_down_nor_from_one_that_sends_nothing() -> None:
    for one in (ls(1, peer=Peer(2, WIRE, down=True)), ls(1, forwards=False), ls(1, down=True)):
        for action in (actions.output(WIRE), actions.output(of13.OFPP_FLOOD)):
            assert out(plane({1: [does(action)], 2: [TO_HOST]}, (one, ls(2)))) == []


def test_towards_meters_a_clone_is_made_that_they_may_drop() -> None:
    metered = ls(1, peer=Peer(2, WIRE, irrevocable=True))
    assert out(plane({1: [TO_WIRE], 2: [TO_HOST]}, (metered, ls(2)))) == [2]
    texts = [actions_text(nicira.cloned(each) or b"") for rule in crossings().rules.values()
             for each in [rule.instructions[8:]] if each]
    assert sum("output(port=IN_PORT,max_len=64)" in text for text in texts) == MOST_CROSSINGS
    assert len(texts) == 2 * MOST_CROSSINGS


def test_a_wire_that_goes_nowhere_is_a_group_without_a_way() -> None:
    view = ls(1, peer=Peer(2, WIRE, down=True))
    assert crossing(view.lports[1], LAYOUT) == b""
    groups = placement(LAYOUT, view, NOTHING_BETWEEN)[1].groups
    assert groups[LAYOUT.group_id(GroupKind.LPORT, 1, WIRE)].type == of13.OFPGT_INDIRECT
    assert all(rule.table != Table.HOP or rule.cookie == cookie(1, PLACE | WIRE)
               for rule in placement(LAYOUT, view, NOTHING_BETWEEN)[1].rules.values())
