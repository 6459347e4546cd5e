"""Tables for people: what is missing, what is a list, and what is a place is put in words."""
from __future__ import annotations

import pytest

from hvproxy.tables import cell, counts, end, field, number, table_text, tenant_entry, texts, vif


@pytest.mark.parametrize("value, text", [
    (None, "-"), (True, "yes"), (False, "no"), (1.25, "1.2"), (7, "7"), ("a b", "a b"), ({"a": [1]}, '{"a":[1]}')])
def test_values(value: object, text: str) -> None:
    assert cell(value) == text


def test_a_table_has_a_line_a_row_and_no_blanks_behind() -> None:
    text = table_text([{"a": 1, "long_name": "x" * 200}, {"a": None}], [field("a"), field("long_name")])
    head, first, second = text.splitlines()
    assert head.split() == ["a", "long", "name"] and first == "1  " + "x" * 200 and second == "-  -"


def test_lists_and_counts() -> None:
    assert texts("names", ", ")({"names": ["a", "b"]}) == "a, b" and texts("names")({"names": []}) is None
    assert counts("of")({"of": [{"packets": 1, "bytes": 60}, {"packets": 0, "bytes": 0}]}) == "1/60; 0/0"
    assert number([1, 2]) == 2 and number(5) == 5


def test_places() -> None:
    assert end({"dpid": "01", "port": 5}) == "01:5" and end(None) is None
    assert vif({"datapath": "01", "port": "eth1", "vlan": 20}) == "01:eth1 vlan 20"
    assert vif({"iface_id": "vm"}) == "iface-id vm" and vif({"peer": "core/1"}) == "peer core/1" and vif(None) is None


def test_an_entry_as_its_tenant_knows_it() -> None:
    assert tenant_entry({"entry": None}) is None
    row = {"entry": 4, "tenant_table": 0, "tenant_priority": 5, "tenant_match": "", "tenant_cookie": "0x2a"}
    assert tenant_entry(row) == "table 0 priority 5 every frame cookie 0x2a"
