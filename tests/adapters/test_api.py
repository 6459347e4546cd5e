"""What the API answers and brings about, over a core whose switches are at the other end of their connections."""
from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hvproxy.hypervisor.commands import Dial, Listen, StopDialing, StopListening
from hvproxy.hypervisor.links import NamedLink
from hvproxy.hypervisor.settings import Settings
from hvproxy.model.address import Address
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.instructions import build as build_instructions
from tests.adapters.client import Client
from tests.harness import Controller, World
from tests.hypervisor.worlds import meter_mod

LINK = NamedLink((1, 8), (2, 8))


def a_client(*switches: int, taken: tuple[Address, ...] = ()) -> Client:
    """Nothing configured but one link; the switches are ready."""
    world = World(settings=Settings(links=(LINK,), grace=0.0))
    world.add_switches(*switches)
    world.pass_time(1.0)
    return Client(world, taken)


def a_port(number: int, dpid: int, port: int | str, **more: object) -> dict[str, Any]:
    return {"number": number, "name": f"p{number}", "attach": {"datapath": f"0x{dpid:x}", "port": port, **more}}


RED = {"name": "red", "datapath_id": "0xa1", "ports": [a_port(1, 1, 1), a_port(2, 2, 1, vlan=20)]}
BLUE = {"name": "blue", "datapath_id": "0xb1", "ports": [a_port(1, 1, 2)]}


def with_red(*switches: int) -> Client:
    client = a_client(*switches)
    assert client.ask("POST", "/v1/tenants", {"name": "acme", "logical_switches": [RED]}).status == 201
    client.world.pass_time(1.0)
    return client


def states(client: Client, name: str = "red") -> dict[int, str]:
    return {row["number"]: row["state"] for row in client.get(f"/v1/logical-switches/{name}/ports")}


# Tenants

def test_a_tenant_is_created_empty_or_with_its_logical_switches() -> None:
    client = a_client(1, 2)
    reply = client.ask("POST", "/v1/tenants", {"name": "none"})
    assert (reply.status, reply.headers["Location"], reply.json) == (
        201, "/v1/tenants/none", {"name": "none", "logical_switches": []})
    assert client.ask("POST", "/v1/tenants", {"name": "acme", "logical_switches": [RED]}).status == 201
    client.world.pass_time(1.0)
    assert [row["name"] for row in client.get("/v1/tenants")] == ["acme", "none"]
    assert states(client) == {1: "up", 2: "up"}
    assert client.get("/v1/logical-switches/red")["tenant"] == "acme"


def test_a_tenant_that_exists_is_not_created_again() -> None:
    client = with_red()
    reply = client.ask("POST", "/v1/tenants", {"name": "acme"})
    assert (reply.status, reply.json["path"]) == (409, "name")


def test_a_tenant_is_created_wholly_or_not_at_all() -> None:
    client = with_red()
    clash = {"name": "cyan", "datapath_id": "0xc1", "ports": [a_port(1, 1, 1)]}
    reply = client.ask("POST", "/v1/tenants", {"name": "new", "logical_switches": [BLUE, clash]})
    assert (reply.status, reply.json["path"]) == (409, "logical_switches[1].ports[0].attach")
    assert [row["name"] for row in client.get("/v1/logical-switches")] == ["red"]
    assert client.ask("GET", "/v1/tenants/new").status == 404


def test_every_mistake_in_a_body_is_listed_as_for_the_file() -> None:
    client = a_client()
    reply = client.ask("POST", "/v1/tenants", {"name": "a b", "logical_switches": [
        {"name": "x", "datapath_id": 0, "prots": [],
         "ports": [{"number": 1, "name": "p", "attach": {"peer": "y"}}]}]})
    assert reply.status == 400
    assert [mistake["path"] for mistake in reply.json["mistakes"]] == [
        "name", "logical_switches[0].datapath_id", "logical_switches[0].prots",
        "logical_switches[0].ports[0].attach.peer"]
    assert reply.json["path"] == "name" and "3 more mistakes" in reply.json["error"]
    assert "a peer is a logical switch" in reply.json["mistakes"][3]["error"]


