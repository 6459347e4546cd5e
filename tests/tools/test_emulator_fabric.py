"""The emulated fabric as a whole, driven by a controller over TCP."""
from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.tools.controller import Controller, LearningController, apply, flow_mod, group, group_mod, match, output
from tests.tools.controller import bucket, packet_in_parts, packet_out, CONTROLLER, FLOOD, SAFETY_NET
from tools.emulator import Fabric, leaf_spine, wire
from tools.ports import free_port


async def until(condition: Callable[[], object]) -> None:
    """Wait until the condition holds."""
    deadline = asyncio.get_running_loop().time() + SAFETY_NET
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(condition)
        await asyncio.sleep(0.005)


def with_fabric(build: Callable[[], Fabric], controller: Controller,
                scenario: Callable[[Fabric], Awaitable[None]]) -> None:
    """Run a scenario on a fabric whose switches have connected."""
    async def main() -> None:
        fabric = build()
        await controller.start()
        fabric.connect_all(controller.address)
        try:
            await until(lambda: len(controller.channels) == len(fabric.switches))
            await scenario(fabric)
        finally:
            await fabric.close()
            await controller.stop()
    asyncio.run(main())


def line() -> Fabric:
    """Two switches in a row, a host on each."""
    fabric = Fabric()
    fabric.add_switch(1)
    fabric.add_switch(2)
    fabric.add_link(1, 9, 2, 9)
    fabric.add_host("a", 1, 1, "02:00:00:00:00:0a", "10.0.0.1")
    fabric.add_host("b", 2, 1, "02:00:00:00:00:0b", "10.0.0.2")
    return fabric


def test_hosts_ping_through_a_learning_controller_and_later_without_it() -> None:
    controller = LearningController()

    async def scenario(fabric: Fabric) -> None:
        first, second = fabric.hosts["a"], fabric.hosts["b"]
        await until(lambda: all(switch.tables.count for switch in fabric.switches.values()))
        rtt = await first.ping("10.0.0.2", SAFETY_NET)
        assert rtt is not None and 0 < rtt < SAFETY_NET
        assert first.arp_table[b"\x0a\x00\x00\x02"] == second.mac
        assert await first.ping("10.0.0.2", SAFETY_NET) is not None
        asked = controller.packet_ins
        assert await first.ping("10.0.0.2", SAFETY_NET) is not None
        assert await second.ping("10.0.0.1", SAFETY_NET) is not None
        assert controller.packet_ins == asked
        assert await first.ping("10.0.0.77", 0.1) is None
    with_fabric(line, controller, scenario)


def test_port_counters_and_captures_agree_with_what_was_sent() -> None:
    controller = Controller()

    async def scenario(fabric: Fabric) -> None:
        channel = controller.channels[1]
        assert await channel.ask(wire.FLOW_MOD, flow_mod(match(), apply(output(9)))) == []
        seen = fabric.capture(1, 9)
        frame = bytes(12) + b"\x88\xb5" + bytes(46)
        for _ in range(5):
            fabric.hosts["a"].send_frame(frame)
        await until(lambda: len(seen) == 5)
        assert seen == [("out", frame)] * 5
        ports = fabric.switches[1].ports
        assert (ports[1].rx_packets, ports[1].rx_bytes) == (5, 5 * len(frame))
        assert (ports[9].tx_packets, ports[9].tx_bytes) == (5, 5 * len(frame))
        stats = await channel.multipart(4, b"\x00\x00\x00\x09" + bytes(4))
        assert len(stats) == 112 and int.from_bytes(stats[16:24], "big") == 5
    with_fabric(line, controller, scenario)


def test_a_cut_link_is_told_by_both_ends_and_moves_a_failover_group() -> None:
    controller = Controller()

    def build() -> Fabric:
        fabric = line()
        fabric.add_link(1, 10, 2, 10)
        return fabric

    async def scenario(fabric: Fabric) -> None:
        one, two = controller.channels[1], controller.channels[2]
        buckets = (bucket(output(9), watch_port=9), bucket(output(10), watch_port=10))
        assert await one.ask(wire.GROUP_MOD, group_mod(0, 3, 1, *buckets)) == []
        assert await one.ask(wire.FLOW_MOD, flow_mod(match(IN_PORT=1), apply(group(1)))) == []
        frame = bytes(12) + b"\x88\xb5" + bytes(46)
        nine, ten = fabric.capture(2, 9), fabric.capture(2, 10)
        fabric.hosts["a"].send_frame(frame)
        await until(lambda: nine)
        fabric.set_link(2, 9, False)
        fabric.hosts["a"].send_frame(frame)
        await until(lambda: ten)
        assert (len(nine), len(ten)) == (1, 1)
        for channel in (one, two):
            await channel.ask(wire.BARRIER_REQUEST)
            told = channel.inbox.get_nowait()
            assert told[1] == wire.PORT_STATUS and told[8] == 2
            assert int.from_bytes(told[16:20], "big") == 9 and int.from_bytes(told[52:56], "big") == 1
        fabric.set_link(1, 9, True)
        fabric.hosts["a"].send_frame(frame)
        await until(lambda: len(nine) == 2)
    with_fabric(build, controller, scenario)


def test_a_silent_link_loses_frames_and_tells_nobody() -> None:
    controller = Controller()

    async def scenario(fabric: Fabric) -> None:
        await controller.channels[1].ask(wire.FLOW_MOD, flow_mod(match(), apply(output(9))))
        far = fabric.capture(2, 9)
        fabric.set_link(1, 9, False, silent=True)
        fabric.hosts["a"].send_frame(bytes(60))
        await asyncio.sleep(0.05)
        assert far == [] and controller.channels[1].inbox.empty()
    with_fabric(line, controller, scenario)


