"""Encoders of single OpenFlow 1.3 messages, both those sent to switches and those sent to tenants' controllers.

Plain arguments in, the bytes of one whole message out: header, padding of ofp_match, everything. Matches are given as
OXM TLVs without header; instructions, actions and buckets as wire bytes. A message too long for its 16-bit length
raises struct.error: splitting is the caller's. Knows nothing of why a message is sent.
"""
from __future__ import annotations

from collections.abc import Iterable
from struct import Struct

from hvproxy.errors import Refused
from hvproxy.openflow.constants import HEADER, HEADER_SIZE, MAX_MESSAGE, NO_BUFFER, OFP_VERSION, VERSION_NAMES, of13
from hvproxy.openflow.messages import AsyncConfig
from hvproxy.openflow.multipart import FlowStatsRequest, Kind, encode_id_request, multipart_request
from hvproxy.openflow.ports import PortDesc

_ZEROS = tuple(bytes(count) for count in range(10))
_HELLO_BITMAP = Struct("!HHI")
_ERROR = Struct("!HH")
_FEATURES_REPLY = Struct("!QIBB2xII")
_SWITCH_CONFIG = Struct("!HH")
_FLOW_MOD = Struct("!BBHIQQBBHHHIIIH2xHH")
_PACKET_IN = Struct("!BBHIIHBBQHH")
_PACKET_OUT = Struct("!BBHIIIH6x")
_FLOW_REMOVED = Struct("!BBHIQHBBIIHHQQHH")
_OFP_MATCH = Struct("!HH")
_PORT_STATUS = Struct("!B7x")
_GROUP_MOD = Struct("!HBxI")
_METER_MOD = Struct("!HHI")
_PORT_MOD = Struct("!I4x6s2xIII4x")
_ROLE = Struct("!I4xQ")
_ASYNC = Struct("!6I")
_QUEUE_GET_CONFIG = Struct("!I4x")

_OXM: int = of13.OFPMT_OXM
_ANY_PORT: int = of13.OFPP_ANY
_ANY_GROUP: int = of13.OFPG_ANY
_ALL_GROUPS: int = of13.OFPG_ALL
_ALL_TABLES: int = of13.OFPTT_ALL
_ADD: int = of13.OFPFC_ADD
_DELETE_STRICT: int = of13.OFPFC_DELETE_STRICT
_T_FLOW_MOD: int = of13.OFPT_FLOW_MOD
_T_PACKET_IN: int = of13.OFPT_PACKET_IN
_T_PACKET_OUT: int = of13.OFPT_PACKET_OUT
_T_FLOW_REMOVED: int = of13.OFPT_FLOW_REMOVED


def message(type: int, xid: int, body: bytes = b"", version: int = OFP_VERSION) -> bytes:
    """A message of the given OFPT_* type."""
    return HEADER.pack(version, type, HEADER_SIZE + len(body), xid) + body


# Session (OF 1.3.5 section 7.5)

def hello(xid: int, versions: Iterable[int] = (OFP_VERSION,)) -> bytes:
    """HELLO offering these wire versions: the highest in the header, and all in a version bitmap."""
    offered = set(versions)
    bitmap = sum(1 << version for version in offered)
    element = _HELLO_BITMAP.pack(of13.OFPHET_VERSIONBITMAP, _HELLO_BITMAP.size, bitmap)
    return message(of13.OFPT_HELLO, xid, element, max(offered))


def echo_request(xid: int, data: bytes = b"", version: int = OFP_VERSION) -> bytes:
    return message(of13.OFPT_ECHO_REQUEST, xid, data, version)


def echo_reply(request: bytes) -> bytes:
    """The reply to a whole ECHO_REQUEST: same version, xid and payload."""
    return request[:1] + bytes((of13.OFPT_ECHO_REPLY,)) + request[2:]


def error(xid: int, type: int, code: int, data: bytes = b"", version: int = OFP_VERSION) -> bytes:
    """ERROR carrying `data` (the failed message), cut to what one message can hold."""
    room = MAX_MESSAGE - HEADER_SIZE - _ERROR.size
    return message(of13.OFPT_ERROR, xid, _ERROR.pack(type, code) + data[:room], version)


def refusal(request: bytes, refused: Refused) -> bytes:
    """The error that answers `request`: its xid, and all of it that fits, as Open vSwitch does (OF 1.3.5 7.4.4).

    It is of the request's version, and of OpenFlow 1.0's where that is none that exists.
    """
    whose = b"" if refused.experimenter is None else refused.experimenter.to_bytes(4, "big")
    return error(int.from_bytes(request[4:8], "big"), refused.error_type, refused.code, whose + request,
                 request[0] if request[0] in VERSION_NAMES else min(VERSION_NAMES))


