"""Tenants whose hosts are in several IP subnets, on real Open vSwitch: over tunnels, and over tunnels and VLAN links.

That a fabric of VLAN links alone gets no tunnel with `auto` is seen in test_two_tenants.
"""
from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from tests.system.network import PATTERN, HostSpec, wait_until
from tests.system.ovs import require
from tests.system.sites import ROUTER, Site, Sites
from tests.system.test_two_tenants import DISCOVERY, Capture, tags

HOSTS = (HostSpec("red", 1, 1, 1), HostSpec("red", 2, 2, 1), HostSpec("red", 3, 3, 1),
         HostSpec("blue", 1, 1, 2), HostSpec("blue", 2, 2, 2), HostSpec("blue", 3, 3, 2))
FABRICS = ("three subnets", "a mix", *(f"three subnets, {kind}" for kind in ("gre", "vxlan", "geneve")), "a mix, gre")
TCP = 6
UDP_PORT = {"vxlan": 4789, "geneve": 6081}


def sites_of(fabric: str) -> Sites:
    """1, 2 and 3 in subnets of their own; or 1 and 2 in one site around 9, whose tunnels end at 1. `auto` unless an
    encapsulation is forced."""
    where, _, forced = fabric.partition(", ")
    encapsulation = forced or "auto"
    if where == "a mix":
        return Sites([Site(1, (1, 2, 9), 1, ((1, 8, 9, 1), (2, 8, 9, 2))), Site(3, (3,), 3)], HOSTS, encapsulation, 3)
    return Sites([Site(1, (1,), 1), Site(2, (2,), 2), Site(3, (3,), 3)], HOSTS, encapsulation, 3)


@pytest.fixture(scope="module", params=FABRICS)
def sites(request: pytest.FixtureRequest) -> Iterator[Sites]:
    require()
    with sites_of(request.param) as sites:
        yield sites


def beside(sites: Sites, host: HostSpec) -> Capture:
    return Capture(sites.sites[[host.leaf in site.dpids for site in sites.sites].index(True)], "eth0",  # type: ignore
                   host.name)


def gre(frame: bytes) -> tuple[int, bytes] | None:
    """The key and the inner frame of what is encapsulated with GRE."""
    if frame[12:14] != b"\x08\x00" or frame[23] != 47:
        return None
    at = 14 + (frame[14] & 15) * 4
    flags, kind, key = struct.unpack_from("!HHI", frame, at)
    assert (flags, kind) == (0x2000, 0x6558), "a key, and Ethernet inside"
    return key, frame[at + 8:]


def test_all_pairs_within_a_tenant_answer_and_no_frame_crosses(sites: Sites) -> None:
    captures = {host.name: beside(sites, host) for host in sites.hosts}
    lost = [(a.name, b.name) for tenant in sites.tenants for a, b in sites.pairs(tenant)
            if not sites.reaches(a, b, count=3, interval=0.05)]
    assert not lost
    own = 0
    for name, capture in captures.items():
        for frame in capture.frames():
            assert tags(frame) == [] and frame[12:14] != DISCOVERY.to_bytes(2, "big")
            of = {tenant for tenant in sites.tenants if bytes.fromhex(PATTERN[tenant]) * 16 in frame}
            assert all(name.startswith(tenant) for tenant in of)
            own += len(of)
    assert own > 0


