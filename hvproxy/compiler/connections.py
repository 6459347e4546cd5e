"""What tracks connections, and what asks about them, lowered: at the home of a logical switch, and in zones of the
datapath's.

Each datapath knows its own connections only, so one edge decides about all frames of a logical switch that tracks any
(hypervisor.homes). What a tenant calls a zone is another one there, which no other logical switch has.

Pure; which zone is whose is told by hypervisor.tracking.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hvproxy.compiler.normal import HiddenEntry
from hvproxy.model.layout import HIDDEN, HOLDING_TABLES, Table
from hvproxy.openflow import actions, nicira_ct
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.memo import remembered
from hvproxy.openflow.oxm import Match, tlv
from hvproxy.openflow.oxm_fields import CT_LABEL, CT_MARK, CT_STATE, CT_ZONE

EMPTYING: Final = HIDDEN
"""The number of the entry that empties the action set."""


def emptying() -> HiddenEntry:
    """What empties the action set of what is about to be taken up anew."""
    return HiddenEntry(EMPTYING, Table.HOP - Table.LOGICAL, 1, Match.EMPTY, Instructions(clear=True))


@remembered(1 << 12)
def track(action: bytes, zone: int) -> bytes:
    """What tracks a connection in a zone of the datapath.

    Where the packet is taken up anew, in a table, Open vSwitch 3.1 stops for good if an action set waits (it keeps it
    and has room for none): so there is none any more, by what stands in front.
    """
    table = nicira_ct.table(action)
    if table is None:
        return nicira_ct.lowered(action, zone, nicira_ct.NO_TABLE)
    below = Table.LOGICAL + table if table < HOLDING_TABLES else Table.HOP
    return actions.resubmit(Table.HOP) + nicira_ct.lowered(action, zone, below)


def bodies(match: Match, body: bytes, zones: Mapping[int, int]) -> list[bytes]:
    """The TLVs of a match whose others, none of which asks about a connection, are `body`: as many as there are ways
    to meet it, and none where no packet can. Zone 0 is also that of a packet which is not tracked."""
    if match.never_tracked:
        return []
    if not match.connection:
        return [body]
    found = [b""]
    asked = match.get(CT_ZONE)
    if asked is not None:
        below = [zones[asked[0]]] if asked[0] in zones else []
        found = [tlv(CT_ZONE, zone) for zone in ([] if asked[0] else [0]) + below]
    state, mark, label = (_told(match, number) for number in (CT_STATE, CT_MARK, CT_LABEL))
    return [body + state + zone + mark + label for zone in found]  # behind all that a body can hold


def _told(match: Match, number: int) -> bytes:
    found = match.get(number)
    return b"" if found is None else tlv(number, *found)
