"""A plain Open vSwitch bridge and a logical switch over other real bridges, for asking both the same.

`Pair` starts both beside each other with the same ports 1 and 2, each with a controller end that the test holds and a
listener for tools. `Client` is one connection, driven by raw messages; what it gives back has nothing in it that may
differ (xids of news, addresses), so that answers can be compared as bytes.
"""
from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Sequence
from struct import pack
from types import TracebackType

import yaml

from tests.system.connection import ECHO_REQUEST, HEADER, Connection
from tests.system.on_ovs import OnOvs
from tests.system.ovs import PATIENCE, PrivateOvs

PORT_STATUS, MULTIPART_REQUEST, MULTIPART_REPLY, BARRIER_REQUEST, BARRIER_REPLY = 12, 18, 19, 20, 21
SWITCHES, CONTROLLER, LISTEN, PLAIN_CONTROLLER = 6633, 7001, 7002, 7003
XID = 0x1000
"""Of every request; the barrier behind it has the next."""
LOCAL = b"\xff\xff\xff\xfe"
"""Port number of what has no interface behind it in a logical switch."""
SAFETY_NET = 20.0
DURATION = re.compile(r"(duration=)?[\d.]+s")


def until(true: Callable[[], object], what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.02)


class Client:
    """One OpenFlow 1.3 connection to a switch."""

    def __init__(self, made: socket.socket) -> None:
        self._connection = Connection(made, SAFETY_NET)
        self._next_xid = XID + 3
        self.news: list[bytes] = []
        """What came without having been asked for: messages of other xids than the requests'."""
        self._connection.send(HEADER.pack(4, 0, 8, 0))
        assert self._message()[1] == 0

    def close(self) -> None:
        self._connection.close()

    def ask(self, kind: int, body: bytes = b"") -> list[bytes]:
        """Send one message and return its answers; what else came before a barrier goes to `news`."""
        self._connection.send(HEADER.pack(4, kind, 8 + len(body), XID) + body
                              + HEADER.pack(4, BARRIER_REQUEST, 8, XID + 1))
        answers = []
        while True:
            message = self._message()
            xid = int.from_bytes(message[4:8], "big")
            if message[1] == BARRIER_REPLY and xid == XID + 1:
                return answers
            if xid == XID:
                answers.append(message)
            else:
                self.news.append(message)

    def statistics(self, kind: int, body: bytes = b"") -> bytes:
        """The joined bodies of the replies to a multipart request."""
        self._connection.send(
            HEADER.pack(4, MULTIPART_REQUEST, 16 + len(body), XID + 2) + pack("!HH4x", kind, 0) + body)
        found = b""
        while True:
            message = self._message()
            if message[1] == MULTIPART_REPLY and int.from_bytes(message[4:8], "big") == XID + 2:
                found += message[16:]
                if not message[11] & 1:
                    return found
            else:
                self.news.append(message)

    def exchange(self, messages: Sequence[bytes]) -> list[list[bytes]]:
        """Send many messages, each with an xid that was never used, and return what each was answered before a barrier
        at their end."""
        first = self._next_xid
        self._next_xid = last = first + len(messages)
        self._next_xid += 1
        self._connection.send(b"".join(
            message[:4] + number.to_bytes(4, "big") + message[8:] for number, message in enumerate(messages, first))
            + HEADER.pack(4, BARRIER_REQUEST, 8, last))
        answers: list[list[bytes]] = [[] for _ in messages]
        while True:
            message = self._message()
            number = int.from_bytes(message[4:8], "big")
            if number == last and message[1] == BARRIER_REPLY:
                return answers
            if first <= number < last:
                answers[number - first].append(message)
            else:
                self.news.append(message)

    def told(self, count: int) -> list[bytes]:
        """The news, of which `count` must come and no more before a barrier's reply; ports' left out."""
        while len(self._relevant()) < count:
            self.news.append(self._message())
        self.ask(ECHO_REQUEST)
        found, self.news = self._relevant(), []
        assert len(found) == count, found
        return found

    def _relevant(self) -> list[bytes]:
        return [message for message in self.news if message[1] != PORT_STATUS]

    def _message(self) -> bytes:
        return self._connection.message()


class Side:
    """One of the two switches."""

    def __init__(self, ovs: PrivateOvs, target: str, connect: Callable[[], socket.socket], frames: socket.socket,
                 dialled: socket.socket) -> None:
        self._ovs = ovs
        self.target = target
        """For ovs-ofctl."""
        self._connect = connect
        self._frames = frames
        self.primary = Client(dialled)
        """The connection that the switch itself made."""

    def service(self) -> Client:
        """A further connection, which we make."""
        return Client(self._ovs.inside(self._connect))

    def frame(self, data: bytes) -> None:
        """A frame arrives at port 1, when Open vSwitch has forgotten what it did with earlier ones."""
        self._ovs.forget_flows()
        self._frames.send(data)

    def ofctl(self, *arguments: str) -> str:
        """What ovs-ofctl says to a command, with "TARGET" for the switch; times and xids left out."""
        done = self._ovs.run("ovs-ofctl", "-O", "OpenFlow13", *(
            self.target if each == "TARGET" else each for each in arguments), check=False)
        return comparable_text(done.stdout + done.stderr)

    def monitor(self, *arguments: str) -> Monitor:
        """ovs-ofctl monitor, in the background."""
        return Monitor(self._ovs, self.target, *arguments)


