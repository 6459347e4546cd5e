"""Proofs for the nested parts of OpenFlow 1.3 messages: match, instructions, actions, buckets, bands, properties.

Each function walks `data[at:end]` once, never recurses, and moves on by at least four bytes a step, so its cost
is linear whatever a peer writes. It returns nothing but the place where the part ends (where that is not `end`
itself) or raises Refused with the code Open vSwitch 3.1 gives. `tenant` is True for what a controller wrote: types
that Open vSwitch does not know are then refused; a switch may use any type whose length holds.

Must not know which message a part stands in, nor judge values: that is left to `oxm`, `actions`, `instructions`.
"""
from __future__ import annotations

from struct import Struct
from typing import Final, NoReturn

from hvproxy.errors import Refused
from hvproxy.openflow.constants import NICIRA_ID, ONF_ID, of13

_TYPE_LENGTH: Final = Struct("!HH").unpack_from
_U16: Final = Struct("!H").unpack_from
_U32: Final = Struct("!I").unpack_from

_OXM_WIDTHS: Final[tuple[int, ...]] = (
    4, 4, 8, 6, 6, 2, 2, 1, 1, 1, 1, 4, 4, 2, 2, 2, 2, 2, 2, 1,
    1, 2, 4, 4, 6, 6, 16, 16, 4, 1, 1, 16, 6, 6, 4, 1, 1, 3, 8, 2,
)
"""Bytes of the value of each basic field, by field number (OF 1.3.5 section 7.2.3.7, table 12)."""

OXM_SIZES: Final[dict[int, int]] = {
    (0x8000 << 16 | field << 9 | masked << 8 | width << masked): 4 + (width << masked)
    for field, width in enumerate(_OXM_WIDTHS) for masked in (0, 1)
}
"""Size of the whole TLV for each well-formed header of a basic field."""

_INSTRUCTION_SIZES: Final[dict[int, int]] = {
    of13.OFPIT_GOTO_TABLE: 8, of13.OFPIT_WRITE_METADATA: 24, of13.OFPIT_CLEAR_ACTIONS: 8, of13.OFPIT_METER: 8,
}
_APPLY: Final[int] = of13.OFPIT_APPLY_ACTIONS
_WRITE: Final[int] = of13.OFPIT_WRITE_ACTIONS

_TENANT_ACTION_SIZES: Final[dict[int, int]] = {
    of13.OFPAT_OUTPUT: 16, of13.OFPAT_SET_MPLS_TTL: 8, of13.OFPAT_DEC_MPLS_TTL: 8, of13.OFPAT_PUSH_VLAN: 8,
    of13.OFPAT_POP_VLAN: 8, of13.OFPAT_PUSH_MPLS: 8, of13.OFPAT_POP_MPLS: 8, of13.OFPAT_SET_QUEUE: 8,
    of13.OFPAT_GROUP: 8, of13.OFPAT_SET_NW_TTL: 8, of13.OFPAT_DEC_NW_TTL: 8,
}
"""Actions of one fixed size that Open vSwitch knows."""

_SWITCH_ACTION_SIZES: Final[dict[int, int]] = {
    **_TENANT_ACTION_SIZES,
    of13.OFPAT_COPY_TTL_OUT: 8, of13.OFPAT_COPY_TTL_IN: 8, of13.OFPAT_PUSH_PBB: 8, of13.OFPAT_POP_PBB: 8,
}
_SET_FIELD: Final[int] = of13.OFPAT_SET_FIELD

_DUP_INSTRUCTION: Final = 2600
"""The ONF's number for it (OF extension 260)."""

_STANDARD_MATCH_SIZE: Final = 88
"""struct ofp_match of OpenFlow 1.1, which a 1.3 message may name but we do not take."""

_BUCKET_SIZE: Final = 16
_BAND_SIZE: Final = 16
_BANDS: Final = frozenset((of13.OFPMBT_DROP, of13.OFPMBT_DSCP_REMARK))


def bad_length(why: str) -> NoReturn:
    """Refuse the message itself for its length."""
    raise Refused(of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_LEN, why)


def match(data: bytes, at: int, end: int) -> int:
    """Prove a struct ofp_match with its padding; return where it ends (OF 1.3.5 section 7.2.3.1)."""
    if end - at < 8:
        _bad_match(of13.OFPBMC_BAD_LEN, "no room for a match")
    kind, length = _TYPE_LENGTH(data, at)
    if kind != 1:
        _bad_match_type(kind, length)
    stop: int = at + length
    after: int = at + (length + 7 & 0x1fff8)
    if length < 4 or after > end:
        _bad_match(of13.OFPBMC_BAD_LEN, "match length")
    at += 4
    limit = stop - 4
    sizes = OXM_SIZES
    while at <= limit:
        header = _U32(data, at)[0]
        if header in sizes:
            at += sizes[header]
        else:
            at += _other_oxm(data, at, header, stop - at)
    if at != stop:
        _bad_match(of13.OFPBMC_BAD_LEN, "a match field ends outside the match")
    return after


