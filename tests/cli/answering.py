"""An API that answers the commands of the command line from tables, and what they have asked it."""
from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from click.testing import CliRunner, Result

from hvproxy.cli import main


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def rows(text: str) -> list[list[str]]:
    """A table's lines cut where two spaces or more stand."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]


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
         "source": "configured", "kind": "vlan", "state": "up", "speed": 1000,
         "config": ["NO_FWD", "NO_RECV"], "news": 1},
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
    "beyond": [],
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


@contextmanager
def answering() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