def test_between_subnets_labels_are_keys_and_within_one_they_are_tags(sites: Sites) -> None:
    routed = [Capture(sites, f"r{site.number}", ROUTER) for site in sites.sites]  # type: ignore[arg-type]
    fabric = [Capture(site, interface) for site in sites.sites for interface in site.fabric]  # type: ignore[arg-type]
    for a, b in sites.pairs("red"):
        assert sites.reaches(a, b)
    pattern = bytes.fromhex(PATTERN["red"]) * 16

    def of_hosts(frames: list[bytes]) -> list[bytes]:
        """Those that hold pings and are not for controllers: the connections of the switches cross there too."""
        return [frame for frame in frames if pattern in frame and frame[23] != TCP]

    carried = []
    for capture in routed:
        wait_until(lambda each=capture: of_hosts(each.seen()), "pings between subnets")
        carried += of_hosts(capture.frames())
    if sites.encapsulation in ("auto", "gre"):
        inside = [gre(frame) for frame in carried]
        assert all(each is not None and tags(each[1]) == [] and each[0] >= 2 for each in inside)
    else:
        port = UDP_PORT[sites.encapsulation].to_bytes(2, "big")
        # A key of 24 bits, at the same place in both; and the frame of the host, which has no tag.
        inner = 14 + 20 + 8 + 8
        assert all((frame[23], frame[36:38]) == (17, port) and frame[46:49] >= b"\0\0\2" and tags(frame[inner:]) == []
                   for frame in carried)
    for capture in fabric:
        wait_until(lambda each=capture: any(pattern in frame for frame in each.seen()), "pings on a VLAN link")
        frames = [frame for frame in capture.frames() if frame[12:14] != DISCOVERY.to_bytes(2, "big")]
        assert frames and all(len(tags(frame)) == 1 for frame in frames)


def test_a_tenants_own_bfd_and_tags_pass_through_a_tunnel(sites: Sites) -> None:
    near, far = sites.hosts[0], sites.hosts[2]
    assert sites.reaches(near, far)
    capture = beside(sites, far)
    header = bytes.fromhex(far.mac.replace(":", "") + near.mac.replace(":", ""))
    bfd = bytes.fromhex("0800450000342a2a0000ff110000") + bytes((10, 0, 0, near.number, 10, 0, 0, far.number)) \
        + bytes.fromhex("c0000ec800200000" "20c80318") + bytes(20)
    wanted = [header + bfd, header + bytes.fromhex("81000003") + bfd, header + bytes.fromhex("88b5") + b"x" * 46]
    code = ("import socket,sys; s=socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(('eth0', 0));"
            " [s.send(bytes.fromhex(each)) for each in sys.argv[1:]]")

    def arrived() -> bool:
        """Tried again: a switch that gets no processor may be taken for dead just then."""
        sites.at(near).run("python3", "-c", code, *(frame.hex() for frame in wanted), host=near.name)
        # Inner frames that are shorter than Ethernet's least may be padded on the way.
        seen = capture.seen()
        return all(any(frame.startswith(each) for frame in seen) for each in wanted)

    wait_until(arrived, "all of them arrive")
    capture.frames()


def test_what_others_change_is_mended(sites: Sites) -> None:
    site = sites.sites[-1]
    names = {name for name in site.ovs.vsctl("list-ports", "s3").split() if name.startswith("hv")}
    assert names
    name = min(names)

    def option() -> str:
        return site.ovs.vsctl("--if-exists", "get", "interface", name, "options:remote_ip").strip()

    right = option()
    site.ovs.vsctl("set", "interface", name, "options:remote_ip=192.0.2.77")
    wait_until(lambda: option() == right, "the address is put right")
    site.ovs.vsctl("del-port", name)
    wait_until(lambda: option() == right, "the port is made again")
    wait_until(sites.settled, "the link is back")
    near, far = sites.hosts[0], sites.hosts[2]
    wait_until(lambda: sites.ping(near, far) == 1, "frames get through")


def test_tunnels_that_nobody_needs_go(sites: Sites) -> None:
    """The last of this module: it takes the hosts of site 3 away."""
    for tenant in sites.tenants:
        sites.text(f"/v1/logical-switches/{tenant}/ports/3", "DELETE")
    site = sites.sites[-1]
    wait_until(lambda: not any(name.startswith("hv") for name in site.ovs.vsctl("list-ports", "s3").split()),
               "no tunnel leads to site 3")
    near, far = sites.hosts[:2]
    wait_until(lambda: sites.ping(near, far) == 1, "the others reach each other")
