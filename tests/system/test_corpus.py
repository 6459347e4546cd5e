"""Frames of every kind come out of a logical switch as out of one plain Open vSwitch bridge, whatever carries them.

Port 1 is where frames enter, port 2 is on the same physical switch, port 3 on another: behind a VLAN link, or in
another IP subnet behind a tunnel.
"""
from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.corpus import FRAMES, HOST, NAMES
from tests.system.network import SWITCH_PORT, wait_until
from tests.system.on_ovs import API_PORT
from tests.system.ovs import received, require
from tests.system.sites import ROUTER, Site, Sites

ENCAPSULATIONS = ("vlan", "gre", "vxlan", "geneve")
PLAIN, LOGICAL = "plain", "logical"
LISTEN_PORT = 16653
PLACES = {1: (1, 1), 2: (1, 2), 3: (2, 1)}
"""Port -> datapath and its port."""
LOCAL, REMOTE = 2, 3
MARK = b"\2\0\0\0\2"
"""The first bytes of the source address of frames that tell that those before them are through."""
AT_ONCE = 15
"""Frames that no buffer on the way has too little room for."""
SECONDS = 10.0
"""In which a mark comes, if no tunnel was dead meanwhile."""
CROSSINGS = 4
"""Times that a frame crosses from site to site, at most."""
NAPS = 100
"""Looks at what has come when nothing is left in the switches: the kernel has a turn before each."""
Carried = dict[tuple[int, str], tuple[bytes, ...]]
"""(port, frame) -> what came out there of it, sorted: what comes through a tunnel at once may change places."""


class Carrier(Sites):
    """The logical switch and the plain bridge, with raw sockets at their ports."""

    mtu = 9000
    tenants = ["red"]
    places = PLACES

    def __init__(self, encapsulation: str) -> None:
        one = [Site(1, (1, 2), 1, ((1, 9, 2, 9),))]
        two = [Site(1, (1,), 1), Site(2, (2,), 2)]
        super().__init__(one if encapsulation == "vlan" else two, (), encapsulation, links=1)
        self._raw: dict[tuple[str, int], Any] = {}
        self._marks = 0

    def config(self) -> dict[str, Any]:
        return {
            "switches": {"listen": [f"ptcp:{SWITCH_PORT}:0.0.0.0"],
                         "ovsdb": [f"unix:{site.ovs.directory}/db.sock" for site in self.sites]},
            "fabric": {"discovery": False, "encapsulation": self.encapsulation,
                       "links": ["0x1:9 - 0x2:9"] if self.encapsulation == "vlan" else []},
            "api": {"listen": f"ptcp:{API_PORT}:127.0.0.1"},
            "store": "memory:",
            "tenants": [{"name": "red", "logical_switches": [{
                "name": "red", "datapath_id": 0xA1, "listen": [f"ptcp:{LISTEN_PORT}:127.0.0.1"],
                "ports": [{"number": number, "name": f"p{number}", "attach": {"datapath": dpid, "port": port}}
                          for number, (dpid, port) in self.places.items()]}]}],
        }

    def carry(self, *flows: str) -> tuple[Carried, Carried]:
        """What comes out of the plain bridge and of the logical switch of all frames that enter at port 1, under some
        entries. What comes out while a tunnel is taken for dead (a busy machine answers its BFD too late) does not
        count: then all is sent again."""
        while True:
            mark = self._install(flows)
            before = self._flaps()
            try:
                came = self._carried(mark)
            except TimeoutError:
                if self._flaps() == before:
                    raise
            else:
                if self._flaps() == before:
                    return came
            wait_until(self.settled, "the tunnel is back")

    def _flaps(self) -> list[str]:
        """How often the tunnels were up and down, all of which hvproxy has been told of by then."""
        counts = re.findall(r'flap_count="?(\d+)', "".join(
            site.ovs.vsctl("--columns=bfd_status", "list", "interface") for site in self.sites))
        for site in self.sites:
            site.ovs.control("version")  # behind one turn, in which it tells
        self.ovs.run("ovs-ofctl", "-O", "OpenFlow13", "dump-ports", f"tcp:127.0.0.1:{LISTEN_PORT}", host=ROUTER)
        return counts

    def _rest(self) -> None:
        """Wait until every frame on its way has come through or has been dropped."""
        for _ in range(CROSSINGS):
            for site in self.sites:
                site.ovs.carry_on()

    def _install(self, flows: tuple[str, ...]) -> bytes:
        """Make these the entries, and one for the marks: the source address of these."""
        path = self.ovs.directory / "flows"
        mark = MARK + bytes((self._marks,))
        self._marks += 1
        path.write_text("\n".join((*flows, f"priority=65000,dl_src={mark.hex(':')},actions={OUT}")))
        targets = {PLAIN: f"unix:{self.ovs.management('plain')}", LOGICAL: f"tcp:127.0.0.1:{LISTEN_PORT}"}
        for side, target in targets.items():
            for command in (("del-flows", target), ("add-flows", target, str(path))):
                self.ovs.run("ovs-ofctl", "-O", "OpenFlow13", *command, host=None if side == PLAIN else ROUTER)
        for site in self.sites:  # where BFD goes on: a purge passes over a flow that is just looked at, a later one not
            site.ovs.control("revalidator/purge")
            site.ovs.control("revalidator/wait")
            site.ovs.control("revalidator/purge")
        return mark

    def _carried(self, mark: bytes) -> tuple[Carried, Carried]:
        """What comes out, once; waits for frames the two of them do not agree about."""
        found: dict[str, dict[tuple[int, str], list[bytes]]] = {PLAIN: {}, LOGICAL: {}}
        marks: set[tuple[str, int, int]] = set()

        def receive() -> int:
            for (side, port), raw in self._raw.items():
                for frame in received(raw):
                    if frame[6:12] == mark:
                        marks.add((side, port, frame[-1]))
                    elif frame[6:12] in NAMES:
                        found[side].setdefault((port, NAMES[frame[6:12]]), []).append(frame)
            return len(marks)

        frames = list(FRAMES.values())
        for number, first in enumerate(range(0, len(frames), AT_ONCE), 1):
            for frame in (*frames[first:first + AT_ONCE], HOST + mark + b"\x88\xb5" + bytes(45) + bytes((number,))):
                for side in (PLAIN, LOGICAL):
                    self._raw[side, 1].send(frame)
            wait_until(lambda wanted=4 * number: receive() == wanted, "the mark comes out of all ports", SECONDS)
        if found[PLAIN] != found[LOGICAL]:
            self._rest()
        receive()
        for _ in range(NAPS):
            if found[PLAIN] == found[LOGICAL]:
                break
            time.sleep(0.01)
            receive()
        plain, logical = ({key: tuple(sorted(frames)) for key, frames in found[side].items()}
                          for side in (PLAIN, LOGICAL))
        return plain, logical

    def _start_controllers(self) -> None:
        """There are none: entries come from ovs-ofctl."""

    def _finish(self) -> None:
        """The interfaces outside."""
        ovs = self.ovs
        ovs.add_bridge("plain", 0xA1)
        for number in self.places:
            self._raw[PLAIN, number] = ovs.raw(ovs.add_port("plain", number))
        for site in self.sites:
            for name in re.findall(r"^\d+: ([ve]\d+)@", site.ovs.run("ip", "-o", "link").stdout, re.MULTILINE):
                site.ovs.run("ip", "link", "set", name, "mtu", str(self.mtu))

    def _add_datapaths(self, site: Site) -> None:
        super()._add_datapaths(site)
        for number, (dpid, port) in self.places.items():
            if dpid in site.dpids:
                self._raw[LOGICAL, number] = site.ovs.raw(site.ovs.add_port(f"s{dpid}", port))


