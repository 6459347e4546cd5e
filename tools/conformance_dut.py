"""The switch under test of tools/conformance: one logical switch, each of its ports on another edge of a VLAN fabric.

    conformance_dut.py up | down

The runners call it inside their network namespace. The environment says what they want: CF_DPID, CF_NPORTS, CF_PROTO,
CF_CTRL (a controller to dial) and CF_LISTEN (a TCP port to listen on). `up` starts Open vSwitch unless it runs, makes
edges and a core, starts `hvproxy serve` and prints, once the logical switch is ready with all ports up, what the
contract of the suites asks for: DPID, PORTS as "NUMBER:INTERFACE …" with the outer ends of the ports, LISTEN.
`down` takes all of this away again and leaves Open vSwitch running, which the runner may use for itself.
CF_SUITES is the suites' folder, whose lib.sh starts Open vSwitch.
"""
from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

EDGES = 4
CORE = 0x11
UPLINK = 100
SWITCHES_PORT, API_PORT = 6733, 6734
NAME = "cfdut"
"""Of the logical switch; the recorded answers of plain Open vSwitch name its bridge so, and its ports cfd1, cfd2 …"""
PATIENCE = 60.0
"""Seconds after which a condition that should have come counts as failed."""
FAILURE = "dut-failed"
"""A file in CF_OUT that says why `up` failed: the runners go on without a switch."""
OFFLOADS = ("rx", "off", "tx", "off", "tso", "off", "gso", "off", "gro", "off", "rxvlan", "off", "txvlan", "off")
LOCAL_HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Failed(Exception):
    """The switch under test could not be set up."""


@dataclass(frozen=True)
class Wanted:
    """What the runner wants."""

    dpid: int
    ports: int
    protocols: tuple[str, ...]
    controller: str | None
    listen: int | None

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Wanted:
        """From the variables of the contract."""
        listen = environment.get("CF_LISTEN")
        return cls(
            int(environment.get("CF_DPID", "c1"), 16), int(environment.get("CF_NPORTS", "4")),
            tuple(environment.get("CF_PROTO", "OpenFlow13").split(",")), environment.get("CF_CTRL") or None,
            int(listen) if listen else None)

    def place(self, port: int) -> tuple[int, int]:
        """(edge, port there) of a logical port: round robin."""
        return (port - 1) % EDGES + 1, (port - 1) // EDGES + 1

    def configuration(self) -> dict[str, object]:
        """hvproxy's."""
        ports: list[dict[str, object]] = [{"number": "LOCAL", "name": NAME}]  # as every bridge has; up in none
        for number in range(1, self.ports + 1):
            edge, port = self.place(number)
            ports.append({"number": number, "name": f"cfd{number}", "attach": {"datapath": edge, "port": port}})
        return {
            "switches": {"listen": [f"ptcp:{SWITCHES_PORT}:127.0.0.1"]},
            "fabric": {"encapsulation": "vlan", "discovery": False,
                       "links": [f"{edge:#x}:{UPLINK} - {CORE:#x}:{edge}" for edge in range(1, EDGES + 1)]},
            "api": {"listen": f"ptcp:{API_PORT}:127.0.0.1"},
            "store": "memory:",
            "tenants": [{"name": "conformance", "logical_switches": [{
                "name": NAME, "datapath_id": self.dpid, "tables": 254, "protocols": list(self.protocols),
                "controllers": [self.controller] if self.controller else [],
                "listen": [f"ptcp:{self.listen}:127.0.0.1"] if self.listen else [], "ports": ports,
            }]}],
        }

    def answer(self) -> str:
        """What the runner reads."""
        ports = " ".join(f"{number}:cft{number}" for number in range(1, self.ports + 1))
        listen = f"\nLISTEN=tcp:127.0.0.1:{self.listen}" if self.listen else ""
        return f'DPID={self.dpid:016x}\nPORTS="{ports}"{listen}'


