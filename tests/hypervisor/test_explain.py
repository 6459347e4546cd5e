"""Every rule and group of a whole fabric has a sentence that says what it is for, and the sentence is true."""
from __future__ import annotations

from msgspec.structs import replace

from hvproxy.hypervisor import intent, replacing, report
from hvproxy.hypervisor.explain import Explanations, Why
from hvproxy.hypervisor.fabric import RESUME
from hvproxy.hypervisor.links import NamedLink
from hvproxy.hypervisor.settings import Settings
from hvproxy.model.intent import PortSpec, parse
from hvproxy.model.layout import GroupKind, cookie
from hvproxy.model.rules import Group, Rule
from hvproxy.model.schema import plain
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.instructions import build as build_instructions
from hvproxy.openflow.oxm import tlv
from tests.harness import Controller, World, spec
from tests.hypervisor import worlds
from tests.hypervisor.test_learning import teach
from tests.hypervisor.test_mac_table import frame
from tests.hypervisor.worlds import add, flow_mod, red
from tests.openflow.learn_cases import BACK, TO_PORT, bundle, learn
from tests.openflow.test_nicira_ct import ct

LINKS = tuple(NamedLink(a, b) for a, b in (((1, 7), (0x11, 1)), ((2, 7), (0x11, 2)), ((1, 8), (0x12, 1)),
                                           ((2, 8), (0x12, 2))))


def a_world() -> World:
    """Two leaves, two spines; red has a VLAN sub-port, an entry and a group."""
    world = World(spec("red", {1: (1, 1), 2: (2, 1), 5: (1, 3, 20)}),
                  settings=Settings(links=LINKS, secret=b"0123456789abcdef"))
    world.add_switches(1, 2, 0x11, 0x12)
    world.pass_time(2.0)
    controller = Controller(world, "red")
    controller.send(build.group_mod(8, of13.OFPGC_ADD, of13.OFPGT_ALL, 77, bucket(actions.output(1))))
    controller.send(build.flow_mod(9, of13.OFPFC_ADD, table_id=0, priority=5, match_tlvs=b"", cookie=0xABC,
                                   instructions=build_instructions(Instructions(apply=actions.output(2)))))
    world.run()
    return world


def rules(world: World, dpid: int) -> set[str]:
    why = Explanations(world.hv)
    return {why.rule(rule).text for rule in world.hv.switches.datapaths[dpid].desired.rules.values()}


def groups(world: World, dpid: int) -> set[str]:
    why = Explanations(world.hv)
    return {why.group(group).text for group in world.hv.switches.datapaths[dpid].desired.groups.values()}


def label(world: World, kind: str, number: int) -> int:
    return world.hv.fabric.labels.used[kind, world.hv.logical_switches["red"].ls_id, number]


def test_the_rules_of_an_edge_say_what_they_are_for() -> None:
    world = a_world()
    port = {number: port.index for number, port in world.hv.logical_switches["red"].ports.items()}
    assert rules(world, 1) >= {
        "classifies port 1 as red/1",
        "classifies port 3, VLAN 20, as red/5",
        "takes labelled frames from fabric port 7",
        "takes packet-outs of hvproxy into the logical tables",
        "hands discovery frames to hvproxy",
        "hands frames to hvproxy that another switch has sent back",
        "sends a frame back by which hvproxy finds out whether the switch forwards",
        "drops frames of ports that nothing is bound to",
        "drops frames under unknown labels",
        f"delivers label {label(world, 'deliver', port[1])} to red/1",
        f"floods label {label(world, 'flood', 1)} to the ports of red here",
        "entry 1 of red",
    }


def test_the_rules_of_a_spine_say_where_frames_go() -> None:
    world = a_world()
    index = world.hv.logical_switches["red"].ports[2].index
    found = rules(world, 0x11)
    assert found >= {
        f"carries label {label(world, 'deliver', index)}, frames for red/2, towards edge 0000000000000002",
        f"carries label {label(world, 'flood', 1)}, floods of red, towards edge 0000000000000001",
        "carries frames towards edge 0000000000000002",
    }
    assert not any("red/" in text and "label" not in text for text in found)


