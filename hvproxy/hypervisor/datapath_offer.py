"""What a physical switch says of itself: what it is, and which tables, groups and meters it can do.

It is asked anew in every session, and need not answer; what it then cannot do is decided here. Knows no session.
"""
from __future__ import annotations

from typing import Final

from hvproxy.hypervisor import narrow
from hvproxy.hypervisor.lacking import UNTOLD
from hvproxy.openflow.abilities import SwitchTables, TablesReading
from hvproxy.openflow.messages import FeaturesReply
from hvproxy.openflow.meters import NO_METERS, MeterFeatures, decode_meter_features
from hvproxy.openflow.multipart import Desc, GroupFeatures, Kind, decode_desc, decode_group_features

QUESTIONS: Final = (Kind.DESC, Kind.GROUP_FEATURES, Kind.METER_FEATURES, Kind.TABLE_FEATURES)
"""What every session begins with; all without a body. A switch answers in order: when what it holds is known, these
are, or they are not waited for."""
EXTENDED: Final = "Open vSwitch"
"""What the description of a switch's hardware holds that has Open vSwitch's extensions."""


class DatapathOffer:
    """The answers of one switch, as of its last session."""

    def __init__(self) -> None:
        self.features: FeaturesReply | None = None
        """None where the switch did not say, as in the three that follow."""
        self.desc: Desc | None = None
        self.group_features: GroupFeatures | None = None
        self.meter_features: MeterFeatures | None = None
        self.extended: bool | None = None
        """Whether it is Open vSwitch, as it said last; None before it was asked."""
        self.tables: SwitchTables | None = None
        """What its tables can do, as it said last, or lacking.UNTOLD; None before it was asked."""
        self.narrow = False
        """Whether it has only 32 bits of metadata, as it said last (narrow)."""
        self._tables = TablesReading()

    def begin(self, features: FeaturesReply) -> None:
        """A session has told its features, and the questions are asked."""
        self.features, self.desc, self.group_features, self.meter_features = features, None, None, None
        self._tables = TablesReading()

    def take(self, kind: Kind, body: bytes) -> None:
        """A part of an answer."""
        if kind is Kind.DESC:
            self.desc = decode_desc(body)
        elif kind is Kind.GROUP_FEATURES:
            self.group_features = decode_group_features(body)
        elif kind is Kind.TABLE_FEATURES:
            self._tables.take(body)
        else:
            self.meter_features = decode_meter_features(body)

    def answered(self, kind: Kind, complete: bool) -> bool:
        """The question is answered, or, when not `complete`, will not be; False: the operator should know."""
        if kind is Kind.DESC:
            self.extended = self.desc is not None and EXTENDED in self.desc.hardware
        elif kind is Kind.METER_FEATURES and not complete:
            self.meter_features = NO_METERS
            return True
        elif kind is Kind.TABLE_FEATURES:
            self.tables = self._tables.done() if complete else UNTOLD
            self.narrow = self.extended is False and narrow.offers(self.tables)
            if self.narrow:
                self.tables = narrow.offered(self.tables)
            return True
        return complete