def barrier_request(xid: int) -> bytes:
    return message(of13.OFPT_BARRIER_REQUEST, xid)


def barrier_reply(xid: int) -> bytes:
    return message(of13.OFPT_BARRIER_REPLY, xid)


def role_request(xid: int, role: int, generation_id: int) -> bytes:
    return message(of13.OFPT_ROLE_REQUEST, xid, _ROLE.pack(role, generation_id))


def role_reply(xid: int, role: int, generation_id: int) -> bytes:
    return message(of13.OFPT_ROLE_REPLY, xid, _ROLE.pack(role, generation_id))


def get_async_request(xid: int) -> bytes:
    return message(of13.OFPT_GET_ASYNC_REQUEST, xid)


def get_async_reply(config: AsyncConfig) -> bytes:
    return message(of13.OFPT_GET_ASYNC_REPLY, config.xid, _async(config))


def set_async(config: AsyncConfig) -> bytes:
    return message(of13.OFPT_SET_ASYNC, config.xid, _async(config))


def _async(config: AsyncConfig) -> bytes:
    return _ASYNC.pack(*config.packet_in, *config.port_status, *config.flow_removed)


# The switch and its ports (OF 1.3.5 sections 7.3.1, 7.3.2, 7.3.4.3, 7.4.3)

def features_request(xid: int) -> bytes:
    return message(of13.OFPT_FEATURES_REQUEST, xid)


def features_reply(
    xid: int, datapath_id: int, n_buffers: int, n_tables: int, auxiliary_id: int, capabilities: int,
) -> bytes:
    # The last word was `ports` in OpenFlow 1.0 and is reserved here.
    body = _FEATURES_REPLY.pack(datapath_id, n_buffers, n_tables, auxiliary_id, capabilities, 0)
    return message(of13.OFPT_FEATURES_REPLY, xid, body)


def get_config_request(xid: int) -> bytes:
    return message(of13.OFPT_GET_CONFIG_REQUEST, xid)


def get_config_reply(xid: int, flags: int, miss_send_len: int) -> bytes:
    return message(of13.OFPT_GET_CONFIG_REPLY, xid, _SWITCH_CONFIG.pack(flags, miss_send_len))


def set_config(xid: int, flags: int, miss_send_len: int) -> bytes:
    return message(of13.OFPT_SET_CONFIG, xid, _SWITCH_CONFIG.pack(flags, miss_send_len))


def port_status(reason: int, port: PortDesc, xid: int = 0) -> bytes:
    return message(of13.OFPT_PORT_STATUS, xid, _PORT_STATUS.pack(reason) + port.encode())


def port_mod(xid: int, port_no: int, hw_addr: bytes, config: int, mask: int, advertise: int = 0) -> bytes:
    return message(of13.OFPT_PORT_MOD, xid, _PORT_MOD.pack(port_no, hw_addr, config, mask, advertise))


def queue_get_config_reply(xid: int, port_no: int, queues: bytes = b"") -> bytes:
    return message(of13.OFPT_QUEUE_GET_CONFIG_REPLY, xid, _QUEUE_GET_CONFIG.pack(port_no) + queues)


# Packets (OF 1.3.5 sections 7.3.7, 7.4.1)

def packet_in(
    xid: int, buffer_id: int, total_len: int, reason: int, table_id: int, cookie: int, tlvs: bytes, data: bytes,
) -> bytes:
    match_len = 4 + len(tlvs)
    # The match is padded to 8 bytes, then two more bytes align the packet's IP header.
    padding = _ZEROS[(-match_len & 7) + 2]
    length = 24 + match_len + len(padding) + len(data)
    return _PACKET_IN.pack(
        OFP_VERSION, _T_PACKET_IN, length, xid, buffer_id, total_len, reason, table_id, cookie, _OXM, match_len,
    ) + tlvs + padding + data


def packet_out(xid: int, in_port: int, actions: bytes, data: bytes, buffer_id: int = NO_BUFFER) -> bytes:
    return _PACKET_OUT.pack(
        OFP_VERSION, _T_PACKET_OUT, 24 + len(actions) + len(data), xid, buffer_id, in_port, len(actions),
    ) + actions + data


# Flows, groups and meters (OF 1.3.5 sections 7.3.4.1, 7.3.4.2, 7.3.4.4, 7.4.2)

