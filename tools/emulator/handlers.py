"""What a switch does on each message of a controller (OF 1.3.5 sections 6.1 and 7.3), multipart requests aside.

A handler raises OFError to refuse; the session answers with it.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tools.emulator import decode, oxm, statistics, wire
from tools.emulator.decode import GROUP_ANY, PORT_ANY, PORT_CONTROLLER, PORT_LOCAL, PORT_MAX
from tools.emulator.frames import Packet
from tools.emulator.groups import DELETE as GROUP_DELETE_COMMAND
from tools.emulator.meters import INVALID as INVALID_METER
from tools.emulator.meters import METER_MOD_FAILED
from tools.emulator.oxm import OFError
from tools.emulator.ports import CONFIGURABLE
from tools.emulator.tables import FLOW_MOD_FAILED, GROUP_DELETE, METER_DELETE, Entry, Filter

if TYPE_CHECKING:
    from tools.emulator.session import Session
    from tools.emulator.switch import Switch

ADD, MODIFY, MODIFY_STRICT, DELETE, DELETE_STRICT = range(5)
BAD_TABLE_ID, BAD_COMMAND, BAD_FLAGS = 2, 6, 7
ROLE_EQUAL, ROLE_MASTER, ROLE_SLAVE = 1, 2, 3
ROLE_FAILED, PORT_MOD_FAILED, QUEUE_OP_FAILED, TABLE_MOD_FAILED = 11, 7, 9, 8
HIDDEN_TABLE = 254
SWITCH_CONFIG_FAILED, FRAG_NORMAL, FRAG_DROP, FRAG_MASK = 10, 0, 1, 3
TABLE_MOD_EPERM = 2
KEPT_FLAGS = 0x1f
EVERY_BIT = (1 << 64) - 1
EXACT_LENGTH = {wire.FEATURES_REQUEST: 8, wire.GET_CONFIG_REQUEST: 8, wire.SET_CONFIG: 12, wire.PORT_MOD: 40,
                wire.TABLE_MOD: 16, wire.BARRIER_REQUEST: 8, wire.QUEUE_REQUEST: 16, wire.ROLE_REQUEST: 24,
                wire.GET_ASYNC_REQUEST: 8, wire.SET_ASYNC: 32, wire.FEATURES_REPLY: 32, wire.GET_CONFIG_REPLY: 12,
                wire.PORT_STATUS: 80, wire.BARRIER_REPLY: 8, wire.ROLE_REPLY: 24, wire.GET_ASYNC_REPLY: 32}
LEAST_LENGTH = {wire.PACKET_IN: (24, 1), wire.FLOW_REMOVED: (48, 1), wire.QUEUE_REPLY: (16, 1),
                wire.PACKET_OUT: (24, 1), wire.FLOW_MOD: (48, 8), wire.GROUP_MOD: (16, 8), wire.METER_MOD: (16, 8),
                wire.MULTIPART_REQUEST: (16, 1)}
CHANGES = frozenset((wire.FLOW_MOD, wire.GROUP_MOD, wire.PORT_MOD, wire.TABLE_MOD, wire.PACKET_OUT, wire.METER_MOD))


def bad_request(code: int) -> OFError:
    """The refusal of a request as such."""
    return OFError(wire.BAD_REQUEST, code)


def handle(switch: Switch, session: Session, message: bytes) -> None:
    """Carry out one message of an open session."""
    kind, length = message[1], len(message)
    if message[0] != wire.VERSION:
        raise bad_request(wire.BRC_BAD_VERSION)
    if kind == wire.EXPERIMENTER:
        raise bad_request(wire.BRC_BAD_EXPERIMENTER if length >= 16 else wire.BRC_BAD_LEN)
    if length != EXACT_LENGTH.get(kind, length):
        raise bad_request(wire.BRC_BAD_LEN)
    least, unit = LEAST_LENGTH.get(kind, (8, 1))
    if length < least or (length - least) % unit:
        raise bad_request(wire.BRC_BAD_LEN)
    handler = HANDLERS.get(kind)
    if handler is None:
        raise bad_request(wire.BRC_BAD_TYPE)
    if kind in CHANGES and session.role == ROLE_SLAVE:
        raise bad_request(wire.BRC_IS_SLAVE)
    handler(switch, session, message)


def reply(session: Session, message: bytes, kind: int, body: bytes = b"") -> None:
    """Answer with the xid of the request."""
    session.send(wire.message(kind, int.from_bytes(message[4:8], "big"), body))


def echo(switch: Switch, session: Session, message: bytes) -> None:
    reply(session, message, wire.ECHO_REPLY, message[8:])


def features(switch: Switch, session: Session, message: bytes) -> None:
    reply(session, message, wire.FEATURES_REPLY, wire.FEATURES_BODY.pack(switch.dpid, 0, 254, 0, 0x4f, 0))


def get_config(switch: Switch, session: Session, message: bytes) -> None:
    flags = FRAG_DROP if switch.pipeline.drops_fragments else FRAG_NORMAL
    reply(session, message, wire.GET_CONFIG_REPLY, flags.to_bytes(2, "big") + session.miss_send_len.to_bytes(2, "big"))


def set_config(switch: Switch, session: Session, message: bytes) -> None:
    """Fragments are handled normally or dropped; asking for another handling changes nothing, as in Open vSwitch, and
    so does what a slave asks for."""
    flags = int.from_bytes(message[8:10], "big")
    if flags & ~FRAG_MASK:
        raise OFError(SWITCH_CONFIG_FAILED, 0)
    if flags in (FRAG_NORMAL, FRAG_DROP) and session.role != ROLE_SLAVE:
        switch.pipeline.drops_fragments = flags == FRAG_DROP
    session.miss_send_len = int.from_bytes(message[10:12], "big")


def barrier(switch: Switch, session: Session, message: bytes) -> None:
    """Everything before it is done already: messages are carried out as they come."""
    reply(session, message, wire.BARRIER_REPLY)


def ignore(switch: Switch, session: Session, message: bytes) -> None:
    """Echo replies and errors need no answer."""


def role(switch: Switch, session: Session, message: bytes) -> None:
    wanted = int.from_bytes(message[8:12], "big")
    generation = int.from_bytes(message[16:24], "big")
    if wanted > ROLE_SLAVE:
        raise OFError(ROLE_FAILED, 2)
    if wanted in (ROLE_MASTER, ROLE_SLAVE):
        known = switch.generation
        if known is not None and (generation - known) & (1 << 63):
            raise OFError(ROLE_FAILED, 0)
        switch.generation = generation
    if wanted:
        if wanted == ROLE_MASTER:
            for other in switch.sessions:
                if other is not session and other.role == ROLE_MASTER:
                    other.role = ROLE_SLAVE
                    other.send(wire.role_status(ROLE_SLAVE, told_generation(switch)))
        session.role = wanted
    reply(session, message, wire.ROLE_REPLY, session.role.to_bytes(4, "big") + bytes(4)
          + told_generation(switch).to_bytes(8, "big"))


def told_generation(switch: Switch) -> int:
    """The generation id, all ones while there is none."""
    return (1 << 64) - 1 if switch.generation is None else switch.generation


ASYNC_ORDER = (wire.PACKET_IN, wire.PORT_STATUS, wire.FLOW_REMOVED)
KNOWN_REASONS = {wire.PACKET_IN: 0x7, wire.PORT_STATUS: 0x7, wire.FLOW_REMOVED: 0x3f}
"""Bits of a mask that mean something; others are dropped, as by Open vSwitch."""


def get_async(switch: Switch, session: Session, message: bytes) -> None:
    masks = (session.masks[kind][index] for kind in ASYNC_ORDER for index in (0, 1))
    reply(session, message, wire.GET_ASYNC_REPLY, b"".join(mask.to_bytes(4, "big") for mask in masks))


def set_async(switch: Switch, session: Session, message: bytes) -> None:
    for place, kind in enumerate(ASYNC_ORDER):
        start = 8 + 8 * place
        session.masks[kind] = [int.from_bytes(message[at:at + 4], "big") & KNOWN_REASONS[kind]
                               for at in (start, start + 4)]


def need_groups(switch: Switch, groups: frozenset[int]) -> None:
    """Refuse actions that name a group that is not there."""
    known = switch.groups.groups
    if any(group_id not in known for group_id in groups):
        raise decode.bad_action(decode.BAD_OUT_GROUP)


def need_named(switch: Switch, instructions: decode.Instructions) -> None:
    """Refuse instructions that name a meter or a group that is not there."""
    if instructions.meter is not None and instructions.meter not in switch.meters.meters:
        raise OFError(METER_MOD_FAILED, INVALID_METER)
    need_groups(switch, instructions.groups)


def meets_hidden(wanted: Filter) -> bool:
    """Whether a request that met no entry met one of Open vSwitch's own, in the hidden table and with cookie 0."""
    filtered = wanted.out_port != PORT_ANY or wanted.out_group != GROUP_ANY or wanted.cookie & wanted.cookie_mask
    if wanted.match or filtered:
        return False
    return wanted.table_id == HIDDEN_TABLE or (wanted.table_id == 0xff and wanted.cookie_mask == EVERY_BIT)


