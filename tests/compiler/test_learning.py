"""What an action learn asks below, and what answers."""
from __future__ import annotations

from hvproxy.compiler.entries import rules_for
from hvproxy.compiler.learning import LEARN_MASK, UNKNOWN, ask, index_of, known, unknown
from hvproxy.compiler.lowering import lower
from hvproxy.model.layout import Table
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import Instructions, decode
from hvproxy.openflow.oxm import Match, tlv
from hvproxy.openflow.oxm_fields import BY_NUMBER, OWN_REGISTER
from hvproxy.openflow.text import actions_text
from tests.compiler.placed import AnEntry, edge
from tests.openflow.learn_cases import BACK, TO_PORT, learn

ETH_SRC = BY_NUMBER[of13.OFPXMT_OFB_ETH_SRC]
LEARN = learn(BACK, TO_PORT)


def test_a_question_leaves_everything_as_it_was() -> None:
    words = [actions_text(action) for _, action in actions.walk(ask(7, 2))]
    assert words[2] == "load:0x5->metadata[35..38]" and words[4] == "load:0x0->metadata[35..38]"
    assert words[3] == f"resubmit(,{Table.ASIDE})" and len(words) == 6


def test_each_learn_of_a_list_asks_for_itself() -> None:
    data = LEARN + actions.output(of13.OFPP_CONTROLLER) + LEARN
    lowered = lower(data, edge(1), None, in_set=False, number=9)
    assert lowered == ask(9, 0) + actions.output(of13.OFPP_CONTROLLER) + ask(9, 1)
    assert lower(LEARN, edge(1), None, in_set=True) == b""


def test_each_entry_asks_for_itself() -> None:
    here = edge(1)
    for number in (1, 2):
        entry = AnEntry(number, instructions=Instructions(apply=LEARN))
        assert [decode(rule.instructions).apply for rule in rules_for(entry, here)][0] == ask(number, 0)


def test_a_copy_of_what_is_not_known_goes_up() -> None:
    rules = rules_for(unknown(), edge(1))
    assert {(rule.table, rule.cookie & 0xffffffff) for rule in rules} == {(Table.ASIDE, UNKNOWN)}
    assert of13.OFPP_CONTROLLER in actions.outputs(decode(rules[0].instructions).apply)
    metadata = Match.from_tlvs(rules[0].match).metadata
    assert metadata is not None and metadata[1] & LEARN_MASK == 1 << 35


def test_what_is_known_is_answered_where_it_can_enter() -> None:
    in_port, mac = 5, 0x020000000001
    answer = known(3, 9, 4, in_port | mac << ETH_SRC.shift, 0xffffffff | ETH_SRC.full << ETH_SRC.shift)
    assert answer.number == UNKNOWN | 3 and answer.match.in_port == 5
    assert rules_for(answer, edge(1)) == ()
    rule, = rules_for(answer, edge(2))
    match = Match.from_tlvs(rule.match)
    assert match.get(OWN_REGISTER.number) == (9, None) and match.get(of13.OFPXMT_OFB_ETH_SRC) == (mac, None)
    assert match.metadata is not None and index_of(match.metadata[0]) == 4
    assert rule.instructions == b"" and rule.match.startswith(tlv(of13.OFPXMT_OFB_METADATA, 0)[:2])
    assert index_of(0xffff << 36) == 7
