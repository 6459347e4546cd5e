"""Pieces of messages written by hand, with any length wished for, the verdict of the guard, and the errors' names."""
from __future__ import annotations

from hvproxy.errors import Refused
from hvproxy.openflow.constants import of13
from hvproxy.openflow.guard import check
from tests.openflow.samples import header, multipart

BRC_LEN = (of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_LEN)
BRC_TYPE = (of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_TYPE)
BRC_VERSION = (of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_VERSION)
BRC_MULTIPART = (of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_MULTIPART)
BRC_EXPERIMENTER = (of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_EXPERIMENTER)
BAC_LEN = (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_LEN)
BAC_TYPE = (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_TYPE)
BAC_EXPERIMENTER = (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_EXPERIMENTER)
BAC_SET_LEN = (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_SET_LEN)
BAC_SET_TYPE = (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_SET_TYPE)
BIC_LEN = (of13.OFPET_BAD_INSTRUCTION, of13.OFPBIC_BAD_LEN)
BIC_UNKNOWN = (of13.OFPET_BAD_INSTRUCTION, of13.OFPBIC_UNKNOWN_INST)
BIC_EXPERIMENTER = (of13.OFPET_BAD_INSTRUCTION, of13.OFPBIC_BAD_EXPERIMENTER)
BMC_LEN = (of13.OFPET_BAD_MATCH, of13.OFPBMC_BAD_LEN)
BMC_TYPE = (of13.OFPET_BAD_MATCH, of13.OFPBMC_BAD_TYPE)
BMC_FIELD = (of13.OFPET_BAD_MATCH, of13.OFPBMC_BAD_FIELD)
GMFC_BUCKET = (of13.OFPET_GROUP_MOD_FAILED, of13.OFPGMFC_BAD_BUCKET)
TFFC_LEN = (of13.OFPET_TABLE_FEATURES_FAILED, of13.OFPTFFC_BAD_LEN)


def verdict(message: bytes, from_switch: bool = False) -> tuple[int, int] | None:
    try:
        check(message, from_switch)
    except Refused as refused:
        return refused.error_type, refused.code
    return None


def tl(kind: int, body: bytes, length: int | None = None) -> bytes:
    """Type and length, then the body: instruction, action, property, element."""
    return kind.to_bytes(2, "big") + (4 + len(body) if length is None else length).to_bytes(2, "big") + body


def oxm(field: int, payload: bytes, *, mask: int = 0, length: int | None = None, kind: int = 0x8000) -> bytes:
    return kind.to_bytes(2, "big") + bytes((field << 1 | mask, len(payload) if length is None else length)) + payload


def ofp_match(tlvs: bytes = b"", length: int | None = None, kind: int = 1) -> bytes:
    body = tl(kind, tlvs, length)
    return body + bytes(-len(body) % 8)


def flow_mod(instructions: bytes = b"", match: bytes = ofp_match()) -> bytes:
    return header(14, bytes(40) + match + instructions)


def apply(actions: bytes) -> bytes:
    return tl(of13.OFPIT_APPLY_ACTIONS, bytes(4) + actions)


OUTPUT = tl(of13.OFPAT_OUTPUT, bytes(12))


def output(length: int) -> bytes:
    return tl(of13.OFPAT_OUTPUT, bytes(12), length)


def set_field(tlv: bytes, pad: int = 0) -> bytes:
    return tl(of13.OFPAT_SET_FIELD, tlv + bytes(pad))


def experimenter_action(vendor: bytes, body: bytes = b"", length: int | None = None) -> bytes:
    return tl(of13.OFPAT_EXPERIMENTER, vendor + body, length)


def bucket(actions: bytes = OUTPUT, length: int | None = None) -> bytes:
    return (16 + len(actions) if length is None else length).to_bytes(2, "big") + bytes(14) + actions


def group_mod(buckets: bytes) -> bytes:
    return header(15, bytes(8) + buckets)


def meter_mod(bands: bytes) -> bytes:
    return header(29, bytes(8) + bands)


def table(properties: bytes = b"", length: int | None = None) -> bytes:
    return (64 + len(properties) if length is None else length).to_bytes(2, "big") + bytes(62) + properties


def prop(kind: int, body: bytes, length: int | None = None) -> bytes:
    data = tl(kind, body, length)
    return data + bytes(-len(data) % 8)


def features(body: bytes) -> bytes:
    return multipart(12, body, reply=False)


def reply(kind: int, body: bytes) -> bytes:
    return multipart(kind, body, reply=True)


def record(size: int, tail: bytes = b"", *, at: int = 0, length: int | None = None) -> bytes:
    data = bytearray(size) + tail
    data[at:at + 2] = (len(data) if length is None else length).to_bytes(2, "big")
    return bytes(data)


QUEUE = bytes(8) + b"\0\x20" + bytes(6)
PROPERTY = tl(1, bytes(12))