def flow_mod(switch: Switch, session: Session, message: bytes) -> None:
    (cookie, cookie_mask, table_id, command, idle, hard, priority, buffer_id, out_port, out_group,
     flags) = wire.FLOW_MOD_BODY.unpack_from(message, 8)
    match, context, offset = oxm.parse_match(message, 48)
    if table_id == 0xff and command not in (DELETE, DELETE_STRICT):
        raise OFError(FLOW_MOD_FAILED, BAD_TABLE_ID)
    if 0xff00 <= out_port < PORT_MAX:
        raise decode.bad_action(decode.BAD_OUT_PORT)
    if command > DELETE_STRICT:
        raise OFError(FLOW_MOD_FAILED, BAD_COMMAND)
    memo = switch.memo
    raw = message[offset:]
    instructions = memo.get(raw)
    if instructions is None:
        instructions = decode.parse_instructions(message, offset)
        if len(memo) > 4096:
            memo.clear()
        memo[raw] = instructions
    if flags & ~0x1f:
        raise OFError(FLOW_MOD_FAILED, BAD_FLAGS)
    if command in (ADD, MODIFY, MODIFY_STRICT):
        switch.lacks.refuse_match(match)
        switch.lacks.refuse_instructions(instructions)
    decode.check_instructions(instructions, context, table_id)
    if command == ADD and table_id == HIDDEN_TABLE:
        raise bad_request(wire.BRC_EPERM)
    if buffer_id != wire.NO_BUFFER and command in (ADD, MODIFY, MODIFY_STRICT):
        raise bad_request(wire.BRC_BUFFER_UNKNOWN)
    tables = switch.tables
    if command == ADD:
        need_named(switch, instructions)
        tables.add(Entry(table_id, priority, match, oxm.encode_match(match), instructions, tables.clock(),
                         cookie=cookie, idle=idle, hard=hard, flags=flags & KEPT_FLAGS))
        switch.rearm()
        return
    if command in (MODIFY, MODIFY_STRICT):
        out_port, out_group = PORT_ANY, GROUP_ANY
    wanted = Filter(table_id, match, cookie, cookie_mask, out_port, out_group)
    entries = tables.strict(wanted, priority) if command in (MODIFY_STRICT, DELETE_STRICT) else tables.loose(wanted)
    if not entries and command in (MODIFY, DELETE) and meets_hidden(wanted):
        raise bad_request(wire.BRC_EPERM)
    if command in (DELETE, DELETE_STRICT):
        tables.delete(entries)
    elif entries:
        need_named(switch, instructions)
        tables.modify(entries, instructions, flags)


