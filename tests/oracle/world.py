"""The three switches, started once, emptied before every script, and the scripts done on them.

A script is done in rounds. A round of messages is sent at once, to be answered until one barrier; a round of frames
goes in at once and has come through when every socket of Open vSwitch is empty over several turns of its one thread;
a round of questions comes after the datapath has given up its caches, and with them its counters.
"""
from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType

import yaml

from tests.oracle import deviations, sessions, watching
from tests.oracle.comparing import BRIDGE, Difference, Part, unlike
from tests.oracle.frames import has_label
from tests.oracle.line import SAFETY_NET, Line, Lost
from tests.oracle.operations import CARRIER, EXPIRE, FRAME, LOCAL, OWN_ADDRESS, PORTS, Step
from tests.oracle.script import EMULATED_FEATURES
from tests.oracle.systems import FIRST_XID, Emulated, Logical, Out, System, Wired
from tests.oracle.telling import Item, answer
from tests.system.ovs import PrivateOvs
from tests.tools.controller import Controller, flow_mod, flow_request, group_mod
from tools.emulator import Switch, wire
from tools.emulator.ports import NO_RECV
from tools.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
LOGICAL, EMULATED = "logical", "emulated"
PLAIN_DPID, LOGICAL_DPID, EMULATED_DPID = 0xC0FFEE, 0xA1, 0xE0
EDGE_OF = {1: (1, 1), 2: (1, 2), 3: (2, 1), 4: (3, 1), 5: (4, 1)}
"""Logical port -> (edge, port there): two ports share an edge."""
LOCAL_AT = (2, 2)
"""The LOCAL port is at an internal port of this edge, as the bridge's is one."""
EDGES, CORE, UPLINK = (1, 2, 3, 4), 0x10, 9
TABLES = 244
TURNS = 5
"""Turns of Open vSwitch's thread without a waiting frame: more than the switches on the longest way."""
PATIENCE = 3.0
"""Seconds for what differs to become equal."""
SHORT = 3
"""Timeouts up to here are waited for."""
SESSION = "session"
"""What a difference is about when a switch ended its session or fell silent."""


MESSAGES = ("messages", "messages to the other")
"""What each controller is told."""