class Monitor:
    """A running ovs-ofctl monitor."""

    def __init__(self, ovs: PrivateOvs, target: str, *arguments: str) -> None:
        """It listens, or has ended: before it has a control socket it throws away what it has not asked for."""
        name = f"monitor{time.monotonic_ns()}"
        self._log, control = ovs.directory / f"{name}.log", ovs.directory / f"{name}.ctl"
        self._child = ovs.spawn("ovs-ofctl", "-O", "OpenFlow13", f"--unixctl={control}", "monitor", target, *arguments,
                                log=self._log.name)
        until(lambda: control.exists() or self._child.poll() is not None, f"ovs-ofctl monitor {target} does not listen")

    def text(self, wanted: Callable[[str], object]) -> str:
        """What it has said once that is what is wanted."""
        until(lambda: wanted(self._log.read_text()), f"monitor said {self._log.read_text()!r}")
        return comparable_text(self._log.read_text())

    def stop(self) -> None:
        self._child.terminate()
        self._child.wait(PATIENCE)


def comparable_text(text: str) -> str:
    text = re.sub(r"\(xid=0x[0-9a-f]+\)", "", text)
    text = re.sub(r"(tcp:127\.0\.0\.1:\d+|unix:\S+mgmt)", "SWITCH", text)
    return re.sub(r"^\d{4}-\d\d-\d\dT\S+\|", "", DURATION.sub("", text), flags=re.MULTILINE)


class Pair(OnOvs):
    """Context manager: `plain` and `logical`."""

    def __init__(self, **keys: object) -> None:
        """Further keys of the logical switch; `ports` are further ports."""
        super().__init__()
        self._keys = keys

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        said = self.ovs.said
        super().__exit__(kind, error, trace)
        assert "Traceback" not in said, said

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.plain, self.logical

    def _build(self) -> None:
        ovs = self.ovs
        more = self._keys.get("ports", [])
        assert isinstance(more, list)
        path = ovs.directory / "pair.yaml"
        path.write_text(yaml.safe_dump({
            "switches": {"listen": [f"ptcp:{SWITCHES}:127.0.0.1"]},
            "fabric": {"discovery": False, "links": ["0x1:9 - 0x2:9"]},
            "store": "memory:",
            "tenants": [{"name": "red", "logical_switches": [{
                "name": "red", "datapath_id": 0xA1, "controllers": [f"tcp:127.0.0.1:{CONTROLLER}"],
                "listen": [f"ptcp:{LISTEN}:127.0.0.1"], **self._keys, "ports": [
                    {"number": n, "name": f"red{n}", "attach": {"datapath": n, "port": 1}} for n in (1, 2)] + more,
            }]}],
        }))
        dialled = {port: ovs.listener(port) for port in (CONTROLLER, PLAIN_CONTROLLER)}
        for each in dialled.values():
            each.settimeout(PATIENCE)
        ovs.serve(path)
        ovs.add_bridge("plain", 0xA1)
        plain_frames = ovs.raw(ovs.add_port("plain", 1))
        ovs.add_port("plain", 2)
        for dpid in (1, 2):
            ovs.add_bridge(f"s{dpid}", dpid)
        ovs.add_link("s1", 9, "s2", 9)
        logical_frames = ovs.raw(ovs.add_port("s1", 1))
        ovs.add_port("s2", 1)
        for name, port in (("s1", SWITCHES), ("s2", SWITCHES), ("plain", PLAIN_CONTROLLER)):
            ovs.set_controllers(name, f"tcp:127.0.0.1:{port}")
        # It would give up a connection that is not read for ten seconds, as while the other switch is asked.
        ovs.vsctl("set", "controller", "plain", "inactivity_probe=0")
        management = str(ovs.management("plain"))

        def connect_plain() -> socket.socket:
            made = socket.socket(socket.AF_UNIX)
            made.connect(management)
            return made

        self.plain = Side(ovs, f"unix:{management}", connect_plain, plain_frames,
                          dialled[PLAIN_CONTROLLER].accept()[0])
        self.logical = Side(ovs, f"tcp:127.0.0.1:{LISTEN}",
                            lambda: socket.create_connection(("127.0.0.1", LISTEN), PATIENCE), logical_frames,
                            dialled[CONTROLLER].accept()[0])
        until(self._ports_up, "the logical ports come up")

    def _ports_up(self) -> bool:
        bodies = [message[16:] for message in self.logical.primary.ask(18, pack("!HH4x", 13, 0))]
        ports = b"".join(bodies)
        return all(not int.from_bytes(ports[at + 36:at + 40], "big") & 1 for at in range(0, len(ports), 64)
                   if ports[at:at + 4] != LOCAL)
