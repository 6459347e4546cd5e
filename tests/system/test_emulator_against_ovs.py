"""The emulated switch and a real Open vSwitch do the same scripts; every answer, frame and counter is compared."""
from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from struct import pack

import pytest

from tests.openflow.meter_cases import CASES, band
from tests.oracle.operations import CARRIER, EXPIRE, Step, multipart, sent, written
from tests.oracle.refusals import invalid_messages
from tests.oracle.script import EVERYTHING_ASKED, EMULATED_FEATURES, random_script
from tests.oracle.comparing import BRIDGE
from tests.oracle.world import EMULATED, World
from tests.system import ovs
from tests.tools.controller import (
    CONTROLLER, IN_PORT, TABLE, apply, bucket, flow_mod, goto, group, group_mod, match, metadata, output, packet_out,
    set_field, simple, write)
from tools.emulator import oxm, wire
from tools.emulator.host import ipv4

LENGTH = int(os.environ.get("SCRIPT_LENGTH", "300"))
SEEDS = [int(text) for text in os.environ.get("SEEDS", "1,2,3").split(",")]
FLOWS = EVERYTHING_ASKED[:1]
BOTH = 2
"""Controllers that are told what is told."""
Compare = Callable[[list[Step]], dict[str, int]]


@pytest.fixture(scope="module")
def compare() -> Iterator[Compare]:
    """Fails with the differences between the two switches; how much was compared."""
    ovs.require()
    with asyncio.Runner() as runner:
        world = World((BRIDGE, EMULATED))
        runner.run(world.__aenter__())

        def compared(steps: list[Step]) -> dict[str, int]:
            before = dict(world.seen)
            found = runner.run(world.run(steps))
            assert not found, "\n".join([*map(str, found), written(steps[:found[0].number + 1])])
            return {name: count - before[name] for name, count in world.seen.items()}

        yield compared
        runner.run(world.__aexit__(None, None, None))


@pytest.mark.parametrize("seed", SEEDS)
def test_random_scripts_do_the_same(compare: Compare, seed: int) -> None:
    compare(random_script(seed, LENGTH, EMULATED_FEATURES))


def test_every_refusal_is_the_same(compare: Compare) -> None:
    compare([Step(*way) for way in invalid_messages()] + EVERYTHING_ASKED)


def flow(*instructions: bytes, table: int = 0, priority: int = 100, flags: int = 0, command: int = 0, cookie: int = 0,
         hard: int = 0, idle: int = 0, **fields: int | tuple[int, int]) -> Step:
    """A flow-mod."""
    return Step("flow-mod", wire.FLOW_MOD, flow_mod(
        match(**fields), b"".join(instructions), table=table, priority=priority, flags=flags, command=command,
        cookie=cookie, hard=hard, idle=idle))


def grouped(kind: int, number: int, *buckets: bytes, command: int = 0) -> Step:
    """A group-mod."""
    return Step("group-mod", wire.GROUP_MOD, group_mod(command, kind, number, *buckets))


def metered(command: int, flags: int, number: int, *bands: bytes) -> Step:
    """A meter-mod."""
    return Step("meter-mod", wire.METER_MOD, pack("!HHI", command, flags, number) + b"".join(bands))


MACS = bytes.fromhex("020000000002020000000001")
PLAIN = MACS + b"\x08\x00" + ipv4(b"\x0a\0\0\1", b"\x0a\0\0\2", 200, bytes(30))
TAGGED = MACS + b"\x81\x00\x00\x07" + PLAIN[12:]