def test_the_rule_of_many_labels_says_which() -> None:
    world = worlds.a_world(first_vid=16, last_vid=4079)
    first = min(world.hv.fabric.labels.blocks.runs(2)[0])
    found = rules(world, 0x11)
    assert f"carries labels {first} to {first + 15} towards edge 0000000000000002" in found
    assert not any(text.startswith("carries label ") for text in found)


def test_a_watched_port_and_what_watches_it_say_so() -> None:
    world = a_world()
    controller = Controller(world, "red")
    controller.send(build.group_mod(8, of13.OFPGC_ADD, of13.OFPGT_FF, 78, bucket(actions.output(1), watch_port=1)))
    world.run()
    assert {"group 78 of red", "is alive while red/1 is, for groups that watch it"} <= groups(world, 1)


def test_groups_say_what_they_reach() -> None:
    found = groups(a_world(), 1)
    assert found >= {
        "sends to red/1", "sends to red/2", "sends to red/5 on the port of arrival", "sends to the controllers of red",
        "sends frames of red back where they came from", "floods red", "floods to the ports of red here",
        "floods red with frames of red/5", "group 77 of red", "group 77 of red for frames of red/5",
        "carries frames towards edge 0000000000000002",
    }


def test_what_learns_and_chooses_says_so() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=bundle(1, 2) + learn(BACK, TO_PORT)))
    add(controller, flow_mod(priority=4, apply=actions.resubmit(1), write=actions.output(1)))
    teach(world, 1, 1, frame(0x02000000000A))
    assert rules(world, 1) >= {"sends to port 1 of red, which a bundle has chosen", "finds what packets teach red",
                               "has the action set send to port 1 of red, unless it holds a group",
                               "knows what packets teach red by entry 1"}


def test_the_hidden_tables_say_what_they_are_for() -> None:
    world = a_world()
    normal = actions.output(of13.OFPP_NORMAL)
    controller = Controller(world, "red")
    controller.send(build.flow_mod(9, of13.OFPFC_ADD, table_id=0, priority=6, match_tlvs=b"", cookie=1,
                                   instructions=build_instructions(Instructions(apply=normal))))
    world.run()
    ls = world.hv.logical_switches["red"]
    put, gone = ls.hosts.heard(1, 0x02000000000A, 0, world.now)
    world.hv.change(ls.hidden_changes(put, gone), world.now)
    assert rules(world, 1) >= {
        "finds hosts of red that are not known yet",
        "floods frames of red for hosts that are not known",
        "passes frames of red whose source is no host's",
        "knows where the host 02:00:00:00:00:0a of red is",
        "switches frames of red for 02:00:00:00:00:0a",
        "drops frames of red for 01:80:c2:00:00:00",
    }
    assert "switches frames of red as a learning switch does" in groups(world, 1)


def test_rules_that_drop_fragments_say_so() -> None:
    world = a_world()
    Controller(world, "red").send(build.set_config(1, of13.OFPC_FRAG_DROP, 128))
    world.run()
    assert rules(world, 1) >= {f"drops fragments of {whose} as it is configured"
                               for whose in ("red/1", "red/5", "packet-outs to red")}


def test_nothing_in_the_fabric_is_unexplained() -> None:
    world = a_world()
    for dpid in world.hv.switches.datapaths:
        for text in rules(world, dpid) | groups(world, dpid):
            assert not any(word in text for word in ("unknown kind", "does not know", "none any more", "deleted"))
            assert not text.startswith("serves")


def test_an_entry_brings_its_number_and_the_tenants_cookie() -> None:
    world = a_world()
    entry = next(iter(world.hv.logical_switches["red"].tables.entries()))
    why = Explanations(world.hv)
    for rule in entry.rules[1]:
        assert why.rule(rule) == Why(f"entry {entry.number} of red", "red", entry.number, 0xABC)


