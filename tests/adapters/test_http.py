"""The pages as a client gets them: status, headers, limits, and an answer to everything that can be sent."""
from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from hvproxy.adapters.http import MAX_BODY
from hvproxy.hypervisor.journal import Durability
from hvproxy.hypervisor.settings import Settings
from tests.adapters.client import Client
from tests.harness import World, spec


def a_client(*specs: Any, grace: float = 0.0) -> Client:
    """A core whose switches, if it knows any, are absent unless connected."""
    world = World(*specs, settings=Settings(grace=grace))
    world.hv.tenants.update(each.tenant for each in specs)
    world.pass_time(0.1)
    return Client(world)


def test_health_is_told_as_plain_text() -> None:
    reply = a_client().ask("GET", "/healthz")
    assert (reply.status, reply.body, reply.headers["Content-Type"]) == (200, b"ok\n", "text/plain; charset=utf-8")


def test_it_is_ready_when_every_switch_is_known_or_given_up() -> None:
    client = a_client(spec("red", {1: (1, 1), 2: (2, 1)}), grace=10.0)
    client.world.add_switches(1)
    reply = client.ask("GET", "/readyz")
    assert reply.status == 503
    assert reply.json == {"ready": False, "reasons": [
        "switch 0000000000000002 is lost", "the controllers of logical switch red are not dialled yet"]}
    client.world.pass_time(11.0)
    reply = client.ask("GET", "/readyz")
    assert (reply.status, reply.json) == (200, {"ready": True, "reasons": []})


def test_it_is_not_ready_while_the_store_has_failed() -> None:
    client = a_client()
    client.world.hv.store_failed("the disk is full", client.world.now)
    reply = client.ask("GET", "/readyz")
    assert (reply.status, reply.json["reasons"]) == (503, ["the store has failed: the disk is full"])
    client.world.hv.store_recovered(client.world.now)
    assert client.ask("GET", "/readyz").status == 200


def test_what_changes_something_is_answered_when_it_is_stored_and_says_when_it_is_not() -> None:
    world = World(spec("red", {1: (1, 1)}), settings=Settings(grace=0.0, durability=Durability.BARRIER))
    world.pass_time(0.1)
    client = Client(world)
    world.hold_commits = True
    reply = client.ask("PUT", "/v1/tenants/blue", {"name": "blue"})
    assert not reply.arrived and client.ask("GET", "/v1/tenants/blue").status == 200
    world.commit()
    assert reply.status == 201
    world.hv.store_failed("the disk is full", world.now)
    reply = client.ask("PUT", "/v1/tenants/green", {"name": "green"})
    assert (reply.status, reply.json["error"]) == (503, "carried out, but not stored: the disk is full")
    assert client.ask("GET", "/v1/tenants/green").status == 200
    trace = {"port": 1, "frame": "02" * 12 + "0800" + "00" * 46}
    assert client.ask("POST", "/v1/logical-switches/red/trace", trace).status == 200


def test_metrics_parse_as_prometheus_does() -> None:
    reply = a_client(spec("red", {1: (1, 1)})).ask("GET", "/metrics")
    assert reply.status == 200 and reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    names = {family.name for family in text_string_to_metric_families(reply.body.decode())}
    assert {"hvproxy_switches", "hvproxy_logical_switches", "process_cpu_seconds"} <= names


def test_the_dashboard_may_run_its_own_script_and_nothing_else() -> None:
    reply = a_client().ask("GET", "/")
    assert reply.status == 200 and reply.headers["Content-Type"] == "text/html; charset=utf-8"
    script = reply.body.split(b"<script>")[1].split(b"</script>")[0]
    policy = reply.headers["Content-Security-Policy"]
    assert f"script-src 'sha256-{b64encode(sha256(script).digest()).decode()}';" in policy
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert b"http://" not in reply.body and b"https://" not in reply.body and b"innerHTML" not in reply.body


