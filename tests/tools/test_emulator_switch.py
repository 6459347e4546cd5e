"""One emulated switch as its controllers see it."""
from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.oracle.telling import records
from tests.tools.controller import (
    ANY, CONTROLLER, SAFETY_NET, Channel, Controller, apply, bucket, flow_mod, flow_request, group, group_mod, match,
    output, packet_in_parts, packet_out, set_field, simple)
from tools.emulator import oxm, wire
from tools.emulator.host import ipv4
from tools.emulator.switch import Switch, parse_address

MASTER, SLAVE, EQUAL = 2, 3, 1


def role(wanted: int, generation: int) -> bytes:
    """The body of a role request."""
    return wanted.to_bytes(4, "big") + bytes(4) + generation.to_bytes(8, "big")


def with_switch(scenario: Callable[[Switch, list[Channel]], Awaitable[None]], controllers: int = 1,
                table_limit: int | None = None) -> None:
    """Run a scenario on a switch with four ports and as many controllers as asked for."""
    async def main() -> None:
        switch = Switch(7, "s7", table_limit)
        for port in range(1, 5):
            switch.add_port(port).carrier = True
        heads = [Controller() for _ in range(controllers)]
        for head in heads:
            await head.start()
            switch.connect(head.address)
        async with asyncio.timeout(SAFETY_NET):
            while not all(head.channels for head in heads):
                await asyncio.sleep(0.005)
        await scenario(switch, [head.channels[7] for head in heads])
        await switch.close()
        for head in heads:
            await head.stop()
    asyncio.run(main())


def test_a_new_master_makes_the_old_one_slave_and_a_slave_may_not_write() -> None:
    async def scenario(switch: Switch, channels: list[Channel]) -> None:
        one, two = channels
        assert (await one.ask(wire.ROLE_REQUEST, role(MASTER, 5)))[0][8:] == role(MASTER, 5)
        assert (await two.ask(wire.ROLE_REQUEST, role(MASTER, 6)))[0][8:] == role(MASTER, 6)
        assert (await one.ask(wire.ROLE_REQUEST, role(0, 0)))[0][8:] == role(SLAVE, 6)
        assert await one.refusal(wire.FLOW_MOD, flow_mod(match(), apply(output(1)))) == (1, 10)
        assert await two.refusal(wire.FLOW_MOD, flow_mod(match(), apply(output(CONTROLLER)))) is None
        assert await one.refusal(wire.ROLE_REQUEST, role(MASTER, 4)) == (11, 0)
        switch.receive(1, bytes(60))
        assert await one.multipart(13) != b""
        await two.ask(wire.BARRIER_REQUEST)
        told = one.inbox.get_nowait()
        assert told == wire.message(wire.EXPERIMENTER, 0, bytes.fromhex("4f4e460000000777") + b"\0\0\0\3" + bytes(4)
                                    + (6).to_bytes(8, "big"))
        assert one.inbox.empty() and packet_in_parts(two.inbox.get_nowait())["reason"] == 1
    with_switch(scenario, controllers=2)


def test_async_masks_decide_what_is_told() -> None:
    async def scenario(switch: Switch, channels: list[Channel]) -> None:
        channel = channels[0]
        masks = b"".join(mask.to_bytes(4, "big") for mask in (0, 0, 2, 7, 15, 0))
        assert await channel.ask(wire.SET_ASYNC, masks) == []
        assert (await channel.ask(wire.GET_ASYNC_REQUEST))[0][8:] == masks
        await channel.ask(wire.SET_ASYNC, b"\xff" * 24)
        assert (await channel.ask(wire.GET_ASYNC_REQUEST))[0][8:] == b"".join(
            mask.to_bytes(4, "big") for mask in (7, 7, 7, 7, 0x3f, 0x3f)), "reasons that are none are dropped"
        await channel.ask(wire.SET_ASYNC, masks)
        await channel.ask(wire.PACKET_OUT, packet_out(bytes(60), output(CONTROLLER)))
        switch.set_carrier(1, False)
        switch.remove_port(2)
        await channel.ask(wire.BARRIER_REQUEST)
        told = channel.inbox.get_nowait()
        assert (told[1], told[8], channel.inbox.empty()) == (wire.PORT_STATUS, 1, True)
    with_switch(scenario)


def test_many_entries_are_told_in_parts_of_whole_records() -> None:
    async def scenario(switch: Switch, channels: list[Channel]) -> None:
        channel, told = channels[0], 0
        for number in range(1500):
            channel.send(wire.FLOW_MOD, flow_mod(match(ETH_DST=number), apply(output(1))))
        answers = await channel.ask(wire.MULTIPART_REQUEST, b"\0\1" + bytes(6) + flow_request())
        assert len(answers) > 1
        assert [message[11] for message in answers] == [1] * (len(answers) - 1) + [0]
        for message in answers:
            place = 16
            while place < len(message):
                place, told = place + int.from_bytes(message[place:place + 2], "big"), told + 1
            assert place == len(message) <= 65535
        assert told == 1500
    with_switch(scenario)


