from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hvproxy.cli import main

EXAMPLE = str(Path(__file__).parents[1] / "conf" / "example.yaml")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


# check and serve

def test_check_sums_up_a_good_configuration() -> None:
    result = run("check", EXAMPLE)
    assert result.exit_code == 0
    assert result.stdout == (
        f"{EXAMPLE}: good: 2 tenants, 2 logical switches, 7 logical ports, 4 configured links, "
        f"stored in {Path(EXAMPLE).parent}/hvproxy.db\n")
    assert result.stderr == ""


def test_check_counts_one_as_one(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text("""
fabric: {links: ["0x1:5 - 0x2:5"]}
tenants: [{name: a, logical_switches: [{name: a, datapath_id: 1, ports: [{number: 1, name: a}]}]}]
""")
    assert run("check", str(path)).stdout == (
        f"{path}: good: 1 tenant, 1 logical switch, 1 logical port, 1 configured link, "
        f"stored in {tmp_path}/hvproxy.db\n")
    path.write_text("store: 'memory:'")
    assert run("check", str(path)).stdout == (
        f"{path}: good: 0 tenants, 0 logical switches, 0 logical ports, 0 configured links, nothing is stored\n")


@pytest.mark.parametrize("command", ["check", "serve"])
def test_every_mistake_goes_to_stderr_and_the_exit_status_is_2(command: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("store: ram\ntenants:\n  - name: a\n    logical_switches: [{name: 5}]\nworkers: 2\n")
    result = run(command, str(path))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == (
        f"{path}: store: 'ram' is not a store; write memory: or sqlite:PATH\n"
        f"{path}: tenants[0].logical_switches[0].name: expected str, got int; put it in quotes\n"
        f"{path}: tenants[0].logical_switches[0].datapath_id: is missing\n"
        f"{path}: workers: not supported yet\n")


def test_a_file_that_is_not_there_is_bad_configuration() -> None:
    result = run("check", "/nonexistent.yaml")
    assert (result.exit_code, result.stderr) == (2, "/nonexistent.yaml: cannot be read: No such file or directory\n")


@pytest.mark.parametrize("arguments", [
    [], ["check"], ["check", EXAMPLE, "more"], ["fly"], ["serve"], ["serve", EXAMPLE, "--log-format", "xml"],
    ["serve", EXAMPLE, "--log-level", "loud"], ["show", "ports"], ["show", "rules", "one"],
])
def test_bad_usage_has_exit_status_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_help_names_every_command() -> None:
    assert {"check", "serve", "show"} <= set(run("--help").stdout.split())
    shown = run("show", "-h")
    assert shown.exit_code == 0
    assert {"switches", "links", "logical-switches", "ports", "flows", "groups", "meters", "rules"} <= set(
        shown.stdout.split())


def test_version_is_told() -> None:
    assert run("--version").stdout == "hvproxy, version 0.1.0\n"


# show

ANSWERS: dict[str, object] = {
    "/v1/datapaths": [
        {"dpid": "0000000000000001", "state": "ready", "role": "edge", "address": "127.0.0.1:4", "description": "OVS",
         "ports": 3, "rules": 17, "groups": 5, "news": {"a": [1]},
         "missing": ["8 tables", "action pop_vlan in table 1"],
         "settings": ["fail_mode=standalone (needs secure)", "x"]},
        {"dpid": "0000000000000002", "state": "absent"},
    ],
    "/v1/links": [
        {"a": {"dpid": "0000000000000001", "port": 5}, "b": {"dpid": "0000000000000002", "port": "s2-eth5"},
         "source": "configured", "kind": "vlan", "state": "up", "config": ["NO_FWD", "NO_RECV"], "news": 1},
    ],
    "/v1/fabric": {
        "edges": [{"dpid": "0000000000000001", "endpoint": "192.0.2.1", "logical_switches": ["red", "blue"]},
                  {"dpid": "0000000000000002", "endpoint": None, "logical_switches": []}],
        "links": [], "overlapping": [],
        "tunnels": [{"dpids": ["0000000000000001", "0000000000000003"], "kind": "gre", "state": "missing", "ends": [
            {"name": "hv1", "address": "192.0.2.1", "error": None},
            {"name": "hv2", "address": "192.0.2.3", "error": "no device"}]}],
        "labels": [{"kind": "vlan", "used": 6, "free": 4087, "size": 4093}],
    },
    "/v1/fabric/paths/0000000000000001/0000000000000003": [
        {"from": {"dpid": "0000000000000001", "port": 8}, "to": {"dpid": "0000000000000003", "port": 9},
         "kind": "gre", "backup_port": 7}],
    "/v1/logical-switches": [
        {"name": "red", "tenant": "red", "datapath_id": "00000000000000a1", "entries": 7, "ports": 2,
         "controllers": [{"address": "tcp:127.0.0.1:6653", "state": "connected", "role": "master", "news": 1},
                         {"address": "tcp:127.0.0.1:6654", "state": "connecting", "role": None}]},
        {"name": "blue", "tenant": "blue", "controllers": ["tcp:c:1"], "ports": [{}, {}, {}], "entries": 0,
         "state": {"controllers": [{"address": "tcp:c:1", "state": "waiting"}]}},
        {"name": "grey", "controllers": []},
    ],
    "/v1/logical-switches/red/ports": [
        {"number": 1, "name": "web[1]", "hw_addr": "02:00:00:00:00:01", "state": "up",
         "config": ["NO_FWD", "NO_RECV"],
         "attach": {"datapath": "0000000000000001", "port": 1, "vlan": 20}},
        {"number": 2, "name": "spare", "state": "down", "attach": None, "why_down": "it is not attached"},
        {"number": 3, "name": "vm", "state": "up", "attach": {"iface_id": "vm-1", "vlan": 20}, "mtu": 1458,
         "mtu_advice": "eth1 has 1500: give it 1542"},
    ],
    "/v1/logical-switches/red/flows": [
        {"table_id": 0, "priority": 100, "cookie": "0x2a", "match": "in_port=1",
         "instructions": "apply_actions(output:2)", "packets": 12, "bytes": 1200, "duration": 3.25},
    ],
    "/v1/logical-switches/red/groups": [
        {"group_id": 5, "type": "select", "buckets": ["weight=1,actions=output:1", "weight=2,actions=output:2"],
         "packets": 30, "bytes": 3000, "references": 2,
         "bucket_counts": [{"packets": 10, "bytes": 1000}, {"packets": 20, "bytes": 2000}],
         "duration": 3.25, "datapaths": ["0000000000000001", "0000000000000002"]},
        {"group_id": 6, "type": "all", "buckets": [], "bucket_counts": [], "packets": 0, "bytes": 0, "references": 0,
         "duration": 0.0, "datapaths": []},
    ],
    "/v1/logical-switches/red/meters": [
        {"meter_id": 7, "unit": "pktps", "bands": ["type=drop,rate=100,burst_size=20"], "packets": 30, "bytes": 3000,
         "band_counts": [{"packets": 10, "bytes": 1000}], "references": 1, "duration": 3.25,
         "datapaths": ["0000000000000001"]},
    ],
    "/v1/datapaths/0000000000000001/rules": [
        {"table": 10, "priority": 100, "match": "metadata=0x1", "instructions": "goto_table:11",
         "logical_switch": "red", "entry": 4, "why": "entry 4 of red", "tenant": "acme", "tenant_table": 0,
         "tenant_priority": 5, "tenant_match": "", "tenant_cookie": "0x2a", "packets": 3, "bytes": 180,
         "names": ["port 1 is s1-1", "port 2 is s1-2"]},
        {"table": 0, "priority": 1, "match": "", "instructions": "drop", "logical_switch": None, "entry": None,
         "tenant": None, "packets": None, "bytes": None, "names": [], "why": "drops"},
    ],
    "/v1/datapaths/0000000000000001/groups": [
        {"group_id": "0x5", "type": "all", "buckets": ["actions=output:1", "actions=output:2"], "tenant": "acme",
         "logical_switch": "red", "packets": 9, "bytes": 90, "names": [], "why": "floods red"},
    ],
    "/v1/databases": [{"address": "unix:/db", "state": "lost", "bridges": [{}], "vifs": [], "fault": "it was silent"}],
    "/v1/logical-switches/empty/ports": [],
    "/v1/logical-switches/a%2Fb/ports": [{"number": 77}],
    "/v1/logical-switches/odd/ports": {"not": "a list"},
}


POSTED: list[tuple[str, object]] = []
STEP = {"depth": 0, "text": "table 0: no entry matches"}
HOP = {"datapath": "0000000000000001", "in_port": 4, "in_port_name": "s1-4",
       "label": {"vlan": 7, "means": "label 7, frames for red/2"},
       "steps": [STEP, {"depth": 1, "text": "out of port 2"}],
       "sent": [{"text": "delivered to red/2 out of port 2 (s1-2)"}]}
TRACE: dict[str, object] = {
    "logical_switch": "red", "port": 1, "name": "web1", "fields": "arp,dl_vlan=5", "frame": "00", "notes": ["it rains"],
    "logical": {"steps": [STEP], "out": [], "packet_ins": []},
    "physical": {"hops": [HOP], "packet_ins": [{"table": 3, "cookie": "0x5", "frame": "beef"}],
                 "out": [{"port": 2, "name": "web2", "frame": "cafe", "changes": ["dl_vlan=5 removed"]},
                         {"port": 3, "name": "web3", "frame": "00", "changes": []}]},
    "agree": False, "differences": ["the fabric delivers too much"],
}
TRACES: dict[str, tuple[int, object]] = {
    "/v1/logical-switches/red/trace": (200, TRACE),
    "/v1/logical-switches/good/trace": (200, {**TRACE, "agree": True, "differences": []}),
    "/v1/logical-switches/unbound/trace": (200, {**TRACE, "agree": None, "physical": None, "differences": []}),
    "/v1/logical-switches/wrong/trace": (400, {"error": "'tpc' is no field", "path": "frame"}),
    "/v1/logical-switches/broken/trace": (500, {"error": "a fault", "path": ""}),
    "/v1/logical-switches/odd/trace": (200, {}),
    "/v1/logical-switches/red/clone": (201, {"name": "copy", "datapath_id": "00000000000000a4", "entries": 2}),
}
DRIFT = {"dpid": "0000000000000001", "repaired": 1, "foreign": 1, "drift": [
    {"kind": "missing", "what": "table=10,priority=5", "why": "entry 4 of red", "logical_switch": "red",
     "tenant": "acme"},
    {"kind": "foreign", "what": "group 77: ", "why": "another hand", "logical_switch": None, "tenant": None}]}
CHANGES = {"restart": ["api.listen"], "changes": [
    {"kind": "tenant", "name": "blue", "action": "create", "changes": []},
    {"kind": "logical switch", "name": "red", "action": "rebuild", "changes": ["tables: 8 -> 9"]},
    {"kind": "logical switch", "name": "old", "action": "delete", "changes": []}]}
AUDITS: dict[str, tuple[int, object]] = {
    "/v1/datapaths/0000000000000001/audit": (200, DRIFT),
    "/v1/datapaths/0000000000000002/audit": (200, {**DRIFT, "repaired": 0, "foreign": 0, "drift": []}),
    "/v1/datapaths/0000000000000003/audit": (409, {"error": "it is lost", "path": ""}),
}
DRAINS: dict[str, list[dict[str, object]]] = {}
"""What is answered to those who ask how far a drain is, one after the other."""
DELETED: list[str] = []


def drained(state: str, *text: str, logical_switch: str | None = None) -> dict[str, object]:
    return {"state": state, "text": list(text), "logical_switch": logical_switch}


SNAPSHOT = b"\0a snapshot\xff"
APPLIED: dict[object, dict[str, tuple[int, object]]] = {
    "memory:": {"/v1/configuration": (200, CHANGES), "/v1/configuration/plan": (200, CHANGES)},
    None: {"/v1/configuration": (409, {"error": "is in use", "path": "tenants[0].name"}),
           "/v1/configuration/plan": (200, {"restart": [], "changes": []})},
}
"""What is answered to a configuration, by its store."""


class Api(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.endswith("/snapshot"):
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.end_headers()
            self.wfile.write(SNAPSHOT)
            return
        name = self.path.rpartition("/")[0].rpartition("/")[2]
        status, body = 200, json.dumps(ANSWERS.get(self.path))
        if self.path in DRAINS:
            body = json.dumps([DRAINS[self.path].pop(0)])
        elif name == "broken":
            status, body = 500, "<html>"
        elif name == "text":
            body = "hello"
        elif self.path not in ANSWERS:
            status, body = 404, json.dumps({"error": f"there is no {name}", "path": ""})
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Type"] == "application/octet-stream":
            self._rolled_back(data)
            return
        body = json.loads(data)
        POSTED.append((self.path, body))
        answers = {**TRACES, **AUDITS, **APPLIED.get(body.get("store"), {})}
        if self.path in DRAINS:
            answers[self.path] = 200, DRAINS[self.path].pop(0)
        status, answer = answers.get(self.path, (404, {"error": "there is no logical switch", "path": ""}))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def _rolled_back(self, data: bytes) -> None:
        good = data == SNAPSHOT
        answer = {"entries": 2, "groups": 1, "meters": 0, "ports": 0} if good else {
            "error": "this is no snapshot of a logical switch", "path": ""}
        self.send_response(200 if good else 400)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def do_PUT(self) -> None:
        self.do_POST()

    def do_DELETE(self) -> None:
        DELETED.append(self.path)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: pytest's output is no access log."""


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def rows(text: str) -> list[list[str]]:
    """A table's lines cut where two spaces or more stand."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]


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
        ["a", "b", "kind", "source", "state"],
        ["0000000000000001:5", "0000000000000002:s2-eth5", "vlan", "configured", "up"]]


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


def test_a_name_is_quoted_in_the_url(api: str) -> None:
    assert "77" in run("show", "ports", "a/b", "--api", api).stdout


def test_the_environment_may_name_the_api(api: str) -> None:
    result = CliRunner(env={"HVPROXY_API": api}).invoke(main, ["show", "links", "--json"])
    assert json.loads(result.stdout) == ANSWERS["/v1/links"]


def test_an_http_proxy_of_the_environment_is_not_asked(api: str) -> None:
    result = CliRunner(env={"http_proxy": "http://127.0.0.1:1"}).invoke(main, ["show", "links", "--api", api])
    assert result.exit_code == 0


@pytest.mark.parametrize(("name", "what"), [
    ("pink", "{url}: there is no pink (HTTP status 404); hvproxy show switches and hvproxy show logical-switches list "
             "what there is"),
    ("broken", "{url}: Internal Server Error (HTTP status 500)"),
    ("text", "{url}: did not answer JSON"),
    ("odd", "{url} answered something else than a list of objects; is {api} an hvproxy of this version?"),
])
def test_what_the_api_refuses_is_told_with_exit_status_1(api: str, name: str, what: str) -> None:
    result = run("show", "ports", name, "--api", api)
    url = f"{api}/v1/logical-switches/{name}/ports"
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"hvproxy: {what.format(url=url, api=api)}\n"


def test_an_api_that_does_not_answer_is_told_with_what_to_do() -> None:
    result = run("show", "switches", "--api", "http://127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "hvproxy: cannot reach http://127.0.0.1:1: [Errno 111] Connection refused\n"
        "Is hvproxy running (hvproxy serve CONFIG)? If its api.listen is another address, name it with --api URL.\n")


def test_an_api_that_is_no_url_is_told() -> None:
    result = run("show", "switches", "--api", "localhost")
    assert (result.exit_code, result.stderr) == (
        1, "hvproxy: localhost/v1/datapaths: is not a URL; write --api http://HOST:PORT\n")


# trace

def test_a_trace_is_told_step_by_step(api: str) -> None:
    result = run("trace", "red", "web1", "arp,dl_vlan=5", "--api", api)
    assert POSTED[-1] == ("/v1/logical-switches/red/trace", {"port": "web1", "frame": "arp,dl_vlan=5"})
    assert result.stdout == """\
arp,dl_vlan=5 at port 1 (web1) of red
note: it rains

logical switch red
  table 0: no entry matches
  => nowhere

datapath 0000000000000001, in at port 4 (s1-4), under label 7, frames for red/2
  table 0: no entry matches
    out of port 2
  => delivered to red/2 out of port 2 (s1-2)

fabric
  => out of port 2 (web2): dl_vlan=5 removed
     cafe
  => out of port 3 (web3): unchanged
     00
  => packet-in: table 3, cookie 0x5
     beef

THE FABRIC DOES NOT DO WHAT THE LOGICAL SWITCH DOES
  the fabric delivers too much
"""


@pytest.mark.parametrize(("name", "status"), [("red", 1), ("good", 0), ("unbound", 0)])
def test_the_exit_status_of_a_trace_says_whether_both_agree(api: str, name: str, status: int) -> None:
    for more in ((), ("--json",)):
        assert run("trace", name, "1", "arp", "--api", api, *more).exit_code == status


def test_what_agrees_is_said_to_and_what_cannot_be_compared_is_not(api: str) -> None:
    assert run("trace", "good", "1", "arp", "--api", api).stdout.endswith(
        "\nthe fabric does what the logical switch does\n")
    assert "fabric" not in run("trace", "unbound", "1", "arp", "--api", api).stdout


def test_a_trace_as_json_is_what_the_api_answers(api: str) -> None:
    assert json.loads(run("trace", "red", "1", "arp", "--json", "--api", api).stdout) == TRACE


@pytest.mark.parametrize(("name", "status", "what"), [
    ("wrong", 2, "frame: 'tpc' is no field (HTTP status 400)"),
    ("pink", 2, "there is no logical switch (HTTP status 404"),
    ("broken", 1, "a fault (HTTP status 500)"), ("odd", 1, "answered something else than a trace"),
])
def test_a_trace_that_is_refused_says_why(api: str, name: str, status: int, what: str) -> None:
    result = run("trace", name, "1", "tpc", "--api", api)
    assert (result.exit_code, result.stdout) == (status, "") and what in result.stderr


# apply

def a_file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("options, done", [
    ((), "3 changes, carried out"), (("--plan",), "3 changes, none carried out")])
def test_apply_tells_what_changes(api: str, tmp_path: Path, options: tuple[str, ...], done: str) -> None:
    POSTED.clear()
    result = run("apply", *options, a_file(tmp_path, "store: 'memory:'"), "--api", api)
    assert (result.exit_code, result.stdout.splitlines()) == (0, [
        "+ tenant blue: create",
        "! logical switch red: rebuild (made anew: its entries are lost)",
        "    tables: 8 -> 9",
        "- logical switch old: delete",
        "? api.listen: is taken over at the next start only",
        done])
    assert POSTED == [("/v1/configuration" + ("/plan" if options else ""), {"store": "memory:"})]


def test_a_file_that_changes_nothing_is_said_to(api: str, tmp_path: Path) -> None:
    assert run("apply", "--plan", a_file(tmp_path, "tenants: []"), "--api", api).stdout == "nothing to change\n"


def test_apply_of_what_cannot_be_names_the_place_in_the_file(api: str, tmp_path: Path) -> None:
    path = a_file(tmp_path, "")
    result = run("apply", path, "--api", api)
    assert (result.exit_code, result.stderr) == (2, f"{path}: tenants[0].name: is in use\n")


def test_a_bad_file_is_not_sent(api: str, tmp_path: Path) -> None:
    POSTED.clear()
    path = a_file(tmp_path, "tenants: 5")
    result = run("apply", path, "--api", api)
    assert (result.exit_code, result.stderr) == (2, f"{path}: tenants: expected a list, got 5\n") and not POSTED


def test_changes_as_json_are_what_the_api_answers(api: str, tmp_path: Path) -> None:
    assert json.loads(run("apply", "--json", a_file(tmp_path, "store: 'memory:'"), "--api", api).stdout) == CHANGES


# audit

def test_an_audit_tells_what_differed_and_whose_it_is(api: str) -> None:
    result = run("audit", "0x1", "--api", api)
    assert result.exit_code == 1
    assert rows(result.stdout)[0] == ["kind", "logical switch", "why", "what"]
    assert rows(result.stdout)[1:3] == [["missing", "red", "entry 4 of red", "table=10,priority=5"],
                                        ["foreign", "-", "another hand", "group 77:"]]
    assert result.stdout.splitlines()[-1] == "1 put right, 1 not hvproxy's"


def test_an_audit_of_a_good_switch_says_so(api: str) -> None:
    result = run("audit", "0x2", "--api", api)
    assert (result.exit_code, result.stdout) == (0, "it holds what it should\n0 put right, 0 not hvproxy's\n")
    assert json.loads(run("audit", "0x2", "--json", "--api", api).stdout)["drift"] == []


def test_an_audit_that_cannot_be_has_its_reason(api: str) -> None:
    result = run("audit", "0x3", "--api", api)
    assert result.exit_code == 2 and "it is lost" in result.stderr
    assert run("audit", "nonsense", "--api", api).exit_code == 2


# snapshots

def test_a_snapshot_is_written_whole_and_goes_back(api: str, tmp_path: Path) -> None:
    file = tmp_path / "red.snapshot"
    result = run("snapshot", "red", str(file), "--api", api)
    assert result.exit_code == 0 and file.read_bytes() == SNAPSHOT and not list(tmp_path.glob("*.part"))
    result = run("rollback", "red", str(file), "--api", api)
    assert (result.exit_code, result.stdout) == (
        0, "2 entries, 1 groups, 0 meters, 0 ports put right; the rest was so already\n")


def test_a_rollback_that_cannot_be_says_why(api: str, tmp_path: Path) -> None:
    file = tmp_path / "bad"
    file.write_bytes(b"bad")
    result = run("rollback", "red", str(file), "--api", api)
    assert result.exit_code == 2 and "this is no snapshot" in result.stderr
    result = run("rollback", "red", str(tmp_path / "none"), "--api", api)
    assert result.exit_code == 2 and "cannot be read" in result.stderr
    result = run("snapshot", "red", str(tmp_path / "none" / "x"), "--api", api)
    assert result.exit_code == 2 and "cannot be written" in result.stderr


def test_a_clone_is_told_with_what_to_do_next(api: str) -> None:
    POSTED.clear()
    result = run("clone", "red", "copy", "--tenant", "acme", "--api", api)
    assert result.exit_code == 0 and result.stdout.startswith("copy: datapath id 00000000000000a4, 2 entries;")
    assert POSTED == [("/v1/logical-switches/red/clone", {"name": "copy", "tenant": "acme"})]


# drain

def test_a_drain_tells_how_far_it_is_until_nothing_is_left(api: str) -> None:
    path = "/v1/datapaths/0000000000000001/drain"
    DRAINS[path] = [drained("draining", "port 1 moves"), drained("draining", "port 1 moves", "port 2 moves"),
                    drained("drained", "it carries nothing")]
    result = run("drain", "0x1", "--api", api)
    assert (result.exit_code, result.stdout) == (0, "port 1 moves\nport 2 moves\nit carries nothing\n")
    assert POSTED[-1] == (path, {"logical_switch": None, "force": False})


def test_a_drain_that_something_stops_says_so(api: str) -> None:
    path = "/v1/datapaths/0000000000000002/drain"
    DRAINS[path] = [drained("stuck", "port 1 stays", logical_switch="red")]
    result = run("drain", "0x2", "--switch", "red", "--force", "--api", api)
    assert (result.exit_code, result.stdout) == (1, "port 1 stays\n")
    assert POSTED[-1] == (path, {"logical_switch": "red", "force": True})
    DRAINS[path] = [drained("drained", "nothing")]
    assert json.loads(run("drain", "0x2", "--json", "--api", api).stdout) == drained("drained", "nothing")
    DRAINS[path] = [drained("draining"), drained("draining", logical_switch="blue")]
    result = run("drain", "0x2", "--api", api)
    assert (result.exit_code, result.stderr) == (1, "hvproxy: the drain was undone meanwhile\n")
    assert run("drain", "0x9", "--api", api).exit_code == 2
    DRAINS[path] = [{}]
    assert "something else than a drain" in run("drain", "0x2", "--api", api).stderr


def test_a_drain_is_undone(api: str) -> None:
    result = run("drain", "0x1", "--undo", "--api", api)
    assert (result.exit_code, result.stdout) == (0, "datapath 0000000000000001 is used again\n")
    assert DELETED[-1] == "/v1/datapaths/0000000000000001/drain"
    run("drain", "0x1", "--undo", "--switch", "a/b", "--api", api)
    assert DELETED[-1] == "/v1/datapaths/0000000000000001/drain/a%2Fb"
    assert run("drain", "0x1", "--undo", "--force", "--api", api).exit_code == 2
