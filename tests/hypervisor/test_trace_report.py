"""A trace is told in sentences that name things as people call them."""
from __future__ import annotations

import json
from typing import Any

from hvproxy.hypervisor import intent, report
from hvproxy.hypervisor.trace_report import report as trace_report
from hvproxy.hypervisor.tracing import TraceSpec
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.oxm import tlv
from hvproxy.trace.compose import compose
from tests.harness import World
from tests.hypervisor.worlds import add, flow_mod, in_port, port_spec, red

FRAME = "tcp,dl_dst=2:0:0:0:0:2,tp_dst=80"


def traced(world: World, port: int | str = 1) -> Any:
    found = trace_report(world.hv, "red", TraceSpec(port=port, frame=FRAME))
    assert json.loads(json.dumps(found)) == found
    return found


def texts(steps: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(step["depth"], step["text"]) for step in steps]


def test_the_logical_steps_name_the_tenants_entries() -> None:
    world, controller = red()
    add(controller, flow_mod(match=in_port(1), apply=actions.set_field(tlv(3, 9)), goto=1, cookie=0xABC),
        flow_mod(table=1, priority=0, apply=actions.output(of13.OFPP_CONTROLLER), cookie=0xDEF))
    found = traced(world)
    assert texts(found["logical"]["steps"]) == [
        (0, "table 0: priority 5, in_port=1, cookie 0xabc: set_field:00:00:00:00:00:09->eth_dst,goto_table:1"),
        (1, "set_field:00:00:00:00:00:09->eth_dst"),
        (0, "table 1: the table-miss entry, cookie 0xdef: CONTROLLER:65535"),
        (1, "to the controllers, reason no_match")]
    first = found["logical"]["steps"][0]
    assert (first["kind"], first["table"], first["priority"], first["match"], first["entry"]) == (
        "table", 0, 5, "in_port=1", 1)
    (told,) = found["logical"]["packet_ins"]
    assert (told["table"], told["cookie"], told["in_port"]) == (1, "0xdef", 1)
    assert found["physical"]["packet_ins"] == [told] and found["agree"] is True


def test_a_table_that_no_entry_matches_is_named() -> None:
    world, _ = red()
    assert texts(traced(world)["logical"]["steps"]) == [
        (0, "table 0: no entry matches"), (0, "nothing sends the frame anywhere: it is dropped")]


def test_what_comes_out_is_told_with_what_changed() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=actions.set_field(tlv(3, 9)) + actions.output(2)))
    found = traced(world)
    frame = (bytes(5) + b"\x09" + compose(FRAME)[6:]).hex()
    (out,) = found["logical"]["out"]
    assert out == {"logical_switch": "red", "port": 2, "name": "red2", "frame": frame,
                   "changes": ["dl_dst=00:00:00:00:00:09 (was 02:00:00:00:00:02)"]}
    assert found["physical"]["out"] == [out]


def test_hops_tell_ports_labels_and_whose_the_rules_are() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=actions.output(2)))
    first, spine, last = traced(world)["physical"]["hops"]
    ls = world.hv.logical_switches["red"]
    label = world.hv.fabric.labels.used["deliver", ls.ls_id, ls.ports[2].index]
    means = {"vlan": label, "key": None, "means": f"label {label}, frames for red/2"}
    assert (first["datapath"], first["in_port_name"], first["label"]) == ("0000000000000001", "s1-1", None)
    (sent,) = first["sent"]
    assert sent["label"] == means and sent["to"] == {"dpid": spine["datapath"], "port": 1}
    assert sent["text"] == (f"out of port 8 (s1-8) under label {label}, frames for red/2 to datapath "
                            "0000000000000012, port 1 (s12-1)")
    assert spine["label"] == last["label"] == means
    assert last["sent"][0]["delivers"] == "red/2"
    assert last["sent"][0]["text"] == "delivered to red/2 out of port 1 (s2-1)"
    whose = [(step["table"], step["why"], step["entry"]) for step in first["steps"] if step["kind"] == "table"]
    assert whose == [(0, "classifies port 1 as red/1", None), (10, "entry 1 of red", 1)]
    assert {step["why"] for step in first["steps"] if step["kind"] == "group"} == {
        "sends to red/2", "carries frames towards edge 0000000000000002"}


def test_a_tenants_group_is_told_in_both() -> None:
    world, controller = red()
    add(controller, build.group_mod(8, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(actions.output(4))),
        flow_mod(apply=actions.group(7)))
    found = traced(world)
    (group,) = [step for step in found["logical"]["steps"] if step["kind"] == "group"]
    assert (group["group"], group["text"], group["why"]) == (7, "group 7, all", None)
    assert "group 7 of red" in {step["why"] for step in found["physical"]["hops"][0]["steps"]}


def test_a_port_without_a_place_has_no_physical_half() -> None:
    world, _ = red()
    intent.put_port(world.hv, "red", port_spec(9, "late"), world.now)
    found = traced(world, "late")
    assert (found["physical"], found["agree"], found["port"]) == (None, None, 9)
    assert report.port(world.hv, "red", 9)["why_down"] in found["notes"][0]


def test_a_frame_that_is_lost_in_the_fabric_is_told() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=actions.output(2)))
    for dpid in (1, 2, 3):
        world.switches[dpid].hold_barriers = True
    world.hv.fabric.set_links(())
    hop = traced(world)["physical"]["hops"][0]
    assert hop["sent"][0]["text"] == "out of port 8 (s1-8), where no logical port and no working link is"
