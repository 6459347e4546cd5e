"""Packet-ins as controllers want them: OpenFlow 1.3's, or one of the two formats of Nicira's.

`PacketInParts` is everything but the packet; each format is put together once, and what is left per packet is a
header and a join. Knows nothing of whose the packet is.
"""
from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Final

from hvproxy.openflow.constants import MAX_MESSAGE, NICIRA_ID, NO_BUFFER, OFP_VERSION, of13
from hvproxy.openflow.experimenters import BODY, Nicira
from hvproxy.openflow.nicira_parts import NXM_IN_PORT
from hvproxy.openflow.oxm import each_tlv, ofp_match, tlv
from hvproxy.openflow.oxm_aliases import OLD_HEADERS

_ROOM: Final = MAX_MESSAGE - 320
"""No format has more around a packet: longer ones, which no port carries, are cut."""
NO_COOKIE: Final = 0xFFFFFFFFFFFFFFFF
"""What Open vSwitch puts in a packet-in that no entry caused."""

_STANDARD: Final = Struct("!BBHIIH")
_STANDARD_REST: Final = Struct("!BBQ")
_NICIRA: Final = Struct("!BBHIIIIH")
_NICIRA_REST: Final = Struct("!BBQH6x")
_NICIRA2: Final = Struct("!BBHIII")
_SHORT_PORT: Final = Struct("!IH")
_OLD_HEADERS: Final = {tlv(number, 0)[:4]: OLD_HEADERS[number].to_bytes(4, "big")
                       for number in (of13.OFPXMT_OFB_TUNNEL_ID, of13.OFPXMT_OFB_ETH_TYPE)}
"""Nicira's first format has other headers for these."""
_PROPERTY: Final = Struct("!HH")
_PROPERTY_U8: Final = Struct("!HHB3x")
_PROPERTY_U32: Final = Struct("!HHI")
_PROPERTY_U64: Final = Struct("!HH4xQ")
_PACKET, _FULL_LEN, _BUFFER_ID, _TABLE_ID, _COOKIE, _REASON, _METADATA = range(7)
"""NXPINT_*: properties of a PACKET_IN2."""
_T_PACKET_IN: Final[int] = of13.OFPT_PACKET_IN
_T_EXPERIMENTER: Final[int] = of13.OFPT_EXPERIMENTER


class Format(IntEnum):
    """NXPIF_*."""

    STANDARD = 0
    NICIRA = 1
    NICIRA2 = 2


class PacketInParts:
    """One kind of packet-in."""

    __slots__ = ("reason", "table_id", "cookie", "in_port", "metadata", "others", "_standard", "_nicira",
                 "_nicira2")

    def __init__(self, reason: int, table_id: int, cookie: int, in_port: int, metadata: int,
                 others: bytes = b"") -> None:
        self.reason = reason
        self.table_id = table_id
        self.cookie = cookie
        self.in_port = in_port
        self.metadata = metadata
        """Not told when 0, as Open vSwitch does."""
        self.others = others
        """The TLVs of the tunnel id and of Open vSwitch's registers, of those that are not 0."""
        match = ofp_match(self._pipeline_fields())
        self._standard = _STANDARD_REST.pack(reason, table_id, cookie) + match + bytes(2)
        self._nicira = self._nicira2 = b""

    def message(self, form: Format, data: bytes, total_len: int, buffer_id: int = NO_BUFFER) -> bytes:
        """The packet-in of that format for a packet of `total_len` bytes, of which `data` is told."""
        data = data[:_ROOM]
        if form is Format.STANDARD:
            return b"".join((
                _STANDARD.pack(OFP_VERSION, _T_PACKET_IN, _STANDARD.size + len(self._standard) + len(data), 0,
                               buffer_id, total_len), self._standard, data))
        if form is Format.NICIRA:
            rest = self._nicira = self._nicira or self._nicira_rest()
            return b"".join((
                _NICIRA.pack(OFP_VERSION, _T_EXPERIMENTER, _NICIRA.size + len(rest) + len(data), 0, NICIRA_ID,
                             Nicira.PACKET_IN, buffer_id, total_len), rest, data))
        parts = [_PROPERTY.pack(_PACKET, _PROPERTY.size + len(data)), data, bytes(-(_PROPERTY.size + len(data)) & 7)]
        if len(data) != total_len:
            parts.append(_PROPERTY_U32.pack(_FULL_LEN, _PROPERTY_U32.size, total_len))
        if buffer_id != NO_BUFFER:
            parts.append(_PROPERTY_U32.pack(_BUFFER_ID, _PROPERTY_U32.size, buffer_id))
        self._nicira2 = self._nicira2 or self._nicira2_rest()
        parts.append(self._nicira2)
        length = BODY + sum(map(len, parts))
        return _NICIRA2.pack(OFP_VERSION, _T_EXPERIMENTER, length, 0, NICIRA_ID, Nicira.PACKET_IN2) + b"".join(parts)

    @property
    def overhead(self) -> int:
        """At most so many bytes around a packet in any format."""
        return _NICIRA2.size + 64 + len(self._standard)

    def _pipeline_fields(self) -> bytes:
        fields = tlv(of13.OFPXMT_OFB_IN_PORT, self.in_port) + self.others
        return fields + tlv(of13.OFPXMT_OFB_METADATA, self.metadata) if self.metadata else fields

    def _nicira_rest(self) -> bytes:
        """In_port in 16 bits, as NXM numbers ports; NXM has no metadata, so that is OpenFlow's own.

        The tunnel id, which comes first of the others, has a header of NXM's; registers are of NXM alone.
        """
        fields = _SHORT_PORT.pack(NXM_IN_PORT, self.in_port & 0xFFFF)
        fields += b"".join(_OLD_HEADERS.get(one[:4], one[:4]) + one[4:] for one in each_tlv(self.others))
        if self.metadata:
            fields += tlv(of13.OFPXMT_OFB_METADATA, self.metadata)
        return (_NICIRA_REST.pack(self.reason, self.table_id, self.cookie, len(fields))
                + fields + bytes((-len(fields) & 7) + 2))

    def _nicira2_rest(self) -> bytes:
        fields = self._pipeline_fields()
        rest = _PROPERTY_U8.pack(_TABLE_ID, 5, self.table_id)
        if self.cookie != NO_COOKIE:
            rest += _PROPERTY_U64.pack(_COOKIE, _PROPERTY_U64.size, self.cookie)
        rest += _PROPERTY_U8.pack(_REASON, 5, self.reason)
        return rest + _PROPERTY.pack(_METADATA, _PROPERTY.size + len(fields)) + fields + bytes(
            -(_PROPERTY.size + len(fields)) & 7)
