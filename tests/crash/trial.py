"""What is asserted around each kill."""
from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.crash.faults import Fault
from tests.crash.operations import LANE_GROUPS, LANES
from tests.crash.traffic import LENGTH
from tests.crash.traffic import Tally as Frames
from tests.crash.world import DPIDS, World, reconnected
from tests.system.network import wait_until

ADOPTING = 300.0
SETTLING = 60.0
UNCHANGED = 1.3
"""Seconds in which no rule changes when all retired ones are gone, and all entries that expire."""
SHOWN = 20
WIDE = 400
"""Differences that are shown of each kind."""
Counts = dict[tuple[object, ...], tuple[int, ...]]


class Failed(Exception):
    """Something was lost."""


@dataclass(slots=True)
class Tally:
    """What has been done and found."""

    kills: int = 0
    operations: int = 0
    promised: int = 0
    kept: int = 0
    """Operations that were sent, promised and there after a kill."""
    checked: int = 0
    frames: int = 0
    lost: int = 0
    doubled: int = 0
    strange: int = 0
    seconds: float = 0.0
    """In which frames were sent."""
    duplicates: int = 0
    refused: int = 0
    """Barriers that were answered with an error."""
    failures: int = 0
    """Writes of the store that failed."""
    counted: int = 0
    """Counters that were seen not to go back."""
    quiet: int = 0
    """Kills while nothing was being changed."""
    changes: int = 0
    """Messages that changed a switch after those."""
    adopted: list[float] = field(default_factory=list)
    outages: list[float] = field(default_factory=list)
    """Seconds from the kill of a switch until frames passed everywhere again."""

    def __str__(self) -> str:
        times = sorted(self.adopted) or [0.0]
        text = (f"{self.kills} kills ({self.quiet} of them quiet, {self.changes} messages that changed a switch after "
                f"those), {self.operations} operations, {self.promised} of them promised and {self.kept} there, "
                f"{self.checked} entries, groups, meters and ports and {self.counted} counters checked, "
                f"{self.frames} frames sent at {self.frames / (self.seconds or 1.0):.0f}/s, "
                f"{self.lost} lost, {self.doubled} doubled, {self.strange} to a wrong port, {self.duplicates} "
                f"duplicate FLOW_REMOVED, adopted after {times[0]:.2f} to {times[-1]:.2f} s, "
                f"median {times[len(times) // 2]:.2f} s")
        if self.failures or self.refused:
            text += f", {self.failures} writes of the store failed, {self.refused} barriers refused"
        if self.outages:
            text += (f", outages of {min(self.outages):.2f} to {max(self.outages):.2f} s, median "
                     f"{sorted(self.outages)[len(self.outages) // 2]:.2f} s")
        return text