def group_mod(switch: Switch, session: Session, message: bytes) -> None:
    command = int.from_bytes(message[8:10], "big")
    group_id = int.from_bytes(message[12:16], "big")
    buckets = decode.parse_buckets(message, 16)
    for bucket in buckets:
        switch.lacks.refuse_actions(bucket.actions)
    for gone in switch.groups.modify(command, message[10], group_id, buckets):
        switch.tables.delete(switch.tables.using_group(gone), GROUP_DELETE)
    if command != GROUP_DELETE_COMMAND:
        switch.rearm()


def port_mod(switch: Switch, session: Session, message: bytes) -> None:
    number, address, config, mask, _ = wire.PORT_MOD_BODY.unpack_from(message, 8)
    if 0xff00 <= number < PORT_MAX:
        raise decode.bad_action(decode.BAD_OUT_PORT)
    port = switch.ports.get(number)
    if port is None:
        raise OFError(PORT_MOD_FAILED, 0)
    if port.mac != address:
        raise OFError(PORT_MOD_FAILED, 1)
    mask &= CONFIGURABLE
    config = port.config & ~mask | config & mask
    if config != port.config:
        state, port.config = port.state, config
        switch.port_changed(port, session if port.state == state else None)
        if switch.reconfigured is not None:
            switch.reconfigured(switch, port)