def instructions(data: bytes, at: int, end: int, tenant: bool) -> None:
    """Prove a list of instructions, all their headers before any action list (OF 1.3.5 section 7.2.4).

    The caller has seen to it that the list is a multiple of 8 long, so a header is always there to be read.
    """
    lists: list[tuple[int, int]] = []
    seen: set[int] = set()
    while at < end:
        kind, length = _TYPE_LENGTH(data, at)
        after = at + length
        if length < 8 or length & 7 or after > end:
            _bad_instruction(of13.OFPBIC_BAD_LEN, "instruction length")
        if kind == _APPLY or kind == _WRITE:
            lists.append((at + 8, after))
        elif kind in _INSTRUCTION_SIZES:
            if length != _INSTRUCTION_SIZES[kind]:
                _bad_instruction(of13.OFPBIC_BAD_LEN, "instruction of another length than its type has")
        elif tenant:
            if kind == of13.OFPIT_EXPERIMENTER:
                _bad_instruction(of13.OFPBIC_BAD_EXPERIMENTER, "experimenter instruction")
            _bad_instruction(of13.OFPBIC_UNKNOWN_INST, "unknown instruction")
        if tenant and kind in seen:
            duplicate_instruction(kind)
        seen.add(kind)
        at = after
    for start, stop in lists:
        actions(data, start, stop, tenant)


def duplicate_instruction(kind: int) -> NoReturn:
    """A second instruction of a kind: OpenFlow 1.3 has no error for it, Open vSwitch sends the ONF's."""
    raise Refused(of13.OFPET_EXPERIMENTER, _DUP_INSTRUCTION, f"instruction type {kind} a second time", ONF_ID)


def actions(data: bytes, at: int, end: int, tenant: bool) -> None:
    """Prove a list of actions, which the caller knows to be a multiple of 8 long (OF 1.3.5 section 7.2.5)."""
    sizes = _TENANT_ACTION_SIZES if tenant else _SWITCH_ACTION_SIZES
    while at < end:
        kind, length = _TYPE_LENGTH(data, at)
        after = at + length
        if kind in sizes:
            if length != sizes[kind] or after > end:
                _bad_action(of13.OFPBAC_BAD_LEN, "action length")
        elif kind == _SET_FIELD:
            if length < 8 or length & 7 or after > end:
                _bad_action(of13.OFPBAC_BAD_LEN, "action length")
            header = _U32(data, at + 4)[0]
            if header not in OXM_SIZES or OXM_SIZES[header] > length - 4:
                _set_field(header, length - 4)
        else:
            _other_action(data, at, end, kind, length, tenant)
        at = after


def buckets(data: bytes, at: int, end: int, tenant: bool) -> None:
    """Prove the buckets of a group (OF 1.3.5 section 7.3.4.2)."""
    while at < end:
        if end - at < _BUCKET_SIZE:
            raise Refused(of13.OFPET_GROUP_MOD_FAILED, of13.OFPGMFC_BAD_BUCKET, "bytes behind the last bucket")
        length = _U16(data, at)[0]
        after = at + length
        if length < _BUCKET_SIZE or after > end:
            raise Refused(of13.OFPET_GROUP_MOD_FAILED, of13.OFPGMFC_BAD_BUCKET, "bucket length")
        if length & 7:
            bad_length("actions of a bucket are no multiple of 8")
        actions(data, at + _BUCKET_SIZE, after, tenant)
        at = after


def bands(data: bytes, at: int, end: int, tenant: bool) -> None:
    """Prove the bands of a meter; only an experimenter's may be longer than 16 (OF 1.3.5 section 7.3.4.4)."""
    while at < end:
        if end - at < _BAND_SIZE:
            bad_length("bytes behind the last meter band")
        kind, length = _TYPE_LENGTH(data, at)
        fixed = tenant or kind != of13.OFPMBT_EXPERIMENTER
        if length < _BAND_SIZE or length & 7 or at + length > end or (fixed and length != _BAND_SIZE):
            bad_length("meter band length")
        if tenant and kind not in _BANDS:
            raise Refused(of13.OFPET_METER_MOD_FAILED, of13.OFPMMFC_BAD_BAND, "unknown meter band")
        at += length


def hello_elements(data: bytes, at: int, end: int) -> None:
    """Prove the elements of a HELLO; the padding of the last may be missing (OF 1.3.5 section 7.5.1)."""
    while at < end:
        if end - at < 4:
            bad_length("bytes behind the last hello element")
        kind, length = _TYPE_LENGTH(data, at)
        if length < 4 or at + length > end or (kind == of13.OFPHET_VERSIONBITMAP and length & 3):
            bad_length("hello element length")
        at += length + 7 & ~7