class Trial:
    """One world, and kill after kill."""

    def __init__(self, world: World, seed: int, fault: Callable[[World, random.Random], Fault] = Fault) -> None:
        self.world = world
        self.fault = fault
        self.tally = Tally()
        self.rng = random.Random(seed)
        world.program = fault(world, self.rng).program

    def kill(self) -> None:
        """Kill hvproxy while tenants work and frames flow, start it again, and see what is left."""
        world, rng, tally = self.world, self.rng, self.tally
        quiet = rng.random() < 0.3
        self.work_a_while(rng.uniform(0.1, 1.2), quiet)
        fault = self.fault(world, rng)
        fault.prepare()
        faults = lost(self.frames()) if fault.silent else []
        told = [tenant.counters() for tenant in world.tenants]
        with fault:
            world.kill()
            tally.kills += 1
            for tenant in world.tenants:
                tenant.rest()
                tenant.hang_up()
            before = world.rules()
            if rng.random() < 0.15 and fault.starts:
                world.serve()
                time.sleep(rng.uniform(0.0, 1.5))
                world.kill()
                tally.kills += 1
        tally.failures += fault.met
        self.start()
        faults += self.went_back(told)
        faults += self.held()
        if not fault.excuses:
            changes = before.changes_to(world.rules())
            faults += [f"changed without need: {change}" for change in changes if quiet or change[0] == "anew"]
        if quiet and not fault.excuses:
            tally.quiet += 1
            sent = world.changes_sent()
            tally.changes += sent
            faults += [f"{sent} messages changed switches, though nothing was being changed"] if sent else []
        faults += self.audited()
        faults += [] if fault.silent else lost(self.frames(), fault.excused)
        faults += self.counted()
        self.judge(faults)

    def kill_switches(self) -> None:
        """Kill all switches while tenants work and frames flow; hvproxy goes on and fills them again."""
        world, tally = self.world, self.tally
        self.work_a_while(self.rng.uniform(0.1, 1.2), quiet=False)
        told = [tenant.counters() for tenant in world.tenants]
        began = world.traffic.caught_up()
        world.ovs.kill_switches()
        tally.kills += 1
        world.ovs.start_switches()
        wait_until(world.traffic.passes, "frames do not pass again", ADOPTING)
        ended = time.monotonic()
        tally.outages.append(ended - began)
        wait_until(world.is_ready, "hvproxy is not ready again", ADOPTING)
        for tenant in world.tenants:
            tenant.rest()
            if not tenant.line.settle(SETTLING):
                raise Failed(f"{tenant.name}: a barrier is not answered")
            tenant.hang_up()
            tenant.connect()
        self.wait_until_unchanged()
        faults = self.went_back(told) + self.held() + self.audited()
        faults += lost(self.frames(), lambda at: began < at < ended)
        self.judge(faults)

    def kill_both(self) -> None:
        """Kill hvproxy and all switches at once, and start both again: what was promised is there, and counters go on
        from what they told."""
        world, tally = self.world, self.tally
        self.work_a_while(self.rng.uniform(0.1, 1.2), quiet=False)
        told = [tenant.counters() for tenant in world.tenants]
        began = world.traffic.caught_up()
        both = [world.kill, world.ovs.kill_switches]
        self.rng.shuffle(both)
        for kill in both:
            kill()
        tally.kills += 1
        for tenant in world.tenants:
            tenant.rest()
            tenant.hang_up()
        first = self.rng.random() < 0.5
        if first:
            world.serve()
        world.ovs.start_switches()
        self.start(serve=not first)
        wait_until(world.traffic.passes, "frames do not pass again", ADOPTING)
        ended = time.monotonic()
        tally.outages.append(ended - began)
        faults = self.went_back(told) + self.held() + self.audited()
        faults += lost(self.frames(), lambda at: began < at < ended)
        self.judge(faults)

    def work_a_while(self, seconds: float, quiet: bool) -> None:
        """Operations and frames; in the end, where it is to be quiet, nothing but frames."""
        world = self.world
        world.traffic.go()
        for tenant in world.tenants:
            tenant.work()
        time.sleep(seconds)
        if not quiet:
            return
        for tenant in world.tenants:
            tenant.rest()
            if not tenant.line.settle(SETTLING):
                raise Failed(f"{tenant.name}: a barrier is not answered")
        self.wait_until_unchanged()
        time.sleep(self.rng.uniform(0.0, 0.3))

    def wait_until_unchanged(self) -> None:
        """Wait until what the switches hold stays the same, and nothing is there that goes by itself."""
        last, since = self.world.rules(), time.monotonic()
        deadline = since + SETTLING
        while time.monotonic() < since + UNCHANGED:
            time.sleep(0.1)
            now = self.world.rules()
            if last.changes_to(now) or self.world.goes_on():
                since = time.monotonic()
            if since > deadline:
                raise Failed("the rules of the switches do not settle")
            last = now

    def start(self, serve: bool = True) -> None:
        """Start hvproxy, unless it is started, and wait until it has adopted what the switches hold."""
        world = self.world
        began = time.monotonic()
        if serve:
            world.serve()
        for tenant in world.tenants:
            reconnected(tenant, began + ADOPTING)
        wait_until(world.is_ready, "hvproxy is not ready again", ADOPTING)
        self.tally.adopted.append(time.monotonic() - began)

    def went_back(self, told: list[Counts]) -> list[str]:
        """Which counters tell less than they did."""
        self.tally.counted += sum(map(len, told))
        return [fault for tenant, old in zip(self.world.tenants, told, strict=True)
                for fault in less(tenant.name, old, tenant.counters())]

    def held(self) -> list[str]:
        """What is wrong with what logical switches hold."""
        tenants = self.world.tenants
        faults = [fault for tenant in tenants for fault in tenant.faults()]
        self.tally.checked = sum(tenant.checked for tenant in tenants)
        self.tally.operations = sum(tenant.done for tenant in tenants)
        self.tally.promised = sum(tenant.promised for tenant in tenants)
        self.tally.kept = sum(tenant.kept for tenant in tenants)
        self.tally.refused = sum(tenant.refused for tenant in tenants)
        self.tally.duplicates = sum(times - 1 for tenant in tenants for times in tenant.removed.values())
        return faults

    def audited(self) -> list[str]:
        """What switches hold that they should not, or the other way."""
        rows = [(dpid, self.world.ask(f"/v1/datapaths/{dpid:#x}/audit", "POST")) for dpid in DPIDS]
        return [f"drift of {dpid:#x}: {row['drift'][:SHOWN]}" for dpid, row in rows if row["drift"] or row["foreign"]]

    def frames(self) -> Frames:
        """What has become of the frames; none is sent from here on."""
        frames, tally = self.world.traffic.pause(self.world.ovs.carry_on), self.tally
        tally.frames += frames.sent
        tally.seconds += frames.seconds
        tally.lost += len(frames.lost)
        tally.doubled += len(frames.doubled)
        tally.strange += len(frames.strange)
        return frames

    def counted(self) -> list[str]:
        """Which entries and groups have not counted exactly what was sent."""
        deadline = time.monotonic() + SETTLING
        while True:
            self.world.ovs.control("revalidator/purge")
            faults = [fault for tenant in self.world.tenants
                      for fault in miscounted(tenant.name, tenant.counters(), self.world.traffic.sent)]
            if not faults or time.monotonic() > deadline:
                return faults
            time.sleep(0.1)

    def judge(self, faults: list[str]) -> None:
        """Fail if there is any."""
        said = self.world.log
        faults += ["hvproxy has logged a fault of its own"] if "Traceback" in said else []
        if faults:
            more = f"\nand {len(faults) - 3 * SHOWN} more" if len(faults) > 3 * SHOWN else ""
            raise Failed("\n".join(fault[:WIDE] for fault in faults[:3 * SHOWN]) + more)


