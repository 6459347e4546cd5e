"""What packets teach a logical switch in memory: its entries, the answers for what is known, and when they go."""
from __future__ import annotations

from hvproxy.compiler.learning import UNKNOWN
from hvproxy.hypervisor.learning import MOST_PER_SECOND, MOST_SENT, Pupil
from hvproxy.model.layout import LEARN_SHIFT, LEARNS_FLAG, OUTLET, PLACE, ContextLayout, Table, cookie
from hvproxy.openflow import actions, build, nicira
from hvproxy.openflow.constants import of13
from hvproxy.openflow.oxm import tlv
from hvproxy.openflow.oxm_fields import BY_NUMBER, CT_MARK, OWN_REGISTER
from tests.harness import Controller, World
from tests.hypervisor.test_mac_table import frame
from tests.hypervisor.worlds import a_stored_world, add, assert_equal_to_recompute, flow_mod, red
from tests.openflow.learn_cases import BACK, LOAD, REG0, TO_PORT, bundle, field, learn
from tests.openflow.test_nicira_ct import IP, ct

A, B = 0x020000000001, 0x020000000002
LAYOUT = ContextLayout()


def teach(world: World, dpid: int, port: int, data: bytes, number: int = 1, index: int = 0, known: bytes = b"") -> None:
    """A datapath reports a packet that has come to an action learn of an entry."""
    ls = world.hv.logical_switches["red"]
    metadata = LAYOUT.context(ls.ls_id, ls.ports[port].index) | LEARNS_FLAG | index << LEARN_SHIFT
    world.switches[dpid].packet_in(data, table=Table.ASIDE, cookie=cookie(ls.ls_id, UNKNOWN), metadata=metadata,
                                   others=tlv(OWN_REGISTER.number, number) + known)
    world.run()


def told(controller: Controller, table: int = 2) -> dict[int, tuple[bytes, int]]:
    """eth_dst -> (actions, cookie) of what a table holds."""
    found = {}
    for entry in controller.world.hv.logical_switches["red"].tables.entries():
        match = entry.match.get(of13.OFPXMT_OFB_ETH_DST)
        if entry.table_id == table and match is not None:
            found[match[0]] = (entry.instructions.apply, entry.cookie)
    return found


def learning(*specs: bytes, **head: int) -> tuple[World, Controller]:
    world, controller = red()
    add(controller, flow_mod(apply=learn(*(specs or (BACK, TO_PORT)), **head)))  # type: ignore[arg-type]
    return world, controller


def aside(world: World, dpid: int = 1) -> int:
    """How many packets are answered for on a datapath."""
    return len([number for number in world.switches[dpid].cookies(Table.ASIDE)
                if UNKNOWN < number & 0xffffffff < OUTLET])


def test_a_packet_adds_an_entry_everywhere_and_is_answered_from_then_on() -> None:
    world, controller = learning()
    assert_equal_to_recompute(world)
    assert len(world.switches[2].cookies(Table.ASIDE)) == 1 and aside(world) == 0
    teach(world, 1, 1, frame(A))
    teach(world, 1, 1, frame(A))  # it was under way
    assert told(controller) == {A: (actions.output(1), 5)}
    assert [aside(world, dpid) for dpid in (1, 2, 3)] == [1, 0, 0]  # it enters at port 1 only
    assert len(world.switches[3].cookies(12)) > 0
    assert_equal_to_recompute(world)
    teach(world, 2, 2, frame(A))
    assert told(controller) == {A: (actions.output(2), 5)}
    assert [aside(world, dpid) for dpid in (1, 2, 3)] == [0, 1, 0]
    assert_equal_to_recompute(world)


def test_what_is_deleted_or_changed_is_taught_again() -> None:
    world, controller = learning()
    for command, apply in ((of13.OFPFC_DELETE, b""), (of13.OFPFC_MODIFY, actions.output(3))):
        teach(world, 1, 1, frame(A))
        assert aside(world) == 1
        add(controller, flow_mod(command=command, table=2, apply=apply))
        assert aside(world) == 0
        assert_equal_to_recompute(world)
    teach(world, 1, 1, frame(A))
    assert told(controller) == {A: (actions.output(1), 5)} and aside(world) == 1


def test_when_the_teacher_goes_so_does_what_is_known_and_the_entry_stays() -> None:
    world, controller = learning()
    teach(world, 1, 1, frame(A))
    add(controller, flow_mod(command=of13.OFPFC_DELETE, table=0))
    assert aside(world) == 0 and A in told(controller)
    teach(world, 1, 1, frame(B))  # from before it went
    assert B not in told(controller)
    assert_equal_to_recompute(world)


def test_what_was_learnt_goes_with_the_last_that_learns_it() -> None:
    world, controller = learning(BACK, flags=2)
    add(controller, flow_mod(priority=6, apply=learn(BACK, TO_PORT, flags=2)))
    teach(world, 1, 1, frame(A))
    add(controller, flow_mod(table=2, match=tlv(of13.OFPXMT_OFB_ETH_DST, B), cookie=4))
    add(controller, flow_mod(command=of13.OFPFC_DELETE_STRICT, table=0, priority=6))
    assert A in told(controller)
    add(controller, flow_mod(command=of13.OFPFC_MODIFY, table=0))
    assert set(told(controller)) == {B}
    assert_equal_to_recompute(world)