def test_putting_a_tenant_makes_it_have_just_these_logical_switches() -> None:
    client = a_client(1, 2)
    reply = client.ask("PUT", "/v1/tenants/acme", {"logical_switches": [RED, BLUE]})
    assert (reply.status, reply.headers["Location"]) == (201, "/v1/tenants/acme")
    cyan = {"name": "cyan", "datapath_id": "0xb1", "ports": [a_port(1, 1, 2)]}
    moved = {**RED, "description": "moved", "ports": [a_port(1, 2, 1, vlan=20), a_port(2, 1, 1)]}
    reply = client.ask("PUT", "/v1/tenants/acme", {"name": "acme", "logical_switches": [moved, cyan]})
    client.world.run()
    client.clock.advance(0)
    assert reply.status == 200
    client.world.pass_time(1.0)
    assert {row["name"]: row["description"] for row in client.get("/v1/logical-switches")} == {
        "red": "moved", "cyan": ""}
    assert states(client) == {1: "up", 2: "up"} and states(client, "cyan") == {1: "up"}


def test_a_tenant_cannot_take_anothers_logical_switch() -> None:
    client = with_red()
    client.ask("POST", "/v1/tenants", {"name": "other"})
    reply = client.ask("PUT", "/v1/tenants/other", {"logical_switches": [RED]})
    assert (reply.status, reply.json["path"]) == (409, "logical_switches[0].name")


def test_deleting_a_tenant_is_answered_when_the_switches_have_confirmed() -> None:
    client = with_red(1, 2)
    assert any(key[0] == 1 for key in client.world.switches[1].rules if key[1] == 100)
    client.world.switches[2].hold_barriers = True
    reply = client.ask("DELETE", "/v1/tenants/acme")
    client.world.run()
    assert not reply.arrived
    client.world.switches[2].release()
    client.world.run()
    assert (reply.status, reply.body) == (204, b"")
    assert client.get("/v1/tenants") == [] and client.get("/v1/logical-switches") == []
    for switch in client.world.switches.values():
        assert not switch.groups and {cookie >> 32 & 0xFFFF for cookie, _, _ in switch.rules.values()} == {0}
    assert client.ask("DELETE", "/v1/tenants/acme").status == 404


# Logical switches

def test_a_logical_switch_belongs_to_a_tenant_that_exists() -> None:
    client = a_client()
    assert client.ask("POST", "/v1/logical-switches", RED).json["mistakes"] == [
        {"path": "tenant", "error": "is missing"}]
    reply = client.ask("POST", "/v1/logical-switches", {**RED, "tenant": "acme"})
    assert (reply.status, reply.json["path"]) == (400, "tenant")
    client.ask("POST", "/v1/tenants", {"name": "acme"})
    reply = client.ask("POST", "/v1/logical-switches", {**RED, "tenant": "acme"})
    assert (reply.status, reply.headers["Location"]) == (201, "/v1/logical-switches/red")
    assert reply.json == client.get("/v1/logical-switches/red")


@pytest.mark.parametrize("change, path", [
    ({"name": "red"}, "name"),
    ({"datapath_id": "00000000000000a1"}, "datapath_id"),
    ({"ports": [a_port(1, 1, 1)]}, "ports[0].attach"),
    ({"ports": [a_port(1, 1, "s1-1")]}, "ports[0].attach"),
    ({"ports": [a_port(1, 2, 8)]}, "ports[0].attach"),
])
def test_what_contradicts_what_exists_is_409(change: dict[str, Any], path: str) -> None:
    client = with_red(1, 2)
    reply = client.ask("POST", "/v1/logical-switches", {**BLUE, "tenant": "acme", **change})
    assert (reply.status, reply.json["path"]) == (409, path)
    assert [row["name"] for row in client.get("/v1/logical-switches")] == ["red"]


def test_a_listener_may_not_be_in_the_way_of_hvproxys_own() -> None:
    client = a_client(taken=(Address.parse("ptcp:8080:127.0.0.1"),))
    red = {**RED, "listen": ["ptcp:7000:127.0.0.1", "ptcp:8080:0.0.0.0"]}
    reply = client.ask("POST", "/v1/tenants", {"name": "acme", "logical_switches": [red]})
    assert (reply.status, reply.json["path"]) == (409, "logical_switches[0].listen[1]")


