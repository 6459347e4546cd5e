"""What may differ between a logical switch and one Open vSwitch bridge: the only place that says so.

Each line names the line of README's deviation table that it carries out (a test looks it up there), and takes out of a
record what that line is about; None for a record that is not compared at all. What is not taken out is a difference.
"""
from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from tests.oracle.telling import LOCAL, Item


class Deviation(NamedTuple):
    """One line of the table."""

    readme: str
    """How the first column of README's line begins."""
    about: str
    """The kind of record it changes."""
    without: Callable[[Item], Item | None]


def no(*names: str) -> Callable[[Item], Item]:
    """Without some of its parts."""
    return lambda item: {name: value for name, value in item.items() if name not in names}


def but_local(item: Item) -> Item | None:
    """Without what is about the LOCAL port."""
    return None if item["port"] == LOCAL else item


LOGICAL: tuple[Deviation, ...] = (
    Deviation("output LOCAL", "port description", but_local),
    Deviation("output LOCAL", "port", but_local),
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


def answered_alike(way: str) -> bool:
    """Whether a logical switch refuses this in the same way as a bridge."""
    return _UNLIKE.fullmatch(way) is None


ALWAYS: dict[str, tuple[str, ...]] = {
    # A switch has a datapath id, names and addresses of its own.
    "features": ("datapath",),
    "port description": ("address", "name"),
    "port-status": ("address", "name"),
    # The kernel counts a frame with a tag of 0x88a8 as dropped, since nobody but Open vSwitch takes it.
    "port": ("received and dropped",),
}
"""Identity and artefacts of the bench, which say nothing about the switch."""


USED = ("active", "looked up", "matched")


def normal(item: Item, table: tuple[Deviation, ...]) -> Item | None:
    """A record without what may differ."""
    item = no(*ALWAYS[item["is"]])(item) if item["is"] in ALWAYS else item
    for deviation in table:
        if deviation.about == item["is"]:
            changed = deviation.without(item)
            if changed is None:
                return None
            item = changed
    # Tables that nothing has happened to are as many as a switch likes.
    return None if item["is"] == "table" and not any(value for name, value in item.items() if name in USED) else item
