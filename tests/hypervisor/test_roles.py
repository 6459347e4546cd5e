from struct import unpack

import pytest

from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import NICIRA_ID, ONF_ID, of13
from hvproxy.openflow.experimenters import Nicira, NiciraRole, nicira
from hvproxy.openflow.multipart import Kind, multipart_request
from tests.harness import PORT_LOST, Controller, World
from tests.hypervisor.worlds import a_world, flow_mod

NOCHANGE, EQUAL, MASTER, SLAVE = (of13.OFPCR_ROLE_NOCHANGE, of13.OFPCR_ROLE_EQUAL, of13.OFPCR_ROLE_MASTER,
                                  of13.OFPCR_ROLE_SLAVE)
NONE = 0xFFFFFFFFFFFFFFFF
STALE = (of13.OFPET_ROLE_REQUEST_FAILED, of13.OFPRRFC_STALE)


def two() -> tuple[World, Controller, Controller]:
    world = a_world()
    return world, Controller(world, "red"), Controller(world, "red")


def role(controller: Controller, wanted: int, generation: int = 0) -> tuple[int, int]:
    reply = controller.ask(build.role_request(7, wanted, generation))
    assert (reply.msg_type, reply.xid) == (of13.OFPT_ROLE_REPLY, 7)
    return reply.role, reply.generation_id


def displaced(controller: Controller) -> tuple[int, int, int]:
    """(role, reason, generation) of the one ROLE_STATUS that has come."""
    (status,) = controller.take("EXPERIMENTER")
    assert (status.experimenter, status.exp_type) == (ONF_ID, 1911)
    found: tuple[int, int, int] = unpack("!IB3xQ", status.data)
    return found


def nicira_role(controller: Controller, wanted: int) -> int:
    reply = controller.ask(nicira(7, Nicira.ROLE_REQUEST, wanted.to_bytes(4, "big")))
    assert (reply.xid, reply.experimenter, reply.exp_type) == (7, NICIRA_ID, Nicira.ROLE_REPLY)
    return int.from_bytes(reply.data, "big")


def test_everyone_begins_as_equal_without_a_generation() -> None:
    _, one, _ = two()
    assert role(one, NOCHANGE) == (EQUAL, NONE)


def test_a_new_master_makes_the_old_one_a_slave() -> None:
    _, one, other = two()
    assert role(one, MASTER, 5) == (MASTER, 5)
    assert role(other, MASTER, 6) == (MASTER, 6)
    assert displaced(one) == (SLAVE, 0, 6)
    assert role(one, NOCHANGE) == (SLAVE, 6)
    assert role(other, MASTER, 7) == (MASTER, 7)
    assert role(one, NOCHANGE) == (SLAVE, 7)


def test_an_equal_stays_equal_beside_a_master() -> None:
    _, one, other = two()
    role(one, MASTER, 5)
    assert role(other, NOCHANGE) == (EQUAL, 5)


@pytest.mark.parametrize("wanted", [MASTER, SLAVE])
def test_a_generation_of_the_past_is_stale_and_changes_nothing(wanted: int) -> None:
    _, one, other = two()
    role(one, MASTER, 5)
    assert other.refused(build.role_request(8, wanted, 4)) == STALE
    assert role(one, NOCHANGE) == (MASTER, 5)
    assert role(other, NOCHANGE) == (EQUAL, 5)


def test_generations_wrap() -> None:
    _, one, other = two()
    role(one, MASTER, NONE)
    assert role(other, MASTER, 3) == (MASTER, 3)
    displaced(one)
    assert one.refused(build.role_request(8, MASTER, NONE)) == STALE


def test_a_generation_half_way_round_is_of_the_past() -> None:
    _, one, other = two()
    role(one, MASTER, 5)
    assert other.refused(build.role_request(8, MASTER, 5 + (1 << 63))) == STALE
    assert role(other, MASTER, 4 + (1 << 63)) == (MASTER, 4 + (1 << 63))


def test_the_same_generation_is_not_stale() -> None:
    _, one, other = two()
    role(one, MASTER, 5)
    assert role(other, MASTER, 5) == (MASTER, 5)


def test_asking_to_be_equal_or_nothing_does_not_look_at_the_generation() -> None:
    _, one, _ = two()
    role(one, MASTER, 5)
    assert role(one, NOCHANGE, 1) == (MASTER, 5)
    assert role(one, EQUAL, 1) == (EQUAL, 5)


def test_an_unknown_role_is_refused() -> None:
    _, one, _ = two()
    assert one.refused(build.role_request(8, 9, 0)) == (of13.OFPET_ROLE_REQUEST_FAILED, of13.OFPRRFC_BAD_ROLE)