def test_key_files_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    client = a_client()
    client.ask("POST", "/v1/tenants", {"name": "acme"})
    bad, locked = tmp_path / "bad.pem", tmp_path / "locked.pem"
    bad.write_text("no key")
    locked.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    for key, other, path in ((bad, bad, "tls"), (tmp_path / "missing", bad, "tls.private_key"),
                             (bad, tmp_path, "tls.certificate"), (locked, bad, "tls.private_key"),
                             ("/dev/zero", bad, "tls.private_key"), ("\0", bad, "tls.private_key")):
        tls = {"private_key": str(key), "certificate": str(other)}
        reply = client.ask("POST", "/v1/logical-switches", {**RED, "tenant": "acme", "tls": tls})
        assert (reply.status, reply.json["path"]) == (400, path)
    assert client.get("/v1/logical-switches") == []


def test_good_key_files_are_taken(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hvproxy")])
    now = datetime.now(UTC)
    certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
                   .serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(hours=1))
                   .sign(key, hashes.SHA256()))
    pem = tmp_path / "both.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    client = a_client()
    client.ask("POST", "/v1/tenants", {"name": "acme"})
    tls = {"private_key": str(pem), "certificate": str(pem), "ca": str(pem)}
    reply = client.ask("POST", "/v1/logical-switches", {**RED, "tenant": "acme", "tls": tls})
    assert (reply.status, reply.json["tls"]) == (201, tls)


def test_what_was_read_can_be_written_back() -> None:
    client = with_red(1, 2)
    switch = client.get("/v1/logical-switches/red")
    assert client.ask("PUT", "/v1/logical-switches/red", switch).status == 200
    port = client.get("/v1/logical-switches/red/ports/2")
    assert client.ask("PUT", "/v1/logical-switches/red/ports/2", port).status == 200
    assert client.get("/v1/logical-switches/red") == switch
    tenant = client.get("/v1/tenants/acme")
    assert client.ask("PUT", "/v1/tenants/acme", tenant).status == 200
    assert client.get("/v1/tenants") == [tenant]


def test_putting_a_logical_switch_creates_it_or_changes_it_in_place() -> None:
    client = with_red(1, 2)
    controller = Controller(client.world, "red")
    reply = client.ask("PUT", "/v1/logical-switches/blue", {**BLUE, "tenant": "acme"})
    assert (reply.status, reply.headers["Location"]) == (201, "/v1/logical-switches/blue")
    reply = client.ask("PUT", "/v1/logical-switches/red", {**RED, "ports": [
        {**a_port(1, 1, 1), "name": "web"}, a_port(3, 2, 3)]})
    assert reply.status == 200
    client.world.pass_time(1.0)
    assert states(client) == {1: "up", 3: "up"}
    client.world.run()
    told = [(m[8], int.from_bytes(m[16:20], "big")) for m in controller.messages if m[1] == of13.OFPT_PORT_STATUS]
    assert controller.closed is None
    assert {(of13.OFPPR_DELETE, 2), (of13.OFPPR_MODIFY, 1), (of13.OFPPR_ADD, 3)} <= set(told)


def test_controllers_and_listeners_change_in_place() -> None:
    client = a_client(1, 2)
    client.ask("POST", "/v1/tenants", {"name": "acme"})
    before = {**RED, "tenant": "acme", "controllers": ["tcp:127.0.0.1:6653", "tcp:127.0.0.1:6654"],
              "listen": ["ptcp:7001:127.0.0.1"]}
    assert client.ask("POST", "/v1/logical-switches", before).status == 201
    client.world.pass_time(1.0)
    controller = Controller(client.world, "red")
    assert client.get("/v1/logical-switches/red")["state"]["controllers"] == [
        {"address": "tcp:127.0.0.1:6653", "state": "connected", "role": "equal", "dialled": True},
        {"address": "tcp:127.0.0.1:6654", "state": "connecting", "role": None, "dialled": True}]
    client.world.commands.clear()
    after = {**before, "controllers": ["tcp:127.0.0.1:6654", "tcp:127.0.0.1:6655"], "listen": ["ptcp:7002:127.0.0.1"]}
    assert client.ask("PUT", "/v1/logical-switches/red", after).status == 200
    asked = [c for c in client.world.commands if isinstance(c, (Dial, StopDialing, Listen, StopListening))]
    assert asked == [StopDialing("red tcp:127.0.0.1:6653"), StopListening("red ptcp:7001:127.0.0.1"),
                     Dial("red tcp:127.0.0.1:6655", "tcp:127.0.0.1:6655"),
                     Listen("red ptcp:7002:127.0.0.1", "ptcp:7002:127.0.0.1")]
    assert controller.closed is not None
    assert client.get("/v1/logical-switches/red")["controllers"] == after["controllers"]


