import pytest

from hvproxy.hypervisor.commands import GoOn, Pause, Resume
from hvproxy.hypervisor.controller_session import (
    BARRIER_DEADLINE, HELD_BYTES_MOST, HELD_LEAST, HELD_MOST, PORTION, UNSENT_MOST,
)
from hvproxy.model.layout import ContextLayout
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.multipart import FlowStatsRequest, Kind, multipart_request
from tests.harness import PORT_LOST, Controller, World
from tests.hypervisor.worlds import a_world, add, flow_mod

CONTEXT = ContextLayout().context(1, 1)
DESC_REPLY = 16 + 1056
"""Bytes."""


def blocked() -> tuple[World, Controller]:
    """A controller whose barrier 21 waits for switch 2."""
    world = a_world()
    controller = Controller(world, "red")
    world.switches[2].hold_barriers = True
    controller.send(flow_mod(apply=actions.output(2)) + build.barrier_request(21))
    assert controller.take() == []
    return world, controller


def flow_control(world: World, conn: int) -> list[type]:
    return [type(c) for c in world.commands if isinstance(c, Pause | Resume) and c.conn == conn]


def test_echoes_are_answered_with_their_payload_while_a_barrier_waits() -> None:
    _, controller = blocked()
    assert controller.ask(build.echo_request(5, b"payload")).data == b"payload"


def test_all_else_waits_behind_a_barrier_and_is_answered_in_order() -> None:
    world, controller = blocked()
    controller.send(build.features_request(22) + build.barrier_request(23) + build.get_config_request(24))
    assert controller.take() == []
    world.switches[2].release()
    replies = controller.take("BARRIER_REPLY", "FEATURES_REPLY", "BARRIER_REPLY", "GET_CONFIG_REPLY")
    assert [reply.xid for reply in replies] == [21, 22, 23, 24]


def test_an_error_of_what_waited_comes_in_its_turn() -> None:
    world, controller = blocked()
    controller.send(flow_mod(xid=22, table=200) + build.barrier_request(23))
    world.switches[2].release()
    assert [m.xid for m in controller.take("BARRIER_REPLY", "ERROR", "BARRIER_REPLY")] == [21, 22, 23]


def test_a_barrier_with_nothing_to_confirm_is_answered_at_once() -> None:
    world = a_world()
    for switch in world.switches.values():
        switch.hold_barriers = True
    controller = Controller(world, "red")
    controller.send(build.barrier_request(21))
    controller.take("BARRIER_REPLY")


def test_too_much_behind_a_barrier_pauses_the_connection_until_it_is_worked_off() -> None:
    world, controller = blocked()
    controller.send(build.get_config_request(1) * HELD_MOST)
    world.run()
    assert flow_control(world, controller.conn) == []
    controller.send(build.get_config_request(1))
    world.run()
    assert flow_control(world, controller.conn) == [Pause]
    world.switches[2].release()
    controller.take("BARRIER_REPLY", *["GET_CONFIG_REPLY"] * (HELD_MOST + 1))
    assert flow_control(world, controller.conn) == [Pause, Resume]


def test_a_few_long_messages_behind_a_barrier_pause_the_connection_too() -> None:
    world, controller = blocked()
    long = build.packet_out(1, 0, b"", bytes(60_000))
    fits = HELD_BYTES_MOST // len(long)
    assert fits < HELD_LEAST
    controller.send(long * fits)
    world.run()
    assert flow_control(world, controller.conn) == []
    controller.send(long)
    world.run()
    assert flow_control(world, controller.conn) == [Pause]
    world.switches[2].release()
    controller.take("BARRIER_REPLY")
    assert flow_control(world, controller.conn) == [Pause, Resume]


def test_reading_goes_on_only_when_little_is_left() -> None:
    """A second barrier stops the work with HELD_LEAST messages left."""
    world, controller = blocked()
    controller.send(flow_mod(xid=1, match=b"", priority=1, apply=actions.output(2)) + build.barrier_request(22)
                    + build.get_config_request(1) * HELD_MOST)
    world.run()
    assert flow_control(world, controller.conn) == [Pause]
    held, world.switches[2].held = world.switches[2].held, []
    for message in held:  # those of the first barrier only; the second one's is held again
        world.switches[2].send(message)
    controller.take("BARRIER_REPLY")
    assert flow_control(world, controller.conn) == [Pause]
    assert HELD_LEAST < HELD_MOST
    world.switches[2].release()
    world.run()
    assert flow_control(world, controller.conn) == [Pause, Resume]


