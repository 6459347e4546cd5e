"""One reading of a switch: its ports, its rules, its groups and its meters, gathered while the answers come in.

Knows what must be asked and how to take the answers; who asks, and what is made of it, is datapath's, or audit's.
"""
from __future__ import annotations

from typing import Final, TypeAlias

from hvproxy.hypervisor.reconcile import Found
from hvproxy.model.rules import Content
from hvproxy.openflow.constants import of13
from hvproxy.openflow.meters import decode_meter_config
from hvproxy.openflow.multipart import FlowStatsRequest, Kind, decode_flow_stats, decode_group_desc, encode_id_request
from hvproxy.openflow.ports import PortDesc, decode_ports

Questions: TypeAlias = tuple[tuple[Kind, bytes], ...]
"""What is asked, with the body of each request."""
CONTENT: Final[Questions] = (
    (Kind.GROUP_DESC, b""),
    (Kind.METER_CONFIG, encode_id_request(of13.OFPM_ALL)),
    (Kind.FLOW, FlowStatsRequest().encode()),
)
"""All that a switch was told to hold."""
REQUIRED: Final[Questions] = ((Kind.PORT_DESC, b""), *CONTENT)
"""Without any of them but OPTIONAL a switch cannot be used."""
OPTIONAL: Final = frozenset((Kind.METER_CONFIG,))
"""A switch that refuses these has none."""

_LAST_PHYSICAL: Final[int] = of13.OFPP_MAX


def is_physical(port_no: int) -> bool:
    """Not LOCAL nor another of the reserved ports (OF 1.3.5 section 7.2.1)."""
    return port_no <= _LAST_PHYSICAL


def take_content(found: Found, kind: Kind, body: bytes, desired: Content) -> None:
    """Add one part of an answer to what was found."""
    if kind is Kind.GROUP_DESC:
        for desc in decode_group_desc(body):
            found.add_group(desc, desired.groups)
    elif kind is Kind.METER_CONFIG:
        for config in decode_meter_config(body):
            found.add_meter(config, desired.meters)
    else:
        for stats in decode_flow_stats(body):
            found.add_rule(stats, desired.rules)


class Reading:
    """What has been read so far, compared with what is desired."""

    def __init__(self, desired: Content) -> None:
        self.ports: dict[int, PortDesc] = {}
        self.found = Found()
        self._desired = desired
        self._missing = {kind for kind, _ in REQUIRED}

    def take(self, kind: Kind, body: bytes) -> None:
        """One part of an answer."""
        if kind is Kind.PORT_DESC:
            self.ports.update((port.number, port) for port in decode_ports(body) if is_physical(port.number))
        else:
            take_content(self.found, kind, body, self._desired)

    def complete(self, kind: Kind) -> bool:
        """An answer is complete; True when all are."""
        self._missing.discard(kind)
        return not self._missing
