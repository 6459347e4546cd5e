"""A switch that dies, or hangs, while its links stay up; links that let nothing through; and who only seems dead."""
from __future__ import annotations

from collections.abc import Iterable

import pytest

from hvproxy.compiler.reflection import address, name
from hvproxy.hypervisor import report
from hvproxy.hypervisor.commands import Log
from hvproxy.hypervisor.doubts import AGAIN, ENOUGH, LATE, WAIT
from hvproxy.hypervisor.links import NamedLink
from hvproxy.hypervisor.settings import Settings
from hvproxy.model.layout import RuleKind, Table, cookie
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.messages import decode_packet_out
from tests.harness import Controller, EndSwitch, World, spec
from tests.hypervisor.worlds import assert_equal_to_recompute

LEAVES, SPINES = (1, 2, 3), (0x11, 0x12)
CABLES = {(leaf, 7 + index): (spine, leaf) for leaf in LEAVES for index, spine in enumerate(SPINES)}
MOST = 1.0 + WAIT + ENOUGH * AGAIN + 0.1
"""Seconds that it may take until a link is in doubt: a round begins, and frames stay away."""
GRACE = 10.0


class Cabled(EndSwitch):
    """A switch whose ports are joined to others', and which forwards what hvproxy sends for itself."""

    def __init__(self, world: Fabric, dpid: int, ports: int = 8) -> None:
        super().__init__(world, dpid, ports)
        self.cabled = world
        self.forwards = True

    def message(self, message: bytes) -> None:
        super().message(message)
        if message[1] == of13.OFPT_PACKET_OUT and not self.hangs:
            out = decode_packet_out(message)
            for port in actions.outputs(out.actions):
                self.cabled.asked += out.data[:6] != self.cabled.destination
                self.cabled.carry((self.dpid, port), out.data)

    def arrives(self, port: int, frame: bytes) -> None:
        if not self.forwards or self.hangs:
            return
        mac = int.from_bytes(self.cabled.destination, "big")
        if frame[:6] == self.cabled.destination:
            self.hands_up(port, frame, RuleKind.DISCOVERY)
        elif frame[:6] == address(mac).to_bytes(6, "big") and self.holds(RuleKind.REFLECTION):
            if frame[6:12] == name(mac, self.dpid).to_bytes(6, "big"):
                self.cabled.carry((self.dpid, port), frame)
            else:
                self.hands_up(port, frame, RuleKind.REFLECTION)

    def hands_up(self, port: int, frame: bytes, kind: RuleKind) -> None:
        if self.conn in self.world.ends:
            self.packet_in(frame, table=0, in_port=port, cookie=cookie(0, kind))

    def holds(self, kind: RuleKind) -> bool:
        return any(held == cookie(0, kind) for held in self.cookies(Table.LABEL))

    def die(self) -> None:
        """Without a carrier going down."""
        self.forwards = False
        self.rules, self.groups = {}, {}
        self.disconnect()


class Fabric(World):
    """Three leaves, two spines, and red at each leaf; links are found by discovery."""

    def __init__(self, **settings: object) -> None:
        super().__init__(spec("red", {1: (1, 1), 2: (2, 1), 3: (3, 1)}),
                         settings=Settings(secret=b"0123456789abcdef", grace=GRACE, **settings))  # type: ignore
        self.cut: set[tuple[int, int]] = set()
        """Ends of links that let nothing through."""
        self.wires = {**CABLES, **{b: a for a, b in CABLES.items()}}
        self.asked = 0
        for dpid in (*LEAVES, *SPINES):
            self.switches[dpid] = Cabled(self, dpid)
            self.switches[dpid].connect()
        self.run()
        self.pass_time(4.0)
        assert len(self.hv.links.in_use) == 6

    @property
    def destination(self) -> bytes:
        """Of discovery frames."""
        assert self.hv.links.discovery is not None
        return self.hv.links.discovery.destination

    def carry(self, end: tuple[int, int], frame: bytes) -> None:
        if end in self.wires and self.cut.isdisjoint((end, self.wires[end])):
            dpid, port = self.wires[end]
            switch = self.switches[dpid]
            assert isinstance(switch, Cabled)
            switch.arrives(port, frame)

    def at(self, dpid: int) -> Cabled:
        switch = self.switches[dpid]
        assert isinstance(switch, Cabled)
        return switch

    @property
    def spine(self) -> int:
        """Which frames from 1 to 2 cross."""
        return self.hv.fabric.tree_to(2).way(1)[1]

    def silent(self) -> set[tuple[int, int]]:
        return {(link.a_dpid, link.b_dpid) for link in self.hv.links.silent}

    def all_of(self, spine: int) -> set[tuple[int, int]]:
        return {(leaf, spine) for leaf in LEAVES}

    def until(self, silent: Iterable[tuple[int, int]], most: float) -> float:
        """Seconds until these links are silent, and what paths lead over is brought about."""
        start = self.now
        while self.silent() != {*silent} or not self.hv.rollout.settled:
            assert self.now < start + most, self.silent()
            self.pass_time(0.01)
        return self.now - start