def test_an_overdue_barrier_is_refused_once_and_what_waited_goes_on() -> None:
    world, controller = blocked()
    controller.send(build.features_request(22))
    world.pass_time(BARRIER_DEADLINE + 1)
    messages = [m for m in controller.take(*["ECHO_REQUEST"] * 1, "ERROR", "FEATURES_REPLY")
                if m.msg_type != of13.OFPT_ECHO_REQUEST]
    assert [(m.msg_type, m.xid) for m in messages] == [(of13.OFPT_ERROR, 21), (of13.OFPT_FEATURES_REPLY, 22)]
    world.switches[2].release()
    assert controller.take() == []


def test_the_late_answer_of_an_overdue_barrier_does_not_answer_the_next_of_the_same_xid() -> None:
    world, controller = blocked()
    controller.send(flow_mod(apply=actions.output(3), match=b"", priority=1) + build.barrier_request(21))
    world.pass_time(BARRIER_DEADLINE + 0.5)
    controller.messages.clear()
    held, world.switches[2].held = world.switches[2].held, []
    world.switches[2].send(held[0])
    world.run()
    assert not [m for m in controller.messages if m[1] == of13.OFPT_BARRIER_REPLY]
    for message in held[1:]:
        world.switches[2].send(message)
    world.switches[2].release()
    world.run()
    assert [m[4:8] for m in controller.messages if m[1] == of13.OFPT_BARRIER_REPLY] == [(21).to_bytes(4, "big")]


def test_a_silent_controller_is_asked_and_then_given_up() -> None:
    world = a_world()
    controller = Controller(world, "red")
    world.pass_time(20.0)
    assert len(controller.take("ECHO_REQUEST")) == 1
    world.pass_time(60.0)
    assert controller.closed is not None


def test_a_controller_that_answers_echoes_stays() -> None:
    world = a_world()
    controller = Controller(world, "red")
    for _ in range(10):
        world.pass_time(20.0)
        for message in controller.messages:
            assert message[1] == of13.OFPT_ECHO_REQUEST
            controller.send(build.echo_reply(message))
        controller.messages.clear()
        world.run()
    assert controller.closed is None


def test_a_controller_of_another_version_is_refused_and_closed() -> None:
    world = a_world()
    controller = Controller.__new__(Controller)
    controller.__dict__.update(world=world, messages=[], history=b"", closed=None)
    from hvproxy.openflow.framing import Framer
    controller.framer = Framer()
    controller.conn = world.connect(controller)
    world.hv.controller_connected(controller.conn, "red", "tcp:127.0.0.1:1", False, world.now)
    controller.send(build.hello(1, {1}))
    world.run()
    assert [m[1] for m in controller.messages] == [of13.OFPT_HELLO, of13.OFPT_ERROR]
    assert controller.closed is not None


def test_a_congested_controller_loses_packets_and_nothing_else() -> None:
    world = a_world()
    controller = Controller(world, "red")
    world.hv.congested(controller.conn, True, world.now)
    world.switches[1].packet_in(b"lost", metadata=CONTEXT)
    controller.send(build.barrier_request(3))
    controller.take("BARRIER_REPLY")
    assert world.hv.logical_switches["red"].dropped_packets == 1
    world.hv.congested(controller.conn, False, world.now)
    world.switches[1].packet_in(b"taken", metadata=CONTEXT)
    assert [m.data for m in controller.take("PACKET_IN")] == [b"taken"]


def test_a_controller_that_takes_nothing_is_answered_no_further_until_it_does() -> None:
    world = a_world()
    controller = Controller(world, "red")
    size = DESC_REPLY
    many = UNSENT_MOST // size + 2
    controller.send(build.desc_request(1) * (2 * many))
    world.hv.congested(controller.conn, True, world.now)
    world.run()
    answered = len(controller.messages)
    assert UNSENT_MOST < answered * size <= UNSENT_MOST + size
    world.hv.congested(controller.conn, False, world.now)
    world.run()
    assert len(controller.messages) > answered


def test_what_waited_for_answers_to_be_handed_over_goes_on_though_nobody_says_that_they_were_taken() -> None:
    world = a_world()
    controller = Controller(world, "red")
    many = 3 * UNSENT_MOST // DESC_REPLY
    world.hv.received(controller.conn, build.desc_request(1) * many, world.now)
    world.deliver()
    assert UNSENT_MOST < len(controller.messages) * DESC_REPLY < 1.5 * UNSENT_MOST
    world.run()
    assert len(controller.messages) == many