def test_head_is_answered_as_get_without_the_body() -> None:
    client = a_client(spec("red", {1: (1, 1)}))
    for path in ("/", "/healthz", "/v1/logical-switches/red", "/v1/logical-switches/red/flows"):
        got, head = client.ask("GET", path), client.ask("HEAD", path)
        assert head.status == got.status == 200 and head.body == b""
        assert head.headers["Content-Length"] == got.headers["Content-Length"] == str(len(got.body))


@pytest.mark.parametrize("path", ["/nothing", "/v1", "/v1/", "/v1/tenants/", "/v1//tenants", "/v1/tenants/red/x",
                                  "/v1/tenants/..%2f", "/%00", "/v1/logical-switches/a%2fb/ports"])
def test_an_unknown_path_is_404(path: str) -> None:
    reply = a_client().ask("GET", path)
    assert reply.status == 404 and set(reply.json) == {"error", "path"}
    assert "Location" not in reply.headers


def test_a_wrong_method_is_405_and_told_which_are_right() -> None:
    client = a_client()
    for method, path, allowed in (("DELETE", "/v1/tenants", "GET, HEAD, POST"), ("POST", "/v1/links", "GET, HEAD"),
                                  ("POST", "/v1/tenants/red", "DELETE, GET, HEAD, PUT"), ("PATCH", "/", "GET, HEAD"),
                                  ("OPTIONS", "/v1/tenants", "GET, HEAD, POST"), ("BREW", "/healthz", "GET, HEAD")):
        reply = client.ask(method, path)
        assert (reply.status, reply.headers["Allow"]) == (405, allowed)
        assert "error" in reply.json


def test_a_body_of_a_megabyte_is_taken_and_a_larger_one_is_413() -> None:
    client = a_client()
    fitting = b'{"name": "red", "x": "%s"}' % (b"x" * (MAX_BODY - 24))
    assert len(fitting) == MAX_BODY
    assert client.ask("POST", "/v1/tenants", fitting).status == 400
    for reply in (client.ask("POST", "/v1/tenants", fitting + b" "), client.send(
            b"POST /v1/tenants HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n"
            b"\r\n" + b"".join(b"10000\r\n" + b" " * 0x10000 + b"\r\n" for _ in range(17)) + b"0\r\n\r\n")):
        assert reply.status == 413 and "1 MiB" in reply.json["error"]
    assert client.get("/v1/tenants") == []


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
                                  "application/jsonx", "text/json"])
def test_what_is_not_called_json_is_415(kind: str) -> None:
    client = a_client()
    reply = client.ask("POST", "/v1/tenants", b'{"name": "red"}', content_type=kind)
    assert reply.status == 415 and "application/json" in reply.json["error"]
    assert client.get("/v1/tenants") == []


def test_json_may_have_parameters_in_its_content_type() -> None:
    client = a_client()
    reply = client.ask("POST", "/v1/tenants", b'{"name": "red"}', content_type="Application/JSON; charset=utf-8")
    assert reply.status == 201


@pytest.mark.parametrize("body, where", [
    (b"", "line 1, column 1"),
    (b'{"name": "red",\n  }', "line 2, column 3"),
    (b'{"name": red}', "line 1, column 10"),
    (b'{"name": "r\xff"}', "byte 12"),
    (b'{"name": NaN}', "NaN"),
    (b'{"name": "a", "name": "b"}', "'name' stands twice"),
    (b"[" * 100_000, "nested too deep"),
    (b'{"name": ' + b"9" * 5000 + b"}", "not JSON"),
])
def test_what_is_not_json_is_400_and_told_where(body: bytes, where: str) -> None:
    reply = a_client().ask("POST", "/v1/tenants", body)
    assert reply.status == 400 and where in reply.json["error"]


@pytest.mark.parametrize("kind", [
    "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json"])
def test_a_body_is_nothing_but_json_whatever_it_looks_like(kind: str) -> None:
    body = b'--x\r\nContent-Disposition: form-data\r\n\r\n{"name": "red"}'
    assert a_client().ask("POST", "/v1/tenants", body, content_type=kind).status == (400 if "json" in kind else 415)