@pytest.fixture()
def fabric() -> Fabric:
    return Fabric()


def red(fabric: Fabric) -> Controller:
    return Controller(fabric, "red")


def test_paths_lead_round_a_switch_that_died_and_the_tenant_is_told_nothing(fabric: Fabric) -> None:
    controller, dead = red(fabric), fabric.spine
    fabric.at(dead).die()
    assert fabric.until(fabric.all_of(dead), 1.5) > (ENOUGH - 1) * AGAIN
    assert fabric.spine != dead and all(dead not in fabric.hv.fabric.tree_to(b).way(a)
                                        for a in LEAVES for b in LEAVES)
    assert_equal_to_recompute(fabric)
    fabric.pass_time(GRACE + 1.0)
    assert len(fabric.hv.links.in_use) == 3 and not fabric.silent()
    controller.take()
    assert_equal_to_recompute(fabric)


def test_it_is_used_again_when_it_is_back(fabric: Fabric) -> None:
    controller, dead = red(fabric), fabric.spine
    fabric.at(dead).die()
    fabric.until(fabric.all_of(dead), 1.5)
    fabric.at(dead).forwards = True
    fabric.at(dead).connect()
    fabric.until((), 2.0)
    assert fabric.spine == dead
    controller.take()
    assert_equal_to_recompute(fabric)


def test_paths_lead_round_a_switch_that_hangs_and_do_not_wait_for_it(fabric: Fabric) -> None:
    controller, hung = red(fabric), fabric.spine
    fabric.at(hung).hangs = True
    fabric.until(fabric.all_of(hung), MOST)
    assert fabric.spine != hung and fabric.hv.switches.ready(hung)
    assert_equal_to_recompute_but_at(fabric, hung)
    fabric.pass_time(5.0)
    assert fabric.silent() == fabric.all_of(hung)
    fabric.at(hung).answer()
    fabric.until((), 2.0)
    assert fabric.spine == hung
    controller.take()
    assert_equal_to_recompute(fabric)


def assert_equal_to_recompute_but_at(fabric: Fabric, hung: int) -> None:
    """What hangs holds what it held."""
    del fabric.switches[(switch := fabric.at(hung)).dpid]
    assert_equal_to_recompute(fabric)
    fabric.switches[hung] = switch


def test_a_link_that_drops_is_silent_until_discovery_finds_it_gone(fabric: Fabric) -> None:
    controller, over = red(fabric), fabric.spine
    fabric.cut.add((1, 7 + SPINES.index(over)))
    fabric.until({(1, over)}, MOST)
    assert fabric.spine != over
    assert_equal_to_recompute(fabric)
    fabric.pass_time(3.0)
    assert len(fabric.hv.links.in_use) == 5
    fabric.cut.clear()
    fabric.pass_time(3.0)
    assert len(fabric.hv.links.in_use) == 6 and not fabric.silent()
    controller.take()


def test_a_switch_whose_connection_alone_is_lost_is_used_until_its_grace_is_over(fabric: Fabric) -> None:
    used = fabric.spine
    fabric.at(used).disconnect()
    before = fabric.asked
    fabric.pass_time(GRACE - 0.1)
    assert fabric.spine == used and not fabric.silent()
    assert fabric.asked - before >= 3 * GRACE / AGAIN
    fabric.pass_time(1.0)
    assert fabric.spine != used


def test_one_that_dies_later_in_its_grace_is_found_out_too(fabric: Fabric) -> None:
    used = fabric.spine
    fabric.at(used).disconnect()
    fabric.pass_time(5.0)
    fabric.at(used).forwards = False
    fabric.until(fabric.all_of(used), (ENOUGH + 1) * AGAIN + 0.5)


def test_it_stays_in_doubt_until_it_can_be_asked_itself(fabric: Fabric) -> None:
    used = fabric.spine
    fabric.at(used).disconnect()
    fabric.at(used).forwards = False
    fabric.until(fabric.all_of(used), 1.5)
    fabric.at(used).forwards = True
    fabric.pass_time(3.0)
    assert fabric.silent() == fabric.all_of(used)
    fabric.at(used).connect()
    fabric.until((), 2.0)


