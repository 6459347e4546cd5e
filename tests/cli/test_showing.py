from __future__ import annotations

import json

import pytest

from tests.cli.answering import ANSWERS, rows, run


def test_show_databases(api: str) -> None:
    assert rows(run("show", "databases", "--api", api).stdout) == [
        ["address", "state", "bridges", "VIFs", "fault"],
        ["unix:/db", "lost", "1", "0", "it was silent"],
    ]


def test_show_switches(api: str) -> None:
    assert rows(run("show", "switches", "--api", api).stdout) == [
        ["dpid", "state", "role", "address", "ports", "rules", "groups", "description",
         "wrong settings", "missing"],
        ["0000000000000001", "ready", "edge", "127.0.0.1:4", "3", "17", "5", "OVS",
         "fail_mode=standalone (needs secure), x", "8 tables; action pop_vlan in table 1"],
        ["0000000000000002", "absent", "-", "-", "-", "-", "-", "-", "-", "-"],
    ]


def test_show_links(api: str) -> None:
    assert rows(run("show", "links", "--api", api + "/").stdout) == [
        ["a", "b", "kind", "source", "state", "Mb/s"],
        ["0000000000000001:5", "0000000000000002:s2-eth5", "vlan", "configured", "up", "1000"]]


def test_show_fabric(api: str) -> None:
    assert rows(run("show", "fabric", "--api", api).stdout) == [
        ["edges"], ["dpid", "endpoint", "logical switches"], ["0000000000000001", "192.0.2.1", "red, blue"],
        ["0000000000000002", "-", "-"], [],
        ["tunnels"], ["between", "kind", "state", "ports"],
        ["0000000000000001 and 0000000000000003", "gre", "missing", "hv1 (192.0.2.1); hv2 (192.0.2.3): no device"], [],
        ["labels"], ["kind", "used", "free"], ["vlan", "6", "4087"]]
    assert json.loads(run("show", "fabric", "--json", "--api", api).stdout) == ANSWERS["/v1/fabric"]


def test_show_a_path(api: str) -> None:
    assert rows(run("show", "fabric", "--from", "0x1", "--to", "0x3", "--api", api).stdout) == [
        ["from", "to", "kind", "backup port"], ["0000000000000001:8", "0000000000000003:9", "gre", "7"]]
    assert run("show", "fabric", "--from", "0x1", "--api", api).exit_code == 2
    assert run("show", "fabric", "--from", "0x1", "--to", "here", "--api", api).exit_code == 2


def test_show_logical_switches(api: str) -> None:
    assert rows(run("show", "logical-switches", "--api", api).stdout) == [
        ["name", "tenant", "datapath id", "controllers", "ports", "entries"],
        ["red", "red", "00000000000000a1",
         "tcp:127.0.0.1:6653 (connected, master), tcp:127.0.0.1:6654 (connecting)", "2", "7"],
        ["blue", "blue", "-", "tcp:c:1 (waiting)", "3", "0"],
        ["grey", "-", "-", "-", "-", "-"],
    ]


def test_show_ports(api: str) -> None:
    assert rows(run("show", "ports", "red", "--api", api).stdout) == [
        ["number", "name", "address", "state", "config", "attached to", "MTU", "why it is down", "MTU too small below"],
        ["1", "web[1]", "02:00:00:00:00:01", "up", "NO_FWD, NO_RECV", "0000000000000001:1 vlan 20", "-", "-", "-"],
        ["2", "spare", "-", "down", "-", "-", "-", "it is not attached", "-"],
        ["3", "vm", "-", "up", "-", "iface-id vm-1 vlan 20", "1458", "-", "eth1 has 1500: give it 1542"],
    ]


def test_show_flows(api: str) -> None:
    assert rows(run("show", "flows", "red", "--api", api).stdout) == [
        ["table", "priority", "match", "instructions", "packets", "bytes", "duration", "cookie"],
        ["0", "100", "in_port=1", "apply_actions(output:2)", "12", "1200", "3.2", "0x2a"],
    ]