def flow_mod(
    xid: int,
    command: int,
    *,
    table_id: int,
    priority: int = 0,
    match_tlvs: bytes = b"",
    instructions: bytes = b"",
    cookie: int = 0,
    cookie_mask: int = 0,
    flags: int = 0,
    idle_timeout: int = 0,
    hard_timeout: int = 0,
    buffer_id: int = NO_BUFFER,
    out_port: int = _ANY_PORT,
    out_group: int = _ANY_GROUP,
) -> bytes:
    match_len = 4 + len(match_tlvs)
    padding = _ZEROS[-match_len & 7]
    length = 48 + match_len + len(padding) + len(instructions)
    return _FLOW_MOD.pack(
        OFP_VERSION, _T_FLOW_MOD, length, xid, cookie, cookie_mask, table_id, command, idle_timeout, hard_timeout,
        priority, buffer_id, out_port, out_group, flags, _OXM, match_len,
    ) + match_tlvs + padding + instructions


def flow_mod_add(
    xid: int, table: int, priority: int, match_tlvs: bytes, instructions: bytes, cookie: int, flags: int = 0,
) -> bytes:
    """ADD without timeouts: what a rule of ours becomes."""
    return flow_mod(xid, _ADD, table_id=table, priority=priority, match_tlvs=match_tlvs, instructions=instructions,
                    cookie=cookie, flags=flags)


def flow_mod_delete_strict(
    xid: int, table: int, priority: int, match_tlvs: bytes, cookie: int = 0, cookie_mask: int = 0,
) -> bytes:
    """DELETE_STRICT of one rule, only if its cookie agrees under the mask."""
    return flow_mod(xid, _DELETE_STRICT, table_id=table, priority=priority, match_tlvs=match_tlvs, cookie=cookie,
                    cookie_mask=cookie_mask)


def flow_removed(
    xid: int, cookie: int, priority: int, reason: int, table_id: int, duration_sec: int, duration_nsec: int,
    idle_timeout: int, hard_timeout: int, packets: int, octets: int, match_tlvs: bytes,
) -> bytes:
    match_len = 4 + len(match_tlvs)
    padding = _ZEROS[-match_len & 7]
    return _FLOW_REMOVED.pack(
        OFP_VERSION, _T_FLOW_REMOVED, 48 + match_len + len(padding), xid, cookie, priority, reason, table_id,
        duration_sec, duration_nsec, idle_timeout, hard_timeout, packets, octets, _OXM, match_len,
    ) + match_tlvs + padding


def group_mod(xid: int, command: int, type: int, group_id: int, buckets: bytes = b"") -> bytes:
    return message(of13.OFPT_GROUP_MOD, xid, _GROUP_MOD.pack(command, type, group_id) + buckets)


def meter_mod(xid: int, command: int, flags: int, meter_id: int, bands: bytes = b"") -> bytes:
    return message(of13.OFPT_METER_MOD, xid, _METER_MOD.pack(command, flags, meter_id) + bands)


# Multipart requests to switches (OF 1.3.5 section 7.3.5)

def desc_request(xid: int) -> bytes:
    return multipart_request(xid, Kind.DESC)


def port_desc_request(xid: int) -> bytes:
    return multipart_request(xid, Kind.PORT_DESC)


def flow_stats_request(
    xid: int, table_id: int = _ALL_TABLES, cookie: int = 0, cookie_mask: int = 0, match_tlvs: bytes = b"",
) -> bytes:
    """FLOW statistics of every rule whose cookie agrees under the mask and that is covered by the match."""
    match = _OFP_MATCH.pack(_OXM, _OFP_MATCH.size + len(match_tlvs)) + match_tlvs
    request = FlowStatsRequest(table_id=table_id, cookie=cookie, cookie_mask=cookie_mask, match=match)
    return multipart_request(xid, Kind.FLOW, request.encode())


def port_stats_request(xid: int, port_no: int = _ANY_PORT) -> bytes:
    return multipart_request(xid, Kind.PORT_STATS, encode_id_request(port_no))


def group_stats_request(xid: int, group_id: int = _ALL_GROUPS) -> bytes:
    return multipart_request(xid, Kind.GROUP, encode_id_request(group_id))


def group_desc_request(xid: int) -> bytes:
    return multipart_request(xid, Kind.GROUP_DESC)


def group_features_request(xid: int) -> bytes:
    return multipart_request(xid, Kind.GROUP_FEATURES)


def table_features_request(xid: int) -> bytes:
    """Asks for the features; a body would set them."""
    return multipart_request(xid, Kind.TABLE_FEATURES)