def test_ports_of_a_switch_that_died_stay_up_until_its_grace_is_over(fabric: Fabric) -> None:
    controller = red(fabric)
    fabric.at(2).die()
    fabric.until({(2, spine) for spine in SPINES}, 1.5)
    fabric.pass_time(GRACE - 2.0)
    controller.take()
    fabric.pass_time(2.0)
    controller.take("PORT_STATUS", "PORT_STATUS")
    assert_equal_to_recompute(fabric)


def test_where_no_other_way_leads_frames_go_on_by_a_link_that_is_silent(fabric: Fabric) -> None:
    controller = red(fabric)
    for spine in SPINES:
        fabric.at(spine).disconnect()
        fabric.at(spine).forwards = False
    fabric.until(fabric.all_of(0x11) | fabric.all_of(0x12), 1.5)
    assert fabric.hv.fabric.reaches(1, 2)
    controller.take()
    assert_equal_to_recompute(fabric)


def test_a_switch_that_never_sent_a_frame_back_is_not_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cabled, "holds", lambda switch, kind: switch.dpid not in SPINES)
    fabric = Fabric()
    used = fabric.spine
    fabric.at(used).die()
    fabric.pass_time(GRACE - 0.1)
    assert fabric.spine == used and not fabric.silent()


def test_when_nothing_fails_links_are_asked_once(fabric: Fabric) -> None:
    before = fabric.asked
    fabric.pass_time(60.0)
    assert before == 2 * 6 and fabric.asked == before


def test_a_leaf_that_says_nothing_puts_nobody_in_doubt(fabric: Fabric) -> None:
    """Of what it was to send nothing is known; the spines say that the leaf itself is dead."""
    fabric.at(1).hangs = True
    fabric.until({(1, spine) for spine in SPINES}, MOST)
    fabric.pass_time(3.0)
    assert fabric.silent() == {(1, spine) for spine in SPINES}


def test_what_hvproxy_was_too_busy_to_hear_counts_for_nothing(fabric: Fabric) -> None:
    used = fabric.spine
    fabric.at(used).disconnect()
    fabric.at(used).forwards = False
    for _ in range(3 * ENOUGH):
        fabric.now += AGAIN + 2 * LATE
        fabric.hv.tick(fabric.now)
        fabric.run()
    assert not fabric.silent()
    fabric.until(fabric.all_of(used), 2.0)


def test_a_standstill_of_hvproxy_counts_for_nothing(fabric: Fabric) -> None:
    used = fabric.spine
    fabric.at(used).disconnect()
    fabric.at(used).forwards = False
    for _ in range(3 * ENOUGH):
        fabric.pass_time(AGAIN)
        fabric.hv.stood_still(1.0, fabric.now)
    assert not fabric.silent()


def test_operators_are_told(fabric: Fabric) -> None:
    over = fabric.spine
    fabric.cut.add((1, 7 + SPINES.index(over)))
    fabric.until({(1, over)}, MOST)
    assert sorted(str(row["state"]) for row in report.links(fabric.hv)) == ["silent"] + 5 * ["up"]
    fabric.cut.clear()
    fabric.until((), 2.0)
    said = [(each.level, each.fields) for each in fabric.commands if isinstance(each, Log) and "lets" in each.event]
    ends = {"a": f"{1:016x}:{7 + SPINES.index(over)}", "b": f"{over:016x}:1"}
    assert said == [("warning", ends), ("info", ends)]


def test_configured_links_are_asked_too() -> None:
    fabric = Fabric(links=tuple(NamedLink(a, b) for a, b in CABLES.items()))
    used = fabric.spine
    fabric.at(used).die()
    fabric.until(fabric.all_of(used), 1.5)
    assert fabric.spine != used


def test_frames_that_prove_nothing_are_counted(fabric: Fabric) -> None:
    discovery = fabric.hv.links.discovery
    assert discovery is not None
    port = 7 + SPINES.index(fabric.spine)
    good = discovery.question(1, port, fabric.spine, 1)
    for frame in (good[:-3] + b"\0" + good[-2:], good[:30], discovery.frame(1, port, discovery.round),
                  discovery.question(2, port, fabric.spine, 1), discovery.question(1, port, fabric.spine, 99)):
        fabric.at(1).hands_up(port, frame, RuleKind.REFLECTION)
    fabric.run()
    assert fabric.hv.links.refused_frames == 5


def test_without_discovery_nothing_is_asked() -> None:
    world = World(spec("red", {1: (1, 1), 2: (2, 1)}), settings=Settings(links=(NamedLink((1, 7), (2, 7)),)))
    world.add_switches(1, 2)
    world.pass_time(1.0)
    world.switches[2].disconnect()
    world.pass_time(5.0)
    assert world.hv.links.in_use and not world.hv.links.silent
    assert not any(switch.packet_outs for switch in world.switches.values())