def less(name: str, old: Counts, new: Counts) -> list[str]:
    """Which counters of a tenant tell less than they did; those of an entry that has been deleted, tell nothing."""
    return [f"{name}: {key} went back from {was} to {new.get(key)}" for key, was in old.items()
            if (key not in new and not may_go(key)) or any(now < before for now, before in zip(new.get(key, ()), was))]


def may_go(key: tuple[object, ...]) -> bool:
    """Whether what counts under this key may be gone: it is not the traffic's, whose cookies no operation has."""
    kind, number, *_ = key
    return kind == "entry" and isinstance(number, int) and not number >> 61


def lost(frames: Frames, excused: Callable[[float], bool] = lambda at: False) -> list[str]:
    """What is wrong with what has become of the frames; some times excuse loss, and nothing excuses the rest."""
    gone = [each for each in frames.lost if not excused(each[0])]
    return [*(f"frame {frame} did not come to ports {ports}, {len(gone)} in all" for _, frame, ports in gone[:SHOWN]),
            *(f"frame {frame} came to port {port} again, {len(frames.doubled)} in all"
              for frame, port in frames.doubled[:SHOWN]),
            *(f"a frame that is not for {place} came there: {data.hex()}, {len(frames.strange)} in all"
              for place, data in frames.strange[:SHOWN])]


def miscounted(name: str, told: Counts, sent: dict[tuple[str, int], int]) -> list[str]:
    """Which entries and groups of a tenant have not counted exactly what was sent."""
    expected: Counts = {}
    for lane in LANES:
        number = sent[name, lane.number]
        keys: list[tuple[object, ...]] = [("entry", lane.cookie)]
        keys += [("entry", 1 << 61 | lane.number)] if lane.number in (3, 5) else []
        keys += [("group", LANE_GROUPS[lane.number])] if lane.number in LANE_GROUPS else []
        expected.update((key, (number, number * LENGTH)) for key in keys)
    return [f"{name}: {key} has counted {told.get(key)} instead of {count}" for key, count in expected.items()
            if told.get(key) != count]