def test_a_dropped_connection_is_dialled_again_and_keeps_the_tables_but_a_reboot_does_not() -> None:
    controller = Controller()

    async def scenario(fabric: Fabric) -> None:
        await controller.channels[1].ask(wire.FLOW_MOD, flow_mod(match(), apply(output(9))))
        fabric.drop_connection(1)
        await until(lambda: controller.arrivals == 3)
        assert fabric.switches[1].tables.count == 1
        fabric.refuse(1)
        await until(lambda: not fabric.switches[1].connected)
        await asyncio.sleep(0.3)
        assert controller.arrivals == 3
        fabric.refuse(1, False)
        await until(lambda: controller.arrivals == 4)
        fabric.reboot(1)
        await until(lambda: controller.arrivals == 5)
        assert fabric.switches[1].tables.count == 0
    with_fabric(line, controller, scenario)


def test_a_switch_dials_until_somebody_listens() -> None:
    async def main() -> None:
        controller, port = Controller(), free_port()
        fabric = line()
        fabric.connect_all(f"tcp:127.0.0.1:{port}")
        await asyncio.sleep(0.2)
        again = await asyncio.start_server(controller._accepted, "127.0.0.1", port)
        await fabric.all_connected(SAFETY_NET)
        again.close()
        await fabric.close()
    asyncio.run(main())


def test_packet_out_with_metadata_set_shows_it_in_the_packet_in() -> None:
    from tests.tools.controller import set_field
    from tools.emulator.oxm import METADATA
    controller = Controller()

    async def scenario(fabric: Fabric) -> None:
        channel = controller.channels[1]
        data = bytes(12) + b"\x88\xb5" + bytes(46)
        answers = await channel.ask(wire.PACKET_OUT, packet_out(data, set_field(METADATA, 0xabc), output(CONTROLLER)))
        assert answers == []
        parts = packet_in_parts(channel.inbox.get_nowait())
        assert (parts["metadata"], parts["data"], parts["in_port"]) == (0xabc, data, CONTROLLER)
    with_fabric(line, controller, scenario)


def test_hosts_with_the_same_addresses_on_different_ports_do_not_disturb_each_other() -> None:
    controller = Controller()

    def build() -> Fabric:
        fabric = line()
        for port, name in ((2, "c"), (3, "d")):
            host = fabric.add_host(name, 1, port, "02:00:00:00:00:0a", f"10.0.0.{7 - port}")
            assert host.mac == fabric.hosts["a"].mac
        return fabric

    async def scenario(fabric: Fabric) -> None:
        channel = controller.channels[1]
        for first, second in ((2, 3), (3, 2)):
            await channel.ask(wire.FLOW_MOD, flow_mod(match(IN_PORT=first), apply(output(second))))
        fabric.hosts["c"].mac = b"\x02\0\0\0\0\x0c"
        assert await fabric.hosts["c"].ping("10.0.0.4", SAFETY_NET) is not None
        assert fabric.hosts["a"].received == []
    with_fabric(build, controller, scenario)


def test_hosts_on_sub_ports_hear_only_their_vlan() -> None:
    controller = Controller()

    def build() -> Fabric:
        fabric = Fabric()
        fabric.add_switch(1)
        fabric.add_host("a", 1, 1, "02:00:00:00:00:01", "10.0.0.1", vlan=5)
        fabric.add_host("b", 1, 2, "02:00:00:00:00:02", "10.0.0.2", vlan=5)
        fabric.add_host("c", 1, 2, "02:00:00:00:00:03", "10.0.0.2", vlan=6)
        return fabric

    async def scenario(fabric: Fabric) -> None:
        await controller.channels[1].ask(wire.FLOW_MOD, flow_mod(match(), apply(output(FLOOD))))
        assert await fabric.hosts["a"].ping("10.0.0.2", SAFETY_NET) is not None
        assert fabric.hosts["a"].arp_table[b"\x0a\x00\x00\x02"] == b"\x02\0\0\0\0\x02"
    with_fabric(build, controller, scenario)


def test_a_frame_above_the_hosts_mtu_is_not_sent() -> None:
    controller = Controller()

    async def scenario(fabric: Fabric) -> None:
        host = fabric.hosts["a"]
        host.send_frame(bytes(1514))
        host.send_frame(bytes(1515))
        assert (host.sent_count, host.oversize) == (1, 1)
    with_fabric(line, controller, scenario)


def test_leaf_spine_has_the_ports_it_promises() -> None:
    async def main() -> None:
        fabric = leaf_spine(2, 3, 2)
        assert sorted(fabric.switches) == [1, 2, 3, 0x101, 0x102]
        assert sorted(port for port in fabric.switches[2].ports if port < 0xff00) == [1, 2, 1001, 1002]
        assert sorted(port for port in fabric.switches[0x102].ports if port < 0xff00) == [1, 2, 3]
        assert fabric.attached["h3-2"] == (3, 2)
        frames = fabric.capture(0x102, 3)
        fabric.switches[3].ports[1002].transmit(bytes(60))
        await asyncio.sleep(0)
        assert frames == [("in", bytes(60))]
        await fabric.close()
    asyncio.run(main())


def test_port_numbers_names_and_dpids_are_taken_once() -> None:
    async def main() -> None:
        fabric = line()
        with pytest.raises(ValueError, match="port 9"):
            fabric.add_link(1, 9, 2, 11)
        with pytest.raises(ValueError, match="switch 0x1"):
            fabric.add_switch(1)
        with pytest.raises(ValueError, match="host a"):
            fabric.add_host("a", 1, 5, "02:00:00:00:00:01", "10.0.0.9")
        await fabric.close()
    asyncio.run(main())
