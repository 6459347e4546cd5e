"""What may differ between a logical switch and one Open vSwitch bridge: the only place that says so.

Each line names the line of README's deviation table that it carries out (a test looks it up there), and takes out of a
record what that line is about; None for a record that is not compared at all. What is not taken out is a difference.
"""
from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from tests.oracle.operations import LOCAL, SELECT_GROUPS
from tests.oracle.telling import Item


class Deviation(NamedTuple):
    """One line of the table."""

    readme: str
    """How the first column of README's line begins."""
    about: str
    """The kind of record it changes."""
    without: Callable[[Item], Item | None] = dict
    excused: Callable[[Item, Item], Item] = lambda ours, theirs: ours
    """Ours with what may differ from theirs as it is in theirs; both are of one thing."""


def no(*names: str) -> Callable[[Item], Item]:
    """Without some of its parts."""
    return lambda item: {name: value for name, value in item.items() if name not in names}


TAG = 4
"""Bytes of a label of the fabric."""


def labelled(ours: Item, theirs: Item) -> Item:
    """Some of the packets of a meter were counted with the label on."""
    more = ours["bytes"] - theirs["bytes"]
    some = ours["meter"] == theirs["meter"] and more in range(0, TAG * ours["packets"] + 1, TAG)
    return {**ours, "bytes": theirs["bytes"]} if some else ours


LOGICAL: tuple[Deviation, ...] = (
    Deviation("over VLAN links", "meter", excused=labelled),
    Deviation("tables 0 to", "features", no("tables")),
    Deviation("lookups counted by TABLE statistics", "table", no("looked up")),
)
"""Between a logical switch and the bridge."""
EMULATED: tuple[Deviation, ...] = ()
"""The emulated switch has no excuse; it is compared with the bridge."""
NOT_ALIKE: dict[str, str] = {
    "output TABLE outside a packet-out": r"(action|write|bucket): output table",
    "output to port 0": r".*: (write )?output 0",
    "set-field of an unknown field": r".*: set unknown",
    "groups that name or watch themselves": r"group: own group|bucket: missing group",
    "tables 0 to": r"flow-mod: .*table 254|instruction: goto 25[45]",
}
"""How README's line begins -> the ways to be wrong (in `refusals`) that a logical switch answers otherwise."""
_UNLIKE = re.compile("|".join(NOT_ALIKE.values()))


SHUT_OUT = "frames that NO_RECV shuts out"
"""How README's line begins for which no frame is sent into such a port when a logical switch takes part."""


def answered_alike(way: str) -> bool:
    """Whether a logical switch refuses this in the same way as a bridge."""
    return _UNLIKE.fullmatch(way) is None


TWO_FAULTS = "a message with two faults"
"""How README's line begins by which one with a wrong length within it may be refused in another way: what stands behind
that is mostly wrong then."""


def without_reason(what: str, items: list[Item]) -> list[Item]:
    """What was answered to a message of that description, without what may be told otherwise of two faults."""
    if not what.partition(" with a fault: ")[2].startswith("length "):
        return items
    return [{"is": "error"} if item["is"] == "error" else item for item in items]


ALWAYS: dict[str, tuple[str, ...]] = {
    # A switch has a datapath id, names and addresses of its own.
    "features": ("datapath",),
    "port description": ("address", "name"),
    "port-status": ("address", "name"),
    # The kernel counts a frame with a tag of 0x88a8 as dropped, since nobody but Open vSwitch takes it.
    "port": ("received and dropped",),
    "local port": ("received and dropped", "not sent"),
}
"""Identity and artefacts of the bench, which say nothing about the switch."""


def added(buckets: str) -> str:
    """The counters of all buckets of a SELECT group together: which one a hash picks is every switch's own affair."""
    counters = [int(buckets[at:at + 16], 16) for at in range(0, len(buckets), 16)]
    return f"{sum(counters[::2])} packets, {sum(counters[1::2])} bytes in {len(counters) // 2} buckets"


USED = ("active", "looked up", "matched")


def excused(ours: Item, theirs: Item, table: tuple[Deviation, ...]) -> Item:
    """Ours with what may differ from theirs as it is in theirs."""
    for deviation in table:
        if deviation.about == ours["is"] == theirs["is"]:
            ours = deviation.excused(ours, theirs)
    return ours


def normal(item: Item, table: tuple[Deviation, ...]) -> Item | None:
    """A record without what may differ."""
    kind = "local port" if item["is"] == "port" and item["port"] == LOCAL else item["is"]
    item = no(*ALWAYS.get(kind, ()))(item)
    if item.get("group") in SELECT_GROUPS and item["is"] == "group":
        item = {**item, "buckets": added(item["buckets"])}
    for deviation in table:
        if deviation.about == item["is"]:
            changed = deviation.without(item)
            if changed is None:
                return None
            item = changed
    # Tables that nothing has happened to are as many as a switch likes.
    return None if item["is"] == "table" and not any(value for name, value in item.items() if name in USED) else item