def test_a_fabric_pipeline_of_labels_metadata_and_chained_groups(compare: Compare) -> None:
    """What a network hypervisor installs: classify, label, transit by failover group, logical table, hairpin."""
    label = MACS + b"\x81\x00\x00\x67" + PLAIN[12:]
    seen = compare([
        grouped(3, 1, bucket(output(2), watch_port=2), bucket(output(3), watch_port=3)),
        grouped(2, 2, bucket(simple(17, 0x8100), set_field(oxm.VLAN_VID, 0x1067), group(1))),
        grouped(2, 3, bucket(output(4))),
        grouped(0, 4, bucket(group(2)), bucket(group(3)), bucket(output(IN_PORT))),
        flow(metadata(0x0010010000000000), goto(10), IN_PORT=1), flow(goto(1), IN_PORT=2), flow(goto(1), IN_PORT=3),
        flow(apply(simple(18), group(3)), table=1, VLAN_VID=0x1067),
        flow(metadata(5), goto(2), table=1, priority=50, VLAN_VID=(0x1000, 0x1000)),
        flow(apply(group(1)), table=2, METADATA=5),
        flow(apply(group(4), set_field(oxm.ETH_DST, 0x020000000009), output(4)), table=10,
             METADATA=(1 << 52, 0xfff << 52), ETH_TYPE=0x0800),
        flow(apply(output(CONTROLLER, 0)), table=10, priority=0, cookie=9),
        sent(1, PLAIN), sent(2, label), sent(3, label), sent(2, TAGGED), sent(3, TAGGED),
        sent(1, MACS + b"\x88\xb5" + bytes(46)),
        *EVERYTHING_ASKED])
    assert seen["frames"] == 7 and seen["messages"] == BOTH * 1


def test_moves_between_fields_that_are_no_part_of_the_packet(compare: Compare) -> None:
    """Also where nothing changes: what a label has covered is looked at, so less is counted from there on."""
    def move(bits: int, first: int, source: int, target_first: int, target: int) -> bytes:
        return bytes.fromhex("ffff0018000023200006") + pack(
            "!HHHII", bits, first, target_first, oxm.field_header(source), oxm.field_header(target))

    same = move(1, 63, oxm.METADATA, 63, oxm.METADATA)
    label = MACS + b"\x88\x47\x00\x01\x11\x40" + PLAIN[14:]
    seen = compare([
        grouped(2, 1, bucket(output(2))), grouped(2, 2, bucket(simple(20, 0x0800), same, group(1))),
        flow(metadata(0xa5), apply(set_field(oxm.REG0, 0xff)), goto(1), IN_PORT=1),
        flow(apply(move(4, 4, oxm.METADATA, 8, oxm.REG0 + 1), move(8, 0, oxm.REG0, 56, oxm.METADATA)), goto(2),
             table=1),
        flow(apply(output(CONTROLLER, 0)), table=2, METADATA=0xff000000000000a5),
        flow(apply(simple(20, 0x0800), same, group(1)), IN_PORT=2, ETH_TYPE=0x8847),
        flow(apply(group(2)), IN_PORT=3, ETH_TYPE=0x8847),
        sent(1, PLAIN), sent(2, label), sent(3, label), *EVERYTHING_ASKED])
    assert seen["messages"] and seen["frames"] == 1
    compare([flow(apply(move(*parts)), IN_PORT=4) for parts in (
        (0, 0, oxm.METADATA, 0, oxm.METADATA), (2, 63, oxm.METADATA, 0, oxm.METADATA),
        (33, 0, oxm.METADATA, 0, oxm.REG0))] + FLOWS)


def nicira(kind: int, body: bytes) -> bytes:
    data = pack("!IH", 0x2320, kind) + body
    return pack("!HH", 0xffff, 4 + len(data)) + data


def load(header: int, first: int, bits: int, value: int) -> bytes:
    return nicira(7, pack("!HIQ", first << 6 | bits - 1, header, value))


def test_clones_have_an_action_set_of_their_own_and_loads_change_what_goes_with_a_packet(compare: Compare) -> None:
    """What crosses from one logical switch to another (hvproxy.compiler.wires)."""
    in_port, meta = 2, oxm.field_header(oxm.METADATA)

    def resubmit(table: int) -> bytes:
        return nicira(14, pack("!HB3x", 0xfff8, table))

    nowhere = nicira(39, pack("!HI", 0xfff8, 64))
    fresh = set_field(oxm.REG0, 0) + nicira(43, bytes(6))
    cross = nicira(42, bytes(6) + fresh + load(meta, 36, 4, 1) + load(in_port, 0, 16, 0xffff)
                   + resubmit(8) + nowhere)
    seen = compare([
        grouped(2, 1, bucket(load(meta, 40, 24, 0x123456), resubmit(7))), grouped(2, 2, bucket(output(CONTROLLER))),
        flow(apply(set_field(oxm.REG0, 7), group(1), output(2)), write(output(3)), metadata(0xa5), goto(20), IN_PORT=1),
        flow(apply(cross), table=7, cookie=7),
        flow(simple_clear(), goto(10), table=8, METADATA=(1 << 36, 0xf << 36)),
        flow(write(set_field(oxm.ETH_DST, 0x020000000009), group(2)), apply(output(1), output(IN_PORT)), table=10,
             REG0=0, cookie=10),
        flow(apply(output(4)), table=20, REG0=7, METADATA=0xa5), sent(1, PLAIN), sent(1, TAGGED), *EVERYTHING_ASKED])
    assert seen["frames"] == 2 * 4 and seen["messages"] == BOTH * 2
    compare([flow(apply(action), IN_PORT=4) for action in (
        load(meta, 60, 5, 1), load(meta, 0, 4, 16), load(in_port, 4, 16, 1), nicira(42, bytes(6)),
        nicira(42, bytes(6) + output(0xffffff01)))] + FLOWS)