def test_another_datapath_id_makes_another_switch_which_begins_empty() -> None:
    client = with_red(1, 2)
    controller = Controller(client.world, "red")
    controller.send(a_flow_mod())
    client.world.run()
    assert client.get("/v1/logical-switches/red")["entries"] == 1
    reply = client.ask("PUT", "/v1/logical-switches/red", {**RED, "datapath_id": "0xa2"})
    client.world.run()
    assert not reply.arrived  # its listeners may not be closed yet
    client.clock.advance(0)
    client.world.pass_time(1.0)
    assert reply.status == 200 and reply.json["datapath_id"] == "00000000000000a2"
    assert controller.closed == "the logical switch was deleted"
    assert client.get("/v1/logical-switches/red")["entries"] == 0 and states(client) == {1: "up", 2: "up"}


def test_a_replacement_goes_on_when_the_client_has_left() -> None:
    client = with_red(1, 2)
    client.world.switches[1].hold_barriers = True
    reply = client.ask("PUT", "/v1/logical-switches/red", {**RED, "tables": 4})
    client.hang_up()
    client.world.switches[1].release()
    client.world.run()
    client.clock.advance(0)
    client.world.pass_time(1.0)
    assert not reply.arrived
    assert client.get("/v1/logical-switches/red")["tables"] == 4


def test_a_replacement_that_contradicts_others_changes_nothing() -> None:
    client = with_red(1, 2)
    client.ask("POST", "/v1/logical-switches", {**BLUE, "tenant": "acme"})
    before = client.get("/v1/logical-switches")
    for change in ({"datapath_id": "0xb1"}, {"ports": [a_port(5, 1, 2)]}, {"name": "green"}, {"tenant": "nobody"}):
        assert client.ask("PUT", "/v1/logical-switches/red", {**RED, **change}).status in (400, 409)
    assert client.get("/v1/logical-switches") == before


def test_deleting_a_logical_switch_leaves_its_tenant() -> None:
    client = with_red(1, 2)
    reply = client.ask("DELETE", "/v1/logical-switches/red")
    client.world.run()
    assert reply.status == 204 and client.get("/v1/tenants") == [{"name": "acme", "logical_switches": []}]
    assert client.ask("DELETE", "/v1/logical-switches/red").status == 404


# Ports

def test_a_port_is_created_bound_anew_and_deleted() -> None:
    client = with_red(1, 2)
    reply = client.ask("POST", "/v1/logical-switches/red/ports", a_port(7, 1, "s1-5"))
    assert (reply.status, reply.headers["Location"]) == (201, "/v1/logical-switches/red/ports/7")
    client.world.pass_time(1.0)
    port = client.get("/v1/logical-switches/red/ports/7")
    assert (port["state"], port["datapath"], port["port_no"]) == ("up", "0000000000000001", 5)
    assert client.ask("PUT", "/v1/logical-switches/red/ports/7", {"name": "p7", "attach": None}).status == 200
    assert client.get("/v1/logical-switches/red/ports/7")["why_down"] == "it is not attached"
    assert client.ask("PUT", "/v1/logical-switches/red/ports/8", {"name": "p8"}).status == 201
    client.world.switches[1].hold_barriers = True
    reply = client.ask("DELETE", "/v1/logical-switches/red/ports/1")
    client.world.run()
    assert not reply.arrived
    client.world.switches[1].release()
    client.world.run()
    assert reply.status == 204 and set(states(client)) == {2, 7, 8}