def test_what_waited_is_worked_off_in_portions() -> None:
    world, controller = blocked()
    request = build.get_config_request(1)
    controller.send(request * HELD_MOST)
    world.run()
    (barrier,) = world.switches[2].held
    world.hv.received(world.switches[2].conn, barrier, world.now)
    portions = []
    while any(isinstance(command, GoOn) for command in world.hv.out):
        before = len(controller.messages)
        world.deliver()
        portions.append(len(controller.messages) - before)
        world.queue.clear()  # the call it has asked for comes now, from here
        world.hv.received(controller.conn, b"", world.now)
    assert portions and max(portions) <= 1 + -(-PORTION // len(request))
    controller.take("BARRIER_REPLY", *["GET_CONFIG_REPLY"] * HELD_MOST)


def test_a_long_answer_is_made_message_by_message_and_what_follows_it_waits() -> None:
    world = a_world()
    controller = Controller(world, "red")
    add(controller, *(flow_mod(priority=number, apply=actions.output(2)) for number in range(1, 2001)))
    controller.send(multipart_request(3, Kind.FLOW, FlowStatsRequest().encode()))
    while not controller.messages:  # the switches are asked, and answer one by one
        world.deliver()
        world.hv.received(*world.queue.pop(0), world.now)
        world.deliver()
    assert len(controller.messages) == 1
    controller.send(build.get_config_request(4))
    kinds = [message[1] for message in taken(controller)]
    assert kinds == [of13.OFPT_MULTIPART_REPLY] * 3 + [of13.OFPT_GET_CONFIG_REPLY]


def taken(controller: Controller) -> list[bytes]:
    """What has come, unread."""
    controller.world.run()
    messages, controller.messages = controller.messages, []
    return messages


def test_a_barrier_does_not_overtake_an_answer() -> None:
    world = a_world()
    controller = Controller(world, "red")
    add(controller, flow_mod(apply=actions.output(2)))
    world.switches[2].silent = True
    controller.send(multipart_request(3, Kind.FLOW, FlowStatsRequest().encode()) + build.barrier_request(4)
                    + build.get_config_request(5))
    assert controller.take() == []
    world.switches[2].answer()
    assert [m.xid for m in controller.take("MULTIPART_REPLY", "BARRIER_REPLY", "GET_CONFIG_REPLY")] == [3, 4, 5]


def test_a_refused_question_holds_up_no_barrier() -> None:
    world = a_world()
    controller = Controller(world, "red")
    controller.send(multipart_request(3, 77, b"") + build.barrier_request(4)
                    + multipart_request(5, Kind.FLOW, FlowStatsRequest(table_id=9).encode())
                    + build.barrier_request(6))
    assert [m.xid for m in controller.take("ERROR", "BARRIER_REPLY", "ERROR", "BARRIER_REPLY")] == [3, 4, 5, 6]


def test_packets_sent_while_a_barrier_waited_do_not_hold_up_what_waits_behind_it() -> None:
    world, controller = blocked()
    controller.send(build.features_request(22))
    for _ in range(UNSENT_MOST // 60_000 + 2):
        world.switches[1].packet_in(bytes(60_000), metadata=CONTEXT)
    world.switches[2].release()
    world.run()
    assert [m[1] for m in controller.messages if m[1] != of13.OFPT_PACKET_IN] == [
        of13.OFPT_BARRIER_REPLY, of13.OFPT_FEATURES_REPLY]


@pytest.mark.parametrize("passive", [False, True])
def test_only_a_passive_connection_has_to_ask_for_what_is_not_asked_for(passive: bool) -> None:
    world = a_world()
    controller = Controller(world, "red", passive=passive)
    world.switches[1].packet_in(b"data", metadata=CONTEXT)
    world.switches[1].set_port(1, False)
    assert len(controller.take(*[] if passive else ["PACKET_IN", *PORT_LOST])) == (0 if passive else 3)
    controller.send(build.set_config(3, of13.OFPC_FRAG_NORMAL, 128))
    world.switches[1].packet_in(b"data", metadata=CONTEXT)
    world.switches[1].set_port(1, True)
    controller.take("PACKET_IN", "PORT_STATUS")


def test_a_controller_that_waits_for_our_answers_is_not_dead() -> None:
    """It may not be read meanwhile, so that nothing can be heard of it."""
    world, controller = blocked()
    controller.send(build.get_config_request(22) * (HELD_MOST + 1))
    world.run()
    world.hv.sessions[controller.conn][1].block(build.barrier_request(21), 1e9)  # for longer than a session lives
    world.pass_time(100.0)
    assert controller.closed is None
    world.hv.congested(controller.conn, True, world.now)
    world.pass_time(100.0)
    assert controller.closed is not None