def queue_properties(data: bytes, at: int, end: int) -> None:
    """Prove the properties of a packet queue: 16 bytes each, an experimenter's may be more (OF 1.3.5 section 7.2.2)."""
    while at < end:
        if end - at < 16:
            bad_length("bytes behind the last queue property")
        kind, length = _TYPE_LENGTH(data, at)
        if length < 16 or at + length > end or (length != 16 and kind != of13.OFPQT_EXPERIMENTER):
            bad_length("queue property length")
        at += length + 7 & ~7


def oxm_headers(data: bytes, at: int, end: int) -> None:
    """Prove a list of OXM ids: headers alone, 8 bytes for an experimenter's (OF 1.3.5 section 7.3.5.5.2)."""
    while at < end:
        if end - at < 4:
            _bad_match(of13.OFPBMC_BAD_LEN, "bytes behind the last field id")
        at += 8 if _U16(data, at)[0] == of13.OFPXMC_EXPERIMENTER else 4
    if at != end:
        _bad_match(of13.OFPBMC_BAD_LEN, "a field id is cut short")


def _bad_match(code: int, why: str) -> NoReturn:
    raise Refused(of13.OFPET_BAD_MATCH, code, why)


def _bad_match_type(kind: int, length: int) -> NoReturn:
    if kind == of13.OFPMT_STANDARD and length != _STANDARD_MATCH_SIZE:
        _bad_match(of13.OFPBMC_BAD_LEN, "match length")
    _bad_match(of13.OFPBMC_BAD_TYPE, "match type")


def _other_oxm(data: bytes, at: int, header: int, room: int) -> int:
    """Size of a TLV that is no well-formed basic field: another class, an unknown field or a wrong width."""
    payload = header & 0xff
    if 4 + payload > room:
        _bad_match(of13.OFPBMC_BAD_LEN, "a match field ends outside the match")
    kind, field = header >> 16, header >> 9 & 0x7f
    if kind == of13.OFPXMC_EXPERIMENTER:
        if payload < 5:
            _bad_match(of13.OFPBMC_BAD_LEN if payload < 4 else of13.OFPBMC_BAD_FIELD, "experimenter field too short")
        return 4 + payload
    basic = kind == of13.OFPXMC_OPENFLOW_BASIC and field < len(_OXM_WIDTHS)
    if basic or not payload or (header & 0x100 and payload & 1):
        if header & 0x100:
            _wildcards(data[at + 4:at + 4 + payload])
        _bad_match(of13.OFPBMC_BAD_FIELD, "match field of a length it cannot have")
    return 4 + payload


def _wildcards(payload: bytes) -> None:
    """Open vSwitch finds bits outside the mask, each of half the payload, before it looks for the field."""
    width = len(payload) >> 1
    value, mask = (int.from_bytes(part, "big") for part in (payload[:width], payload[width:2 * width]))
    if value & ~mask:
        _bad_match(of13.OFPBMC_BAD_WILDCARDS, "value bits outside the mask")


def _bad_instruction(code: int, why: str) -> NoReturn:
    raise Refused(of13.OFPET_BAD_INSTRUCTION, code, why)


def _bad_action(code: int, why: str) -> NoReturn:
    raise Refused(of13.OFPET_BAD_ACTION, code, why)


def _set_field(header: int, room: int) -> None:
    """Judge the TLV of a set-field that is no basic field or does not fit its action."""
    payload = header & 0xff
    masked = header & 0x100
    kind, field = header >> 16, header >> 9 & 0x7f
    # With a mask, the value has half of what follows; Open vSwitch passes over what that leaves.
    well_formed = header & ~1 if masked else header
    if (well_formed in OXM_SIZES and 4 + payload > room) or (kind == of13.OFPXMC_EXPERIMENTER and payload < 4):
        _bad_match(of13.OFPBMC_BAD_LEN, "set-field value cut short")
    if not (payload >> 1 if masked else payload):
        _bad_action(of13.OFPBAC_BAD_SET_TYPE, "set-field without a value")
    if well_formed in OXM_SIZES:
        return
    basic = kind == of13.OFPXMC_OPENFLOW_BASIC and field < len(_OXM_WIDTHS)
    if basic or 4 + payload > room or (masked and payload & 1):
        _bad_action(of13.OFPBAC_BAD_SET_LEN, "set-field value of a length it cannot have")


def _other_action(data: bytes, at: int, end: int, kind: int, length: int, tenant: bool) -> None:
    """Judge an action of no known size: an experimenter's, or of an unknown type."""
    fits = length >= 8 and not length & 7 and at + length <= end
    if not tenant:
        if not fits:
            _bad_action(of13.OFPBAC_BAD_LEN, "action length")
        return
    if kind != of13.OFPAT_EXPERIMENTER:
        _bad_action(of13.OFPBAC_BAD_TYPE, "unknown action")
    known = _U32(data, at + 4)[0] in (NICIRA_ID, ONF_ID)
    if known and length < 16 or not fits:
        _bad_action(of13.OFPBAC_BAD_LEN if known else of13.OFPBAC_BAD_EXPERIMENTER, "experimenter action")