@pytest.mark.parametrize("method, number, body, status, path", [
    ("POST", "", a_port(1, 1, 5), 409, "number"),
    ("POST", "", {**a_port(9, 1, 5), "name": "p1"}, 409, "name"),
    ("POST", "", a_port(9, 1, 1), 409, "attach"),
    ("POST", "", {"name": "p9"}, 400, "number"),
    ("PUT", "/1", a_port(2, 1, 5), 400, "number"),
    ("PUT", "/0", {"name": "p"}, 404, ""),
    ("PUT", "/65280", {"name": "p"}, 404, ""),
    ("PUT", "/one", {"name": "p"}, 404, ""),
    ("PUT", "/1", [], 400, ""),
])
def test_a_port_that_cannot_be_is_refused(method: str, number: str, body: Any, status: int, path: str) -> None:
    client = with_red(1, 2)
    before = client.get("/v1/logical-switches/red/ports")
    reply = client.ask(method, f"/v1/logical-switches/red/ports{number}", body)
    assert (reply.status, reply.json["path"]) == (status, path)
    assert client.get("/v1/logical-switches/red/ports") == before


@pytest.mark.parametrize("path", [
    "/v1/tenants/none", "/v1/logical-switches/none", "/v1/logical-switches/none/ports", "/v1/datapaths/0x9",
    "/v1/logical-switches/none/flows", "/v1/logical-switches/none/groups", "/v1/logical-switches/none/meters",
    "/v1/datapaths/none", "/v1/datapaths/0x9/rules", "/v1/datapaths/0x9/groups", "/v1/logical-switches/red/ports/9"])
def test_what_does_not_exist_is_404_and_named(path: str) -> None:
    reply = with_red().ask("GET", path)
    assert reply.status == 404
    assert any(name in reply.json["error"] for name in ("none", "0000000000000009", "no port 9"))


# What is in it

def a_flow_mod() -> bytes:
    return build.flow_mod(9, of13.OFPFC_ADD, table_id=0, priority=5, match_tlvs=b"", cookie=0xABC,
                          instructions=build_instructions(Instructions(apply=actions.output(2))))


def test_entries_groups_and_meters_are_shown_with_what_the_switches_have_counted() -> None:
    client = with_red(1, 2)
    controller = Controller(client.world, "red")
    controller.send(a_flow_mod() + build.group_mod(8, of13.OFPGC_ADD, of13.OFPGT_ALL, 5, bucket(actions.output(1)))
                    + meter_mod(7, 100))
    client.world.run()
    (flow,) = client.get("/v1/logical-switches/red/flows")
    assert (flow["instructions"], flow["cookie"], flow["packets"]) == ("output:2", "0xabc", 0)
    (group,) = client.get("/v1/logical-switches/red/groups")
    assert (group["group_id"], group["buckets"], group["packets"]) == (5, ["actions=output:1"], 0)
    (meter,) = client.get("/v1/logical-switches/red/meters")
    assert (meter["meter_id"], meter["bands"], meter["packets"]) == (7, ["type=drop,rate=100,burst_size=100"], 0)


def test_the_fabric_is_shown() -> None:
    client = with_red(1, 2)
    assert [row["dpid"] for row in client.get("/v1/datapaths")] == ["0000000000000001", "0000000000000002"]
    assert client.get("/v1/datapaths/0x1") == client.get("/v1/datapaths/0000000000000001")
    assert len(client.get("/v1/datapaths/0x1/rules")) == client.get("/v1/datapaths/0x1")["rules"]
    assert len(client.get("/v1/datapaths/0x1/groups")) == client.get("/v1/datapaths/0x1")["groups"]
    assert client.get("/v1/links") == [{
        "a": {"dpid": "0000000000000001", "port": 8}, "b": {"dpid": "0000000000000002", "port": 8},
        "source": "configured", "kind": "vlan", "state": "up", "speed": None}]


# Traces

def test_a_trace_tells_what_becomes_of_a_frame_and_changes_nothing() -> None:
    client = with_red(1, 2)
    controller = Controller(client.world, "red")
    controller.send(build.flow_mod(9, of13.OFPFC_ADD, table_id=0, priority=5, match_tlvs=b"", cookie=0xABC,
                                   instructions=build_instructions(Instructions(apply=actions.output(2)))))
    client.world.run()
    sent = [len(switch.received_types) for switch in client.world.switches.values()]
    reply = client.ask("POST", "/v1/logical-switches/red/trace", {"port": 1, "frame": "udp,dl_dst=2:0:0:0:0:2"})
    assert reply.status == 200
    assert [out["port"] for out in reply.json["logical"]["out"]] == [2]
    assert [out["port"] for out in reply.json["physical"]["out"]] == [2] and reply.json["agree"] is True
    assert [len(switch.received_types) for switch in client.world.switches.values()] == sent


