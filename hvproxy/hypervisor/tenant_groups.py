"""The groups of a logical switch, as its tenant installed them (OF 1.3.5 sections 5.6 and 6.5). Pure.

Offered are ALL and INDIRECT; SELECT and FAST_FAILOVER are refused with the error of a switch that lacks them.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping

from hvproxy.compiler.lowering import TenantGroup
from hvproxy.errors import Refused
from hvproxy.hypervisor.counters import Counters
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import GroupMod, bucket, walk_buckets

OFFERED = (of13.OFPGT_ALL, of13.OFPGT_INDIRECT)
LONGEST_CHAIN = 16
"""Groups naming groups, deeper than this is refused: a switch's own limit is not much above (Open vSwitch: 64
resubmits, and every logical port is a group itself)."""


def refuse(code: int, why: str) -> Refused:
    return Refused(of13.OFPET_GROUP_MOD_FAILED, code, why)


class TenantGroups:
    """Group id -> group, and the places of their variants in physical group ids."""

    def __init__(self, last_index: int) -> None:
        self.groups: dict[int, TenantGroup] = {}
        self.created: dict[int, float] = {}
        self.counters: dict[int, Counters] = {}
        """Group id -> what it and its buckets have counted, by whoever reads it."""
        self.revision = 0
        """Grows whenever what a group does changes."""
        self._last_index = last_index
        self._used: set[int] = set()
        self._next = 1

    def apply(self, mod: GroupMod, shared: Iterable[int], now: float) -> tuple[TenantGroup | None, list[int]]:
        """Carry out a group-mod; (what was there under that id before, ids that were deleted).

        `shared` are the indexes of the shared lports. Raises Refused with nothing changed.
        """
        before = self.groups.get(mod.group_id)
        self.revision += 1
        if mod.command == of13.OFPGC_ADD:
            if before is not None:
                raise refuse(of13.OFPGMFC_GROUP_EXISTS, "the group exists")
            self._check(mod)
            self.groups[mod.group_id] = TenantGroup(mod.group_id, mod.type, mod.buckets, self._places(shared))
            self.created[mod.group_id] = now
            self.counters[mod.group_id] = Counters()
            return None, []
        if mod.command == of13.OFPGC_MODIFY:
            if before is None:
                raise refuse(of13.OFPGMFC_UNKNOWN_GROUP, "no such group")
            self._check(mod)
            self.groups[mod.group_id] = TenantGroup(mod.group_id, mod.type, mod.buckets, before.indexes)
            return before, []
        if mod.command == of13.OFPGC_DELETE:
            if mod.group_id == of13.OFPG_ALL:
                return None, sorted(self.groups)
            if mod.group_id > of13.OFPG_MAX:
                raise refuse(of13.OFPGMFC_INVALID_GROUP, "not a group id")
            return before, [] if before is None else [mod.group_id]
        raise Refused(of13.OFPET_GROUP_MOD_FAILED, of13.OFPGMFC_BAD_COMMAND, "unknown command")

    def remove(self, group_ids: Iterable[int]) -> list[int]:
        """Forget groups whose entries are gone; returns the groups that named one and have lost those actions."""
        self.revision += 1
        gone = set(group_ids)
        for group_id in gone:
            group = self.groups.pop(group_id)
            del self.created[group_id], self.counters[group_id]
            self._used.difference_update(group.indexes.values())
        naming = []
        for group in list(self.groups.values()):
            buckets = walk_buckets(group.buckets)
            if any(gone & set(actions.groups(b.actions)) for b in buckets):
                left = b"".join(bucket(
                    actions.rewrite(b.actions, actions.output, lambda g: b"" if g in gone else actions.group(g)),
                    b.weight, b.watch_port, b.watch_group) for b in buckets)
                self.groups[group.group_id] = TenantGroup(group.group_id, group.type, left, group.indexes)
                naming.append(group.group_id)
        return naming

    def restore(self, group: TenantGroup) -> None:
        """Put back what a refused modification replaced."""
        self.revision += 1
        places = self.groups[group.group_id].indexes  # may have more of them by now
        self.groups[group.group_id] = TenantGroup(group.group_id, group.type, group.buckets, places)

    def widen(self, shared: Iterable[int]) -> None:
        """Give every group a variant for each shared lport: the lports have changed."""
        shared = tuple(shared)
        for group in list(self.groups.values()):
            missing = [index for index in shared if index not in group.indexes]
            if missing:
                places = {**group.indexes, **{index: self._place() for index in missing}}
                self.groups[group.group_id] = TenantGroup(group.group_id, group.type, group.buckets, places)

    def room(self, shared: Iterable[int]) -> bool:
        """Whether there are places for `widen`."""
        indexes = {0, *shared}
        missing = sum(len(indexes - group.indexes.keys()) for group in self.groups.values())
        return len(self._used) + missing <= self._last_index

    def _check(self, mod: GroupMod) -> None:
        if mod.group_id > of13.OFPG_MAX:
            raise refuse(of13.OFPGMFC_INVALID_GROUP, "not a group id")
        if mod.type not in OFFERED:
            raise refuse(of13.OFPGMFC_BAD_TYPE, "group type not offered")
        buckets = walk_buckets(mod.buckets)
        if mod.type == of13.OFPGT_INDIRECT and len(buckets) != 1:
            raise refuse(of13.OFPGMFC_INVALID_GROUP, "an indirect group has one bucket")
        for each in buckets:
            actions.check(each.actions, match=None)
            for named in actions.groups(each.actions):
                if named != mod.group_id and named not in self.groups:
                    raise Refused(of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_GROUP, "no such group")
        self._check_chain(mod)

    def _check_chain(self, mod: GroupMod) -> None:
        named = {group_id: _named(group.buckets) for group_id, group in self.groups.items()}
        named[mod.group_id] = _named(mod.buckets)
        if not named[mod.group_id]:
            return
        naming: dict[int, set[int]] = {}
        for group_id, others in named.items():
            for other in others:
                naming.setdefault(other, set()).add(group_id)
        if _depth(mod.group_id, named) + _depth(mod.group_id, naming) >= LONGEST_CHAIN:
            raise refuse(of13.OFPGMFC_CHAINING_UNSUPPORTED, f"chains of more than {LONGEST_CHAIN} groups")

    def _places(self, shared: Iterable[int]) -> dict[int, int]:
        indexes = (0, *shared)
        if len(self._used) + len(indexes) > self._last_index:
            raise refuse(of13.OFPGMFC_OUT_OF_GROUPS, "no group ids left")
        return {index: self._place() for index in indexes}

    def _place(self) -> int:
        while self._next in self._used:
            self._next = self._next % self._last_index + 1
        place = self._next
        self._used.add(place)
        self._next = self._next % self._last_index + 1
        return place


def _named(buckets: bytes) -> set[int]:
    return {named for each in walk_buckets(buckets) for named in actions.groups(each.actions)}


def _depth(group_id: int, following: Mapping[int, set[int]]) -> int:
    """The steps of the longest chain from a group on. Raises Refused where one leads back to it."""
    steps, level = 0, following.get(group_id, set())
    while level and steps < LONGEST_CHAIN:
        if group_id in level:
            raise refuse(of13.OFPGMFC_LOOP, "the group leads back to itself")
        steps += 1
        level = {other for each in level for other in following.get(each, ())}
    return steps
