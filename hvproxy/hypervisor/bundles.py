"""The bundles of a logical switch's controllers, which collect messages until they are committed or discarded.

Open vSwitch 3.1's behaviour over OpenFlow 1.3, with its errors; what a commit does is in `commits`. A bundle belongs to
one connection. Each message is judged by itself when it is added; what depends on the tables is judged at the commit.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Final

from hvproxy.errors import Refused
from hvproxy.hypervisor import packets, tenant_groups
from hvproxy.hypervisor.buffers import Buffers
from hvproxy.hypervisor.controller_session import ControllerSession
from hvproxy.hypervisor.flow_mods import check_out_port, read
from hvproxy.openflow import bundles, guard
from hvproxy.openflow.bundles import Add, BundleError, Control, ControlType
from hvproxy.openflow.constants import HEADER_SIZE, NICIRA_ID, OFP_VERSION, ONF_ID, of13
from hvproxy.openflow.experimenters import NiciraError
from hvproxy.openflow.messages import (
    decode_flow_mod, decode_group_mod, decode_packet_out, decode_port_mod, type_of, xid_of)

_SIZES: Final[dict[int, tuple[int, int]]] = {
    of13.OFPT_FLOW_MOD: (48, 8), of13.OFPT_GROUP_MOD: (16, 8), of13.OFPT_PORT_MOD: (40, 1 << 16),
    of13.OFPT_PACKET_OUT: (24, 1),
}
"""What a bundle may hold: the shortest message of a type, and in which steps it may be longer."""
IDLE: Final = 10.0
"""Seconds after which a bundle that nothing is added to is forgotten."""
MOST_BUNDLES: Final = 100
"""Of one connection."""
MOST_MESSAGES: Final = 10_000
"""In all of one connection's bundles: a commit happens in one go, and nobody else is served meanwhile."""
MOST_BYTES: Final = 1 << 22
"""The same for their lengths."""


@dataclass(slots=True)
class Bundle:
    """Messages of one connection that wait for their commit."""

    opened: bytes
    """The message that began it, which an error about its end answers."""
    flags: int
    used: float
    closed: bool = False
    messages: list[tuple[bytes, bytes]] = field(default_factory=list)
    """(the message that was added, the BUNDLE_ADD it came in)."""
    size: int = 0


