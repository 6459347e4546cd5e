"""What changed without need is told from what only counted on."""
from __future__ import annotations

from tests.crash.state import Held, Rules


def test_a_rule_that_is_younger_than_it_was_has_been_installed_anew() -> None:
    rule: tuple[object, ...] = (1, "rule", "match", "content")
    other: tuple[object, ...] = (1, "rule", "match", "other")
    assert Rules({rule: 1.0}).changes_to(Rules({rule: 2.0})) == []
    assert Rules({rule: 2.0}).changes_to(Rules({rule: 1.0})) == [("anew", *rule)]
    assert set(Rules({rule: 1.0}).changes_to(Rules({other: 1.0}))) == {rule, other}


def test_what_differs_is_told_with_what_it_should_be() -> None:
    assert Held({("group", 1): b"a"}).unlike(Held({("group", 1): b"a"})) == []
    assert Held({("group", 1): b"a"}).unlike(Held({("group", 1): b"b"})) == ["('group', 1): b'a' instead of b'b'"]
