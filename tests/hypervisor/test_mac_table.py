"""What a logical switch knows of hosts, held against a table kept in the simplest way."""
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hvproxy.compiler.normal import LEARN, SWITCH
from hvproxy.hypervisor import intent
from hvproxy.hypervisor.mac_table import AGEING, LOOK_EVERY, MOST_HOSTS, MOST_PER_SECOND, MacTable
from hvproxy.model.layout import HIDDEN, ContextLayout, GroupKind, Table, cookie
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.oxm import tlv
from tests.harness import Controller, World
from tests.hypervisor.worlds import a_world, add, assert_equal_to_recompute, flow_mod, red

A, B = 0x020000000001, 0x020000000002
NORMAL = actions.output(of13.OFPP_NORMAL)
LAYOUT = ContextLayout()
BAD_OUT_PORT = (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_PORT)


def frame(source: int, destination: int = B, vlan: int | None = None) -> bytes:
    tag = b"" if vlan is None else b"\x81\x00" + vlan.to_bytes(2, "big")
    return destination.to_bytes(6, "big") + source.to_bytes(6, "big") + tag + b"\x88\xb5" + bytes(46)


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from((A, B, 1 << 40)), st.sampled_from((0, 7)),
                          st.sampled_from((0.0, 1.0, 200.0))), max_size=30))
def test_it_knows_where_each_address_was_heard_last_and_forgets_the_silent(
    script: list[tuple[int, int, int, float]],
) -> None:
    table, now, plain = MacTable(), 0.0, dict[tuple[int, int], tuple[int, float]]()
    held = {id(entry) for entry in table.begin()}
    for port, address, vlan, passed in script:
        now += passed
        gone = table.looked(now)
        held -= {id(entry) for entry in gone}
        plain = {key: value for key, value in plain.items() if now < value[1] + AGEING}
        put, gone = table.heard(port, address, vlan, now)
        held = held - {id(entry) for entry in gone} | {id(entry) for entry in put}
        if not address >> 40 & 1 and plain.get((address, vlan), (0, 0))[0] != port:
            plain[address, vlan] = (port, now)
        assert {key: table.where(*key) for key in plain} == {key: port for key, (port, _) in plain.items()}
        assert len(table) == len(plain)
        assert held == {id(entry) for entry in table.entries()}


def test_it_begins_once_and_is_emptied() -> None:
    table = MacTable()
    assert list(table.entries()) == []
    first = table.begin()
    assert first and table.begin() == []
    put, _ = table.heard(1, A, 0, 0.0)
    assert table.emptied() == first + put
    assert list(table.entries()) == [] and not table.in_use and len(table) == 0
    assert {entry.table_id for entry in table.begin()} == {LEARN, SWITCH}


def test_a_full_table_takes_the_quietest_of_the_port_with_most() -> None:
    table = MacTable()
    for number in range(MOST_HOSTS):
        table.heard(1 if number else 2, number, 0, float(number))
    quiet, next_quiet = (next(e for e in table.entries() if e.number & 1 == 0 and host in e.match.tlvs)
                         for host in ((1).to_bytes(6, "big"), (2).to_bytes(6, "big")))
    table.alive(quiet.number, 9000.0)
    put, gone = table.heard(3, A, 0, 9001.0)
    assert len(put) == 2 and next_quiet in gone and len(table) == MOST_HOSTS
    assert (table.where(2, 0), table.where(1, 0), table.where(0, 0), table.where(A, 0)) == (None, 1, 2, 3)


def test_made_up_addresses_cost_no_more_than_so_many_a_second() -> None:
    table = MacTable()
    assert sum(bool(table.heard(1, number, 0, 0.5)[0]) for number in range(MOST_PER_SECOND + 100)) == MOST_PER_SECOND
    assert table.heard(2, MOST_PER_SECOND + 5, 0, 1.4) == ([], [])
    assert table.heard(2, MOST_PER_SECOND + 5, 0, 1.5)[0]


