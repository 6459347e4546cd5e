"""Tunnel ports of emulated switches: made as their databases say, joined by endpoints, heard of by BFD."""
from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from hvproxy.ovsdb.tunnels import TunnelPort, correction, creation, removal
from hvproxy.ovsdb.vswitch import TABLES, SeenBridge, observe
from hvproxy.ovsdb.replica import Replica
from tests.packets import Recorder
from tests.tools.controller import apply, bucket, flow_mod, group, group_mod, match, output, set_field
from tests.tools.test_emulator_fabric import until
from tools.emulator import Fabric, handlers, oxm, wire
from tools.emulator.database import Monitor

ADDRESS = "192.0.2.{}"
FRAME = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x88\xb5" + bytes(46)
FIRST, LABEL = 0x8000, 0x80000007
FAILOVER = 3


def told(fabric: Fabric, dpid: int) -> SeenBridge:
    """What hvproxy reads in a database."""
    replica = Replica(TABLES)
    replica.update(Monitor(fabric.vswitches[dpid].database, replica.requests()).contents())
    (bridge,) = observe(replica.tables).bridges
    return bridge


def make(fabric: Fabric, local: int, remote: int, kind: str = "gre", number: int = FIRST) -> None:
    wanted = TunnelPort(local, remote, kind, ADDRESS.format(local), ADDRESS.format(remote))
    results = fabric.vswitches[local].database.transact(list(creation(told(fabric, local).uuid, wanted, number)))
    assert not any("error" in result for result in results)  # type: ignore[operator]


def put(fabric: Fabric, dpid: int, kind: int, body: bytes) -> None:
    handlers.handle(fabric.switches[dpid], Recorder(fabric.switches[dpid]),  # type: ignore[arg-type]
                    wire.message(kind, 1, body))


def with_two(scenario: Callable[[Fabric], Awaitable[None]]) -> None:
    """Two switches with a host each, and a tunnel from 1 to 2 of which the other end is still to be made."""
    async def main() -> None:
        fabric = Fabric()
        for dpid in (1, 2):
            fabric.add_switch(dpid)
            fabric.add_host(f"h{dpid}", dpid, 1, bytes((2, 0, 0, 0, 0, dpid)), bytes((10, 0, 0, dpid)))
            await fabric.add_database(dpid, ADDRESS.format(dpid))
        try:
            make(fabric, 1, 2)
            await until(lambda: told(fabric, 1).tunnels[0].ofport)
            await scenario(fabric)
        finally:
            await fabric.close()
    asyncio.run(main())


def test_a_database_tells_of_its_switch_and_a_tunnel_port_is_made_as_it_says() -> None:
    async def scenario(fabric: Fabric) -> None:
        bridge = told(fabric, 1)
        assert (bridge.dpid, bridge.endpoint, bridge.wrong) == (1, "192.0.2.1", ())
        assert bridge.iface_ids == {"h1"} and bridge.ofports == {1, FIRST, 65534}
        (tunnel,) = bridge.tunnels
        wanted = TunnelPort(1, 2, "gre", "192.0.2.1", "192.0.2.2")
        assert (tunnel.ofport, tunnel.error) == (FIRST, None) and tunnel.right(wanted)
        assert fabric.switches[1].ports[FIRST].name == tunnel.name
        database = fabric.vswitches[1].database
        database.transact(list(correction(tunnel, TunnelPort(1, 2, "vxlan", "192.0.2.1", "192.0.2.2"))))
        make(fabric, 1, 3, number=FIRST)
        await until(lambda: len(fabric.switches[1].ports) == 4)
        assert fabric.switches[1].ports.keys() >= {1, FIRST}
        for each in told(fabric, 1).tunnels:
            database.transact(list(removal(each)))
        await until(lambda: len(fabric.switches[1].ports) == 2)
        assert told(fabric, 1).tunnels == ()
    with_two(scenario)


def test_a_second_port_with_the_same_endpoints_is_an_error_until_the_first_is_gone() -> None:
    async def scenario(fabric: Fabric) -> None:
        bridge = told(fabric, 1)
        wanted = TunnelPort(1, 9, "gre", "192.0.2.1", "192.0.2.2")
        fabric.vswitches[1].database.transact(list(creation(bridge.uuid, wanted, FIRST + 1)))
        await until(lambda: any(tunnel.error for tunnel in told(fabric, 1).tunnels))
        fabric.vswitches[1].database.transact(list(removal(bridge.tunnels[0])))
        await until(lambda: [tunnel.ofport for tunnel in told(fabric, 1).tunnels] == [FIRST + 1])
        assert told(fabric, 1).tunnels[0].error is None
    with_two(scenario)


def test_a_frame_comes_out_at_the_other_end_under_its_key_and_bfd_finds_out_when_none_does() -> None:
    async def scenario(fabric: Fabric) -> None:
        port = fabric.switches[1].ports[FIRST]
        assert (port.state, fabric.underlay.heard) == (0, 0), "nobody is at the other end yet"
        make(fabric, 2, 1)
        await until(lambda: fabric.underlay.heard == 2)
        assert port.state == 4
        put(fabric, 1, wire.GROUP_MOD, group_mod(0, FAILOVER, 1, bucket(output(FIRST), watch_port=FIRST)))
        put(fabric, 1, wire.FLOW_MOD, flow_mod(match(IN_PORT=1), apply(set_field(oxm.TUNNEL_ID, LABEL), group(1))))
        put(fabric, 2, wire.FLOW_MOD, flow_mod(match(IN_PORT=FIRST, TUNNEL_ID=LABEL), apply(output(1))))
        one, other = fabric.hosts["h1"], fabric.hosts["h2"]
        one.send_frame(FRAME)
        await until(lambda: other.received == [FRAME])
        for cut, mend in ((lambda up: fabric.underlay.set_path("192.0.2.1", "192.0.2.2", up),) * 2,
                          (lambda up: fabric.underlay.set_endpoint("192.0.2.2", up),) * 2):
            cut(False)
            one.send_frame(FRAME)
            await until(lambda: fabric.underlay.heard == 0)
            assert port.state == 0 and port.tx_packets, "it is up, and not live"
            mend(True)
            await until(lambda: fabric.underlay.heard == 2)
        assert other.received == [FRAME]
        one.send_frame(FRAME)
        await until(lambda: other.received == [FRAME] * 2)
    with_two(scenario)


def test_the_key_of_a_vxlan_tunnel_has_24_bits() -> None:
    async def scenario(fabric: Fabric) -> None:
        for dpid in (1, 2):
            for tunnel in told(fabric, dpid).tunnels:
                fabric.vswitches[dpid].database.transact(list(removal(tunnel)))
        await until(lambda: FIRST not in fabric.switches[1].ports)
        for here, there in ((1, 2), (2, 1)):
            make(fabric, here, there, "vxlan")
        await until(lambda: fabric.underlay.heard == 2)
        put(fabric, 1, wire.FLOW_MOD, flow_mod(match(IN_PORT=1), apply(set_field(oxm.TUNNEL_ID, LABEL), output(FIRST))))
        put(fabric, 2, wire.FLOW_MOD, flow_mod(match(IN_PORT=FIRST, TUNNEL_ID=LABEL & 0xffffff), apply(output(1))))
        fabric.hosts["h1"].send_frame(FRAME)
        await until(lambda: fabric.hosts["h2"].received == [FRAME])
    with_two(scenario)