@pytest.mark.parametrize(("then", "size"), [((), 38), ((simple(24),), 34), ((set_field(oxm.ETH_DST, 5),), 38)])
def test_what_labels_covered_counts_from_when_it_is_looked_at(then: tuple[bytes, ...], size: int) -> None:
    async def scenario(switch: Switch, channels: list[Channel]) -> None:
        channel = channels[0]
        await channel.ask(wire.GROUP_MOD, group_mod(0, 2, 6, bucket(output(2))))
        frame = bytes(12) + b"\x88\x47\0\0\x11\x40" + ipv4(bytes(4), bytes(4), 200, b"")
        doing = (simple(20, 0x0800), *then, group(6))
        await channel.ask(wire.FLOW_MOD, flow_mod(match(ETH_TYPE=0x8847), apply(*doing)))
        switch.receive(1, frame)
        (told,) = records(6, await channel.multipart(6, b"\0\0\0\6" + bytes(4)))[1:]
        assert (told["packets"], told["bytes"]) == (1, size)
    with_switch(scenario)


def test_an_error_carries_xid_and_message_and_comes_before_the_barrier_reply() -> None:
    async def scenario(switch: Switch, channels: list[Channel]) -> None:
        channel = channels[0]
        body = flow_mod(match(), b"\x00\x09\x00\x08" + bytes(4))
        answers = await channel.ask(wire.FLOW_MOD, body)
        assert len(answers) == 1 and answers[0][1] == wire.ERROR
        assert answers[0][8:12] == b"\x00\x03\x00\x00" and answers[0][20:] == body
        assert answers[0][16:20] == answers[0][4:8]
    with_switch(scenario)


def test_what_an_experimenter_asks_is_refused_by_its_length_first() -> None:
    async def scenario(switch: Switch, channels: list[Channel]) -> None:
        for size, code in ((0, 6), (7, 6), (8, 3), (20, 3)):
            body = b"\xff\xff" + bytes(6) + bytes(size)
            assert await channels[0].refusal(wire.MULTIPART_REQUEST, body) == (1, code)
    with_switch(scenario)


def test_a_table_limit_is_refused_and_told_in_the_table_features() -> None:
    async def scenario(switch: Switch, channels: list[Channel]) -> None:
        channel = channels[0]
        assert await channel.refusal(wire.FLOW_MOD, flow_mod(match(), b"")) is None
        assert await channel.refusal(wire.FLOW_MOD, flow_mod(match(ETH_DST=1), b"")) == (5, 1)
        assert await channel.refusal(wire.FLOW_MOD, flow_mod(match(ETH_DST=1), b"", table=1)) is None
        body = await channel.multipart(12)
        assert int.from_bytes(body[60:64], "big") == 1
        place = tables = 0
        while place < len(body):
            place, tables = place + int.from_bytes(body[place:place + 2], "big"), tables + 1
        assert (place, tables) == (len(body), 254)
    with_switch(scenario, table_limit=1)