def test_the_numbers_of_hosts_are_hidden_ones_and_unique() -> None:
    table = MacTable()
    table.begin()
    for number in range(50):
        table.heard(1, number, 0, 0.0)
    numbers = [entry.number for entry in table.entries()]
    assert len(set(numbers)) == len(numbers) and all(number & HIDDEN == HIDDEN for number in numbers)


# In a logical switch

def tell(world: World, dpid: int, port: int, data: bytes, tagged: bool = False, index: int | None = None) -> None:
    """A datapath reports a frame of an unknown source that entered at a logical port."""
    ls = world.hv.logical_switches["red"]
    at = ls.ports[port].index if index is None else index
    world.switches[dpid].packet_in(data, table=Table.LEARN, cookie=cookie(ls.ls_id, HIDDEN | (2 if tagged else 1)),
                                   metadata=LAYOUT.context(ls.ls_id, at))
    world.run()


def hidden(world: World, dpid: int) -> dict[int, int]:
    """How many rules the hidden tables of a datapath hold."""
    return {table: len(world.switches[dpid].cookies(table)) for table in (Table.LEARN, Table.SWITCH)}


def known(world: World) -> dict[int, int | None]:
    return {address: world.hv.logical_switches["red"].hosts.where(address, 0) for address in (A, B)}


def test_the_hidden_tables_come_with_the_first_use() -> None:
    world, controller = red()
    assert hidden(world, 1) == {Table.LEARN: 0, Table.SWITCH: 0}
    add(controller, flow_mod(apply=NORMAL))
    assert_equal_to_recompute(world)
    assert all(hidden(world, dpid)[table] for dpid in (1, 2, 3) for table in (Table.LEARN, Table.SWITCH))
    assert hidden(world, 0x11) == {Table.LEARN: 0, Table.SWITCH: 0}


def test_a_group_and_a_packet_out_use_it_too() -> None:
    for message in (build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(NORMAL)),
                    build.packet_out(1, 1, NORMAL, frame(A))):
        world, controller = red()
        add(controller, message)
        assert_equal_to_recompute(world)
        assert hidden(world, 1)[Table.LEARN] and hidden(world, 2)[Table.SWITCH]


def test_a_host_is_learnt_moves_and_is_forgotten_with_its_port() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=NORMAL))
    empty = {dpid: hidden(world, dpid) for dpid in (1, 2, 3)}
    tell(world, 1, 1, frame(A))
    assert_equal_to_recompute(world)
    assert known(world) == {A: 1, B: None}
    assert hidden(world, 1)[Table.LEARN] == empty[1][Table.LEARN] + 1
    assert hidden(world, 2)[Table.LEARN] == empty[2][Table.LEARN]
    tell(world, 2, 2, frame(A))
    assert_equal_to_recompute(world)
    assert known(world) == {A: 2, B: None}
    tell(world, 1, 5, frame(B))
    assert_equal_to_recompute(world)
    intent.delete_port(world.hv, "red", 5, lambda at: None, world.now)
    world.pass_time(3.0)
    assert_equal_to_recompute(world)
    assert known(world) == {A: 2, B: None}
    intent.delete_port(world.hv, "red", 2, lambda at: None, world.now)
    world.pass_time(3.0)
    assert_equal_to_recompute(world)
    assert known(world) == {A: None, B: None}
    assert not any(host.to_bytes(6, "big") in key[2] for switch in world.switches.values() for key in switch.rules
                   for host in (A, B))


def test_vlans_are_apart_and_a_priority_tag_is_none() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=NORMAL))
    hosts = world.hv.logical_switches["red"].hosts
    tell(world, 1, 1, frame(A, vlan=0xE005), tagged=True)
    assert (hosts.where(A, 0), hosts.where(A, 5)) == (None, 1)
    tell(world, 1, 4, frame(A, vlan=0xE000))
    assert (hosts.where(A, 0), hosts.where(A, 5)) == (4, 1)
    assert_equal_to_recompute(world)