class Fabric:
    """Edges and a core in the Open vSwitch of the runner's network namespace, and hvproxy beside them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._run_directory = Path(environment["OVS_RUNDIR"])
        self._results = Path(environment["CF_OUT"])
        self._suites = environment["CF_SUITES"]
        self._pid_file = self._run_directory / "hvproxy.pid"

    def up(self, wanted: Wanted) -> None:
        """Start everything and wait until it is ready."""
        self._command("bash", "-c", '. "$0/lib.sh" && ovs_start', self._suites)
        self.down()
        hvproxy = self._start_hvproxy(wanted)
        self._vsctl("set", "Open_vSwitch", ".", "other_config:vlan-limit=1")
        for edge in range(1, EDGES + 1):
            self._veth(f"cfu{edge}", f"cfc{edge}")
        for port in range(1, wanted.ports + 1):
            self._veth(f"cft{port}", f"cfd{port}")
        self._vsctl(*self._bridges(wanted))
        ready = f"http://127.0.0.1:{API_PORT}/readyz"
        ports = f"http://127.0.0.1:{API_PORT}/v1/logical-switches/{NAME}/ports"

        def is_ready() -> bool:
            if hvproxy.poll() is not None:
                raise Failed(f"hvproxy ended with status {hvproxy.returncode}:\n{self._log.read_text()[-2000:]}")
            try:
                with LOCAL_HTTP.open(ready, timeout=10), LOCAL_HTTP.open(ports, timeout=10) as answer:
                    return all(port["state"] == "up" for port in json.load(answer) if port["number"] != "LOCAL")
            except OSError:
                return False

        wait_until(is_ready, "hvproxy is not ready with all ports up; its log is hvproxy.log among the results")

    def down(self) -> None:
        """Take away what up() made, of this run or of one before it that was interrupted."""
        if self._pid_file.exists():
            end(int(self._pid_file.read_text()))
            self._pid_file.unlink()
        for bridge in (*(f"cfe{edge}" for edge in range(1, EDGES + 1)), "cfcore"):
            self._vsctl("--if-exists", "del-br", bridge)
        interfaces = json.loads(self._command("ip", "-json", "link", "show", "type", "veth") or "[]")
        for name in (each["ifname"] for each in interfaces):
            if name.startswith(("cft", "cfu")):
                self._command("ip", "link", "del", name)

    @property
    def _log(self) -> Path:
        return self._results / "hvproxy.log"

    def _start_hvproxy(self, wanted: Wanted) -> subprocess.Popen[bytes]:
        path = self._run_directory / "hvproxy.yaml"
        path.write_text(yaml.safe_dump(wanted.configuration()))
        with open(self._log, "wb") as log:
            process = subprocess.Popen(
                [str(Path(sys.executable).parent / "hvproxy"), "serve", str(path)], stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        self._pid_file.write_text(str(process.pid))
        return process

    def _bridges(self, wanted: Wanted) -> list[str]:
        """ovs-vsctl's arguments for all bridges and ports, in one transaction."""
        arguments: list[str] = []
        for bridge, dpid in (*((f"cfe{edge}", edge) for edge in range(1, EDGES + 1)), ("cfcore", CORE)):
            arguments += [
                "--", "add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev", "fail_mode=secure",
                "protocols=OpenFlow13", f"other_config:datapath-id={dpid:016x}", "other_config:disable-in-band=true",
                "controller=@" + bridge, "--", f"--id=@{bridge}", "create", "controller",
                f'target="tcp:127.0.0.1:{SWITCHES_PORT}"', "max_backoff=1000", "connection_mode=out-of-band"]
        places = [(f"cfe{edge}", f"cfu{edge}", UPLINK) for edge in range(1, EDGES + 1)]
        places += [("cfcore", f"cfc{edge}", edge) for edge in range(1, EDGES + 1)]
        for number in range(1, wanted.ports + 1):
            edge, port = wanted.place(number)
            places.append((f"cfe{edge}", f"cfd{number}", port))
        for bridge, interface, number in places:
            arguments += ["--", "add-port", bridge, interface, "--", "set", "interface", interface,
                          f"ofport_request={number}"]
        return arguments[1:]

    def _veth(self, outer: str, inner: str) -> None:
        self._command("ip", "link", "add", outer, "type", "veth", "peer", "name", inner)
        for name in (outer, inner):
            subprocess.run(["ethtool", "-K", name, *OFFLOADS], check=False, capture_output=True)
            self._command("ip", "link", "set", name, "up")

    def _vsctl(self, *arguments: str) -> str:
        return self._command("ovs-vsctl", f"--db=unix:{self._run_directory}/db.sock", "--timeout=30", *arguments)

    @staticmethod
    def _command(*command: str) -> str:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if result.returncode:
            raise Failed(f"{' '.join(command[:4])} …: {result.stderr.strip()}")
        return result.stdout


def wait_until(true: Callable[[], object], what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            raise Failed(what)
        time.sleep(0.05)


def end(pid: int) -> None:
    """End a process that another run of this program started."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(process, signal.SIGTERM)
        if not select.select([process], [], [], PATIENCE)[0]:
            raise Failed(f"hvproxy (process {pid}) does not end")
    except ProcessLookupError:
        return
    finally:
        os.close(process)


def main(arguments: list[str]) -> int:
    if arguments not in (["up"], ["down"]) or "CF_SUITES" not in os.environ:
        print("usage: tools/conformance-dut up|down, called by the runners that tools/conformance starts",
              file=sys.stderr)
        return 2
    fabric = Fabric(os.environ)
    try:
        if arguments == ["up"]:
            wanted = Wanted.read(os.environ)
            fabric.up(wanted)
            print(wanted.answer())
        else:
            fabric.down()
    except Failed as failure:
        print(f"tools/conformance-dut: {failure}", file=sys.stderr)
        (Path(os.environ["CF_OUT"]) / FAILURE).write_text(str(failure))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