def test_nicira_roles_are_the_same_roles_without_generations() -> None:
    _, one, other = two()
    role(other, MASTER, 5)
    assert nicira_role(one, NiciraRole.MASTER) == NiciraRole.MASTER
    assert displaced(other) == (SLAVE, 0, 5)
    assert role(one, NOCHANGE) == (MASTER, 5)
    assert nicira_role(one, NiciraRole.SLAVE) == NiciraRole.SLAVE
    assert role(one, NOCHANGE) == (SLAVE, 5)
    assert nicira_role(one, NiciraRole.OTHER) == NiciraRole.OTHER
    assert role(one, NOCHANGE) == (EQUAL, 5)


def test_an_unknown_nicira_role_is_refused() -> None:
    _, one, _ = two()
    assert one.refused(nicira(8, Nicira.ROLE_REQUEST, bytes((0, 0, 0, 3)))) == (
        of13.OFPET_ROLE_REQUEST_FAILED, of13.OFPRRFC_BAD_ROLE)


def test_the_displaced_are_told_that_there_is_no_generation_yet() -> None:
    _, one, other = two()
    nicira_role(one, NiciraRole.MASTER)
    nicira_role(other, NiciraRole.MASTER)
    assert displaced(one) == (SLAVE, 0, NONE)


def test_generations_are_those_of_one_logical_switch() -> None:
    from tests.harness import spec
    world = a_world(spec("red", {1: (1, 1)}), spec("white", {1: (1, 2)}))
    role(Controller(world, "red"), MASTER, 50)
    assert role(Controller(world, "white"), MASTER, 5) == (MASTER, 5)


@pytest.mark.parametrize("request_", [
    flow_mod(xid=8, apply=actions.output(2)),
    build.group_mod(8, of13.OFPGC_ADD, of13.OFPGT_ALL, 1),
    build.packet_out(8, of13.OFPP_CONTROLLER, actions.output(1), b"data"),
    build.port_mod(8, 1, bytes(6), 0, 0),
    build.message(of13.OFPT_TABLE_MOD, 8, bytes(8)),
    build.message(of13.OFPT_METER_MOD, 8, bytes(8)),
    # What is wrong with the parts of a message does not matter then.
    build.message(of13.OFPT_FLOW_MOD, 8, flow_mod()[8:48] + b"\0\1\0\4" + bytes(4) + b"\0\4\0\4" + bytes(4)),
    build.message(of13.OFPT_GROUP_MOD, 8, bytes(24)),
    build.message(of13.OFPT_PACKET_OUT, 8, b"\xff" * 16),
])
def test_a_slave_may_not_change_anything(request_: bytes) -> None:
    world, one, _ = two()
    role(one, SLAVE, 1)
    sent = {dpid: switch.flow_mods + switch.group_mods for dpid, switch in world.switches.items()}
    assert one.refused(request_) == (of13.OFPET_BAD_REQUEST, of13.OFPBRC_IS_SLAVE)
    assert {dpid: s.flow_mods + s.group_mods for dpid, s in world.switches.items()} == sent
    assert not any(switch.packet_outs for switch in world.switches.values())


@pytest.mark.parametrize("request_", [
    build.message(of13.OFPT_FLOW_MOD, 8, bytes(32)), build.message(of13.OFPT_FLOW_MOD, 8, bytes(44)),
    build.message(of13.OFPT_GROUP_MOD, 8, bytes(10)), build.message(of13.OFPT_PACKET_OUT, 8, bytes(15)),
    build.message(of13.OFPT_PORT_MOD, 8, bytes(31)),
])
def test_a_message_that_does_not_begin_whole_is_too_short_whoever_sends_it(request_: bytes) -> None:
    _, one, _ = two()
    role(one, SLAVE, 1)
    assert one.refused(request_) == (of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_LEN)


def test_a_slave_may_ask_anything() -> None:
    _, one, _ = two()
    role(one, SLAVE, 1)
    for request in (build.features_request(1), build.get_config_request(2), build.barrier_request(3),
                    multipart_request(4, Kind.TABLE)):
        assert one.ask(request).msg_type != of13.OFPT_ERROR


def test_a_slave_is_told_of_ports_and_of_nothing_else() -> None:
    world, one, other = two()
    role(one, SLAVE, 1)
    other.send(flow_mod(flags=of13.OFPFF_SEND_FLOW_REM, apply=actions.output(2)))
    world.run()
    world.switches[1].packet_in(b"data", metadata=world.hv.settings.layout.context(1, 1))
    other.send(flow_mod(command=of13.OFPFC_DELETE))
    world.run()
    world.switches[1].set_port(1, False)
    other.take("PACKET_IN", "FLOW_REMOVED", *PORT_LOST)
    one.take(*PORT_LOST)


def test_a_slave_that_becomes_master_may_change() -> None:
    world, one, _ = two()
    role(one, SLAVE, 1)
    role(one, MASTER, 2)
    one.send(flow_mod(apply=actions.output(2)) + build.barrier_request(9))
    one.take("BARRIER_REPLY")
    assert world.switches[1].cookies()


def test_the_generation_outlives_the_connection() -> None:
    world, one, _ = two()
    role(one, MASTER, 5)
    one.disconnect()
    assert Controller(world, "red").refused(build.role_request(8, MASTER, 4)) == STALE