class World:
    """Async context manager around everything; `systems` names those that take part."""

    def __init__(self, systems: Iterable[str] = (BRIDGE, LOGICAL, EMULATED)) -> None:
        self.names = tuple(systems)
        self.systems: dict[str, System] = {}
        """Those that take part in the script that is run."""
        self._everyone: dict[str, System] = {}
        self.done = 0
        """Operations done."""
        self.patience = PATIENCE
        self.seen = {"frames": 0, "messages": 0, "refusals": 0, "records": 0}
        """How much there was to compare."""
        self._ovs = PrivateOvs()
        self._inside, self._beside = (Controller(), Controller()), (Controller(), Controller())
        self._switch: Switch | None = None
        self._servers: list[asyncio.Server] = []
        self._carriers: set[int] = set()
        self._unsettled = True
        self._shut: set[int] = set()
        """Ports whose frames are not compared: see deviations.SHUT_OUT."""

    # Starting and ending

    async def __aenter__(self) -> World:
        self._ovs.__enter__()  # not in a thread, which would go on when this is cancelled
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        said = self.log
        await self.stop()
        assert "Traceback" not in said, said

    @property
    def log(self) -> str:
        """What hvproxy has said."""
        path = self._ovs.directory / "hvproxy.log"
        return path.read_text() if path.exists() else ""

    async def _start(self) -> None:
        ovs = self._ovs
        dialled = []
        for controller in self._inside:
            listener = ovs.listener()
            self._servers.append(await asyncio.start_server(controller._accepted, sock=listener))
            dialled.append(f"tcp:127.0.0.1:{listener.getsockname()[1]}")
        lines: dict[str, tuple[tuple[Controller, Controller], int]] = {}
        interfaces: dict[str, dict[int, str]] = {}
        if BRIDGE in self.names:
            ovs.add_bridge("plain", PLAIN_DPID)
            interfaces[BRIDGE] = {port: ovs.add_port("plain", port) for port in PORTS} | {LOCAL: "plain"}
            ovs.set_interface("plain", True)
            lines[BRIDGE] = self._inside, PLAIN_DPID
        if LOGICAL in self.names:
            interfaces[LOGICAL] = self._start_logical(dialled)
            lines[LOGICAL] = self._inside, LOGICAL_DPID
        if EMULATED in self.names:
            self._switch = Switch(EMULATED_DPID)
            for port in PORTS:
                self._switch.add_port(port)
            for controller in self._beside:
                await controller.start()
                self._switch.connect(controller.address)
            lines[EMULATED] = self._beside, EMULATED_DPID
        # The bridge last: it gives up a controller that is silent for long, as each is until all have connected.
        for name in sorted(lines, key=lambda each: each == BRIDGE):
            if name == BRIDGE:
                ovs.set_controllers("plain", *dialled)
            both, dpid = lines[name]
            await self._until(lambda: all(dpid in at.channels for at in both), f"the {name} switch did not connect")
        for name, (controllers, dpid) in lines.items():
            first, other = (Line(name, controller.channels[dpid]) for controller in controllers)
            if name == EMULATED:
                assert self._switch is not None
                self._everyone[name] = Emulated(name, (first, other), self._switch, (*PORTS, LOCAL))
            else:
                made = Logical if name == LOGICAL else Wired
                self._everyone[name] = made(name, (first, other), ovs, interfaces[name])
        self.systems = dict(self._everyone)
        if not await self._ports_settled(SAFETY_NET):
            raise TimeoutError(f"the ports do not come up\n{self.log}")

    def _start_logical(self, dialled: list[str]) -> dict[int, str]:
        ovs = self._ovs
        switch_port, api_port = ovs.inside(lambda: free_ports(2))
        path = ovs.directory / "hvproxy.yaml"
        path.write_text(yaml.safe_dump({
            "switches": {"listen": [f"ptcp:{switch_port}:127.0.0.1"]},
            "fabric": {"discovery": False, "vlan_range": "16-4079",
                       "links": [f"{edge:#x}:{UPLINK} - {CORE:#x}:{edge}" for edge in EDGES]},
            "api": {"listen": f"ptcp:{api_port}:127.0.0.1"},
            "store": "memory:",
            "tenants": [{"name": "red", "logical_switches": [{
                "nat": True,
                "name": "red", "datapath_id": LOGICAL_DPID, "controllers": dialled, "tables": TABLES,
                "ports": [{"number": port, "name": f"red{port}", "attach": {"datapath": edge, "port": there}}
                          for port, (edge, there) in EDGE_OF.items()] + [
                    {"number": "LOCAL", "name": "local", "attach": dict(zip(("datapath", "port"), LOCAL_AT))}]}]}]}))
        for dpid in (*EDGES, CORE):
            ovs.add_bridge(f"s{dpid:x}", dpid)
        for edge in EDGES:
            ovs.add_link(f"s{edge:x}", UPLINK, f"s{CORE:x}", edge)
        interfaces = {port: ovs.add_port(f"s{edge:x}", there) for port, (edge, there) in EDGE_OF.items()}
        interfaces[LOCAL] = "local"
        ovs.vsctl("add-port", f"s{LOCAL_AT[0]:x}", "local", "--", "set", "interface", "local", "type=internal",
                  f"ofport_request={LOCAL_AT[1]}")
        ovs.set_interface("local", True)
        for dpid in (*EDGES, CORE):
            ovs.vsctl("set", "bridge", f"s{dpid:x}", "other_config:vlan-limit=1")
            ovs.set_controllers(f"s{dpid:x}", f"tcp:127.0.0.1:{switch_port}")
        command = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from hvproxy.cli import main; main()"
        ovs.spawn(sys.executable, "-c", command, "serve", str(path), log="hvproxy.log")
        return interfaces

    async def _ports_settled(self, seconds: float = 10) -> bool:
        """Wait until every port is up or down as its wire and its configuration say; whether it is."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            found = [item for system in self.systems.values() for item in await system.ports()]
            self._shut = {item["port"] for item in found if item["config"] & NO_RECV and LOGICAL in self.systems}
            if all((item["state"] & 1) == (item["port"] in self._carriers or item["config"] & 1) for item in found):
                return True
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """End everything."""
        try:
            for system in self._everyone.values():
                for line in system.lines:
                    line.close()
                if isinstance(system, Wired):
                    system.close()
            for server in self._servers:
                server.close()
            if self._switch is not None:
                await self._switch.close()
                for controller in self._beside:
                    await controller.stop()
        finally:
            self._ovs.stop()

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = asyncio.get_running_loop().time() + SAFETY_NET
        while not condition():
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"{what}\n{self.log}")
            await asyncio.sleep(0.01)

    # Scripts

    async def run(self, steps: list[Step], names: Iterable[str] | None = None) -> list[Difference]:
        """Do a script on empty switches, those named or all; the differences of the first round that has any."""
        self.systems = {name: self._everyone[name] for name in names or self.names}
        await self._empty(any(step.body[:2] == b"\0\4" for step in steps if step.kind == wire.MULTIPART_REQUEST))
        try:
            for start, end in rounds(steps):
                found = await self._round(steps, start, end)
                if found:
                    self._unsettled = True
                    return found
                self.done += end - start
        except Lost as lost:
            return [Difference(start, str(lost).split()[0], SESSION, str(lost))]
        return []

    def able(self, features: frozenset[str]) -> tuple[str, ...]:
        """Those of the systems that have all the features."""
        return tuple(name for name in self.names if name != EMULATED or features <= EMULATED_FEATURES)

    async def _empty(self, asks_ports: bool) -> None:
        for port in sorted(self._carriers):
            await self._carrier(port, True)
        for system in self.systems.values():
            for line in system.lines:
                for step in (*sessions.FORGETTING, *watching.FORGETTING):
                    line.send(step.kind, 1, step.body)
                await line.barrier()
            for kind, body in EMPTYING:
                system.line.send(kind, 1, body)
            for step in PORTS_FREE:
                system.send(1, step)
            await system.line.barrier()
        await self._ports_settled()
        await self._quiet()
        await self._all_counted()
        if self._unsettled and asks_ports:
            await asyncio.sleep(1.2)  # port counters of Open vSwitch are a second old
            self._unsettled = False
        # At one time, for ages are told in whole seconds.
        await asyncio.gather(*(system.take_baseline() for system in self.systems.values()))
        for system in self.systems.values():
            for line in system.lines:
                line.answers.clear()
                line.waited = 0.0
            system.collect()
            system.forget()

    async def _round(self, steps: list[Step], start: int, end: int) -> list[Difference]:
        part = steps[start:end]
        kind = part[0].kind
        self.forget()
        if kind == FRAME:
            for step in part:
                for system in self.systems.values() if step.port not in self._shut else ():
                    system.inject(step.port, step.body)
        elif kind == CARRIER:
            await self._carrier(part[0].port, part[0].up)
        elif kind == EXPIRE:
            await self._expired()
        else:
            for system in self.systems.values():
                for number, step in enumerate(part, start):
                    system.send(number, step)
        if kind != wire.MULTIPART_REQUEST:
            await asyncio.gather(*(system.lines[part[0].by].barrier() for system in self.systems.values()))
            if any(step.kind == wire.PORT_MOD for step in part):
                await self._ports_settled()
            if kind < 0 or any(step.kind == wire.PACKET_OUT for step in part):
                await self._quiet()
            await asyncio.gather(*(system.drained() for system in self.systems.values()))
        else:
            lines = [system.lines[part[0].by] for system in self.systems.values()]
            await asyncio.gather(*(line.answered(FIRST_XID + number) for line in lines for number in range(start, end)))
        return await self._settled(steps, start, end)

    async def _settled(self, steps: list[Step], start: int, end: int) -> list[Difference]:
        """Compare, and once more while that may help."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.patience
        while True:
            waited = max(line.waited for system in self.systems.values() for line in system.lines)
            given = {name: self._given(system, steps, range(start, end)) for name, system in self.systems.items()}
            found = [difference for name, table in (
                (LOGICAL, deviations.LOGICAL), (EMULATED, deviations.EMULATED)) if name in given
                for difference in unlike(name, start, given[BRIDGE], given[name], table, waited)]
            if not found or loop.time() > deadline:
                break
            await asyncio.sleep(0.02)
            await self._again(steps, start, end)
        self._ovs.control("revalidator/purge")
        for items in given[BRIDGE].values():
            for item in items:
                self.seen["frames" if item["is"] == "frame" else "refusals" if item["is"] == "error" else
                          "messages" if item["is"] in ("packet-in", "flow-removed", "port-status") else "records"] += 1
        for system in self.systems.values():
            for line in system.lines:
                for number in range(start, end):
                    line.answers.pop(FIRST_XID + number, None)
        return found

    async def _again(self, steps: list[Step], start: int, end: int) -> None:
        """Ask again what is asked for, and wait for what may still come."""
        await self._all_counted()
        if steps[start].kind == wire.MULTIPART_REQUEST:
            lines = [system.lines[steps[start].by] for system in self.systems.values()]
            for system in self.systems.values():
                for number in range(start, end):
                    system.send(number, steps[number])
            await asyncio.gather(*(line.answered(FIRST_XID + number) for line in lines for number in range(start, end)))
        else:
            await asyncio.gather(*(system.drained() for system in self.systems.values()))

    def _given(self, system: System, steps: list[Step], numbers: Iterable[int]) -> Part:
        system.collect()
        given = {f"answer {number}": deviations.without_reason(steps[number].what, system.answers(number))
                 for number in numbers}
        for to, line in enumerate(system.lines):
            given[MESSAGES[to]] = last_port_status(system.news(to))
        given["frames"] = frames(system.out)
        return given

    def forget(self) -> None:
        """Begin a new round on every system."""
        for system in self.systems.values():
            system.collect()
            system.forget()

    async def _all_counted(self) -> None:
        """Return when Open vSwitch has counted all frames, and holds no cached flow.

        A purge alone passes over a flow that another thread of it is just looking at.
        """
        await asyncio.to_thread(self._ovs.control, "revalidator/wait")
        self._ovs.control("revalidator/purge")

    async def _quiet(self) -> None:
        """Return when every frame has come through Open vSwitch."""
        line = next(system.line for name, system in self.systems.items() if name != EMULATED)
        turns = 0
        while turns < TURNS:
            turns = 0 if self._ovs.frames_waiting() else turns + 1
            await line.barrier()

    async def _carrier(self, port: int, up: bool) -> None:
        (self._carriers.discard if up else self._carriers.add)(port)
        for system in self._everyone.values():
            system.set_carrier(port, up)
        await self._ports_settled()

    async def _expired(self) -> None:
        """Until no entry with a short timeout is left anywhere."""
        await self._all_counted()
        deadline = asyncio.get_running_loop().time() + SHORT + 6
        while asyncio.get_running_loop().time() < deadline:
            left = 0
            for system in self.systems.values():
                items = answer(await system.line.ask(wire.MULTIPART_REQUEST, b"\0\1" + bytes(6) + flow_request()))
                left += sum(item["is"] == "flow" and (0 < item["idle"] <= SHORT or 0 < item["hard"] <= SHORT)
                            for item in items)
            if not left:
                return
            await asyncio.sleep(0.1)


