"""The numbers of OpenFlow 1.3, under one name.

`of13` is ryu's table of constants and is meant to be written `of13.OFPT_FLOW_MOD`; what ryu does not name,
or what the hot paths want as typed plain values, stands here. Knows no message and no rule.
"""
from __future__ import annotations

from struct import Struct
from typing import Final

from ryu.ofproto import ofproto_v1_3 as of13

__all__ = [
    "FIRST_BAD_PORT", "FIRST_RESERVED_PORT", "HEADER", "HEADER_SIZE", "MAX_MESSAGE", "NICIRA_ID", "NO_BUFFER",
    "OFP_VERSION", "ONF_ID", "VERSION_NAMES", "of13",
]

OFP_VERSION: Final = 4
"""The wire version of OpenFlow 1.3 (OF 1.3.5 section 7.1)."""

VERSION_NAMES: Final = {1: "OpenFlow10", 2: "OpenFlow11", 3: "OpenFlow12", 4: "OpenFlow13", 5: "OpenFlow14",
                        6: "OpenFlow15"}
"""Wire versions by the names Open vSwitch and our configuration use."""

HEADER: Final = Struct("!BBHI")
"""struct ofp_header: version, type, length, xid (OF 1.3.5 section 7.1)."""

HEADER_SIZE: Final = 8
MAX_MESSAGE: Final = 0xffff
"""The longest message a 16-bit header length can state."""

NO_BUFFER: Final = 0xffffffff
"""OFP_NO_BUFFER: the packet was not buffered."""

FIRST_BAD_PORT: Final = 0xff00
FIRST_RESERVED_PORT: Final = 0xffffff00
"""Open vSwitch numbers ports in 16 bits: from the first of these on no port has a number, up to the second, OFPP_MAX,
from where on numbers stand for something else."""

NICIRA_ID: Final = 0x00002320
"""Experimenter id of Nicira: Open vSwitch's own actions, fields and messages."""

ONF_ID: Final = 0x4f4e4600
"""Experimenter id of the Open Networking Foundation: bundles and other extensions of 1.3."""
