"""The actions bundle and bundle_load; their errors were tried on Open vSwitch 3.1."""
from __future__ import annotations

import pytest

from hvproxy.openflow import nicira
from hvproxy.openflow.nicira_bundle import Choice, build, is_bundle, read, text
from hvproxy.openflow.nicira_parts import Part
from tests.openflow.learn_cases import BACK, CASES, ETH_DST, REG0, bundle, learn
from tests.openflow.test_nicira_learn import refusal

BUNDLES = {name: case for name, case in CASES.items() if name.startswith("bundle")}


@pytest.mark.parametrize("name", BUNDLES)
def test_errors_are_those_of_open_vswitch(name: str) -> None:
    action, wanted = BUNDLES[name]
    assert refusal(action) == wanted


def test_more_is_refused() -> None:
    assert refusal(bundle(1), in_set=True) == (2, 0)
    assert [refusal(bundle(1, port)) for port in (0xfff9, 0xfffa)] == [(2, 4)] * 2
    assert refusal(bundle(1, fields=6)) == (2, 5) and refusal(bundle(1, count=2049)) == (2, 1)
    assert refusal(bundle(*[1] * 2049)) == (2, 5)


def test_it_is_read_as_it_was_written() -> None:
    action = bundle(1, 0xfffe, into=(REG0, 4, 20), algorithm=0, fields=3)
    choice = read(action)
    assert choice == Choice(0, 3, 7, (1, 0xfffe), Part(REG0, 4, 20))
    assert build(choice) == action and choice.ports == {1, 0xfffffffe} and not choice.by_hash
    assert is_bundle(action) and is_bundle(bundle(1)) and not is_bundle(learn(BACK))
    assert read(bundle(1, 2)).into is None and read(bundle(1, 2)).by_hash


def test_it_has_one_form() -> None:
    newer = bundle(1, 2, into=(0x80000606, 0, 48))
    assert nicira.canonical(newer) == bundle(1, 2, into=(ETH_DST, 0, 48))
    wrong = bundle(1, algorithm=5)
    assert nicira.canonical(wrong) == wrong and text(wrong) is None


def test_it_is_told_in_words() -> None:
    assert text(bundle(1, 0xfffb)) == "bundle(eth_src,7,hrw,ofport,members:1,FLOOD)"
    assert text(bundle(1, into=(REG0, 0, 16), algorithm=0, fields=4)) == (
        "bundle_load(nw_src,7,active_backup,ofport,reg0[0..15],members:1)")
