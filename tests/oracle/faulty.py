"""Bursts of messages that are wrong in one part, what they have left, and the way back to what is certain.

Which of two entries a packet hits that a fault has made alike is undefined, so no frame is sent before all that a fault
may have left has gone: packet-outs come first, and what stays for a session goes with the rest.
"""
from __future__ import annotations

from hvproxy.errors import Refused
from hvproxy.openflow import actions, guard
from hvproxy.openflow.instructions import check, parse
from hvproxy.openflow.messages import decode_flow_mod, decode_packet_out
from hvproxy.openflow.oxm import Match
from tests.oracle import extensions, sessions, watching
from tests.oracle.faults import faulty
from tests.oracle.frames import Dice
from tests.oracle.operations import BUNDLE_ADD, OWN_ADDRESS, PORTS, Step, multipart
from tests.oracle.ports_and_meters import (
    EVERY_METER, some_configuration, some_meter_mod, some_meter_question, some_port_mod, some_queue_question,
    some_table_mod)
from tests.oracle.sessions import SETTLED, Maker, sent_by
from tests.oracle.tracking import some_teacher, some_tracker
from tests.oracle.watching import INSIDE
from tests.tools.controller import TABLE, flow_mod, flow_request, group_mod, output
from tools.emulator import wire

GROUP_ACTION = b"\0\x16\0\x08"
NUMBER = 1
"""Of the bundle that faults are put into."""
WHAT_IS_LEFT = (multipart(1, flow_request()), multipart(7), multipart(10, EVERY_METER), multipart(13),
                Step("masks", wire.GET_ASYNC_REQUEST), Step("get-config", wire.GET_CONFIG_REQUEST),
                sessions.role_request(0, 0))
BACK = (
    *sessions.FORGETTING, *watching.FORGETTING, Step("flow-mod", wire.FLOW_MOD, flow_mod(command=3, table=0xff)),
    Step("group-mod", wire.GROUP_MOD, group_mod(2, 0, 0xfffffffc)),
    Step("meter-mod", wire.METER_MOD, b"\0\2\0\0" + b"\xff" * 4))
"""What makes a switch empty, and a session as it was at first."""


def back(port: int) -> Step:
    """A port as it was at first."""
    return Step("port-mod", wire.PORT_MOD, wire.PORT_MOD_BODY.pack(port, OWN_ADDRESS, 0, 0xffffffff, 0))


def some_fault(rng: Dice, makers: tuple[Maker, ...]) -> Step:
    """What one of these makes, with a fault."""
    while True:
        step = rng.choice(makers)(rng)
        made = faulty(rng, step.kind, step.body) if is_right(step) else None
        if made is not None and is_certain(step.kind, made[1]):
            return step._replace(what=f"{step.what} with a fault: {made[0]}", body=made[1])


def is_right(step: Step) -> bool:
    """Whether nothing is wrong with a message yet: of two faults a switch may tell either."""
    kind, body = step.kind, step.body
    if body[:8] == sessions.words(sessions.NICIRA, 27):
        return False  # many of these are wrong anyway
    if kind == wire.EXPERIMENTER and body.startswith(BUNDLE_ADD):
        kind, body = body[INSIDE + 1], body[INSIDE + 8:]
    message = wire.message(kind, 1, body)
    try:
        guard.check(message, from_switch=False)
        if kind == wire.FLOW_MOD:
            mod = decode_flow_mod(message)
            check(parse(mod.instructions), Match.parse(mod.match))
        elif kind == wire.PACKET_OUT:
            actions.check(decode_packet_out(message).actions, packet_out=True)
    except Refused:
        return False
    return True


def is_certain(kind: int, body: bytes) -> bool:
    """Whether what it does is defined, and is safe: Open vSwitch 3.1 aborts when a group is deleted that an entry names
    twice, and what comes to the tables meets what other faults have left."""
    named = [body[at + 4:at + 8] for at in range(0, len(body) - 7, 4) if body[at:at + 4] == GROUP_ACTION]
    if len(set(named)) < len(named):
        return False
    return kind != wire.PACKET_OUT or output(TABLE)[:8] not in body and extensions.resubmit(0)[:10] not in body


def some_faults(rng: Dice, others: tuple[Maker, ...]) -> list[Step]:
    """Faults in everything that a controller can send, what they have left, and the way back."""
    packets = (extensions.some_packet_out, *(make for make in others if make(rng).kind == wire.PACKET_OUT))
    staying = (*(make for make in others if make(rng).kind == wire.FLOW_MOD), extensions.some_flow_mod)
    entries = (*staying, some_teacher, *([some_tracker] if "connections" in rng.features else []))
    groups = tuple(make for make in others if make(rng).kind == wire.GROUP_MOD)
    settings: tuple[Maker, ...] = (
        some_meter_mod, some_port_mod, some_configuration, some_table_mod, some_queue_question, some_meter_question,
        sessions.some_nicira, sessions.some_role,
        *(make for make in others if make(rng).kind == wire.MULTIPART_REQUEST))
    steps = [SETTLED, *(some_fault(rng, packets) for _ in range(rng.randrange(4))), SETTLED]
    steps += [some_fault(rng, groups) for _ in range(rng.randrange(6))]
    steps += [SETTLED, *(some_fault(rng, settings) for _ in range(rng.randrange(8)))]
    steps += [some_fault(rng, entries) for _ in range(rng.randrange(2, 16))]
    if rng.random() < 0.5:
        steps += [SETTLED, *sessions.FORGETTING, watching.control(NUMBER, watching.OPEN)]
        steps += [some_fault(rng, (lambda dice: watching.some_added(dice, NUMBER, (*entries, *groups)),))
                  for _ in range(rng.randrange(1, 6))]
        steps += [watching.control(NUMBER, watching.COMMIT)]
    steps += [*WHAT_IS_LEFT, *BACK, *map(back, PORTS)]
    steps += [*(rng.choice(groups)(rng) for _ in range(6 * bool(groups))),
              *(rng.choice(staying)(rng) for _ in range(10)), *WHAT_IS_LEFT[:2]]
    by = rng.randrange(2)
    return [sent_by(step, by) for step in steps]
