"""Zones are had before what names them is there, and flushed by their tenant alone."""
from __future__ import annotations

import msgspec
import pytest

from hvproxy.errors import Refused
from hvproxy.hypervisor import zones
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import NICIRA_ID, of13
from hvproxy.openflow.experimenters import BODY, Nicira, NiciraError, forget_connections, kind_of, nicira
from hvproxy.openflow.messages import decode_flow_mod
from hvproxy.openflow.oxm import tlv
from hvproxy.openflow.oxm_fields import CT_ZONE
from tests.harness import Controller, World, spec
from tests.hypervisor.worlds import a_world, add, assert_equal_to_recompute, flow_mod
from tests.openflow.test_nicira_ct import IP, ct, nat


FRAME = bytes(12) + bytes.fromhex("0800") + bytes(46)


def forgotten(world: World, dpid: int) -> list[int]:
    """The zones that a switch was told to forget since the last time."""
    told = [int.from_bytes(data[BODY + 6:BODY + 8], "big") for data in world.switches[dpid].experimenters
            if kind_of(data) == (NICIRA_ID, Nicira.CT_FLUSH_ZONE)]
    world.switches[dpid].experimenters.clear()
    return told


@pytest.mark.parametrize("message, may", [
    (flow_mod(match=IP, apply=ct()), True), (flow_mod(match=IP + tlv(CT_ZONE, 4)), True),
    (flow_mod(match=IP, apply=actions.output(1)), False),
    (flow_mod(command=of13.OFPFC_DELETE, match=IP + tlv(CT_ZONE, 4)), False),
])
def test_what_deletes_names_no_zone(message: bytes, may: bool) -> None:
    assert zones.may_name(decode_flow_mod(message)) is may


def test_a_refused_flow_mod_has_no_zone() -> None:
    world = a_world()
    controller = Controller(world, "red")
    controller.refused(flow_mod(match=IP, apply=ct(zone=7) + actions.output(0)))
    assert not world.hv.logical_switches["red"].tracking.zones
    add(controller, flow_mod(match=IP + tlv(CT_ZONE, 9), apply=ct(zone=7)))
    assert world.hv.logical_switches["red"].tracking.zones.keys() == {7, 9}
    assert_equal_to_recompute(world)


@pytest.mark.parametrize("inner, trusted, taken", [
    (nat(), False, True), (nat(1, 1, bytes((192, 0, 2, 1))), False, False), (nat(2), False, False),
    (nat(1, 1, bytes((192, 0, 2, 1))), True, True), (nat(2), True, True),
])
def test_only_whom_the_operator_trusts_may_translate_addresses(inner: bytes, trusted: bool, taken: bool) -> None:
    world = a_world(msgspec.structs.replace(spec("red", {1: (1, 1), 2: (2, 1)}), nat=trusted))
    controller = Controller(world, "red")
    message = flow_mod(match=IP, apply=ct(1, inner))
    frame = build.packet_out(8, 1, ct(1, inner), FRAME)
    if taken:
        add(controller, message, frame)
    else:
        for error in (controller.ask(message), controller.ask(frame)):
            assert (error.type, error.exp_type, error.experimenter) == (
                of13.OFPET_EXPERIMENTER, NiciraError.CT_DATAPATH_SUPPORT, NICIRA_ID)
        assert not world.hv.logical_switches["red"].tracking.zones
    assert_equal_to_recompute(world)


def test_a_zone_is_flushed_at_the_home_and_is_nobody_elses() -> None:
    ports = {1: (1, 1), 2: (2, 1)}
    world = a_world(spec("red", ports), spec("blue", {1: (1, 2), 2: (2, 2)}))
    red, blue = Controller(world, "red"), Controller(world, "blue")
    blue.send(forget_connections(3, 5))
    world.run()
    assert forgotten(world, 1) == forgotten(world, 2) == [], "it has no such zone"
    for controller in (red, blue):
        add(controller, flow_mod(match=IP, apply=ct(zone=5)))
    assert forgotten(world, 1) == [1, 2]
    blue.send(forget_connections(3, 5) + forget_connections(3, 1) + forget_connections(3, 0))
    world.run()
    blue.take()
    assert forgotten(world, 1) == [2] and forgotten(world, 2) == []


def test_padding_must_be_zero() -> None:
    world = a_world()
    controller = Controller(world, "red")
    with pytest.raises(Refused) as refused:
        zones.flush(world.hv.logical_switches["red"], nicira(3, Nicira.CT_FLUSH_ZONE, b"\0\0\0\0\1\0\0\5"), world.now)
    assert (refused.value.error_type, refused.value.code, refused.value.experimenter) == (
        of13.OFPET_EXPERIMENTER, NiciraError.MUST_BE_ZERO, NICIRA_ID)
    controller.take()