def test_pages_of_other_origins_get_nothing() -> None:
    client = a_client()
    for origin in ("http://evil.example", "null", "http://127.0.0.1:9999", "http://[", ""):
        reply = client.ask("POST", "/v1/tenants", {"name": "red"}, origin=origin)
        assert reply.status == 403 and not any(name.startswith("Access-Control") for name in reply.headers)
    assert client.get("/v1/tenants") == []
    assert client.ask("POST", "/v1/tenants", {"name": "red"}, origin="http://127.0.0.1:8080").status == 201


@pytest.mark.parametrize("head", [
    b"GET /v1/tenants HTTP/1.1\r\nHost: " + b"a" * 300 + b"\r\n\r\n",
    b"GET /v1/tenants HTTP/1.1\r\nHost: a..b\r\n\r\n",
    b"GET /v1/tenants HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
    b"GET /v1/tenants HTTP/1.1\r\n\r\n",
    b"GET /v1/tenants HTTP/1.0\r\n\r\n",
])
def test_any_host_name_will_do(head: bytes) -> None:
    assert a_client().send(head).status == 200


@pytest.mark.parametrize("head", [
    b"GET /v1/\xff HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /v1/%ff HTTP/1.1\r\nHost: x\r\n\r\n",
    b"G\xffT /v1/tenants HTTP/1.1\r\nHost: x\r\n\r\n", b"get /v1/tenants HTTP/1.1\r\nHost: x\r\n\r\n",
    b"nonsense\r\n\r\n",
])
def test_what_is_hardly_http_is_400(head: bytes) -> None:
    assert a_client().send(head).status == 400


@settings(max_examples=100, deadline=None)
@given(path=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7e), max_size=40), method=st.sampled_from(
    ["GET", "HEAD", "POST", "PUT", "DELETE"]), start=st.sampled_from(
    ["/", "/v1/tenants/", "/v1/logical-switches/red/", "/v1/logical-switches/red/ports/", "/v1/datapaths/"]))
def test_no_path_ends_in_a_fault_of_ours(path: str, method: str, start: str) -> None:
    client = a_client(spec("red", {1: (1, 1)}))
    assert client.ask(method, start + path, {"name": "x"} if method in ("POST", "PUT") else None).status < 500


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
    | st.sampled_from(["0x1", "red", "tcp:127.0.0.1:6653", "ptcp:1", "\ud800", "OpenFlow13", "1" * 5000, -1, 2**70]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["name", "tenant", "datapath_id", "ports", "number", "attach", "datapath", "port", "vlan", "listen", "tls",
         "private_key", "certificate", "ca", "controllers", "protocols", "tables", "logical_switches", "description",
         "state", "peer", "x"]), inner, max_size=6),
    max_leaves=12)


@settings(max_examples=200, deadline=None)
@given(body=JSON, target=st.sampled_from([
    ("POST", "/v1/tenants"), ("PUT", "/v1/tenants/red"), ("POST", "/v1/logical-switches"),
    ("PUT", "/v1/logical-switches/red"), ("PUT", "/v1/logical-switches/new"),
    ("POST", "/v1/logical-switches/red/ports"), ("PUT", "/v1/logical-switches/red/ports/1")]))
def test_no_body_ends_in_a_fault_of_ours(body: Any, target: tuple[str, str]) -> None:
    client = a_client(spec("red", {1: (1, 1)}))
    reply = client.ask(*target, json.dumps(body).encode())
    client.clock.advance(0)
    assert reply.status < 500
    assert reply.status < 300 or set(reply.json) >= {"error", "path"}


def test_a_client_that_leaves_before_its_answer_is_let_go() -> None:
    world = World(spec("red", {1: (1, 1)}))
    client = Client(world)
    world.add_switches(1)
    world.switches[1].hold_barriers = True
    reply = client.ask("DELETE", "/v1/logical-switches/red")
    client.hang_up()
    world.switches[1].release()
    world.run()
    assert not reply.arrived
    assert client.get("/v1/logical-switches") == []
