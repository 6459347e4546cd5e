"""VIFs named by iface-id, on real Open vSwitch and its database: they come, move, double, leave, and can be pinged."""
from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.system import ovs as ovs_module
from tests.system.network import wait_until
from tests.system.ovs import HVPROXY, PrivateOvs
from tests.system.test_tls import made

API, SWITCHES, RED = 8080, 6633, 16653
GARBAGE_PORT, WRONG_PORT = 6641, 6642


class Cloud:
    """Two bridges with a link, two hosts on the first one, hvproxy, and a logical switch that floods."""

    def __init__(self, ovs: PrivateOvs, grace: float = 20, more: tuple[str, ...] = (), local: bool = True,
                 **switches: Any) -> None:
        self.ovs = ovs
        ovs.add_bridge("s1", 1)
        ovs.add_bridge("s2", 2)
        ovs.add_link("s1", 9, "s2", 9)
        self.interfaces = {name: ovs.add_host(name, "s1", number, f"02:00:00:00:00:0{number}", f"10.0.0.{number}/24")
                           for name, number in (("a", 1), ("b", 2))}
        path = ovs.directory / "net.yaml"
        path.write_text(yaml.safe_dump({
            "switches": {"listen": [f"ptcp:{SWITCHES}:127.0.0.1"], "grace": grace,
                         "ovsdb": [*([f"unix:{ovs.directory}/db.sock"] if local else []), *more], **switches},
            "fabric": {"discovery": False, "links": ["0x1:9 - 0x2:9"]},
            "api": {"listen": f"ptcp:{API}:127.0.0.1"},
            "store": "memory:",
            "tenants": [{"name": "red", "logical_switches": [{
                "name": "red", "datapath_id": 0xA1, "listen": [f"ptcp:{RED}:127.0.0.1"],
                "ports": [{"number": number, "name": f"red{number}", "attach": {"iface_id": f"vm-{name}"}}
                          for name, number in (("a", 1), ("b", 2))],
            }]}],
        }))
        self.process = ovs.serve(path)
        for bridge in ("s1", "s2"):
            ovs.set_controllers(bridge, f"tcp:127.0.0.1:{SWITCHES}")
        wait_until(lambda: self.answers("/readyz"), "hvproxy is not ready")
        wait_until(lambda: self.ovs.run("ovs-ofctl", "-O", "OpenFlow13", "add-flow", f"tcp:127.0.0.1:{RED}",
                                        "actions=flood", check=False).returncode == 0, "red takes no entry")

    def text(self, path: str) -> str:
        return self.ovs.fetch(f"http://127.0.0.1:{API}{path}")

    def answers(self, path: str) -> bool:
        try:
            return bool(self.text(path))
        except OSError:
            return False

    def ports(self) -> list[tuple[str, str | None]]:
        """State and datapath of red's ports."""
        return [(port["state"], port["datapath"] and port["datapath"][-1])
                for port in json.loads(self.text("/v1/logical-switches/red/ports"))]

    def wait_for(self, *ports: tuple[str, str | None]) -> None:
        try:
            wait_until(lambda: self.ports() == list(ports), "the ports do not get there")
        except TimeoutError:
            print(self.ports(), self.text("/v1/databases"))
            raise

    @property
    def log(self) -> str:
        return self.ovs.said

    def name(self, interface: str, iface_id: str) -> None:
        self.ovs.vsctl("set", "interface", interface, f"external_ids:iface-id={iface_id}")

    def move(self, interface: str, source: str, target: str, iface_id: str) -> None:
        """One transaction, as a migration that nobody sees half of."""
        self.ovs.vsctl("del-port", source, interface, "--", "add-port", target, interface,
                       "--", "set", "interface", interface, f"external_ids:iface-id={iface_id}")

    def pings(self, address: str = "10.0.0.2") -> bool:
        return self.ovs.run("ping", "-c1", "-W1", address, host="a", check=False).returncode == 0

    def wait_for_pings(self, address: str = "10.0.0.2") -> None:
        wait_until(lambda: self.pings(address), "nothing is forwarded")

    def alarms(self, what: str) -> float:
        return sum(float(line.rsplit(" ", 1)[1]) for line in self.text("/metrics").splitlines()
                   if line.startswith("hvproxy_alarms_total") and what in line)


@pytest.fixture
def ovs() -> Iterator[PrivateOvs]:
    ovs_module.require()
    with PrivateOvs() as private:
        yield private


