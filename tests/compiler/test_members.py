"""Choices among ports, as the actions that a switch carries out; that it chooses so was tried on Open vSwitch 3.1."""
from __future__ import annotations

from dataclasses import replace

from hvproxy.compiler.entries import rules_for
from hvproxy.compiler.lowering import lower
from hvproxy.compiler.members import OWN, alive, alive_in, ending, lowered, outlet, port_of, write, written_behind
from hvproxy.model.layout import GROUP_FLAG, OUTLET, GroupKind, Table
from hvproxy.openflow import actions, nicira
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import Instructions, decode
from hvproxy.openflow.nicira_bundle import is_bundle, read
from hvproxy.openflow.nicira_parts import Part
from hvproxy.openflow.oxm import Match, tlv
from hvproxy.openflow.oxm_fields import OWN_REGISTER
from tests.compiler.placed import SHARED, VIEW, AnEntry, edge
from tests.openflow.learn_cases import REG0, bundle

NONE_LIVE = replace(VIEW, live=frozenset())
ONE_LIVE = replace(VIEW, live=frozenset((15,)))


def outputs(port: int) -> bytes:
    return actions.output(port)


def natives(data: bytes) -> list[tuple[int, ...]]:
    """The members of the choices that a switch is asked to make."""
    return [read(action).members for _, action in actions.walk(data) if is_bundle(action)]


def test_ports_that_are_up_and_reserved_ones_are_alive() -> None:
    choice = read(bundle(1, 7, 99, 0xfffb, 0xffff, 0xfffe))
    assert alive(choice, VIEW) == (1, None, None, 0xfffb, 0xffff, None)
    assert alive_in(bundle(5) + actions.output(1) + bundle(1), ONE_LIVE) == ((5,), (None,))


def test_the_first_live_one_is_named() -> None:
    assert lowered(read(bundle(7, 5, 1, algorithm=0)), VIEW, outputs) == outputs(5)
    assert lowered(read(bundle(1, 2, algorithm=0)), NONE_LIVE, outputs) == b""
    assert lowered(read(bundle(1, 5, 2)), ONE_LIVE, outputs) == outputs(5)
    into = read(bundle(1, 2, into=(REG0, 4, 20), algorithm=0))
    assert lowered(into, VIEW, outputs) == nicira.load(4, 20, REG0, 1)
    assert lowered(into, NONE_LIVE, outputs) == nicira.load(4, 20, REG0, 0xffff)


def test_a_hash_is_asked_for_each_bit_in_which_live_ports_differ() -> None:
    found = lowered(read(bundle(1, 7, 5, 0xfffb, into=(REG0, 0, 32))), VIEW, outputs)
    asked = natives(found)
    assert len(asked) == 15 and {len(members) for members in asked} == {4}
    assert {members[1] for members in asked} == {0}
    for place, port in ((0, 1), (2, 5), (3, 0xfffb)):  # all have bit 0
        assert [members[place] & 1 for members in asked] == [port >> bit & 1 for bit in range(1, 16)]
    assert found.endswith(nicira.load(16, 16, REG0, 0) + nicira.move(16, OWN, 0, REG0, 16)
                          + nicira.stack(nicira.POP, Part(OWN, 0, 32)))


def test_what_is_sent_out_looks_its_port_up() -> None:
    found = lowered(read(bundle(1, 2)), VIEW, outputs)
    assert len(natives(found)) == 2 and actions.resubmit(Table.ASIDE) in found


def test_an_outlet_sends_out_of_its_port_from_everywhere() -> None:
    entry = outlet(5)
    assert entry.number == OUTLET | 5 and entry.match.get(OWN_REGISTER.number) == (5, None)
    rules = rules_for(entry, edge(1))
    assert {rule.table for rule in rules} == {Table.ASIDE} and len(rules) == 1 + len(edge(1).shared)
    group = edge(1).group_id(GroupKind.LPORT, 15)
    assert all(decode(rule.instructions).apply == actions.group(group) for rule in rules)
    assert outlet(of13.OFPP_LOCAL).number == OUTLET | 0xfffe


def test_entries_are_compiled_anew_for_other_live_ports() -> None:
    here = edge(1)
    entry = AnEntry(instructions=Instructions(apply=bundle(1, 5, algorithm=0)))
    plain = [decode(rule.instructions).apply for rule in rules_for(entry, here)]
    fewer = replace(here, logical_switch=ONE_LIVE)
    assert plain != [decode(rule.instructions).apply for rule in rules_for(entry, fewer)]
    assert plain == [decode(rule.instructions).apply for rule in rules_for(entry, here)]
    assert len(plain) == 1 + len(SHARED) - 1  # it depends on the port that a packet came in at


def test_in_a_bucket_nothing_is_chosen() -> None:
    assert lower(bundle(1, 2), edge(1), None, in_set=True) == b""


def test_an_ending_writes_to_its_port_unless_the_action_set_holds_a_group() -> None:
    here = edge(1)
    entry = ending(5)
    rules = {Match.from_tlvs(rule.match).metadata: decode(rule.instructions) for rule in rules_for(entry, here)}
    assert entry.table_id == outlet(5).table_id and entry.match != outlet(5).match
    assert entry.number != outlet(5).number and port_of(entry.number) == (5, True)
    assert port_of(outlet(5).number) == (5, False)
    for (value, mask), done in ((metadata, done) for metadata, done in rules.items() if metadata is not None):
        held = bool(value & GROUP_FLAG)
        assert mask & GROUP_FLAG and done.apply == b"" and bool(done.write) is not held
    assert {done.write for done in rules.values()} >= {
        b"", actions.group(here.group_id(GroupKind.LPORT, 15))}


def test_an_entry_that_resubmits_looks_up_what_it_writes() -> None:
    here = edge(1, view=replace(VIEW, resubmits=True))
    resubmit, source = actions.resubmit(7), actions.set_field(tlv(of13.OFPXMT_OFB_ETH_SRC, 5))
    for port, found in ((2, 2), (99, 0), (of13.OFPP_CONTROLLER, of13.OFPP_CONTROLLER)):
        made = Instructions(apply=resubmit, write=source + actions.output(port))
        assert written_behind(made)
        for rule in rules_for(AnEntry(9, instructions=made), here):
            done = decode(rule.instructions)
            assert done.apply.endswith(write(found)) and not actions.groups(done.write) and source in done.write
            assert port == of13.OFPP_CONTROLLER or done.write == source
    assert not any(map(written_behind, (
        Instructions(apply=resubmit), Instructions(write=actions.output(1)),
        Instructions(apply=resubmit, write=actions.output(1), clear=True),
        Instructions(apply=resubmit, write=actions.output(1) + actions.group(1)))))
