"""On real Open vSwitch a controller connects hosts that is told the beginning of packets only, and names buffers."""
from __future__ import annotations

import sys

import yaml

from tests.system.echoes import answered
from tests.system.network import ROOT, wait_until
from tests.system.ovs import PrivateOvs, require

SWITCH_PORT, CONTROLLER_PORT, LISTEN_PORT = 6633, 7001, 16653
HOSTS = {1: "one", 2: "two", 3: "three"}
AT = {1: (1, 1), 2: (2, 1), 3: (1, 2)}
"""Logical port -> bridge and port."""
COUNT = 20
WAIT = 30.0
"""Seconds for the answer to the last one."""


def build(ovs: PrivateOvs) -> None:
    """Two bridges, three hosts, hvproxy and the controller."""
    path = ovs.directory / "hvproxy.yaml"
    path.write_text(yaml.safe_dump({
        "switches": {"listen": [f"ptcp:{SWITCH_PORT}:127.0.0.1"]},
        "fabric": {"discovery": False, "links": ["0x1:9 - 0x2:9"]},
        "store": "memory:",
        "tenants": [{"name": "red", "logical_switches": [{
            "name": "red", "datapath_id": 0xA1, "buffers": 8, "controllers": [f"tcp:127.0.0.1:{CONTROLLER_PORT}"],
            "listen": [f"ptcp:{LISTEN_PORT}:127.0.0.1"],
            "ports": [{"number": n, "name": f"p{n}", "attach": {"datapath": at[0], "port": at[1]}}
                      for n, at in AT.items()]}]}],
    }))
    ovs.serve(path)
    for dpid in (1, 2):
        ovs.add_bridge(f"s{dpid}", dpid)
    ovs.add_link("s1", 9, "s2", 9)
    for number, (dpid, port) in AT.items():
        ovs.add_host(HOSTS[number], f"s{dpid}", port, f"02:00:00:00:00:0{number}", f"10.0.0.{number}/24")
    for dpid in (1, 2):
        ovs.set_controllers(f"s{dpid}", f"tcp:127.0.0.1:{SWITCH_PORT}")


def entries(ovs: PrivateOvs) -> str:
    """What the tenant has installed."""
    return ovs.run("ovs-ofctl", "-O", "OpenFlow13", "dump-flows", f"tcp:127.0.0.1:{LISTEN_PORT}", check=False).stdout


def test_a_learning_switch_works_with_buffers_alone() -> None:
    require()
    with PrivateOvs() as ovs:
        build(ovs)
        controller = ovs.spawn(
            sys.executable, str(ROOT / "tools/ryu-run"), "--ofp-tcp-listen-port", str(CONTROLLER_PORT),
            "--ofp-listen-host", "127.0.0.1", str(ROOT / "tests/system/buffering_app.py"), log="controller.log")
        wait_until(lambda: "CONTROLLER:14" in entries(ovs), "the controller sets up its switch")
        for number, (here, there) in enumerate(((1, 2), (3, 2), (1, 3)), 1):
            # The first one alone: a controller that has no turn for a moment would else have more packets than buffers.
            for count in (1, COUNT):
                came = answered(ovs, HOSTS[here], f"10.0.0.{there}", count, 0.05, WAIT, length=1000)
                assert came == count, (ovs.directory / "controller.log").read_text()
                assert entries(ovs).count("priority=1,") == 2 * number, "both ways of each pair"
        assert controller.poll() is None, (ovs.directory / "controller.log").read_text()
        assert "Traceback" not in ovs.said
