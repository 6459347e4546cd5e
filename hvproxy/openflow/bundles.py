"""Bundles as Open vSwitch 3.1 offers them over OpenFlow 1.3: OpenFlow 1.4's, as the ONF's extension 230.

A BUNDLE_CONTROL opens, closes, commits or discards a bundle, a BUNDLE_ADD puts a message into it. Bytes only; that the
fixed parts are there was proven by `guard_experimenter`, of the message inside nothing.
"""
from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Final

from hvproxy.openflow.experimenters import BODY, Onf, onf
from hvproxy.openflow.messages import xid_of

_CONTROL: Final = Struct("!IHH")
_ADD: Final = Struct("!I2xH")


class ControlType(IntEnum):
    """OFPBCT_*; what a request asks for is even, its answer is the next number."""

    OPEN_REQUEST = 0
    OPEN_REPLY = 1
    CLOSE_REQUEST = 2
    CLOSE_REPLY = 3
    COMMIT_REQUEST = 4
    COMMIT_REPLY = 5
    DISCARD_REQUEST = 6
    DISCARD_REPLY = 7


class BundleError(IntEnum):
    """OFPBFC_* as the ONF's extension numbers them."""

    BAD_ID = 2302
    BUNDLE_CLOSED = 2304
    OUT_OF_BUNDLES = 2305
    BAD_TYPE = 2306
    BAD_FLAGS = 2307
    MSG_BAD_LEN = 2308
    MSG_BAD_XID = 2309
    MSG_UNSUP = 2310
    MSG_TOO_MANY = 2312
    MSG_FAILED = 2313
    TIMEOUT = 2314


ATOMIC: Final = 1
"""OFPBF_ATOMIC: packets see all of it or nothing."""


@dataclass(frozen=True, slots=True)
class Control:
    """A BUNDLE_CONTROL."""

    bundle_id: int
    type: int
    """ControlType, or a number that is none."""
    flags: int


@dataclass(frozen=True, slots=True)
class Add:
    """A BUNDLE_ADD."""

    bundle_id: int
    flags: int
    rest: bytes
    """The message, and whatever follows it; it may also be cut short."""


def decode_control(data: bytes) -> Control:
    return Control(*_CONTROL.unpack_from(data, BODY))


def decode_add(data: bytes) -> Add:
    bundle_id, flags = _ADD.unpack_from(data, BODY)
    return Add(bundle_id, flags, data[BODY + _ADD.size:])


def control(xid: int, bundle_id: int, kind: int, flags: int) -> bytes:
    return onf(xid, Onf.BUNDLE_CONTROL, _CONTROL.pack(bundle_id, kind, flags))


def add(xid: int, bundle_id: int, flags: int, message: bytes) -> bytes:
    return onf(xid, Onf.BUNDLE_ADD, _ADD.pack(bundle_id, flags) + message)


def reply(request: bytes) -> bytes:
    """The answer to a BUNDLE_CONTROL that is carried out; of a type that is none it is one of type 0."""
    asked = decode_control(request)
    kind = asked.type + 1 if asked.type <= ControlType.DISCARD_REPLY else ControlType.OPEN_REQUEST
    return control(xid_of(request), asked.bundle_id, kind, 0)