@pytest.fixture(scope="module", params=ENCAPSULATIONS)
def carrier(request: pytest.FixtureRequest) -> Iterator[Carrier]:
    require()
    with Carrier(request.param) as carrier:
        yield carrier


OUT = "output:2,output:3"
ACTIONS = {
    "none": (f"actions={OUT}",),
    "push a tag": (f"actions=push_vlan:0x8100,set_field:0x1007->vlan_vid,set_field:5->vlan_pcp,{OUT}",),
    "push a tag 0x88a8": (f"actions=push_vlan:0x88a8,set_field:0x1007->vlan_vid,{OUT}",),
    "push two tags": (f"actions=push_vlan:0x8100,set_field:0x1007->vlan_vid,push_vlan:0x88a8,"
                      f"set_field:0x1008->vlan_vid,{OUT}",),
    "pop a tag": (f"priority=2,vlan_tci=0x1000/0x1000,actions=pop_vlan,{OUT}", f"priority=1,actions={OUT}"),
    "change a tag": ("priority=2,vlan_tci=0x1000/0x1000,actions=set_field:0x1009->vlan_vid,set_field:6->vlan_pcp,"
                     + OUT, f"priority=1,actions={OUT}"),
    "push a label": (f"actions=push_mpls:0x8847,set_field:99->mpls_label,{OUT}",),
    "push two labels": (f"actions=push_mpls:0x8847,set_field:99->mpls_label,push_mpls:0x8848,"
                        f"set_field:100->mpls_label,{OUT}",),
    "pop a label": (f"priority=2,mpls,mpls_bos=1,actions=pop_mpls:0x0800,{OUT}",
                    f"priority=2,mpls,mpls_bos=0,actions=pop_mpls:0x8847,{OUT}", f"priority=1,actions={OUT}"),
    "change a label": (f"priority=2,mpls,actions=set_field:77->mpls_label,set_field:5->mpls_tc,dec_mpls_ttl,{OUT}",
                       f"priority=1,actions={OUT}"),
    "TTL": (f"priority=2,ip,actions=dec_ttl,{OUT}", f"priority=2,ipv6,actions=dec_ttl,{OUT}",
            f"priority=1,actions={OUT}"),
    "set addresses": (f"actions=set_field:02:00:00:00:00:99->eth_dst,{OUT}",),
    "set fields of packets": (
        f"priority=3,udp,actions=set_field:10.7.7.7->ip_dst,set_field:777->udp_dst,set_field:9->ip_dscp,{OUT}",
        f"priority=3,tcp,actions=set_field:10.7.7.7->ip_src,set_field:777->tcp_src,{OUT}",
        f"priority=2,ip,actions=set_field:10.7.7.7->ip_src,set_field:3->nw_ecn,{OUT}",
        f"priority=3,udp6,actions=set_field:fd00::77->ipv6_dst,set_field:777->udp_src,{OUT}",
        f"priority=2,ipv6,actions=set_field:fd00::77->ipv6_src,set_field:5->ipv6_label,set_field:9->ip_dscp,{OUT}",
        f"priority=2,arp,actions=set_field:10.7.7.7->arp_spa,set_field:02:00:00:00:00:77->arp_tha,{OUT}",
        f"priority=1,actions={OUT}"),
    "out, push, out": ("actions=output:2,output:3,push_vlan:0x8100,set_field:0x1007->vlan_vid,output:2,output:3",),
    "pop, out, push, out, pop, out": (
        f"priority=2,vlan_tci=0x1000/0x1000,actions=pop_vlan,{OUT},push_vlan:0x8100,set_field:0x1008->vlan_vid,"
        f"output:3,pop_vlan,{OUT}", f"priority=1,actions={OUT}"),
    "action set": ("actions=write_actions(push_vlan:0x8100,set_field:0x1007->vlan_vid,output:3)",),
}


