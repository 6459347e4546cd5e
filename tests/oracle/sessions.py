"""Random messages about the sessions themselves: roles, masks, what Nicira's messages set, and what is no request.

Every maker gives one burst. The two controllers may take turns in it; what they have set mostly stays for a while, so
that what comes behind the burst is told, or not told, accordingly. `FORGETTING` makes a session as it was.
"""
from __future__ import annotations

from collections.abc import Callable

from tests.oracle.frames import Dice, frame
from tests.oracle.operations import Step, multipart, sent
from tests.tools.controller import CONTROLLER, apply, flow_mod, match, output, packet_out, simple
from tools.emulator import wire

NICIRA, ONF, NOBODY = 0x2320, 0x4f4e4600, 0x123456
EVERY_BIT = 0xffffffff
Maker = Callable[[Dice], Step]


def words(*numbers: int) -> bytes:
    """Numbers of 32 bits."""
    return b"".join(number.to_bytes(4, "big") for number in numbers)


def sent_by(step: Step, by: int) -> Step:
    """It, from that controller if it is a message."""
    return step if step.kind < 0 else step._replace(by=by)


def role_request(role: int, generation: int) -> Step:
    """A role request with its generation id."""
    return Step("role", wire.ROLE_REQUEST, words(role, 0) + generation.to_bytes(8, "big"))


def experimenter(what: str, owner: int, kind: int, body: bytes = b"") -> Step:
    """A message of an experimenter."""
    return Step(what, wire.EXPERIMENTER, words(owner, kind) + body)


SETTLED = multipart(3)
"""Ends a round, in which all has been told: Open vSwitch may tell the end of an entry a while after the barrier, and to
those that want it then."""
USUAL_MASKS = words(3, 0, 7, 7, 15, 0)
FORGETTING = (
    # Whatever the last generation id was, one of these is a newer one, and the next ones are then.
    *(role_request(3, third << 32 | third) for third in (0x55555555, 0xaaaaaaaa, 0)),
    role_request(1, 0), Step("masks", wire.SET_ASYNC, USUAL_MASKS), Step("config", wire.SET_CONFIG, b"\0\0\0\x80"),
    experimenter("format", NICIRA, 16, words(0)), experimenter("id", NICIRA, 20, bytes(8)),
)


def some_role(rng: Dice) -> Step:
    """A role request, sometimes of no role or of the past."""
    role = rng.choice((0, 1, 1, 2, 2, 2, 3, 3, 4 if rng.random() < 0.2 else 1))
    return role_request(role, rng.choice((0, 1, 2, 3, 3, 4, 5, 1 << 63)) if rng.random() < 0.95 else (1 << 64) - 1)


def some_roles(rng: Dice, others: tuple[Maker, ...]) -> list[Step]:
    """Requests by both controllers, what they do in their roles, and mostly their return to EQUAL."""
    steps = [SETTLED]
    for _ in range(rng.randrange(1, 6)):
        by = rng.randrange(2)
        steps += [some_role(rng)._replace(by=by) for _ in range(rng.choice((1, 1, 2)))]
        steps += some_of(rng, others)
    return steps + [role_request(1, 0)._replace(by=by) for by in (0, 1) if rng.random() < 0.9]


def some_of(rng: Dice, makers: tuple[Maker, ...], most: int = 12) -> list[Step]:
    """Some other steps in which what is set shows, by one of the controllers; packet-outs come last in a round."""
    by = rng.randrange(2)
    steps = [rng.choice((*makers, *(some_telling,) * 6))(rng) for _ in range(rng.randrange(most))] + [SETTLED]
    return [sent_by(step, by) for step in sorted(steps, key=lambda step: (
        step.kind == wire.MULTIPART_REQUEST, step.kind < 0, step.kind == wire.PACKET_OUT))]


def some_telling(rng: Dice) -> Step:
    """Something that controllers are told of, or makes such a thing likelier."""
    port = rng.choice((1, 2, 3, 4, 5))
    shown = match(IN_PORT=port, ETH_TYPE=0x0800)
    return rng.choice((
        lambda: Step("packet-out", wire.PACKET_OUT, packet_out(
            frame(rng), output(CONTROLLER, rng.choice((0, 40, 0xffff))))),
        lambda: Step("shown", wire.FLOW_MOD, flow_mod(
            shown, apply(*(simple(24),) * rng.randrange(3), output(CONTROLLER)), priority=64000, cookie=0x41,
            flags=rng.choice((0, 1)))),
        lambda: Step("not shown", wire.FLOW_MOD, flow_mod(command=3, cookie=0x41, mask=0xff, table=0xff)),
        lambda: Step("not shown", wire.FLOW_MOD, flow_mod(shown, command=4, priority=64000)),
        lambda: sent(port, frame(rng)), lambda: sent(port, frame(rng)), lambda: sent(port, frame(rng)),
    ))()