EMPTYING = (
    (wire.FLOW_MOD, flow_mod(command=3, table=0xff)), (wire.GROUP_MOD, group_mod(2, 0, 0xfffffffc)),
    (wire.METER_MOD, b"\0\2\0\0" + b"\xff" * 4), (wire.SET_CONFIG, b"\0\0\0\x80"),
)
PORTS_FREE = [Step("port-mod", wire.PORT_MOD, wire.PORT_MOD_BODY.pack(port, OWN_ADDRESS, 0, 0xffffffff, 0))
              for port in (*PORTS, LOCAL)]
"""What leaves a switch as it was, whatever a script has done."""


def rounds(steps: list[Step]) -> Iterator[tuple[int, int]]:
    """Where the rounds of a script begin and end."""
    start = 0
    for end in range(1, len(steps) + 1):
        if end == len(steps) or together(steps[end]) != together(steps[start]) or together(steps[start]) < 0:
            yield start, end
            start = end


def together(step: Step) -> int:
    """Steps of one number go in one round; below zero each is one of its own.

    What ports and fragments are treated like from now on is certain for packet-outs behind a barrier only. A port-mod
    is alone: Open vSwitch tells of a port when it sees that its interface has changed, and what the port is by then.

    A frame with a label is alone: where an action sets a part of the label, Open vSwitch 3.1 gives the whole of what it
    made of the first to all frames that its cached flow takes for alike, whatever their labels were.
    """
    if step.kind in (CARRIER, EXPIRE, wire.PORT_MOD) or step.kind == FRAME and has_label(step.body):
        return -1
    return 5 * step.by + {FRAME: 1, wire.MULTIPART_REQUEST: 2, wire.SET_CONFIG: 4}.get(step.kind, 3)


def frames(out: Out) -> list[Item]:
    return [{"is": "frame", "port": port, "data": data} for port, data in out]


def last_port_status(items: list[Item]) -> list[Item]:
    """Of several messages about one port the last: Open vSwitch may tell a change in two steps."""
    last = {item["port"]: item for item in items if item["is"] == "port-status"}
    return [item for item in items if item["is"] != "port-status"] + [
        {**item, "reason": 2} for _, item in sorted(last.items())]