def test_what_is_on_its_way_out_is_said_to_be() -> None:
    world = a_world()
    rule = next(iter(next(iter(world.hv.logical_switches["red"].tables.entries())).rules[1]))
    group = next(g for g in world.hv.switches.datapaths[1].desired.groups.values()
                 if g.group_id >> 28 == GroupKind.LPORT)
    gone = Rule(rule.table, 1, b"", b"", cookie(world.hv.logical_switches["red"].ls_id, 4000))
    assert Explanations(world.hv).rule(gone).text == "entry 4000 of red, which is removed"
    intent.delete_logical_switch(world.hv, "red", lambda at: None, world.now)
    world.pass_time(1.0)
    why = Explanations(world.hv)
    assert why.rule(rule).text == why.group(group).text == "belonged to a logical switch that is deleted"
    uplink = Group(GroupKind.UPLINK << 28 | 9, of13.OFPGT_FF, b"")
    assert why.group(uplink).text == "carries frames towards an edge that is none any more"


def test_rules_of_another_format_are_not_read_wrongly() -> None:
    why = Explanations(a_world().hv)
    assert "another format" in why.rule(Rule(10, 1, b"", b"", 0xA7FF000100000001)).text
    assert "does not know" in why.rule(Rule(0, 1, tlv(0, 1), b"", cookie(0, 200))).text


def test_classification_says_what_a_ports_configuration_leaves_of_it() -> None:
    world = a_world()
    controller = Controller(world, "red")
    for number, config, texts in (
            (1, of13.OFPPC_NO_RECV, {"drops what enters port 1 as red/1 is configured",
                                     "classifies spanning tree of port 1 as red/1"}),
            (5, of13.OFPPC_PORT_DOWN, {"drops what enters port 3, VLAN 20, as red/5 is configured",
                                       "classifies packet-outs to port 3, VLAN 20, as red/5"})):
        address = world.hv.logical_switches["red"].ports[number].hw_addr
        controller.send(build.port_mod(3, number, address, config, config))
        world.pass_time(1.0)
        assert texts <= rules(world, 1)


def test_what_tracks_connections_says_where_frames_are_decided_upon() -> None:
    world = a_world()
    add(Controller(world, "red"), flow_mod(match=tlv(of13.OFPXMT_OFB_ETH_TYPE, 0x800), apply=ct(table=1)))
    ((key, at),) = ((key, number) for key, number in world.hv.fabric.labels.used.items() if key[0] == RESUME)
    assert world.hv.fabric.labels.used[key] == at
    assert {f"takes label {at} in as frames of red/2",
            "empties the action set before a connection of red is tracked"} <= rules(world, 1)
    assert "takes frames of red up anew when their label is off" in groups(world, 1)
    assert f"carries label {at}, frames of red/2 to be decided upon, towards edge 0000000000000001" in rules(
        world, 0x11)


def test_what_knows_where_floods_matter_says_so() -> None:
    world = a_world()
    ls = world.hv.logical_switches["red"]
    known = tuple(parse(PortSpec, {**port, "macs": [f"02:00:00:00:00:0{port['number']}"],
                                   "addresses": [f"10.0.0.{port['number']}", f"2001:db8::{port['number']}"]})
                  for port in plain(report.spec_of(ls))["ports"])  # type: ignore[index]
    replacing.adjust(world.hv, [replace(report.spec_of(ls), ports=known, less_broadcast=True)], world.now)
    world.pass_time(3.0)
    assert rules(world, 1) >= {
        "floods frames of red everywhere",
        "knows where floods of red for the host 02:00:00:00:00:02 matter",
        "knows where floods of red for the host 10.0.0.5 matter",
        "knows where floods of red for the host 10.0.0.5 that come from red/5 matter",
        "has everybody on red told of the host 10.0.0.5",
        "knows where floods of red for the host 2001:db8::5 matter",
        "has everybody on red told of the host 2001:db8::5",
    }
    assert groups(world, 1) >= {"floods red", "floods red everywhere", "floods red with frames of red/5",
                                "floods red everywhere with frames of red/5"}
