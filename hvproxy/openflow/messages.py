"""Single OpenFlow 1.3 messages as values: one frozen dataclass and one decoder for each kind we act on.

A decoder takes a whole message whose every length the guard has proven, and trusts it. Matches, instructions,
actions and buckets stay bytes: their meaning is for oxm, instructions, actions and groups. The hot ones (flow-mod,
packet-in, packet-out, flow-removed) are one unpack and a few slices; no object of ryu is made here.
"""
from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TypeAlias

from hvproxy.openflow.groups import GroupMod
from hvproxy.openflow.ports import PortDesc

Wire: TypeAlias = bytes
"""For annotations next to a field that OpenFlow calls `bytes`."""

_XID = Struct("!4xI")
_FLOW_MOD = Struct("!4xIQQBBHHHIIIH2x2xH")
_FLOW_MOD_MATCH = 48
_PACKET_IN = Struct("!4xIIHBBQ2xH")
PACKET_IN_MATCH = 24
"""Where the match stands in a PACKET_IN."""
_PACKET_OUT = Struct("!4xIIIH6x")
_FLOW_REMOVED = Struct("!4xIQHBBIIHHQQ2xH")
_FLOW_REMOVED_MATCH = 48
_PORT_STATUS = Struct("!4xIB7x")
_FEATURES_REPLY = Struct("!4xIQIBB2xI")
_ERROR = Struct("!4xIHH")
_ROLE = Struct("!4xII4xQ")
_SWITCH_CONFIG = Struct("!4xIHH")
_GROUP_MOD = Struct("!4xIHBxI")
_PORT_MOD = Struct("!4xII4x6s2xIII")
_TABLE_MOD = Struct("!4xIB3xI")
_ASYNC = Struct("!4xIIIIIII")
_QUEUE_GET_CONFIG = Struct("!4xII")

_OXM_HEADER = Struct("!HBB")
_METADATA_VALUE = Struct("!Q")
_IN_PORT_VALUE = Struct("!I")
_BASIC_CLASS = 0x8000
_IN_PORT_FIELD = 0
_METADATA_FIELD = 2


@dataclass(frozen=True, slots=True)
class FlowMod:
    """struct ofp_flow_mod (OF 1.3.5 section 7.3.4.1)."""

    xid: int
    cookie: int
    cookie_mask: int
    table_id: int
    command: int
    """OFPFC_*."""
    idle_timeout: int
    hard_timeout: int
    priority: int
    buffer_id: int
    out_port: int
    out_group: int
    flags: int
    """OFPFF_*."""
    match: bytes
    """struct ofp_match with its header, without its padding."""
    instructions: bytes


@dataclass(frozen=True, slots=True)
class PacketIn:
    """struct ofp_packet_in (OF 1.3.5 section 7.4.1)."""

    xid: int
    buffer_id: int
    total_len: int
    reason: int
    """OFPR_*."""
    table_id: int
    cookie: int
    in_port: int
    """0, which is no port, when the switch left it out."""
    metadata: int
    """0 when the switch left it out: the pipeline starts with metadata 0 (OF 1.3.5 section 7.2.3.8)."""
    match_tlvs: bytes
    """All OXM TLVs as the switch sent them, in_port and metadata among them; no header, no padding."""
    data: bytes


@dataclass(frozen=True, slots=True)
class PacketOut:
    """struct ofp_packet_out (OF 1.3.5 section 7.3.7)."""

    xid: int
    buffer_id: int
    in_port: int
    actions: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class FlowRemoved:
    """struct ofp_flow_removed (OF 1.3.5 section 7.4.2)."""

    xid: int
    cookie: int
    priority: int
    reason: int
    """OFPRR_*."""
    table_id: int
    duration_sec: int
    duration_nsec: int
    idle_timeout: int
    hard_timeout: int
    packets: int
    bytes: int
    match: Wire
    """struct ofp_match with its header, without its padding."""


@dataclass(frozen=True, slots=True)
class PortStatus:
    """struct ofp_port_status (OF 1.3.5 section 7.4.3)."""

    reason: int
    """OFPPR_*."""
    port: PortDesc


@dataclass(frozen=True, slots=True)
class FeaturesReply:
    """struct ofp_switch_features (OF 1.3.5 section 7.3.1)."""

    xid: int
    datapath_id: int
    n_buffers: int
    n_tables: int
    auxiliary_id: int
    capabilities: int
    """OFPC_*."""


@dataclass(frozen=True, slots=True)
class ErrorMsg:
    """struct ofp_error_msg (OF 1.3.5 section 7.4.4)."""

    xid: int
    type: int
    """OFPET_*."""
    code: int
    data: bytes
    """The beginning of the message it answers, or text for OFPET_HELLO_FAILED."""


@dataclass(frozen=True, slots=True)
class Role:
    """struct ofp_role_request, request and reply alike (OF 1.3.5 section 7.3.9)."""

    xid: int
    role: int
    """OFPCR_ROLE_*."""
    generation_id: int


@dataclass(frozen=True, slots=True)
class SwitchConfig:
    """struct ofp_switch_config, of SET_CONFIG and GET_CONFIG_REPLY (OF 1.3.5 section 7.3.2)."""

    xid: int
    flags: int
    """OFPC_FRAG_*."""
    miss_send_len: int