@pytest.mark.parametrize("header", [0x00012008, oxm.field_header(oxm.TUNNEL_ID)])
def test_the_tunnel_id_has_a_name_of_its_own_in_actions_of_open_vswitchs(compare: Compare, header: int) -> None:
    seen = compare([
        flow(apply(load(header, 31, 1, 1)), goto(1), IN_PORT=1),
        flow(apply(output(CONTROLLER, 0)), table=1, TUNNEL_ID=1 << 31), sent(1, PLAIN), *EVERYTHING_ASKED])
    assert seen["messages"] == BOTH


def simple_clear() -> bytes:
    """The instruction that empties the action set."""
    return pack("!HH4x", 5, 8)


def test_group_loops_and_missing_groups(compare: Compare) -> None:
    compare([
        grouped(0, 1, bucket(group(2)), bucket(output(2))), grouped(0, 2, bucket(group(1))),
        flow(apply(output(3), group(1), output(4)), IN_PORT=1), sent(1, PLAIN),
        grouped(2, 5, bucket(group(6))), flow(apply(output(3), group(5)), IN_PORT=2), sent(2, PLAIN),
        Step("packet-out", wire.PACKET_OUT, packet_out(PLAIN, output(2), group(1))),
        grouped(0, 1, command=2), sent(1, PLAIN), multipart(7)])


def test_the_action_set_and_the_outputs_to_the_arrival_port(compare: Compare) -> None:
    seen = compare([
        grouped(2, 1, bucket(output(4))), grouped(
            3, 2, bucket(output(1), watch_port=1), bucket(output(3), watch_port=3)),
        flow(write(group(1)), goto(1), IN_PORT=1), flow(write(output(3)), table=1), sent(1, PLAIN),
        flow(write(output(2), set_field(oxm.ETH_SRC, 5)), IN_PORT=2), sent(2, PLAIN),
        flow(apply(group(2), output(2)), IN_PORT=1), sent(1, PLAIN), sent(2, PLAIN),
        flow(apply(output(1), output(IN_PORT)), IN_PORT=1), sent(1, PLAIN),
        flow(write(output(4)), goto(5), IN_PORT=3), sent(3, PLAIN),
        Step("packet-out", wire.PACKET_OUT, packet_out(PLAIN, output(TABLE), in_port=1)),
        Step("packet-out", wire.PACKET_OUT, packet_out(
            PLAIN, set_field(oxm.METADATA, 0x99), output(CONTROLLER), output(1), in_port=1))])
    assert seen["frames"] == 5


def test_the_tunnel_id_and_registers_go_with_a_packet(compare: Compare) -> None:
    register = oxm.REG0 + 15
    seen = compare([
        flow(apply(set_field(oxm.TUNNEL_ID, 1 << 63 | 5), set_field(register, 7), simple(19, 0x8847),
                   output(CONTROLLER)) + goto(1), IN_PORT=1, TUNNEL_ID=0),
        flow(write(set_field(oxm.REG0, 9), output(CONTROLLER)) + goto(2), table=1,
             TUNNEL_ID=(1 << 63, 1 << 63), REG0=0),
        flow(apply(output(2), output(CONTROLLER)), table=2, TUNNEL_ID=(5, 0xff)),
        *FLOWS, sent(1, PLAIN),
        Step("packet-out", wire.PACKET_OUT, packet_out(
            PLAIN, set_field(oxm.TUNNEL_ID, 5), set_field(register, 3), output(CONTROLLER), in_port=1))])
    assert seen["frames"] == 1