def some_masks(rng: Dice, others: tuple[Maker, ...]) -> list[Step]:
    """Masks of asynchronous messages, with unknown reasons too."""
    steps = [SETTLED]
    for _ in range(rng.randrange(1, 4)):
        by = rng.randrange(2)
        bits = rng.choice((0x7, 0x3f, 0x3f, EVERY_BIT))
        masks = words(*(rng.randrange(bits + 1) for _ in range(6)))
        steps.append(Step("masks", wire.SET_ASYNC, masks if rng.random() < 0.95 else masks[:-4], by=by))
        steps.append(Step("masks", wire.GET_ASYNC_REQUEST, by=by))
        steps += some_of(rng, others)
    return steps + [Step("masks", wire.SET_ASYNC, USUAL_MASKS, by=by) for by in (0, 1) if rng.random() < 0.8]


def mask_property(kind: int, mask: int) -> bytes:
    """A property of Nicira's SET_ASYNC_CONFIG2."""
    return kind.to_bytes(2, "big") + b"\0\x08" + words(mask)


STRANGE = tuple(kind for kind in (*range(35), 99, EVERY_BIT) if kind not in (13, 24, 25, 32))
"""Types of Nicira's messages, without those that are refused on purpose (README: Nicira's messages)."""


def some_nicira(rng: Dice) -> Step:
    """A message of Nicira's about its session, or one that is refused."""
    kind = rng.choice((10, 15, 16, 16, 16, 18, 19, 20, 20, 27, 27, 0))
    if kind == 10:
        return experimenter("role", NICIRA, 10, words(rng.choice((0, 0, 1, 2, 3))))
    if kind == 15:
        return experimenter("flow-mods with tables", NICIRA, 15, bytes((rng.choice((0, 1)),)) + bytes(7))
    if kind == 16:
        return experimenter("format", NICIRA, 16, words(rng.choice((0, 1, 1, 2, 2, 3))))
    if kind == 18:
        return experimenter("age", NICIRA, 18)
    if kind == 19:
        return experimenter("masks", NICIRA, 19, words(*(rng.randrange(0x40) for _ in range(6))))
    if kind == 20:
        return experimenter("id", NICIRA, 20, rng.choice((bytes(6), bytes(6), bytes(6), b"\0\0\1\0\0\0"))
                            + rng.choice((0, 0, 1, 7)).to_bytes(2, "big"))
    if kind == 27:
        return experimenter("masks", NICIRA, 27, b"".join(
            mask_property(rng.randrange(14), rng.choice((0, 0, 1, 3, 7, 7, 0x18, 0x3f)))
            for _ in range(rng.randrange(4))))
    return experimenter("strange", NICIRA, rng.choice(STRANGE), bytes(rng.choice((0, 4, 8, 16, 24, 60))))


def some_niciras(rng: Dice, others: tuple[Maker, ...]) -> list[Step]:
    """Nicira's messages, packets and what else is told then, and mostly the return to what is usual."""
    steps = [SETTLED]
    for _ in range(rng.randrange(1, 4)):
        by = rng.randrange(2)
        steps += [some_nicira(rng)._replace(by=by) for _ in range(rng.choice((1, 2, 3)))]
        steps.append(Step("masks", wire.GET_ASYNC_REQUEST, by=by))
        steps += some_of(rng, others)
    back = (experimenter("role", NICIRA, 10, words(0)), Step("masks", wire.SET_ASYNC, USUAL_MASKS),
            experimenter("format", NICIRA, 16, words(0)), experimenter("id", NICIRA, 20, bytes(8)))
    return steps + [step._replace(by=by) for by in (0, 1) for step in back if rng.random() < 0.8]


def some_oddity(rng: Dice) -> Step:
    """What is no request of OpenFlow 1.3, or one that does nothing."""
    body = bytes(rng.choice((0, 1, 4, 8, 16, 24, 56)))
    return rng.choice((
        lambda: Step("hello", wire.HELLO, rng.choice((b"", body, b"\0\1\0\x08\0\0\0\x10", b"\0\1\0\x08\0\0\0\2"))),
        lambda: Step("echo", wire.ECHO_REQUEST, rng.choice((body, b"payload", b"\xff" * 1000))),
        lambda: Step("echo reply", wire.ECHO_REPLY, body),
        lambda: Step("wrong type", rng.choice((5, 6, 8, 10, 11, 12, 21, 23, 25, 27, 30, 33, 99, 255)), body),
        lambda: Step("experimenter", wire.EXPERIMENTER, words(NOBODY, rng.randrange(3)) + body),
        lambda: Step("experimenter", wire.EXPERIMENTER, body[:8]),
        lambda: multipart(0xffff, words(NOBODY, rng.randrange(3)) + body), lambda: multipart(0xffff, body[:8]),
        lambda: multipart(rng.choice((14, 15, 16, 77, 0xfffe)), body),
    ))()


def some_oddities(rng: Dice, others: tuple[Maker, ...]) -> list[Step]:
    """Oddities among other things."""
    return some_of(rng, (some_oddity, some_oddity, some_oddity, *others), 12)