def test_a_controller_without_our_version_is_told_so() -> None:
    async def main() -> None:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"\x01\x00\x00\x08\x00\x00\x00\x09")
            heard.append(await reader.read())
        heard: list[bytes] = []
        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        switch = Switch(1)
        switch.connect(f"tcp:127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with asyncio.timeout(SAFETY_NET):
            while not heard:
                await asyncio.sleep(0.005)
        assert heard[0][:2] == b"\x04\x00" and heard[0][17] == wire.ERROR and heard[0][24:28] == bytes(4)
        await switch.close()
        server.close()
    asyncio.run(main())


def test_a_switch_dials_over_tls(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-subj", "/CN=controller", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2",
                    "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)

    async def main() -> None:
        controller = Controller()
        served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        served.load_cert_chain(certificate, key)
        server = await asyncio.start_server(controller._accepted, "127.0.0.1", 0, ssl=served)
        address = f"ssl:127.0.0.1:{server.sockets[0].getsockname()[1]}"
        switch = Switch(7)
        with pytest.raises(ValueError, match="TLS context"):
            switch.connect(address)
        switch.connect(address, ssl.create_default_context(cafile=certificate))
        async with asyncio.timeout(SAFETY_NET):
            while not controller.channels:
                await asyncio.sleep(0.005)
        assert await controller.channels[7].multipart(4, ANY.to_bytes(4, "big") + bytes(4)) != b""
        await switch.close()
        server.close()
    asyncio.run(main())


@pytest.mark.parametrize("address", ["127.0.0.1:1", "tcp:1", "udp:127.0.0.1:1", "tcp:127.0.0.1:x"])
def test_wrong_addresses_are_refused(address: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_address(address)


def test_tlvs_of_a_packet_in_leave_zero_fields_out() -> None:
    assert wire.packet_in_tlvs(3, {oxm.METADATA: 0, oxm.TUNNEL_ID: 0, oxm.REG0 + 2: 0}) == oxm.tlv(oxm.IN_PORT, 3)
    assert wire.packet_in_tlvs(3, {oxm.METADATA: 5}) == oxm.tlv(oxm.IN_PORT, 3) + oxm.tlv(oxm.METADATA, 5)
    assert wire.packet_in_tlvs(3, {oxm.METADATA: 5, oxm.REG0 + 2: 7, oxm.TUNNEL_ID: 9}) == bytes.fromhex(
        "8000000400000003" "80004c080000000000000009" "0001040400000007" "800004080000000000000005")


def port_mod(switch: Switch, number: int, config: int) -> bytes:
    """The body of a port-mod that sets the whole configuration."""
    return wire.PORT_MOD_BODY.pack(number, switch.ports[number].mac, config, 0xffffffff, 0)


def test_a_configuration_is_told_to_all_but_the_one_that_asked_for_it_and_what_follows_to_all() -> None:
    async def scenario(switch: Switch, channels: list[Channel]) -> None:
        one, two = channels
        for config, told in ((4, (0, 1)), (1, (1, 1)), (33, (0, 1)), (0, (1, 1))):
            await one.ask(wire.PORT_MOD, port_mod(switch, 1, config))
            await two.ask(wire.BARRIER_REQUEST)
            assert (one.inbox.qsize(), two.inbox.qsize()) == told
            for channel in channels:
                while not channel.inbox.empty():
                    assert channel.inbox.get_nowait()[1] == wire.PORT_STATUS
        await one.ask(wire.PORT_MOD, port_mod(switch, 1, 1))
        await two.ask(wire.BARRIER_REQUEST)
        two.inbox.get_nowait()
        switch.set_carrier(1, False)
        await two.ask(wire.BARRIER_REQUEST)
        assert two.inbox.empty()
    with_switch(scenario, controllers=2)


def test_a_port_takes_and_gets_what_its_configuration_lets_through_and_counts_as_open_vswitch() -> None:
    async def scenario(switch: Switch, channels: list[Channel]) -> None:
        out: list[bytes] = []
        switch.ports[2].send = out.append
        await channels[0].ask(wire.FLOW_MOD, flow_mod(match(), apply(output(2))))
        entry = switch.tables.tables[0].lookup({})
        await channels[0].ask(wire.PORT_MOD, port_mod(switch, 1, 4))
        switch.receive(1, bytes(60))
        assert entry is not None and entry.packets == 1 and not out
        await channels[0].ask(wire.PORT_MOD, port_mod(switch, 2, 1))
        switch.receive(3, bytes(60))
        assert (switch.ports[2].tx_packets, switch.ports[2].tx_dropped, out) == (0, 0, [])
    with_switch(scenario)


def test_fragments_are_dropped_if_that_is_asked_for() -> None:
    fragment = bytes(12) + b"\x08\x00" + ipv4(b"\x0a\0\0\1", b"\x0a\0\0\2", 17, bytes(30))
    fragment = fragment[:20] + b"\x20\x00" + fragment[22:]

    async def scenario(switch: Switch, channels: list[Channel]) -> None:
        channel, out = channels[0], []
        switch.ports[2].send = out.append
        await channel.ask(wire.FLOW_MOD, flow_mod(match(), apply(output(2))))
        assert await channel.refusal(wire.SET_CONFIG, b"\0\4\0\x80") == (10, 0)
        for asked, kept, passes in ((0, 0, True), (1, 1, False), (2, 1, False), (0, 0, True)):
            assert await channel.ask(wire.SET_CONFIG, bytes((0, asked, 0, 128))) == []
            assert (await channel.ask(wire.GET_CONFIG_REQUEST))[0][8:] == bytes((0, kept, 0, 128))
            out.clear()
            switch.receive(1, fragment)
            assert bool(out) == passes
        assert await channel.ask(wire.ROLE_REQUEST, role(SLAVE, 1))
        assert await channel.ask(wire.SET_CONFIG, bytes((0, 1, 0, 77))) == []
        assert (await channel.ask(wire.GET_CONFIG_REQUEST))[0][8:] == bytes((0, 0, 0, 77))
    with_switch(scenario)
