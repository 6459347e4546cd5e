from typing import Any

import pytest

from hvproxy.trace.lines import lines

STEPS = [{"depth": 0, "text": "table 0"}, {"depth": 1, "text": "out of port 2"}]
OUT = [{"port": 2, "name": "red2", "frame": "cafe", "changes": ["dl_vlan=5 removed", "dl_dst=1"]}]
TRACE: dict[str, Any] = {
    "logical_switch": "red", "port": 1, "name": "red1", "fields": "arp", "notes": ["it rains"],
    "logical": {"steps": STEPS, "out": OUT, "packet_ins": []},
    "beyond": [{"logical_switch": "core", "port": 4, "name": "down", "steps": STEPS, "out": OUT, "packet_ins": []}],
    "physical": {"out": [], "packet_ins": [{"table": 3, "cookie": "0x5", "frame": "beef"}], "hops": [
        {"datapath": "01", "in_port": 4, "in_port_name": "s1-4", "label": label, "steps": STEPS[:1],
         "sent": [{"text": "delivered"}]} for label in (None, {"means": "label 7"})]},
    "agree": False, "differences": ["too much"],
}


def test_a_trace_is_told_from_the_logical_switch_to_the_verdict() -> None:
    assert "\n".join(lines(TRACE)).splitlines() == [
        "arp at port 1 (red1) of red", "note: it rains", "", "logical switch red", "  table 0", "    out of port 2",
        "  => out of port 2 (red2): dl_vlan=5 removed, dl_dst=1", "     cafe", "",
        "logical switch core, in at port 4 (down)", "  table 0", "    out of port 2",
        "  => out of port 2 (red2): dl_vlan=5 removed, dl_dst=1", "     cafe", "",
        "datapath 01, in at port 4 (s1-4)", "  table 0", "  => delivered", "",
        "datapath 01, in at port 4 (s1-4), under label 7", "  table 0", "  => delivered", "",
        "fabric", "  => packet-in: table 3, cookie 0x5", "     beef", "",
        "THE FABRIC DOES NOT DO WHAT THE LOGICAL SWITCH DOES", "  too much"]


def test_what_comes_to_the_same_is_said_and_nothing_of_a_fabric_that_is_not_known() -> None:
    assert list(lines({**TRACE, "agree": True, "differences": []}))[-1] == (
        "\nthe fabric does what the logical switch does")
    nothing: dict[str, Any] = {"steps": [], "out": [], "packet_ins": []}
    text = "\n".join(lines({**TRACE, "physical": None, "beyond": [], "logical": nothing}))
    assert "fabric" not in text and text.endswith("  => nowhere")


def test_what_is_no_trace_is_no_text() -> None:
    with pytest.raises((KeyError, TypeError)):
        list(lines({"fields": "arp"}))
