"""Every request of OpenFlow 1.3 that a controller can send, laid out.

A `Request` is one message with what must be there before, what is asked after it, so that what an accepted one did is
compared too, and how it is undone.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import pack

from tests.system.sweep import pieces as p
from tests.system.sweep.layout import Block, Given, Length, Number, Pad, Part, block, render

(HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, EXPERIMENTER, FEATURES_REQUEST, FEATURES_REPLY, GET_CONFIG, GET_CONFIG_REPLY,
 SET_CONFIG, PACKET_IN, FLOW_REMOVED, PORT_STATUS, PACKET_OUT, FLOW_MOD, GROUP_MOD, PORT_MOD, TABLE_MOD, MULTIPART,
 MULTIPART_REPLY, BARRIER, BARRIER_REPLY, QUEUES, QUEUES_REPLY, ROLE, ROLE_REPLY, GET_ASYNC, GET_ASYNC_REPLY, SET_ASYNC,
 METER_MOD) = range(30)
NICIRA, ONF = 0x2320, 0x4f4e4600
HARDWARE = int.from_bytes(b"\2HWADR", "big")
"""Stands for the hardware address of port 1, which is another on each switch."""
NOTHING = 0xffffffff


def header(kind: int, *parts: Part) -> Block:
    return block("header", Number("version", 1, 4, (3, 5, 6)), Number("type", 1, kind), Length(), Given(4),
                 *parts)


def wire(kind: int, body: bytes = b"") -> bytes:
    """A message that is right."""
    return pack("!BBHI", 4, kind, 8 + len(body), 0) + body


@dataclass(frozen=True, slots=True)
class Request:
    """A right request."""

    layout: Block
    after: tuple[bytes, ...] = ()
    """What to ask when it has been sent."""
    undo: tuple[bytes, ...] = ()
    """What to send then, so that the next finds what this found."""
    only: Block | None = None
    """What is swept of it, for the rest is swept elsewhere; the whole if None."""
    alone: bool = False
    """Nothing is: it is sent as it is."""


def multipart_wire(kind: int, body: bytes = b"") -> bytes:
    return wire(MULTIPART, pack("!HH4x", kind, 0) + body)


EVERYTHING = pack("!HHI", 1, 4, 0)
"""struct ofp_match."""
FLOWS = multipart_wire(1, pack("!B3xII4xQQ", 0xff, NOTHING, NOTHING, 0, 0) + EVERYTHING)
GROUPS = multipart_wire(7)
METERS = multipart_wire(10, pack("!I4x", NOTHING))
PORTS = multipart_wire(13)


def _flow_mod_wire(table: int, command: int, priority: int, match: bytes, instructions: bytes,
                   cookie: int = 0) -> bytes:
    head = pack("!QQBBHHHIIIHxx", cookie, 0, table, command, 0, 0, priority, NOTHING, NOTHING, NOTHING, 0)
    return wire(FLOW_MOD, head + match + instructions)


def _group_mod_wire(command: int, kind: int, number: int, *buckets: Block) -> bytes:
    return wire(GROUP_MOD, pack("!HBxI", command, kind, number) + b"".join(map(render, buckets)))


def _meter_mod_wire(command: int, number: int, *bands: Block) -> bytes:
    return wire(METER_MOD, pack("!HHI", command, 1, number) + b"".join(map(render, bands)))


NO_FLOWS = _flow_mod_wire(0xff, 3, 0, EVERYTHING, b"")
SOME_FLOWS = (
    _flow_mod_wire(0, 0, 10, render(p.match(p.oxm(0))), render(p.apply(p.output(2))), 5),
    _flow_mod_wire(1, 0, 10, render(p.match(*p.needed(11), p.oxm(11))), render(p.apply(p.output(1))), 6),
)
NO_GROUPS = _group_mod_wire(2, 0, 0xfffffffc)
SOME_GROUPS = (
    _group_mod_wire(0, 0, 1, p.bucket(p.output(1)), p.bucket(p.output(2))),
    _group_mod_wire(0, 2, 2, p.bucket(p.output(2))),
)
NO_METERS = _meter_mod_wire(2, NOTHING)
SOME_METERS = (_meter_mod_wire(0, 1, p.drop_band()),)
BASE = (NO_FLOWS, NO_GROUPS, NO_METERS, *SOME_GROUPS, *SOME_METERS, *SOME_FLOWS)
"""What makes both switches hold the same before anything else."""
RESTORE_FLOWS = (NO_FLOWS, *SOME_FLOWS)
RESTORE_GROUPS = (NO_GROUPS, *SOME_GROUPS, *RESTORE_FLOWS)
RESTORE_METERS = (NO_METERS, *SOME_METERS, *RESTORE_FLOWS)


def flow_mod(match: Block, *instructions: Block, command: int = 0, table: int = 0, **numbers: int) -> Block:
    def number(name: str, size: int, value: int, *also: int) -> Number:
        return Number(name, size, numbers.get(name, value), also)

    return header(FLOW_MOD, number("cookie", 8, 7, 5), number("cookie_mask", 8, 0, 5, 7),
                  Number("table", 1, table, p.TABLES), Number("command", 1, command, (0, 1, 2, 3, 4, 5)),
                  number("idle_timeout", 2, 0), number("hard_timeout", 2, 0), number("priority", 2, 100, 10),
                  number("buffer_id", 4, NOTHING), number("out_port", 4, NOTHING, *p.PORTS),
                  number("out_group", 4, NOTHING, *p.GROUPS), number("flags", 2, 0, 4, 8, 16, 32, 31), Pad(2),
                  match, *instructions)


def group_mod(kind: int, *buckets: Block, command: int = 0, number: int = 9) -> Block:
    return header(GROUP_MOD, Number("command", 2, command, (3, 4, 5)), Number("kind", 1, kind, (3, 4, 5)), Pad(1),
                  Number("group_id", 4, number, p.GROUPS), *buckets)


def meter_mod(*bands: Block, command: int = 0, number: int = 9) -> Block:
    return header(METER_MOD, Number("command", 2, command, (3,)), Number("flags", 2, 1, (3, 4, 5, 6, 8, 9, 13, 15, 16)),
                  Number("meter_id", 4, number, (1, 0xffff0000, 0xffff0001, 0xfffffffd, 0xfffffffe)), *bands)


def packet_out(*actions: Block, in_port: int = 0xfffffffd) -> Block:
    return header(PACKET_OUT, Number("buffer_id", 4, NOTHING), Number("in_port", 4, in_port, p.PORTS),
                  Length(of="actions"), Pad(6), block("actions", *actions),
                  block("frame", Number("start", 8, 0), Number("middle", 6, 1), Number("rest", 46, 0)))


def multipart(kind: int, *parts: Part) -> Block:
    return header(MULTIPART, Number("kind", 2, kind, (*range(16), 0xfffe)), Number("flags", 2, 0), Pad(4), *parts)


def experimenter(number: int, kind: int, *parts: Part) -> Block:
    return header(EXPERIMENTER, Number("experimenter", 4, number, (NICIRA, ONF)),
                  Number("exp_type", 4, kind, (*range(31), 1870, 1871, 1872, 1911, 2300, 2301)), *parts)


def requests() -> Iterator[tuple[str, Request]]:
    """All of them, each under a name."""
    for part in (_flow_mods, _matches, _actions, _group_mods, _meter_mods, _packet_outs, _others, _multiparts,
                 _experimenters, _types):
        yield from part()


def _flow_mods() -> Iterator[tuple[str, Request]]:
    def changes(layout: Block) -> Request:
        return Request(layout, (FLOWS,), RESTORE_FLOWS)

    whole = (p.meter(1), p.apply(p.output(), p.set_field(3)), p.CLEAR, p.write(p.output(2)), p.write_metadata(5, 0xff),
             p.goto(2))
    in_port = p.match(p.oxm(0))
    yield "add", changes(flow_mod(in_port, *whole))
    yield "add without a match", changes(flow_mod(p.match(), p.apply(p.output())))
    yield "add with checks", changes(flow_mod(in_port, p.apply(p.output()), flags=3))
    for name, command in (("modify", 1), ("modify strict", 2)):
        yield name, changes(flow_mod(in_port, p.apply(p.output(1)), command=command, priority=10))
    for name, command in (("delete", 3), ("delete strict", 4)):
        yield name, changes(flow_mod(in_port, command=command, priority=10))
    yield "delete with instructions", changes(flow_mod(in_port, p.apply(p.output(77)), command=3))
    for each in whole:
        yield f"instruction {each.name}", Request(flow_mod(p.match(), each), (FLOWS,), RESTORE_FLOWS, each)
    yield "goto from the last table", changes(flow_mod(p.match(), p.goto(243), table=242))
    yield "unknown instruction", changes(flow_mod(p.match(), p.instruction("unknown", 7, Pad(4))))
    yield "experimenter instruction", changes(flow_mod(p.match(), p.instruction(
        "experimenter", 0xffff, Number("experimenter", 4, NICIRA, (ONF,)))))


def _matches() -> Iterator[tuple[str, Request]]:
    for number, name in enumerate(p.NAMES):
        forms = [("", None)] + ([(" masked", (1 << 8 * p.SIZES[number]) - 1)] if number in p.MASKED else [])
        for text, mask in forms:
            field = p.oxm(number, mask=mask)
            yield f"match {name}{text}", Request(
                flow_mod(p.match(*p.needed(number), field), p.apply(p.output())), (FLOWS,), RESTORE_FLOWS, field)
            yield f"match {name}{text} alone", Request(
                flow_mod(p.match(field), p.apply(p.output())), (FLOWS,), RESTORE_FLOWS, alone=True)


def _all_actions() -> Iterator[tuple[str, Block, tuple[Block, ...]]]:
    for name, (action, needed) in p.PLAIN_ACTIONS.items():
        yield name, action, needed
    for number, name in enumerate(p.NAMES):
        yield f"set_field {name}", p.set_field(number), p.needed(number)
    for number in (2, 3, 11):
        yield f"set_field {p.NAMES[number]} masked", p.set_field(number, (1 << 8 * p.SIZES[number]) - 1), p.needed(
            number)


def _actions() -> Iterator[tuple[str, Request]]:
    for name, action, needed in _all_actions():
        for instruction, make in (("apply", p.apply), ("write", p.write)):
            yield f"{instruction} {name}", Request(
                flow_mod(p.match(*needed), make(action)), (FLOWS,), RESTORE_FLOWS, action)
    for name, action, _ in _all_actions():
        yield f"apply {name} without what it needs", Request(
            flow_mod(p.match(), p.apply(action)), (FLOWS,), RESTORE_FLOWS, alone=True)


def _group_mods() -> Iterator[tuple[str, Request]]:
    def changes(layout: Block, only: Block | None = None) -> Request:
        return Request(layout, (GROUPS, FLOWS), RESTORE_GROUPS, only)

    for kind, name in enumerate(("all", "select", "indirect", "failover")):
        first = p.bucket(p.output(1), weight=kind == 1, port=1 if kind == 3 else NOTHING)
        second = p.bucket(p.output(2), weight=kind == 1, port=2 if kind == 3 else NOTHING)
        buckets = (first,) if kind == 2 else (first, second)
        yield f"group {name}", changes(group_mod(kind, *buckets))
        yield f"group {name} empty", changes(group_mod(kind))
        yield f"group {name} modified", changes(group_mod(kind, *buckets, command=1, number=2 if kind == 2 else 1))
        yield f"group {name} deleted", changes(group_mod(kind, command=2, number=1))
    yield "group deleted with buckets", changes(group_mod(0, p.bucket(p.output(77)), command=2, number=1))
    for name, action, _ in _all_actions():
        yield f"bucket {name}", changes(group_mod(0, p.bucket(action)), action)


def _meter_mods() -> Iterator[tuple[str, Request]]:
    for command, name, number in ((0, "add", 9), (1, "modify", 1), (2, "delete", 1)):
        for band in (p.drop_band(), p.remark_band(), p.experimenter_band()):
            yield f"meter {name} {band.name}", Request(
                meter_mod(band, command=command, number=number), (METERS, FLOWS), RESTORE_METERS)
        yield f"meter {name} without bands", Request(
            meter_mod(command=command, number=number), (METERS, FLOWS), RESTORE_METERS)
    yield "meter of two bands", Request(meter_mod(p.drop_band(), p.drop_band()), (METERS,), RESTORE_METERS)


def _packet_outs() -> Iterator[tuple[str, Request]]:
    yield "packet-out", Request(packet_out(p.output(1)))
    yield "packet-out to the tables", Request(packet_out(p.output(0xfffffff9)))
    yield "packet-out from a port", Request(packet_out(p.output(0xfffffffb), in_port=1))
    yield "packet-out without actions", Request(packet_out())
    for name, action, _ in _all_actions():
        yield f"packet-out {name}", Request(packet_out(action), only=action)


def _config(flags: int, miss_send_len: int) -> bytes:
    return wire(SET_CONFIG, pack("!HH", flags, miss_send_len))


def _role(role: int, generation: int) -> bytes:
    return wire(ROLE, pack("!I4xQ", role, generation))


def _port_config(number: int) -> bytes:
    address = (HARDWARE if number == 1 else 0).to_bytes(6, "big")
    return wire(PORT_MOD, pack("!I4x6sxxIII4x", number, address, 0, 0xffffffff, 0))


AGAIN_EQUAL = (*(_role(2, generation << 62) for generation in (0, 1, 2, 3, 0)), _role(1, 0))
"""Once round all generations, which are compared by their difference, so that the last is 0."""
ASYNC = wire(SET_ASYNC, pack("!6I", 3, 0, 7, 7, 15, 0))


def _others() -> Iterator[tuple[str, Request]]:
    yield "set config", Request(
        header(SET_CONFIG, Number("flags", 2, 0, (3, 4, 5, 6, 7, 8)), Number("miss_send_len", 2, 128, (0xffe5,))),
        (wire(GET_CONFIG),), (_config(0, 0),))
    for name, config, mask in (("one bit", 4, 4), ("all bits", 0, 0xffffffff), ("none", 0, 0)):
        bits = (1, 2, 4, 5, 8, 16, 32, 36, 64, 0x65)
        yield f"port-mod {name}", Request(
            header(PORT_MOD, Number("port", 4, 1, p.PORTS), Pad(4), Number("address", 6, HARDWARE, (0,)), Pad(2),
                   Number("config", 4, config, bits), Number("mask", 4, mask, bits),
                   Number("advertise", 4, 0, (0x20, 0xffff, 0x10000)), Pad(4)), (PORTS,), (_port_config(1),))
    yield "table-mod", Request(
        header(TABLE_MOD, Number("table", 1, 0, p.TABLES), Pad(3), Number("config", 4, 0, (3, 4, 8))))
    yield "queue configuration", Request(header(QUEUES, Number("port", 4, 1, p.PORTS), Pad(4)))
    for role, name in enumerate(("no change", "equal", "master", "slave")):
        yield f"role {name}", Request(
            header(ROLE, Number("role", 4, role, (3, 4, 5)), Pad(4), Number("generation", 8, 5)), (_role(0, 0),),
            AGAIN_EQUAL)
    names = ("packet_in", "packet_in slave", "port_status", "port_status slave", "removed", "removed slave")
    yield "set async", Request(
        header(SET_ASYNC, *(Number(name, 4, 1, (3, 4, 7, 8, 15, 16, 31, 32)) for name in names)), (wire(GET_ASYNC),),
        (ASYNC,))
    for name, kind in (("features", FEATURES_REQUEST), ("configuration", GET_CONFIG), ("barrier", BARRIER),
                       ("async", GET_ASYNC)):
        yield f"request of {name}", Request(header(kind))
    yield "echo", Request(header(ECHO_REQUEST, block("payload", Number("payload", 8, 5))))
    yield "echo reply", Request(header(ECHO_REPLY, block("payload", Number("payload", 8, 5))))
    yield "error", Request(header(ERROR, Number("type", 2, 1), Number("code", 2, 1), Number("data", 8, 0)))
    yield "hello again", Request(
        header(HELLO, block("versions", Number("type", 2, 1), Length(), Number("bitmap", 4, 1 << 4, (1 << 1, 1 << 6)))))


def _multiparts() -> Iterator[tuple[str, Request]]:
    for name, kind in (("description", 0), ("tables", 3), ("group descriptions", 7), ("group features", 8),
                       ("meter features", 11), ("table features", 12), ("ports", 13)):
        yield f"multipart {name}", Request(multipart(kind))
    flow = (Number("table", 1, 0xff, p.TABLES), Pad(3), Number("out_port", 4, NOTHING, p.PORTS),
            Number("out_group", 4, NOTHING, p.GROUPS), Pad(4), Number("cookie", 8, 0, (5, 6)),
            Number("cookie_mask", 8, 0, (5,)))
    for name, kind in (("flows", 1), ("aggregate", 2)):
        yield f"multipart {name}", Request(multipart(kind, *flow, p.match()))
        match = p.match(p.oxm(0), *p.needed(11), p.oxm(11))
        yield f"multipart {name} of a match", Request(multipart(kind, *flow, match))
    queues = (0, 1, 0xfffffffe)
    yield "multipart port statistics", Request(multipart(4, Number("port", 4, NOTHING, p.PORTS), Pad(4)))
    yield "multipart queue statistics", Request(
        multipart(5, Number("port", 4, NOTHING, p.PORTS), Number("queue", 4, NOTHING, queues)))
    yield "multipart group statistics", Request(multipart(6, Number("group", 4, 1, p.GROUPS), Pad(4)))
    for name, kind in (("meter statistics", 9), ("meter configuration", 10)):
        yield f"multipart {name}", Request(
            multipart(kind, Number("meter", 4, 1, (2, 0xffff0000, 0xfffffffd, 0xfffffffe)), Pad(4)))
    yield "multipart experimenter", Request(
        multipart(0xffff, Number("experimenter", 4, NICIRA, (ONF,)), Number("exp_type", 4, 7, (*range(8), 1870))))
    yield "multipart flow monitor", Request(
        multipart(0xffff, Number("experimenter", 4, ONF), Number("exp_type", 4, 1870), block(
            "monitor", Number("id", 4, 9), Number("flags", 2, 3, (1, 2, 4, 8, 16, 31, 32, 63, 64, 127)), Pad(2),
            Number("out_port", 4, NOTHING, p.PORTS), Number("table", 1, 0xff, p.TABLES), Pad(3), p.match(p.oxm(0)))),
        undo=(wire(EXPERIMENTER, pack("!III", ONF, 1870, 9)), *(
            wire(EXPERIMENTER, pack("!III", ONF, 1870, number))
            for number in (0, 1, 2, 8, 10, 0x80000009, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff))))
    yield from _table_features()


def _table_features() -> Iterator[tuple[str, Request]]:
    actions = (p.an_id("output", 0), p.an_id("group", 22))
    properties = (
        p.property_of("instructions", 0, p.an_id("goto", 1), p.an_id("apply", 4)),
        p.property_of("next tables", 2, Number("tables", 3, 0x010203)),
        p.property_of("write actions", 4, *actions),
        p.property_of("apply actions miss", 7, *actions),
        p.property_of("match", 8, p.oxm_id(0), p.oxm_id(3, mask=True)),
        p.property_of("wildcards", 10, p.oxm_id(0)),
        p.property_of("write set-field", 12, p.oxm_id(3)),
        p.property_of("experimenter", 0xfffe, Number("experimenter", 4, NICIRA), Number("exp_type", 4, 0)))

    def of_table(*parts: Block) -> Block:
        return multipart(12, block(
            "table", Length(), Number("table", 1, 0, p.TABLES), Pad(5), Number("name", 32, 0),
            Number("metadata_match", 8, 0xff), Number("metadata_write", 8, 0xff), Number("config", 4, 0, (3, 4)),
            Number("max_entries", 4, 100), *parts))

    yield "table features set without properties", Request(of_table())
    yield "table features set", Request(of_table(*properties[:7]))
    for each in properties:
        yield f"table features set {each.name}", Request(of_table(each))


def _experimenters() -> Iterator[tuple[str, Request]]:
    yield "unknown experimenter", Request(experimenter(0xc0ffee, 1, Number("body", 8, 0)))
    yield "nicira role", Request(
        experimenter(NICIRA, 10, Number("role", 4, 0, (3,))), (_role(0, 0),), AGAIN_EQUAL)
    yield "nicira table ids", Request(experimenter(NICIRA, 15, Number("set", 1, 0), Pad(7)))
    yield "nicira packet-ins", Request(
        experimenter(NICIRA, 16, Number("format", 4, 0, (3,))), undo=(wire(EXPERIMENTER, pack("!III", NICIRA, 16, 0)),))
    yield "nicira flow age", Request(experimenter(NICIRA, 18))
    yield "nicira async", Request(
        experimenter(NICIRA, 19, *(Number(f"mask {number}", 4, 1) for number in range(6))), (wire(GET_ASYNC),),
        (ASYNC,))
    yield "nicira controller id", Request(
        experimenter(NICIRA, 20, Pad(6), Number("id", 2, 0)), undo=(wire(EXPERIMENTER, pack("!II8x", NICIRA, 20)),))
    yield "nicira async properties", Request(
        experimenter(NICIRA, 27, *(block("mask", Number("type", 2, kind, tuple(range(14))), Length(),
                                         Number("mask", 4, 1)) for kind in (0, 3))), (wire(GET_ASYNC),), (ASYNC,))
    for kind in (0xfffe, 0xffff):
        yield f"nicira async property {kind:#x}", Request(
            experimenter(NICIRA, 27, block("property", Number("type", 2, kind), Length(),
                                           Number("experimenter", 4, NICIRA), Number("exp_type", 4, 0), Pad(4))),
            (wire(GET_ASYNC),), (ASYNC,))
    yield "nicira resume", Request(experimenter(NICIRA, 28, block(
        "packet", Number("type", 2, 0, (3, 4, 5, 7, 8, 9)), Length(), Number("packet", 12, 0))))
    yield "flow monitor cancelled", Request(experimenter(ONF, 1870, Number("id", 4, 9)))


def _types() -> Iterator[tuple[str, Request]]:
    """Every type there is and is not, with bodies of several sizes."""
    for kind in (*range(36), 99, 127, 128, 254, 255):
        for size in (0, 4, 8, 12, 16, 24, 32, 40, 48, 64, 72, 80):
            body = (Number("body", size, 0),) if size else ()
            yield f"type {kind} of {size} bytes", Request(header(kind, *body), alone=True)