class Bundles:
    """All open and closed bundles of one logical switch."""

    def __init__(self, n_tables: int, buffers: Buffers) -> None:
        self._n_tables = n_tables
        self._buffers = buffers
        self._bundles: dict[tuple[ControllerSession, int], Bundle] = {}

    def control(self, session: ControllerSession, message: bytes, now: float) -> Bundle | None:
        """Carry out a BUNDLE_CONTROL and answer it; a bundle that is to be committed is returned, and no more here."""
        asked = bundles.decode_control(message)
        key = (session, asked.bundle_id)
        if asked.type <= ControlType.DISCARD_REPLY and asked.type & 1:
            raise bad(BundleError.BAD_TYPE, "an answer instead of a request")
        if asked.type == ControlType.OPEN_REQUEST:
            if self._bundles.pop(key, None) is not None:
                raise bad(BundleError.BAD_ID, f"bundle {asked.bundle_id} was open")
            self._open(key, message, asked.flags, self._own(session), now)
        elif asked.type == ControlType.CLOSE_REQUEST:
            self._close(key, asked, now)
        elif asked.type == ControlType.COMMIT_REQUEST:
            bundle = self._taken(key)
            if bundle.flags != asked.flags:
                raise bad(BundleError.BAD_FLAGS, "other flags than the bundle's")
            return bundle
        elif asked.type == ControlType.DISCARD_REQUEST:
            self._taken(key)
        session.send(bundles.reply(message))
        return None

    def add(self, session: ControllerSession, message: bytes, now: float) -> None:
        """Carry out a BUNDLE_ADD; a bundle that does not exist is opened by it."""
        asked = bundles.decode_add(message)
        inner = _inner(asked, xid_of(message))
        self._judge(inner)
        key = (session, asked.bundle_id)
        own = self._own(session)
        bundle = self._bundles.get(key)
        if bundle is None:
            bundle = self._open(key, message, asked.flags, own, now)
        elif bundle.closed:
            del self._bundles[key]
            raise bad(BundleError.BUNDLE_CLOSED, "the bundle is closed")
        elif bundle.flags != asked.flags:
            del self._bundles[key]
            raise bad(BundleError.BAD_FLAGS, "other flags than the bundle's")
        if (sum(len(each.messages) for each in own) >= MOST_MESSAGES
                or sum(each.size for each in own) + len(message) > MOST_BYTES):
            raise bad(BundleError.MSG_TOO_MANY, f"more than {MOST_MESSAGES} messages or {MOST_BYTES} bytes in bundles")
        bundle.messages.append((inner, message))
        bundle.size += len(message)
        bundle.used = now

    def closed(self, session: ControllerSession) -> None:
        """Its connection is gone, and its bundles with it."""
        for key in [key for key in self._bundles if key[0] is session]:
            del self._bundles[key]

    @property
    def deadline(self) -> float:
        """When `tick` has something to do next."""
        return min(bundle.used + IDLE for bundle in self._bundles.values()) if self._bundles else inf

    def tick(self, now: float) -> None:
        """Forget bundles that nothing was added to for too long, and say so."""
        for (session, number), bundle in list(self._bundles.items()):
            if now < bundle.used + IDLE:
                continue
            if session.overdue is not None:
                bundle.used = now  # what is to be added may wait behind a barrier
                continue
            del self._bundles[session, number]
            session.refuse(bundle.opened, bad(BundleError.TIMEOUT, "nothing was added to the bundle"))

    def _own(self, session: ControllerSession) -> list[Bundle]:
        return [bundle for (whose, _), bundle in self._bundles.items() if whose is session]

    def _open(
        self, key: tuple[ControllerSession, int], message: bytes, flags: int, own: list[Bundle], now: float,
    ) -> Bundle:
        """Begin a bundle beside those that the connection has of its `own`."""
        if len(own) >= MOST_BUNDLES:
            raise bad(BundleError.OUT_OF_BUNDLES, f"more than {MOST_BUNDLES} bundles")
        bundle = self._bundles[key] = Bundle(message, flags, now)
        return bundle

    def _close(self, key: tuple[ControllerSession, int], asked: Control, now: float) -> None:
        bundle = self._bundles.get(key)
        if bundle is None:
            raise bad(BundleError.BAD_ID, f"no bundle {asked.bundle_id}")
        if bundle.closed or bundle.flags != asked.flags:
            del self._bundles[key]
            raise bad(BundleError.BUNDLE_CLOSED if bundle.closed else BundleError.BAD_FLAGS, "cannot be closed so")
        bundle.closed = True
        bundle.used = now

    def _taken(self, key: tuple[ControllerSession, int]) -> Bundle:
        bundle = self._bundles.pop(key, None)
        if bundle is None:
            raise bad(BundleError.BAD_ID, f"no bundle {key[1]}")
        return bundle

    def _judge(self, inner: bytes) -> None:
        """Raises Refused for what is wrong with a message whatever the tables hold."""
        guard.check(inner, False)
        kind = type_of(inner)
        if kind == of13.OFPT_FLOW_MOD:
            read(decode_flow_mod(inner), self._n_tables, self._buffers)
        elif kind == of13.OFPT_GROUP_MOD:
            tenant_groups.check(decode_group_mod(inner))
        elif kind == of13.OFPT_PACKET_OUT:
            packets.check(decode_packet_out(inner), self._buffers)
        elif kind == of13.OFPT_PORT_MOD:
            check_out_port(decode_port_mod(inner).port_no)


def bad(code: BundleError, why: str) -> Refused:
    """An error about a bundle."""
    return Refused(of13.OFPET_EXPERIMENTER, code, why, ONF_ID)


def _inner(asked: Add, xid: int) -> bytes:
    """The message that is to be added. Raises Refused unless it can be cut out and may be in a bundle."""
    rest = asked.rest
    if len(rest) < HEADER_SIZE:
        raise bad(BundleError.MSG_BAD_LEN, "no message")
    if rest[0] != OFP_VERSION:
        raise Refused(of13.OFPET_EXPERIMENTER, NiciraError.BAD_BUNDLED_VERSION, "another version", NICIRA_ID)
    length = int.from_bytes(rest[2:4], "big")
    if length < HEADER_SIZE or length > len(rest):
        raise bad(BundleError.MSG_BAD_LEN, "message cut short")
    if xid_of(rest) != xid:
        raise bad(BundleError.MSG_BAD_XID, "message of another xid than that it came with")
    if type_of(rest) not in _SIZES:
        raise bad(BundleError.MSG_UNSUP, f"message type {type_of(rest)} in a bundle")
    least, step = _SIZES[type_of(rest)]
    if length < least or (length - least) % step:
        raise bad(BundleError.MSG_UNSUP, "message of a length its type cannot have")
    return rest[:length]