PUSHED = {"push a tag": 1, "push a tag 0x88a8": 1, "push two tags": 2, "out, push, out": 1, "action set": 1}
"""How many tags are pushed onto what a frame has."""
LEAST_UNDER_TAG = 16
"""Linux drops tagged frames of less than 20 bytes, with hvproxy's tag or a tenant's."""
ALTERED = {"tag with DEI": lambda frame: frame[:14] + bytes((frame[14] & 0xef,)) + frame[15:],
           "a tag and nothing": lambda frame: None, "18 bytes with a tag": lambda frame: None}
"""What becomes of frames that Open vSwitch and Linux do not carry as they are, without hvproxy neither."""


def deviating(plain: Carried, actions: str) -> set[tuple[int, str]]:
    """What is otherwise when a VLAN link carries it: see the deviations in the README."""
    def tags(name: str) -> int:
        return (FRAMES[name][12:14] in (b"\x81\0", b"\x88\xa8")) + PUSHED.get(actions, 0)

    return {(port, name) for (port, name), frames in plain.items()
            if port == REMOTE and (tags(name) > 1 and actions in PUSHED
                                   or any(len(frame) < LEAST_UNDER_TAG for frame in frames))}


@pytest.mark.parametrize("actions", ACTIONS)
def test_frames_are_as_behind_one_plain_bridge(carrier: Carrier, actions: str) -> None:
    plain, logical = carrier.carry(*ACTIONS[actions])
    otherwise = {key for key in plain.keys() | logical.keys() if plain.get(key) != logical.get(key)}
    assert otherwise == (deviating(plain, actions) if carrier.encapsulation == "vlan" else set())
    assert len(plain) > len(FRAMES) * 0.9 and {port for port, _ in plain} <= {LOCAL, REMOTE}


def test_frames_come_out_byte_for_byte_as_they_went_in(carrier: Carrier) -> None:
    plain, logical = carrier.carry(f"actions={OUT}")
    wanted: dict[str, bytes | None] = {name: ALTERED[name](frame) if name in ALTERED else frame
                                       for name, frame in FRAMES.items()}
    for came, deviations in ((plain, set()), (logical, deviating(plain, "none"))):
        assert came == {(port, name): (frame,) for name, frame in wanted.items() for port in (LOCAL, REMOTE)
                        if frame is not None and ((port, name) not in deviations or carrier.encapsulation != "vlan")}


def test_the_link_is_what_it_is_called(carrier: Carrier) -> None:
    assert [(link["kind"], link["state"]) for link in carrier.get("/v1/links")] == [(carrier.encapsulation, "up")]
