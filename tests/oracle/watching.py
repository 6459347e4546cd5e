"""Random bundles and flow monitors, both of OpenFlow 1.4 as the ONF's extensions of 1.3.

Every maker gives one burst, at the end of which no bundle is open and no monitor is left: Open vSwitch gives a bundle
up when nothing has been said about it for a while.
"""
from __future__ import annotations

from tests.oracle.frames import Dice
from tests.oracle.operations import Step, multipart
from tests.oracle.sessions import ONF, SETTLED, Maker, experimenter, some_of, words
from tests.tools.controller import ANY, match
from tools.emulator import wire

BUNDLE_CONTROL, BUNDLE_ADD, FLOW_MONITOR = 2300, 2301, 1870
OPEN, CLOSE, COMMIT, DISCARD = 0, 2, 4, 6
NUMBERS = (1, 2, 3)
"""Of bundles, and of monitors."""
INITIAL, WHEN_CHANGED, EVERYTHING = 1, 0xe, 0x3f
ADD, MODIFY, DELETE, CHECK_OVERLAP = 0, 1, 3, 2
INSIDE = 16
"""Where the message begins in what puts it into a bundle."""


def control(number: int, kind: int, flags: int = 1) -> Step:
    """Something done with a bundle."""
    return experimenter("bundle", ONF, BUNDLE_CONTROL, words(number, kind << 16 | flags))


def added(number: int, kind: int, body: bytes, flags: int = 1, xid: int = 0, version: int = wire.VERSION) -> Step:
    """A message put into a bundle; of xid 0 it gets that of the one around it."""
    inside = wire.HEADER.pack(version, kind, wire.HEADER.size + len(body), xid) + body
    return experimenter("bundle add", ONF, BUNDLE_ADD, words(number, flags) + inside)


def some_control(rng: Dice, number: int) -> Step:
    """Something done with a bundle, at the right time or not."""
    kind = rng.choice((OPEN, CLOSE, CLOSE, COMMIT, DISCARD, OPEN, 1, 3, 9) if rng.random() < 0.3 else (CLOSE, COMMIT))
    return control(number, kind, rng.choice((1, 1, 1, 1, 0, 2, 3) if rng.random() < 0.2 else (1,)))


def some_added(rng: Dice, number: int, others: tuple[Maker, ...]) -> Step:
    """A message put into a bundle, mostly one that may be there."""
    step = rng.choice(others)(rng)
    while step.kind not in (wire.FLOW_MOD, wire.GROUP_MOD, wire.PACKET_OUT):
        step = rng.choice(others)(rng)
    if rng.random() < 0.85:
        return added(number, step.kind, step.body)
    return rng.choice((
        lambda: added(number, step.kind, step.body, xid=5), lambda: added(number, step.kind, step.body, version=1),
        lambda: added(number, step.kind, step.body, flags=rng.choice((0, 3))),
        lambda: added(number, step.kind, step.body[:-4]), lambda: added(number, step.kind, step.body[:7]),
        lambda: added(number, rng.choice((wire.BARRIER_REQUEST, wire.ECHO_REQUEST, wire.ROLE_REQUEST, 99)), b""),
        lambda: added(number, wire.PORT_MOD, wire.PORT_MOD_BODY.pack(1, bytes(6), 0, 0, 0)),
        lambda: added(number, wire.PORT_MOD, wire.PORT_MOD_BODY.pack(77, bytes(6), 0, 0, 0)),
    ))()


def looks_round(step: Step) -> bool:
    """Whether it puts into a bundle what other entries than its own decide about."""
    if step.what != "bundle add" or step.body[INSIDE + 1] != wire.FLOW_MOD or len(step.body) < INSIDE + 48:
        return False
    command = step.body[INSIDE + 25]
    flags = int.from_bytes(step.body[INSIDE + 44:INSIDE + 46], "big")
    return command in (MODIFY, DELETE) or command == ADD and bool(flags & CHECK_OVERLAP)


def sends(step: Step) -> bool:
    """Whether it puts a packet-out into a bundle."""
    return step.what == "bundle add" and step.body[INSIDE + 1] == wire.PACKET_OUT


def some_bundles(rng: Dice, others: tuple[Maker, ...]) -> list[Step]:
    """Bundles of one controller, which may be made side by side."""
    steps = [SETTLED]
    for number in rng.sample(NUMBERS, rng.choice((1, 1, 2))):
        if rng.random() < 0.9:
            steps.append(control(number, OPEN))
        inside = [some_added(rng, number, others) if rng.random() < 0.9 else some_control(rng, number)
                  for _ in range(rng.randrange(8))]
        # Open vSwitch 3.1 does not find all that the same bundle has added, and a logical switch carries packet-outs
        # out behind everything: README's deviation table tells so.
        steps += sorted(inside, key=lambda step: (sends(step), not looks_round(step)))
        steps += [some_control(rng, number) for _ in range(rng.randrange(3))]
    by = rng.randrange(2)
    return [step._replace(by=by) for step in (*steps, *(control(number, DISCARD) for number in NUMBERS), SETTLED)]


def monitor(number: int, flags: int, matched: bytes, table: int, out_port: int) -> bytes:
    """One monitor that is asked for."""
    return (words(number) + flags.to_bytes(2, "big") + matched[2:4] + words(out_port) + bytes((table, 0, 0, 0))
            + matched)


def cancelled(number: int) -> Step:
    """A monitor is not wanted any more."""
    return experimenter("no monitor", ONF, FLOW_MONITOR, words(number))


def some_monitors(rng: Dice, others: tuple[Maker, ...]) -> list[Step]:
    """Monitors of both controllers, what both change then, and the end of the monitors.

    All requests are right: to one that is not Open vSwitch 3.1 sends errors with a header of garbage.
    """
    steps = [SETTLED]
    for by in rng.sample((0, 1), rng.choice((1, 2))):
        asked = b"".join(monitor(
            number, (rng.randrange(EVERYTHING + 1) | rng.choice((2, 4, 8, WHEN_CHANGED))), rng.choice((
                match(), match(IN_PORT=1), match(ETH_TYPE=0x0800), match(ETH_TYPE=0x86dd))),
            rng.choice((0xff, 0xff, 0, 1, 2, 77)), rng.choice((ANY, ANY, 1, 2)))
            for number in rng.sample(NUMBERS, rng.choice((0, 1, 1, 2))))
        steps.append(multipart(0xffff, words(ONF, FLOW_MONITOR) + asked)._replace(by=by))
    for _ in range(rng.randrange(1, 4)):
        steps += some_of(rng, others)
        if rng.random() < 0.2:
            steps.append(cancelled(rng.choice(NUMBERS))._replace(by=rng.randrange(2)))
    return steps + [cancelled(number)._replace(by=by) for by in (0, 1) for number in NUMBERS] + [SETTLED]


FORGETTING = tuple(control(number, DISCARD) for number in NUMBERS) + tuple(cancelled(number) for number in NUMBERS)
"""Ends what bundles and monitors a session has."""