def test_what_cannot_be_learnt_is_not() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=NORMAL))
    tell(world, 1, 1, frame(A)[:15])
    tell(world, 1, 1, frame(A), index=0)
    tell(world, 1, 1, frame(A), index=77)
    other = world.switches[1]
    other.packet_in(frame(A), cookie=cookie(99, HIDDEN | 1), metadata=LAYOUT.context(1, 1))
    other.packet_in(frame(A), cookie=cookie(1, HIDDEN | 1), metadata=LAYOUT.context(77, 1))
    world.run()
    assert known(world) == {A: None, B: None}
    controller.take()
    assert_equal_to_recompute(world)


def test_a_silent_host_is_forgotten_and_one_that_speaks_is_not() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=NORMAL))
    tell(world, 1, 1, frame(A))
    tell(world, 1, 4, frame(B))
    world.pass_time(200.0)
    world.switches[1].count(Table.LEARN, 1, 60, where=tlv(of13.OFPXMT_OFB_ETH_SRC, B))
    world.pass_time(AGEING - 200.0 + LOOK_EVERY + 2)
    assert known(world) == {A: None, B: 4}
    assert_equal_to_recompute(world)
    world.pass_time(AGEING + LOOK_EVERY + 2)
    assert known(world) == {A: None, B: None}
    assert_equal_to_recompute(world)
    assert world.hv.logical_switches["red"].hosts.next_look == float("inf")


def test_nothing_of_it_is_told_to_the_tenant() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=NORMAL, cookie=5))
    tell(world, 1, 1, frame(A))
    controller.take()
    world.switches[1].count(Table.LEARN, 3, 300)
    world.switches[1].count(Table.SWITCH, 3, 300)
    ls = world.hv.logical_switches["red"]
    assert [entry.cookie for entry in ls.tables.entries()] == [5]
    ls.read_counters(lambda at: None, world.now)
    world.run()
    assert sum(ls.counters.total(entry.number)[0] for entry in ls.tables.entries()) == 0


def test_a_deleted_logical_switch_leaves_nothing() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=NORMAL))
    tell(world, 1, 1, frame(A))
    intent.delete_logical_switch(world.hv, "red", lambda at: None, world.now)
    world.pass_time(3.0)
    assert hidden(world, 1) == hidden(world, 2) == {Table.LEARN: 0, Table.SWITCH: 0}
    assert_equal_to_recompute(world)


def test_where_a_switch_lacks_the_extensions_it_is_refused() -> None:
    world = a_world()
    world.switches[2].hardware = "plain"
    world.switches[2].reboot()
    controller = Controller(world, "red")
    assert controller.refused(flow_mod(apply=NORMAL)) == BAD_OUT_PORT
    assert controller.refused(flow_mod(write=NORMAL)) == BAD_OUT_PORT
    assert controller.refused(build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(NORMAL))) == BAD_OUT_PORT
    assert controller.refused(build.packet_out(1, 1, NORMAL, frame(A))) == BAD_OUT_PORT
    assert_equal_to_recompute(world)


def test_a_switch_that_loses_the_extensions_floods() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=NORMAL))
    tell(world, 1, 1, frame(A))
    world.switches[2].hardware = "plain"
    world.switches[2].reboot()
    world.pass_time(3.0)
    assert_equal_to_recompute(world)
    assert hidden(world, 2) == {Table.LEARN: 0, Table.SWITCH: 0}
    assert hidden(world, 1)[Table.LEARN]
    flood = LAYOUT.group_id(GroupKind.FLOOD, 1).to_bytes(4, "big")
    assert any(flood in instructions for (table, _, _), (_, instructions, _) in world.switches[2].rules.items()
               if table == Table.LOGICAL)
