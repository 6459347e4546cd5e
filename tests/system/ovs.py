"""A private Open vSwitch for system tests: everything of it in network namespaces and a temporary directory.

    with PrivateOvs() as ovs:
        ovs.add_bridge("s1", dpid=1, controllers=["tcp:127.0.0.1:6633"])
        ovs.add_bridge("s2", dpid=2, controllers=["tcp:127.0.0.1:6633"])
        ovs.add_link("s1", 9, "s2", 9)                                  # a veth pair; add_patch() is the other kind
        ovs.add_host("h1", "s1", 1, "02:00:00:00:00:01", "10.0.0.1/24") # a namespace of its own
        ovs.serve(ovs.directory / "net.yaml")                           # hvproxy beside them, same 127.0.0.1
        ovs.run("ping", "-c1", "10.0.0.2", host="h1")
        ovs.forget_flows()                                              # no stale cached flows from here on

ovsdb-server, ovs-vswitchd and all that spawn() starts run in one network namespace, so 127.0.0.1 is theirs alone:
two userspace switches in one namespace would fight over the device `ovs-netdev`. A test that wants to talk to them
from its own process makes its sockets with `inside(function)`, which runs a function in a thread that has entered
the namespace; a socket stays where it was made. Bridges use the userspace datapath in secure fail mode. The end of
the block stops every process and removes every namespace and file; KEEP=1 in the environment leaves them, and says
where. `missing()` tells why all of this is impossible on a machine.
"""
from __future__ import annotations

import ctypes
import errno
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import TypeVar

import pytest

from tests.system import said

HVPROXY = str(Path(sys.executable).parent / "hvproxy")
SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
PROGRAMS = ("ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl", "ip", "ethtool")
CLONE_NEWNET = 0x40000000
OFFLOADS = ("rx", "off", "tx", "off", "sg", "off", "tso", "off", "gso", "off", "gro", "off", "rxvlan", "off",
            "txvlan", "off")
SOL_PACKET, PACKET_AUXDATA, TAG_VALID = 263, 8, 0x10
AUXDATA = Struct("=IIIHHHH")
SERIAL = itertools.count(1)
PATIENCE = 120
"""Seconds that a busy machine may take over what a program is asked."""
TURNS = 5
"""Turns of ovs-vswitchd's thread without a waiting frame: more than the bridges on the longest way."""
Result = TypeVar("Result")


def missing() -> str | None:
    """Why a private switch cannot be started here, or None."""
    if os.geteuid() != 0:
        return "root is needed for network namespaces"
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent or not SCHEMA.exists():
        return f"Open vSwitch is not installed: {', '.join(absent) or SCHEMA}"
    return None


def require() -> None:
    """Skip the test where no switch can be started; on CI that is a failure."""
    why = missing()
    if why is not None and os.environ.get("CI") == "true":
        pytest.fail(why)
    if why is not None:
        pytest.skip(why)


def received(raw: socket.socket) -> list[bytes]:
    """The frames that have arrived at a packet socket since the last call.

    The kernel takes the outermost VLAN tag off before a packet socket sees the frame; here it is put back.
    """
    frames: list[bytes] = []
    while True:
        try:
            frame, extras, _, address = raw.recvmsg(65536, 256)
        except BlockingIOError:
            return frames
        except OSError as error:
            if error.errno != errno.ENETDOWN:
                raise
            continue  # told once after the interface went down
        if address[2] == socket.PACKET_OUTGOING:
            continue
        for level, kind, data in extras:
            if level == SOL_PACKET and kind == PACKET_AUXDATA:
                status, _, _, _, _, tci, tpid = AUXDATA.unpack_from(data)
                if status & TAG_VALID:
                    frame = frame[:12] + (tpid or 0x8100).to_bytes(2, "big") + tci.to_bytes(2, "big") + frame[12:]
        frames.append(frame)