def test_show_groups(api: str) -> None:
    assert rows(run("show", "groups", "red", "--api", api).stdout) == [
        ["group", "type", "buckets", "references", "packets", "bytes", "of buckets", "duration", "datapaths"],
        ["5", "select", "weight=1,actions=output:1; weight=2,actions=output:2", "2", "30", "3000", "10/1000; 20/2000",
         "3.2", "0000000000000001, 0000000000000002"],
        ["6", "all", "-", "0", "0", "0", "-", "0.0", "-"],
    ]


def test_show_meters(api: str) -> None:
    assert rows(run("show", "meters", "red", "--api", api).stdout) == [
        ["meter", "unit", "bands", "references", "packets", "bytes", "of bands", "duration", "datapaths"],
        ["7", "pktps", "type=drop,rate=100,burst_size=20", "1", "30", "3000", "10/1000", "3.2", "0000000000000001"],
    ]


@pytest.mark.parametrize("what", ["ports", "flows", "groups", "meters"])
def test_what_a_tenant_has_is_shown_to_programs_as_the_api_tells_it(api: str, what: str) -> None:
    shown = run("show", what, "red", "--json", "--api", api).stdout
    assert json.loads(shown) == ANSWERS[f"/v1/logical-switches/red/{what}"]


RULES = [
    ["table", "priority", "match", "instructions", "tenant", "logical switch", "entry", "packets", "bytes", "names",
     "why"],
    ["10", "100", "metadata=0x1", "goto_table:11", "acme", "red", "table 0 priority 5 every frame cookie 0x2a", "3",
     "180", "port 1 is s1-1; port 2 is s1-2", "entry 4 of red"],
    ["0", "1", "drop", "-", "-", "-", "-", "-", "-", "drops"],
]
GROUPS = [
    ["group", "type", "buckets", "tenant", "logical switch", "packets", "bytes", "names", "why"],
    ["0x5", "all", "actions=output:1; actions=output:2", "acme", "red", "9", "90", "-", "floods red"],
]


@pytest.mark.parametrize("dpid", ["0x1", "0000000000000001"])
def test_show_rules_by_any_way_of_writing_a_datapath_id(api: str, dpid: str) -> None:
    assert rows(run("show", "rules", dpid, "--api", api).stdout) == [*RULES, [], *GROUPS]


def test_rules_of_one_logical_switch_or_table_are_shown_alone(api: str) -> None:
    def shown(*options: str) -> list[list[str]]:
        return rows(run("show", "rules", "0x1", "--api", api, *options).stdout)

    assert shown("--switch", "red") == [RULES[0], RULES[1], [], *GROUPS]
    assert shown("--table", "0") == [RULES[0], RULES[2]]
    assert shown("--switch", "blue", "--table", "0") == [["no rules"]]
    assert shown("--groups") == GROUPS
    assert shown("--groups", "--switch", "blue") == [["no groups"]]
    assert run("show", "rules", "0x1", "--api", api, "--groups", "--table", "0").exit_code == 2


def test_rules_and_groups_as_json_are_those_that_were_asked_for(api: str) -> None:
    found = run("show", "rules", "0x1", "--switch", "red", "--json", "--api", api).stdout
    assert [row["why"] for row in json.loads(found)] == ["entry 4 of red"]
    found = run("show", "rules", "0x1", "--groups", "--json", "--api", api).stdout
    assert json.loads(found) == ANSWERS["/v1/datapaths/0000000000000001/groups"]


@pytest.mark.parametrize(("arguments", "path"), [
    (["switches"], "/v1/datapaths"), (["links"], "/v1/links"), (["logical-switches"], "/v1/logical-switches"),
    (["ports", "red"], "/v1/logical-switches/red/ports"), (["flows", "red"], "/v1/logical-switches/red/flows"),
    (["rules", "0x1"], "/v1/datapaths/0000000000000001/rules"),
])
def test_json_is_what_the_api_answers(api: str, arguments: list[str], path: str) -> None:
    result = run("show", *arguments, "--json", "--api", api)
    assert result.exit_code == 0
    assert json.loads(result.stdout) == ANSWERS[path]


def test_nothing_to_show_is_said(api: str) -> None:
    result = run("show", "ports", "empty", "--api", api)
    assert (result.exit_code, result.stdout) == (0, "no ports\n")