def test_adding_again_keeps_counters_and_modifying_keeps_timeouts(compare: Compare) -> None:
    compare([
        flow(apply(output(2)), cookie=1, hard=600, flags=1), sent(1, PLAIN), flow(apply(output(3)), cookie=2, idle=500),
        *FLOWS, sent(1, PLAIN), flow(apply(output(4)), command=1, cookie=3, flags=1), *FLOWS,
        flow(apply(output(4)), command=2, flags=4, hard=5), *FLOWS, flow(apply(output(2)), flags=4),
        *FLOWS, flow(apply(output(2)), flags=3, cookie=7), flow(command=3, table=0xff)])


def test_a_group_takes_its_entries_along(compare: Compare) -> None:
    seen = compare([
        grouped(2, 1, bucket(output(4))), grouped(2, 2, bucket(output(4))),
        flow(apply(group(1), group(2)), flags=1, cookie=1), flow(write(group(2)), flags=1, cookie=2, table=3),
        flow(write(output(2)), flags=1, cookie=3, table=4), *EVERYTHING_ASKED, grouped(0, 1, command=2),
        *EVERYTHING_ASKED,
        grouped(0, 0xfffffffc, command=2), *EVERYTHING_ASKED])
    assert seen["messages"] == BOTH * 2


def test_entries_expire_with_the_same_reason(compare: Compare) -> None:
    seen = compare([
        flow(flags=1, hard=1, IN_PORT=1), flow(flags=1, idle=1, IN_PORT=2), flow(flags=1, hard=1, idle=3, IN_PORT=3),
        flow(apply(output(3)), flags=1, idle=3, IN_PORT=4), sent(4, PLAIN), Step("expire", EXPIRE), *EVERYTHING_ASKED])
    assert seen["messages"] == BOTH * 4


def test_a_lost_link_moves_a_failover_group_and_is_told_alike(compare: Compare) -> None:
    buckets = (bucket(output(2), watch_port=2), bucket(output(3), watch_port=3))
    down, up = (Step("carrier", CARRIER, port=2, up=up) for up in (False, True))
    seen = compare([
        grouped(3, 1, *buckets), flow(apply(group(1)), IN_PORT=1), down, sent(1, PLAIN), multipart(13), up,
        sent(1, PLAIN), *EVERYTHING_ASKED])
    assert seen["frames"] == 2 and seen["messages"] == BOTH * 2


def test_meters(compare: Compare) -> None:
    """Every case, then frames that always, or never, fit the bucket whatever the time; deletion takes entries along."""
    large, middle = PLAIN + bytes(300), PLAIN + bytes(140)
    nothing = metered(2, 0, 0xffffffff)
    told = [Step("meters", wire.MULTIPART_REQUEST, pack("!H6xI4x", kind, number))
            for number in (1, 5, 0) for kind in (9, 10)]
    features = Step("features", wire.MULTIPART_REQUEST, pack("!H6x", 11))
    through = b"\x00\x06\x00\x08\x00\x00\x00\x01" + apply(output(2))
    cases = [step for case in CASES
             for step in (nothing, metered(0, 2, 1, band()), Step("meter-mod", wire.METER_MOD, case.body))]
    seen = compare([
        features, *cases, nothing, *told, flow(through),
        metered(0, 2, 1, band(1, burst=9)), flow(through, flags=1, IN_PORT=1), flow(through, priority=5, IN_PORT=3),
        *(sent(1, PLAIN) for _ in range(4)), *told, flow(command=3, IN_PORT=3),
        metered(1, 1, 1, band(1)), *told, sent(1, large), sent(1, PLAIN), sent(1, large), *told,
        metered(1, 1, 1, band(2), band(1)), sent(1, middle), sent(1, large), *told,
        metered(1, 9, 1, band(1), band(2)), sent(1, middle), sent(1, large), *told,
        *EVERYTHING_ASKED, metered(2, 0, 1), *told, sent(1, PLAIN), *EVERYTHING_ASKED])
    assert seen["frames"] == 5