def test_a_vif_comes_moves_doubles_and_leaves(ovs: PrivateOvs) -> None:
    cloud = Cloud(ovs)
    a, b = cloud.interfaces["a"], cloud.interfaces["b"]
    assert cloud.ports() == [("down", None), ("down", None)] and not cloud.pings()
    cloud.name(a, "vm-a")
    cloud.name(b, "vm-b")
    cloud.wait_for(("up", "1"), ("up", "1"))
    cloud.wait_for_pings()
    before = json.loads(cloud.text("/v1/logical-switches/red/ports"))

    cloud.move(b, "s1", "s2", "vm-b")
    cloud.wait_for(("up", "1"), ("up", "2"))
    cloud.wait_for_pings()
    after = json.loads(cloud.text("/v1/logical-switches/red/ports"))
    assert [port["hw_addr"] for port in after] == [port["hw_addr"] for port in before]
    assert len(json.loads(cloud.text("/v1/logical-switches/red/flows"))) == 1

    other = ovs.add_host("c", "s1", 3, "02:00:00:00:00:03", "10.0.0.3/24")
    cloud.name(other, "vm-b")
    wait_until(lambda: cloud.alarms("two VIFs with one iface-id") == 1, "nobody says that there are two")
    assert cloud.ports() == [("up", "1"), ("up", "2")]
    cloud.wait_for_pings()
    ovs.vsctl("del-port", "s2", b)
    cloud.wait_for(("up", "1"), ("up", "1"))
    cloud.wait_for_pings("10.0.0.3")
    ovs.vsctl("remove", "interface", other, "external_ids", "iface-id")
    cloud.wait_for(("up", "1"), ("down", None))
    assert "Traceback" not in cloud.log


def test_a_database_that_is_started_anew_costs_nothing(ovs: PrivateOvs) -> None:
    cloud = Cloud(ovs)
    for name in ("a", "b"):
        cloud.name(cloud.interfaces[name], f"vm-{name}")
    cloud.wait_for(("up", "1"), ("up", "1"))
    monitor = ovs.spawn("ovs-ofctl", "-O", "OpenFlow13", "monitor", f"tcp:127.0.0.1:{RED}", log="monitor.log")
    wait_until(lambda: '"state": "connected"' in cloud.text("/v1/logical-switches/red").replace('":"', '": "'),
               "the controller is not there")
    # No ping while it is away: Open vSwitch's userspace datapath itself stands still without its database.
    ovs.stop_database()
    wait_until(lambda: "database lost" in cloud.log, "nobody says that the database is gone")
    ovs.start_database()
    wait_until(lambda: cloud.log.count("database ready") == 2, "the database is not back")
    cloud.wait_for_pings()
    wait_until(lambda: [bridge["dpid"] for row in json.loads(cloud.text("/v1/databases"))
                        for bridge in row["bridges"]] == ["0000000000000001", "0000000000000002"],
               "Open vSwitch does not say again what its datapath ids are")
    assert monitor.poll() is None and "PORT_STATUS" not in (ovs.directory / "monitor.log").read_text()
    cloud.move(cloud.interfaces["b"], "s1", "s2", "vm-b")
    cloud.wait_for(("up", "1"), ("up", "2"))
    cloud.wait_for_pings()
    states = ovs.run("ovs-ofctl", "-O", "OpenFlow13", "dump-ports-desc", f"tcp:127.0.0.1:{RED}").stdout
    assert "red1" in states and "LINK_DOWN" not in states


def test_vifs_of_a_database_that_stays_away_go_after_the_grace(ovs: PrivateOvs) -> None:
    cloud = Cloud(ovs, grace=2)
    cloud.name(cloud.interfaces["a"], "vm-a")
    cloud.wait_for(("up", "1"), ("down", None))
    ovs.stop_database()
    cloud.wait_for(("down", None), ("down", None))
    assert "database absent" in cloud.log
    ovs.start_database()
    cloud.wait_for(("up", "1"), ("down", None))