def packet_out(switch: Switch, session: Session, message: bytes) -> None:
    buffer_id, in_port, size = wire.PACKET_OUT_BODY.unpack_from(message, 8)
    if 0xff00 <= in_port < PORT_MAX:
        raise decode.bad_action(decode.BAD_OUT_PORT)
    actions, _ = decode.parse_actions(message, 24, 24 + size)
    switch.lacks.refuse_actions(actions)
    if in_port >= PORT_MAX and in_port not in (PORT_LOCAL, PORT_ANY, PORT_CONTROLLER):
        raise bad_request(wire.BRC_BAD_PORT)
    if buffer_id != wire.NO_BUFFER:
        raise bad_request(wire.BRC_BUFFER_UNKNOWN)
    packet = Packet(message[24 + size:], in_port)
    if not decode.check_actions(actions, oxm.Context.of_fields(packet.fields)):
        raise decode.bad_action(decode.INCONSISTENT)
    need_groups(switch, frozenset(action[1] for action in actions if action[0] == decode.GROUP))
    arrived = switch.ports.get(in_port)
    if len(packet.data) >= 14 and (arrived is None or arrived.takes(packet.data)):
        told = switch.pipeline.packet_out(packet, actions)
        if told is None:
            raise OFError(FLOW_MOD_FAILED, 0)
        switch.tell_packets(told)


def table_mod(switch: Switch, session: Session, message: bytes) -> None:
    if message[8] >= HIDDEN_TABLE and message[8] != 0xff:
        raise OFError(TABLE_MOD_FAILED, TABLE_MOD_EPERM)


def meter_mod(switch: Switch, session: Session, message: bytes) -> None:
    for gone in switch.meters.modify(message):
        switch.tables.delete(switch.tables.using_meter(gone), METER_DELETE)


def queue_config(switch: Switch, session: Session, message: bytes) -> None:
    """No port has queues; the local one, as in Open vSwitch, is not even looked for."""
    number = int.from_bytes(message[8:12], "big")
    if 0xff00 <= number < PORT_MAX:
        raise decode.bad_action(decode.BAD_OUT_PORT)
    if number != PORT_ANY and (number not in switch.ports or number == PORT_LOCAL):
        raise OFError(QUEUE_OP_FAILED, 0)
    reply(session, message, wire.QUEUE_REPLY, number.to_bytes(4, "big") + bytes(4))


HANDLERS: dict[int, Callable[[Switch, Session, bytes], None]] = {
    wire.ERROR: ignore, wire.ECHO_REQUEST: echo, wire.ECHO_REPLY: ignore,
    wire.FEATURES_REQUEST: features, wire.GET_CONFIG_REQUEST: get_config, wire.SET_CONFIG: set_config,
    wire.PACKET_OUT: packet_out, wire.FLOW_MOD: flow_mod, wire.GROUP_MOD: group_mod, wire.PORT_MOD: port_mod,
    wire.TABLE_MOD: table_mod, wire.MULTIPART_REQUEST: statistics.multipart, wire.BARRIER_REQUEST: barrier,
    wire.QUEUE_REQUEST: queue_config, wire.ROLE_REQUEST: role, wire.GET_ASYNC_REQUEST: get_async,
    wire.SET_ASYNC: set_async, wire.METER_MOD: meter_mod,
}