@dataclass(frozen=True, slots=True)
class PortMod:
    """struct ofp_port_mod (OF 1.3.5 section 7.3.4.3)."""

    xid: int
    port_no: int
    hw_addr: bytes
    config: int
    mask: int
    """Which bits of config to change."""
    advertise: int


@dataclass(frozen=True, slots=True)
class TableMod:
    """struct ofp_table_mod (OF 1.3.5 section 7.3.3)."""

    xid: int
    table_id: int
    config: int


@dataclass(frozen=True, slots=True)
class AsyncConfig:
    """struct ofp_async_config, of SET_ASYNC and GET_ASYNC_REPLY: bit n of a mask lets reason n through; each pair is
    (as master or equal, as slave) (OF 1.3.5 section 7.3.10)."""

    xid: int
    packet_in: tuple[int, int]
    port_status: tuple[int, int]
    flow_removed: tuple[int, int]


def type_of(message: bytes) -> int:
    """OFPT_*."""
    return message[1]


def xid_of(message: bytes) -> int:
    xid: int = _XID.unpack_from(message)[0]
    return xid


def decode_flow_mod(message: bytes) -> FlowMod:
    (xid, cookie, cookie_mask, table_id, command, idle, hard, priority, buffer_id, out_port, out_group, flags,
     length) = _FLOW_MOD.unpack_from(message)
    end = _FLOW_MOD_MATCH + length
    return FlowMod(
        xid, cookie, cookie_mask, table_id, command, idle, hard, priority, buffer_id, out_port, out_group, flags,
        message[_FLOW_MOD_MATCH:end], message[end + 7 & -8:],
    )


def decode_packet_in(message: bytes) -> PacketIn:
    xid, buffer_id, total_len, reason, table_id, cookie, length = _PACKET_IN.unpack_from(message)
    end = PACKET_IN_MATCH + length
    offset = PACKET_IN_MATCH + 4
    tlvs = message[offset:end]
    in_port = metadata = 0
    while offset < end:
        oxm_class, field_and_mask, size = _OXM_HEADER.unpack_from(message, offset)
        offset += 4
        if oxm_class == _BASIC_CLASS:
            # A mask, if any, follows the value, so the value is read the same way with one and without.
            field = field_and_mask >> 1
            if field == _IN_PORT_FIELD:
                in_port, = _IN_PORT_VALUE.unpack_from(message, offset)
            elif field == _METADATA_FIELD:
                metadata, = _METADATA_VALUE.unpack_from(message, offset)
        offset += size
    # Two bytes of padding align the packet's IP header (OF 1.3.5 section 7.4.1).
    data = message[(end + 7 & -8) + 2:]
    return PacketIn(xid, buffer_id, total_len, reason, table_id, cookie, in_port, metadata, tlvs, data)


def decode_packet_out(message: bytes) -> PacketOut:
    xid, buffer_id, in_port, length = _PACKET_OUT.unpack_from(message)
    end = _PACKET_OUT.size + length
    return PacketOut(xid, buffer_id, in_port, message[_PACKET_OUT.size:end], message[end:])


def decode_flow_removed(message: bytes) -> FlowRemoved:
    (xid, cookie, priority, reason, table_id, seconds, nanoseconds, idle, hard, packets, octets,
     length) = _FLOW_REMOVED.unpack_from(message)
    return FlowRemoved(
        xid, cookie, priority, reason, table_id, seconds, nanoseconds, idle, hard, packets, octets,
        message[_FLOW_REMOVED_MATCH:_FLOW_REMOVED_MATCH + length],
    )


def decode_port_status(message: bytes) -> PortStatus:
    _, reason = _PORT_STATUS.unpack_from(message)
    return PortStatus(reason, PortDesc.decode(message, _PORT_STATUS.size))


def decode_features_reply(message: bytes) -> FeaturesReply:
    return FeaturesReply(*_FEATURES_REPLY.unpack_from(message))


def decode_error(message: bytes) -> ErrorMsg:
    xid, error_type, code = _ERROR.unpack_from(message)
    return ErrorMsg(xid, error_type, code, message[_ERROR.size:])


def decode_role(message: bytes) -> Role:
    """ROLE_REQUEST and ROLE_REPLY."""
    return Role(*_ROLE.unpack_from(message))


def decode_set_config(message: bytes) -> SwitchConfig:
    """SET_CONFIG and GET_CONFIG_REPLY."""
    return SwitchConfig(*_SWITCH_CONFIG.unpack_from(message))


def decode_group_mod(message: bytes) -> GroupMod:
    xid, command, group_type, group_id = _GROUP_MOD.unpack_from(message)
    return GroupMod(xid, command, group_type, group_id, message[_GROUP_MOD.size:])


def decode_port_mod(message: bytes) -> PortMod:
    return PortMod(*_PORT_MOD.unpack_from(message))


def decode_table_mod(message: bytes) -> TableMod:
    return TableMod(*_TABLE_MOD.unpack_from(message))


def decode_async(message: bytes) -> AsyncConfig:
    """SET_ASYNC and GET_ASYNC_REPLY."""
    xid, *masks = _ASYNC.unpack_from(message)
    return AsyncConfig(xid, (masks[0], masks[1]), (masks[2], masks[3]), (masks[4], masks[5]))


def decode_queue_get_config_request(message: bytes) -> int:
    """The port asked about, or OFPP_ANY."""
    port: int = _QUEUE_GET_CONFIG.unpack_from(message)[1]
    return port