@pytest.mark.parametrize("address", ["ssl", "tcp"])
def test_a_database_is_reached_over_the_network(ovs: PrivateOvs, tmp_path: Path, address: str) -> None:
    ours, other = made(tmp_path, "ours"), made(tmp_path, "other")
    certificate, key = ours.files("switch")
    ovs.stop_database()
    ovs.start_database(f"--remote=p{address}:6640:127.0.0.1", f"--private-key={key}", f"--certificate={certificate}",
                       f"--ca-cert={ours.ca}")
    own, own_key = ours.files("hvproxy")
    cloud = Cloud(ovs, more=(f"{address}:127.0.0.1",), local=False,
                  tls={"private_key": own_key, "certificate": own, "ca": ours.ca})
    cloud.name(cloud.interfaces["a"], "vm-a")
    cloud.wait_for(("up", "1"), ("down", None))
    if address == "tcp":
        return
    ovs.stop_database()
    certificate, key = other.files("switch")
    ovs.start_database("--remote=pssl:6640:127.0.0.1", f"--private-key={key}", f"--certificate={certificate}",
                       f"--ca-cert={ours.ca}")
    wait_until(lambda: "TLS handshake failed" in cloud.log, "a database of another authority is not refused")
    (row,) = json.loads(cloud.text("/v1/databases"))
    assert row["state"] == "lost" and cloud.ports() == [("up", "1"), ("down", None)]


def test_databases_that_send_garbage_harm_nobody(ovs: PrivateOvs) -> None:
    for port, answer in ((GARBAGE_PORT, b"\x00\xffGET / HTTP/1.1\r\n\r\n"),
                         (WRONG_PORT, b'{"id":"monitor","error":null,"result":{"Bridge":{"x":7}}}')):
        server = ovs.inside(lambda port=port: socket.create_server(("127.0.0.1", port)))  # type: ignore[misc]
        threading.Thread(target=answer_all, args=(server, answer), daemon=True).start()
    cloud = Cloud(ovs, more=(f"tcp:127.0.0.1:{GARBAGE_PORT}", f"tcp:127.0.0.1:{WRONG_PORT}"), grace=2)
    for name in ("a", "b"):
        cloud.name(cloud.interfaces[name], f"vm-{name}")
    cloud.wait_for(("up", "1"), ("up", "1"))
    cloud.wait_for_pings()
    wait_until(lambda: cloud.alarms("a database session ended by a fault") >= 6, "they are not dialled again")
    cloud.move(cloud.interfaces["b"], "s1", "s2", "vm-b")
    cloud.wait_for(("up", "1"), ("up", "2"))
    cloud.wait_for_pings()
    assert cloud.process.poll() is None
    told = {row["address"]: row["fault"] for row in json.loads(cloud.text("/v1/databases"))}
    assert told[f"tcp:127.0.0.1:{GARBAGE_PORT}"] == "it does not send JSON objects"
    assert told[f"tcp:127.0.0.1:{WRONG_PORT}"] == "a UUID expected, got 'x'"
    assert cloud.log.count("it does not send JSON objects") == 1 and "Traceback" not in cloud.log


def answer_all(server: socket.socket, answer: bytes) -> None:
    """Send the same to everybody who connects, and wait until they have had enough."""
    while True:
        connection, _ = server.accept()
        with connection, suppress(OSError):  # whom it does not please may cut it off
            connection.sendall(answer)
            while connection.recv(65536):
                pass


@pytest.mark.parametrize("configure", [False, True])
def test_settings_are_told_and_only_on_demand_changed(ovs: PrivateOvs, configure: bool) -> None:
    cloud = Cloud(ovs, configure_bridges=configure)
    ovs.vsctl("set-fail-mode", "s1", "standalone", "--", "set", "open_vswitch", ".", "other_config:vlan-limit=2")
    ovs.vsctl("add-br", "foreign", "--", "set", "bridge", "foreign", "datapath_type=netdev")
    wait_until(lambda: cloud.alarms("a bridge is not set as hvproxy needs it") == 3, "nobody says what is wrong")
    assert "bridge=foreign" not in cloud.log

    def settings() -> list[list[str]]:
        return [row["settings"] for row in json.loads(cloud.text("/v1/datapaths"))]

    if configure:
        wait_until(lambda: settings() == [[], []], "the settings are not as they should be")
        assert ovs.vsctl("get-fail-mode", "s1").strip() == "secure"
        assert ovs.vsctl("get", "open_vswitch", ".", "other_config:vlan-limit").strip() == '"1"'
        assert ovs.vsctl("get-fail-mode", "foreign").strip() == ""
        # Databases tell what has changed before they answer who has changed it.
        wait_until(lambda: cloud.log.count("a bridge was set as hvproxy needs it") == 3, "all three were set once")
        return
    assert settings() == [
        ["fail_mode=standalone (needs secure)", "other_config:vlan-limit=2 (needs 1)"],
        ["other_config:vlan-limit=2 (needs 1)"]]
    shown = ovs.run(HVPROXY, "show", "switches").stdout
    assert "fail_mode=standalone (needs secure)" in shown
    assert ovs.vsctl("get-fail-mode", "s1").strip() == "standalone"