@pytest.mark.parametrize(("name", "body", "status", "path"), [
    ("red", {"port": 1, "frame": "tpc"}, 400, "frame"),
    ("red", {"port": 1, "frame": "abc"}, 400, "frame"),
    ("red", {"port": 1}, 400, "frame"),
    ("red", {"frame": "tcp"}, 400, "port"),
    ("red", {"port": "", "frame": "tcp"}, 400, "port"),
    ("red", {"port": 1, "frame": "tcp", "more": 1}, 400, "more"),
    ("red", {"port": 1, "frame": "0" * 40002}, 400, "frame"),
    ("red", {"port": 77, "frame": "tcp"}, 404, "port"),
    ("red", {"port": "p9", "frame": "tcp"}, 404, "port"),
    ("pink", {"port": 1, "frame": "tcp"}, 404, ""),
])
def test_what_cannot_be_traced_is_refused_with_its_place(name: str, body: object, status: int, path: str) -> None:
    reply = with_red(1, 2).ask("POST", f"/v1/logical-switches/{name}/trace", body)
    assert (reply.status, reply.json["path"]) == (status, path) and reply.json["error"]


def test_a_snapshot_is_a_file_and_a_logical_switch_goes_back_to_it() -> None:
    client = with_red(1, 2)
    file = client.ask("GET", "/v1/logical-switches/red/snapshot")
    assert file.status == 200 and file.headers["Content-Type"] == "application/octet-stream"
    assert client.send(rolled_back(file.body)).json == {"entries": 0, "groups": 0, "meters": 0, "ports": 0}
    damaged = client.send(rolled_back(file.body[:-1] + b"?"))
    assert damaged.status == 400 and "damaged" in damaged.json["error"]
    assert client.send(rolled_back(file.body, "text/plain")).status == 415
    assert client.ask("POST", "/v1/logical-switches/grey/clone", {"name": "x"}).status == 404


def test_a_clone_is_made_of_a_logical_switch() -> None:
    client = with_red(1, 2)
    made = client.ask("POST", "/v1/logical-switches/red/clone", {"name": "copy"})
    assert made.status == 201 and made.headers["Location"] == "/v1/logical-switches/copy"
    assert len(made.json["ports"]) == len(client.get("/v1/logical-switches/red")["ports"])
    again = client.ask("POST", "/v1/logical-switches/red/clone", {"name": "copy"})
    assert again.status == 409 and again.json["path"] == "name"


def rolled_back(body: bytes, kind: str = "application/octet-stream") -> bytes:
    return (f"POST /v1/logical-switches/red/rollback HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


# Drains

def test_a_switch_is_drained_and_used_again() -> None:
    client = with_red(1, 2)
    reply = client.ask("POST", "/v1/datapaths/0x1/drain", {"force": True})
    assert (reply.status, reply.json["state"], reply.json["force"]) == (200, "draining", True)
    client.world.pass_time(6.0)
    (row,) = client.get("/v1/datapaths/0x1/drain")
    assert row["state"] == "drained" and states(client) == {1: "down", 2: "up"}
    assert client.ask("POST", "/v1/datapaths/0x2/drain", {"logical_switch": "red"}).json["state"] == "stuck"
    assert client.ask("POST", "/v1/datapaths/0x2/drain", {"logical_switch": "blue"}).status == 404
    assert client.ask("POST", "/v1/datapaths/0x2/drain", {"forced": True}).status == 400
    assert client.ask("DELETE", "/v1/datapaths/0x2/drain/blue").status == 404
    assert client.ask("DELETE", "/v1/datapaths/0x2/drain/red").status == 204
    assert client.ask("DELETE", "/v1/datapaths/0x1/drain").status == 204
    client.world.pass_time(1.0)
    assert client.get("/v1/datapaths/0x1/drain") == [] and states(client) == {1: "up", 2: "up"}
