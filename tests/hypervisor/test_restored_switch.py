"""What the records of a logical switch are made of, and how their damage is told."""
from __future__ import annotations

from collections.abc import Callable

import pytest

from hvproxy.errors import DamagedRecord
from hvproxy.hypervisor.restore import restored
from hvproxy.model import records
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.multipart import Kind, multipart_request
from tests.harness import Controller
from tests.hypervisor.worlds import a_stored_world, add, flow_mod, meter_mod, packets


def test_tables_count_what_went_while_hvproxy_was_killed() -> None:
    world, controller = a_stored_world()
    add(controller, flow_mod(apply=actions.output(2)))
    world.switches[2].count(10, 5, 500)
    assert packets(controller) == 5
    world.pass_time(1.5)
    controller.send(flow_mod(command=of13.OFPFC_DELETE))
    world.switches[2].remove = lambda key: world.switches[2].rules.pop(key, None)  # type: ignore[method-assign]
    world.run()
    world.restart()
    world.pass_time(1.5)
    again = Controller(world, "red")
    assert [each.matched_count for each in again.ask(multipart_request(3, Kind.TABLE, b"")).body][0] == 5
    assert not any(key.startswith("ls/red/count/") for key in world.records)


def test_numbers_of_before_do_not_come_again() -> None:
    world, controller = a_stored_world()
    add(controller, flow_mod(apply=actions.output(2)))
    add(controller, flow_mod(command=of13.OFPFC_DELETE))
    world.restart()
    world.pass_time(1.5)
    add(Controller(world, "red"), flow_mod(apply=actions.output(2)))
    number, = (entry.number for entry in world.hv.logical_switches["red"].tables.entries())
    assert number > 1 << 16


@pytest.mark.parametrize("damage, what", [
    (lambda key, data: data[:-1] + bytes([data[-1] ^ 1]), "its checksum is wrong"),
    (lambda key, data: data[:3], "3 bytes are no record"),
    (lambda key, data: bytes([9]) + data[1:], "is of version 9"),
])
def test_any_damaged_record_is_refused_by_its_key(damage: Callable[[str, bytes], bytes], what: str) -> None:
    world, controller = a_stored_world()
    add(controller, flow_mod(apply=actions.output(2)), meter_mod(1, 5),
        build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(actions.output(2))))
    world.switches[1].count(10, 5, 500)
    packets(controller)
    world.pass_time(1.5)
    for key, data in world.records.items():
        with pytest.raises(DamagedRecord, match=what) as caught:
            restored(world.settings, world.now, {**world.records, key: damage(key, data)})
        assert caught.value.key == key


def test_records_that_contradict_each_other_are_refused() -> None:
    world, controller = a_stored_world()
    add(controller, flow_mod(apply=actions.output(2)), meter_mod(1, 5),
        build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(actions.output(2))))
    world.run()
    for first, second, kind in (
            ("ls/red/entry/1", "ls/red/entry/2", records.EntryRecord), ("ls/red/group/7", "ls/red/group/8",
                                                                        records.GroupRecord),
            ("ls/red/meter/1", "ls/red/meter/2", records.MeterRecord),
            ("ls/red/port/1", "ls/red/port/9", records.Port),
            ("ls/red", "ls/blue", records.LogicalSwitchRecord),
            ("label/flood/1/1", "label/flood/1/9", records.LabelRecord),
            ("datapath/1", "datapath/9", records.DatapathRecord)):
        twin = records.encode(second, records.decode(first, kind, world.records[first]))
        others = {"ls/blue/state": records.encode("ls/blue/state", records.decode(
            "ls/red/state", records.State, world.records["ls/red/state"]))} if second == "ls/blue" else {}
        with pytest.raises(DamagedRecord):
            restored(world.settings, world.now, {**world.records, **others, second: twin})