def test_a_hard_timeout_begins_anew_while_packets_teach() -> None:
    world, controller = learning(hard=10)
    teach(world, 1, 1, frame(A))
    for _ in range(5):
        world.pass_time(4.0)
        answers = [key for key, rule in world.switches[1].rules.items() if UNKNOWN < rule[0] & 0xffffffff < OUTLET]
        world.switches[1].count(Table.ASIDE, 1, 60, answers[0][2])
        world.pass_time(1.5)
        assert A in told(controller)
    world.pass_time(12.0)
    assert told(controller) == {} and aside(world) == 0
    assert_equal_to_recompute(world)


def test_tables_that_are_not_there_learn_nothing_and_are_not_asked_again() -> None:
    world, controller = learning(table=200)
    teach(world, 1, 1, frame(A))
    assert aside(world) == 1 and len(world.hv.logical_switches["red"].tables) == 1
    assert_equal_to_recompute(world)


def test_a_datapath_without_room_takes_the_lesson_back() -> None:
    world, controller = learning()
    world.switches[2].refuse = (of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL)
    teach(world, 1, 1, frame(A))
    world.run()
    assert told(controller) == {} and aside(world) == 0 and controller.take() == []
    world.switches[2].refuse = None
    teach(world, 1, 1, frame(A))
    assert told(controller) == {}  # not in the same second
    world.pass_time(1.5)
    teach(world, 1, 1, frame(A))
    assert A in told(controller)
    assert_equal_to_recompute(world)


def test_a_packet_out_teaches_by_the_list_it_was_sent_with() -> None:
    world, controller = red()
    add(controller, build.packet_out(1, 1, learn(BACK, TO_PORT), frame(B)))
    teach(world, 1, 1, frame(A), number=PLACE + 1)
    assert A in told(controller) and aside(world) == 0


def test_registers_and_metadata_are_the_tenants() -> None:
    world, controller = learning(BACK, field(LOAD, 32, 0x80000408, REG0))
    ls = world.hv.logical_switches["red"]
    metadata = LAYOUT.context(ls.ls_id, ls.ports[1].index) | LEARNS_FLAG | 0x1234
    world.switches[1].packet_in(frame(A), table=Table.ASIDE, cookie=cookie(ls.ls_id, UNKNOWN), metadata=metadata,
                                others=tlv(OWN_REGISTER.number, 1))
    world.run()
    assert told(controller)[A][0].endswith((0x1234).to_bytes(8, "big"))


def test_nonsense_teaches_nothing() -> None:
    world, controller = learning()
    teach(world, 1, 1, frame(A), index=3)
    teach(world, 1, 1, frame(A), number=77)
    teach(world, 1, 1, b"")
    assert told(controller) == {}


def test_so_many_a_second_and_so_many_lists() -> None:
    pupil = Pupil()
    assert sum(pupil.takes_one(5.0) for _ in range(MOST_PER_SECOND + 10)) == MOST_PER_SECOND
    assert not pupil.takes_one(5.9) and pupil.takes_one(6.1)
    numbers = [pupil.send(bytes((each % 256,))) for each in range(MOST_SENT + 1)]
    assert len(set(numbers)) == MOST_SENT and min(numbers) > PLACE and pupil.sent(numbers[-1]) == b"\0"
    assert pupil.sent(5) == b""


def test_what_was_learnt_and_how_it_is_asked_is_there_after_a_restart() -> None:
    world, controller = a_stored_world()
    add(controller, flow_mod(apply=learn(BACK, TO_PORT) + bundle(1, 2)),
        flow_mod(table=3, apply=actions.resubmit(4), write=actions.output(1)))
    teach(world, 1, 1, frame(A))
    add(controller)
    before = set(world.switches[2].cookies(Table.ASIDE))
    world.restart()
    world.pass_time(2.0)
    controller = Controller(world, "red")
    assert A in told(controller)
    assert_equal_to_recompute(world)
    assert before <= set(world.switches[2].cookies(Table.ASIDE)) and len(before) > 16


def test_what_is_known_of_a_connection_is_learnt_and_decides_what_is_known() -> None:
    world, controller = red()
    mark = BY_NUMBER[CT_MARK].header
    add(controller, flow_mod(match=IP, apply=ct(table=1)),
        flow_mod(table=1, apply=learn(BACK, field(LOAD, 32, mark, REG0))))
    for value in (7, 8, 0):
        teach(world, 1, 1, frame(A), number=2, known=tlv(CT_MARK, value) if value else b"")
        assert told(controller) == {A: (nicira.load(0, 32, REG0, value), 5)}
        assert [aside(world, dpid) > 0 for dpid in (1, 2)] == [True, value == 0], "elsewhere no packet has a mark"
        assert_equal_to_recompute(world)