class PrivateOvs:
    """Context manager around one ovs-vswitchd with its bridges, hosts and whatever runs beside them."""

    def __init__(self) -> None:
        self.namespace = f"hvo{os.getpid()}-{next(SERIAL)}"
        """The network namespace of the switches."""
        self.directory = Path()
        """For sockets, logs and the data base; a test may put its files there too."""
        self._children: list[subprocess.Popen[bytes]] = []
        self._database: subprocess.Popen[bytes] | None = None
        self._switches: subprocess.Popen[bytes] | None = None
        self._hosts: dict[str, str] = {}
        self._interfaces = itertools.count(1)
        self._attached: set[int] = set()
        """Indexes of the interfaces that are ports of a bridge."""

    def __enter__(self) -> PrivateOvs:
        self.directory = Path(tempfile.mkdtemp(prefix="hvovs"))
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    # What runs beside the switches.

    def run(self, *command: str, host: str | None = None, check: bool = True,
            timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Run a command to its end beside the switches, or on a host; its output is in the result."""
        return subprocess.run(self._placed(host, command), env=self.environment(), check=check, text=True,
                              capture_output=True, timeout=timeout)

    def spawn(self, *command: str, host: str | None = None, log: str | None = None) -> subprocess.Popen[bytes]:
        """Start a command beside the switches, or on a host; it is ended with the block.

        Its output goes to the file `log` in the directory.
        """
        output = open(self.directory / (log or f"{Path(command[0]).name}{len(self._children)}.log"), "wb")
        with output:
            child = subprocess.Popen(self._placed(host, command), env=self.environment(), stdin=subprocess.DEVNULL,
                                     stdout=output, stderr=subprocess.STDOUT)
        self._children.append(child)
        return child

    def serve(self, configuration: Path, *options: str, host: str | None = None,
              log: str = "hvproxy.log") -> subprocess.Popen[bytes]:
        """Start hvproxy; what it says is told of a test that fails."""
        said.noted(self.directory / log)
        return self.spawn(HVPROXY, "serve", str(configuration), *options, host=host, log=log)

    @property
    def said(self) -> str:
        """What hvproxy has said since it was started last."""
        log = self.directory / "hvproxy.log"
        return log.read_text() if log.exists() else ""

    def fetch(self, url: str, host: str | None = None, method: str = "GET", body: bytes | None = None,
              timeout: float = 30) -> str:
        """What an HTTP server says beside the switches, or on a host; a body is JSON."""
        headers = {} if body is None else {"Content-Type": "application/json"}
        request = urllib.request.Request(url, body, headers, method=method)

        def ask() -> str:
            with urllib.request.urlopen(request, timeout=timeout) as reply:
                text: str = reply.read().decode()
                return text
        return self.inside(ask, host)

    def inside(self, function: Callable[[], Result], host: str | None = None) -> Result:
        """Call a function in the switches' network namespace, or in a host's; what it makes there stays there."""
        results: list[Result] = []
        errors: list[BaseException] = []

        def enter() -> None:
            try:
                with open(f"/run/netns/{self._hosts[host] if host else self.namespace}", "rb") as handle:
                    if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                results.append(function())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def listener(self, port: int = 0) -> socket.socket:
        """A TCP socket that listens on 127.0.0.1 beside the switches."""
        def listen() -> socket.socket:
            made = socket.create_server(("127.0.0.1", port))
            made.setblocking(False)
            return made
        return self.inside(listen)

    def connection(self, port: int) -> socket.socket:
        """A TCP connection to a server beside the switches."""
        return self.inside(lambda: socket.create_connection(("127.0.0.1", port), PATIENCE))

    def raw(self, interface: str) -> socket.socket:
        """A packet socket, not blocking, at an interface beside the switches: see add_port() and received()."""
        def bind() -> socket.socket:
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            made.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            made.bind((interface, 0))
            made.setblocking(False)
            return made
        return self.inside(bind)

    # The switches.

    def vsctl(self, *arguments: str) -> str:
        """Run ovs-vsctl."""
        place = f"--db=unix:{self.directory}/db.sock"  # which is there before anybody listens
        return self.run("ovs-vsctl", place, "--retry", f"--timeout={PATIENCE}", *arguments).stdout

    def ofctl(self, command: str, bridge: str, *arguments: str, check: bool = True) -> str:
        """Run ovs-ofctl over OpenFlow 1.3."""
        return self.run("ovs-ofctl", "-O", "OpenFlow13", command, f"unix:{self.management(bridge)}", *arguments,
                        check=check).stdout

    def management(self, bridge: str) -> Path:
        """The bridge's own OpenFlow socket."""
        return self.directory / f"{bridge}.mgmt"

    def control(self, method: str, *parameters: str) -> str:
        """What ovs-appctl does, at a thousandth of its price."""
        path = next(self.directory.glob("ovs-vswitchd.*.ctl"))
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(path))
            request = {"id": 0, "method": method, "params": list(parameters)}
            connection.sendall(json.dumps(request).encode())
            text = ""
            while True:
                chunk = connection.recv(65536)
                if not chunk:
                    raise ConnectionError("ovs-vswitchd closed its control socket")
                text += chunk.decode()
                try:
                    answer = json.loads(text)
                except json.JSONDecodeError:
                    continue
                if answer.get("error"):
                    raise RuntimeError(answer["error"])
                return str(answer["result"])

    def add_bridge(self, name: str, dpid: int | None = None, controllers: list[str] | None = None,
                   protocols: str = "OpenFlow13") -> None:
        """A bridge, which dials the controllers if there are any."""
        self.vsctl("add-br", name, "--", "set", "bridge", name, "datapath_type=netdev", "fail_mode=secure",
                   f"protocols={protocols}", "other_config:disable-in-band=true", "other_config:mac-table-size=512",
                   *([f"other_config:datapath-id={dpid:016x}"] if dpid is not None else []))
        self._wait(self.management(name))
        if controllers:
            self.set_controllers(name, *controllers)

    def set_controllers(self, bridge: str, *controllers: str) -> None:
        """What a bridge dials from now on, at least once a second; nothing for none."""
        if not controllers:
            self.vsctl("del-controller", bridge)
            return
        command: list[str] = []
        for index, target in enumerate(controllers):
            quoted = json.dumps(target)
            command += ["--", f"--id=@c{index}", "create", "controller", f"target={quoted}", "max_backoff=1000",
                        "connection_mode=out-of-band"]
        names = ",".join(f"@c{index}" for index in range(len(controllers)))
        self.vsctl(*command[1:], "--", "set", "bridge", bridge, f"controller=[{names}]")

    def add_port(self, bridge: str, number: int) -> str:
        """A port whose other end is an interface beside the switches; the name of that interface."""
        inner, outer = self._veth()
        self._attach(bridge, number, inner)
        return outer

    def add_link(self, bridge_a: str, port_a: int, bridge_b: str, port_b: int) -> tuple[str, str]:
        """A veth pair between two bridges; its interfaces, to be set down and up with set_interface()."""
        first, second = self._veth()
        self._attach(bridge_a, port_a, first)
        self._attach(bridge_b, port_b, second)
        return first, second

    def add_patch(self, bridge_a: str, port_a: int, bridge_b: str, port_b: int) -> None:
        """A pair of patch ports between two bridges."""
        serial = next(self._interfaces)
        first, second = f"pa{serial}", f"pb{serial}"
        for bridge, port, name, peer in ((bridge_a, port_a, first, second), (bridge_b, port_b, second, first)):
            self.vsctl("add-port", bridge, name, "--", "set", "interface", name, "type=patch",
                       f"options:peer={peer}", f"ofport_request={port}")

    def add_host(self, name: str, bridge: str, port: int, mac: str, address: str, mtu: int = 1500) -> str:
        """A host: a network namespace with one interface `eth0`, all offloads off, so that checksums are real; the
        name of the interface at the bridge."""
        self.add_bare_host(name)
        namespace = self._hosts[name]
        inner, outer = self._veth()
        self.run("ip", "link", "set", outer, "netns", namespace, "name", "eth0")
        for command in (("ip", "link", "set", "lo", "up"),
                        ("ip", "link", "set", "eth0", "address", mac, "mtu", str(mtu)),
                        ("ip", "address", "add", address, "dev", "eth0"), ("ip", "link", "set", "eth0", "up")):
            self.run(*command, host=name)
        for kind in ("mcast", "ucast"):  # once a second, so that nobody is given up while a switch is held
            self.run("sysctl", "-qw", f"net.ipv4.neigh.eth0.{kind}_solicit=30", host=name)
        self.run("ethtool", "-K", "eth0", *OFFLOADS, host=name, check=False)
        self._attach(bridge, port, inner)
        return inner

    def add_bare_host(self, name: str) -> None:
        """A network namespace without an interface."""
        namespace = f"{self.namespace}-{name}"
        subprocess.run(["ip", "netns", "add", namespace], check=True)
        self._hosts[name] = namespace
        self._quiet(namespace)

    def namespace_of(self, host: str) -> str:
        """The network namespace of a host."""
        return self._hosts[host]

    def set_interface(self, interface: str, up: bool) -> None:
        """Set an interface beside the switches down or up; its peer loses or gains the carrier."""
        self.run("ip", "link", "set", interface, "up" if up else "down")

    def note_port(self, interface: str) -> None:
        """An interface is a port of a bridge: frames that have come there count for frames_waiting()."""
        self._attached.add(self.inside(lambda: socket.if_nametoindex(interface)))

    def frames_waiting(self) -> bool:
        """Whether a frame has come to a port and ovs-vswitchd has not taken it yet, or is still on a wire to one.

        Its one thread takes frames and carries them on before it answers a barrier, so a frame that has come through
        a row of bridges is out after as many empty looks with a barrier after each.
        """
        with open("/proc/net/softnet_stat") as processors:  # of all namespaces: what a wire has not delivered yet
            if any(int(row[11], 16) for row in map(str.split, processors) if len(row) > 11):
                return True
        with open(f"/proc/{self._children[0].pid}/net/packet") as sockets:
            rows = [line.split() for line in sockets.readlines()[1:]]
        return any(int(row[4]) in self._attached and row[6] != "0" for row in rows)

    def carry_on(self) -> None:
        """Return when every frame that has come to a port is out of the last bridge on its way."""
        turns, deadline = 0, time.monotonic() + PATIENCE
        while turns < TURNS:
            turns = 0 if self.frames_waiting() else turns + 1
            self.control("version")  # answered by the thread that carries frames, once in each of its turns
            if time.monotonic() > deadline:
                raise TimeoutError("frames do not come through")

    def forget_flows(self) -> None:
        """Have ovs-vswitchd look up every frame from now on, which a purge alone does not: it passes over a flow that
        another thread is just looking at. No frame may come meanwhile."""
        deadline = time.monotonic() + PATIENCE
        self.control("revalidator/purge")
        while self.control("dpctl/dump-flows").strip():
            if time.monotonic() > deadline:
                raise TimeoutError("flows stay cached")
            self.control("revalidator/purge")

    def environment(self) -> dict[str, str]:
        """The environment in which Open vSwitch's tools find this one."""
        place = str(self.directory)
        return {**os.environ, "OVS_RUNDIR": place, "OVS_DBDIR": place, "OVS_LOGDIR": place}

    def start_database(self, *options: str) -> None:
        """Start ovsdb-server, also again after stop_database()."""
        remote = self.directory / "db.sock"
        self._database = self.spawn("ovsdb-server", str(self.directory / "conf.db"), f"--remote=punix:{remote}",
                                    *options, log="ovsdb-server.log")
        self._wait(remote)

    def stop_database(self) -> None:
        """End ovsdb-server; the switch goes on."""
        assert self._database is not None
        self._database.terminate()
        self._database.wait(PATIENCE)
        (self.directory / "db.sock").unlink(missing_ok=True)

    def kill_switches(self) -> None:
        """Kill ovs-vswitchd: every bridge is gone with all it held."""
        assert self._switches is not None
        self._switches.kill()
        self._switches.wait(PATIENCE)

    @contextmanager
    def hung_switches(self) -> Iterator[None]:
        """ovs-vswitchd does nothing as long as the block lasts, and closes none of its connections."""
        assert self._switches is not None
        self._switches.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._switches.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End every process and remove every namespace and file."""
        said.forgotten(self.directory)
        if os.environ.get("KEEP") == "1":
            print(f"kept: namespaces {[self.namespace, *self._hosts.values()]}, files in {self.directory}")
            return
        for child in reversed(self._children):
            if child.poll() is None:
                child.terminate()
                try:
                    child.wait(10)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait(10)
        for namespace in (*self._hosts.values(), self.namespace):
            subprocess.run(["ip", "netns", "del", namespace], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _start(self) -> None:
        subprocess.run(["ip", "netns", "add", self.namespace], check=True)
        self._quiet(self.namespace)
        self.run("ip", "link", "set", "lo", "up")
        self.run("ovsdb-tool", "create", str(self.directory / "conf.db"), str(SCHEMA))
        self.start_database()
        self.vsctl("--no-wait", "init")
        self.start_switches()

    def start_switches(self) -> None:
        """Start ovs-vswitchd with all bridges, also again after kill_switches()."""
        for stale in self.directory.glob("ovs-vswitchd.*.ctl"):
            stale.unlink()
        self._switches = self.spawn("ovs-vswitchd", f"unix:{self.directory / 'db.sock'}", log="ovs-vswitchd.log")
        deadline = time.monotonic() + PATIENCE
        while not any(self.directory.glob("ovs-vswitchd.*.ctl")):
            if time.monotonic() > deadline:
                raise TimeoutError("ovs-vswitchd did not start")
            time.sleep(0.02)

    def _quiet(self, namespace: str) -> None:
        """No IPv6 addresses, so that nobody sends what no test asked for."""
        for scope in ("all", "default"):
            subprocess.run(["ip", "netns", "exec", namespace, "sysctl", "-qw", f"net.ipv6.conf.{scope}.disable_ipv6=1"],
                           check=False, stderr=subprocess.DEVNULL)

    def _veth(self) -> tuple[str, str]:
        serial = next(self._interfaces)
        names = (f"v{serial}", f"e{serial}")
        self.run("ip", "link", "add", names[0], "type", "veth", "peer", "name", names[1])
        for name in names:
            self.run("ethtool", "-K", name, *OFFLOADS, check=False)
            self.run("ip", "link", "set", name, "up")
        return names

    def _attach(self, bridge: str, number: int, interface: str) -> None:
        self.vsctl("add-port", bridge, interface, "--", "set", "interface", interface, f"ofport_request={number}")
        self.note_port(interface)

    def _placed(self, host: str | None, command: tuple[str, ...]) -> list[str]:
        return ["ip", "netns", "exec", self._hosts[host] if host else self.namespace, *command]

    @staticmethod
    def _wait(path: Path) -> None:
        deadline = time.monotonic() + PATIENCE
        while not path.exists():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path} did not appear")
            time.sleep(0.02)
