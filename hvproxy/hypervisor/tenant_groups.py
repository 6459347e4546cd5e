"""The groups of a logical switch, as its tenant installed them (OF 1.3.5 sections 5.6 and 6.5). Pure.

Group-mods are judged as Open vSwitch 3.1 judges them, but for groups that lead back to themselves and for chains that
are too long, which it finds out with every packet. Watching is limited for the sake of others: Open vSwitch 3.1 looks
along every way from bucket to watched group to bucket, up to 128 deep, and two buckets that watch their own group
stop it for ever.

A bucket may name or watch a group that is not there. An empty one stands in for it on the switches, so that what names
it stays as it is when the group comes or goes: a switch forgets what a group has counted when it is changed.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import replace
from typing import Final

from hvproxy.compiler.lowering import TenantGroup
from hvproxy.errors import Refused
from hvproxy.hypervisor.counters import Counters
from hvproxy.hypervisor.lacking import Below
from hvproxy.openflow import actions
from hvproxy.openflow.action_checks import check_each
from hvproxy.openflow.constants import FIRST_BAD_PORT, FIRST_RESERVED_PORT, of13
from hvproxy.openflow.groups import GroupMod, count_buckets, walk_buckets
from hvproxy.openflow.multipart import fits_group_replies

LONGEST_CHAIN: Final = 16
"""Groups naming groups, deeper than this is refused: a switch's own limit is not much above (Open vSwitch: 64
resubmits, and every logical port is a group itself)."""
MOST_LOOKS: Final = 1024
"""Buckets that a switch may have to look at to know whether a group is alive."""
_ADD: Final[int] = of13.OFPGC_ADD
_DELETE: Final[int] = of13.OFPGC_DELETE
_SELECT: Final[int] = of13.OFPGT_SELECT
_FAST_FAILOVER: Final[int] = of13.OFPGT_FF


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
        self.watched: Counter[int] = Counter()
        """Port number -> how many groups watch it, of those that any does; a port of that number need not be there."""
        self.stand_ins: dict[int, TenantGroup] = {}
        """Empty groups for those that are named or watched and not there."""
        self.noted: Callable[[int], None] = lambda group_id: None
        """Told of every group, or stand-in, that is new, changed or gone."""
        self._turned: set[int] = set()
        self._last_index = last_index
        self._used: set[int] = set()
        self._next = 1

    @property
    def held(self) -> dict[int, TenantGroup]:
        """What the switches are to hold: the groups and their stand-ins."""
        return {**self.stand_ins, **self.groups}

    def turned(self) -> set[int]:
        """The ids for which a stand-in has come or gone since this was last asked."""
        turned, self._turned = self._turned, set()
        return turned

    def apply(
        self, mod: GroupMod, shared: Iterable[int], now: float, below: Below = Below(),
    ) -> tuple[TenantGroup | None, list[int]]:
        """Carry out a group-mod; (what was there under that id before, ids that were deleted).

        `shared` are the indexes of the shared lports. Raises Refused with nothing changed.
        """
        check(mod, below)
        before = self.groups.get(mod.group_id)
        if mod.command == _DELETE:
            if mod.group_id == of13.OFPG_ALL:
                return None, sorted(self.groups)
            return before, [] if before is None else [mod.group_id]
        if mod.command == _ADD:
            if before is not None:
                raise refuse(of13.OFPGMFC_GROUP_EXISTS, "the group exists")
            if mod.group_id > of13.OFPG_MAX:
                raise refuse(of13.OFPGMFC_INVALID_GROUP, "not a group id")
            made = TenantGroup(mod.group_id, mod.type, mod.buckets, {})
        elif before is None:
            raise refuse(of13.OFPGMFC_UNKNOWN_GROUP, "no such group")
        else:
            made = replace(before, type=mod.type, buckets=mod.buckets, serial=before.serial + 1)
        self._check_ways(made)
        absent = (made.named | set(made.watched_groups)) - self.held.keys() - {mod.group_id}
        stand_in = self.stand_ins.get(mod.group_id)
        shared = tuple(shared)
        self._need_places((1 + len(shared)) * (len(absent) + (before is stand_in is None)))
        if before is None:
            made = replace(made, indexes=self._places(shared)) if stand_in is None else replace(
                made, indexes=stand_in.indexes, serial=stand_in.serial + 1)
            self.created[mod.group_id] = now
        self.revision += 1
        self._put(made)
        self._see_stand_ins(shared)
        # A modification resets the counters, and leaves the time of creation (Open vSwitch 3.1).
        self.counters[mod.group_id] = Counters()
        self.noted(mod.group_id)
        return before, []

    def remove(self, group_ids: Iterable[int]) -> list[int]:
        """Forget groups whose entries are gone; returns the groups that name or watch one, which is not there now."""
        self.revision += 1
        gone = set(group_ids)
        for group_id in gone:
            group = self.groups.pop(group_id)
            self._unwatch(group)
            del self.created[group_id], self.counters[group_id]
            self._stand_in(group)
        self._see_stand_ins(())
        return self.referring(gone)

    def referring(self, group_ids: Iterable[int]) -> list[int]:
        """The groups with a bucket that names or watches one of these, which need not be there (as in Open vSwitch)."""
        meant = set(group_ids)
        return [group.group_id for group in self.groups.values()
                if not meant.isdisjoint(group.named) or not meant.isdisjoint(group.watched_groups)]

    def restore(self, group: TenantGroup) -> None:
        """Put back what a refused modification replaced."""
        self.revision += 1
        # There may be more places by now.
        indexes = self.groups[group.group_id].indexes
        self._put(replace(group, indexes=indexes))
        self._see_stand_ins(index for index in indexes if index)

    def put_back(self, group: TenantGroup, created: float | None) -> None:
        """What was there before a restart; without a time of creation, what stood in for a group. Raises ValueError
        where another has its place."""
        places = group.indexes.values()
        if not self._used.isdisjoint(places) or not all(0 < place <= self._last_index for place in places):
            raise ValueError("another group has its place")
        self._used.update(places)
        self._next = max(self._used) % self._last_index + 1
        if created is None:
            self.stand_ins[group.group_id] = group
        else:
            self.created[group.group_id] = created
            self.counters[group.group_id] = Counters()
            self._put(group)

    def snapshot(self) -> dict[str, object]:
        """All of it as it is now, for `go_back`."""
        return {name: copy(value) for name, value in vars(self).items()}

    def go_back(self, snapshot: dict[str, object]) -> None:
        """Undo all that was done since the snapshot: nobody may have heard of it yet."""
        undone = self.held
        vars(self).update(snapshot)
        for group_id in undone.keys() | self.held.keys():
            self.noted(group_id)

    def bring_back(self, group: TenantGroup, now: float) -> None:
        """Put back a group that was modified or deleted, as what it was."""
        if group.group_id in self.groups:
            self.restore(group)
            return
        self.revision += 1
        stand_in = self.stand_ins.get(group.group_id)
        shared = [index for index in group.indexes if index]
        self._put(replace(group, indexes=self._places(shared)) if stand_in is None else replace(
            group, indexes=stand_in.indexes, serial=max(group.serial, stand_in.serial) + 1))
        self._see_stand_ins(shared)
        self.created[group.group_id] = now
        self.counters[group.group_id] = Counters()
        self.noted(group.group_id)

    def widen(self, shared: Iterable[int]) -> None:
        """Give every group a variant for each shared lport: the lports have changed."""
        shared = tuple(shared)
        for held in (self.groups, self.stand_ins):
            for group in list(held.values()):
                missing = [index for index in shared if index not in group.indexes]
                if missing:
                    places = {**group.indexes, **{index: self._place() for index in missing}}
                    held[group.group_id] = replace(group, indexes=places)
                    self.noted(group.group_id)

    def room(self, shared: Iterable[int]) -> bool:
        """Whether there are places for `widen`."""
        indexes = {0, *shared}
        missing = sum(len(indexes - group.indexes.keys()) for group in self.held.values())
        return len(self._used) + missing <= self._last_index

    def _put(self, group: TenantGroup) -> None:
        before = self.groups.get(group.group_id)
        if before is not None:
            self._unwatch(before)
        self.watched.update(group.watched_ports)
        self.groups[group.group_id] = group
        self.noted(group.group_id)

    def _stand_in(self, gone: TenantGroup) -> None:
        self.stand_ins[gone.group_id] = replace(gone, type=of13.OFPGT_ALL, buckets=b"", serial=gone.serial + 1)
        self._turned.add(gone.group_id)
        self.noted(gone.group_id)

    def _see_stand_ins(self, shared: Iterable[int]) -> None:
        """Have a stand-in for what is named or watched and not there, and for nothing else."""
        meant = {number for group in self.groups.values() for number in (*group.named, *group.watched_groups)}
        absent = meant - self.groups.keys()
        for number in self.stand_ins.keys() - absent:
            stand_in = self.stand_ins.pop(number)
            self._turned.add(number)
            self.noted(number)
            if number not in self.groups:
                self._used.difference_update(stand_in.indexes.values())
        shared = tuple(shared)
        for number in sorted(absent - self.stand_ins.keys()):
            self.stand_ins[number] = TenantGroup(number, of13.OFPGT_ALL, b"", self._places(shared))
            self._turned.add(number)
            self.noted(number)

    def _need_places(self, count: int) -> None:
        if len(self._used) + count > self._last_index:
            raise refuse(of13.OFPGMFC_OUT_OF_GROUPS, "no group ids left")

    def _unwatch(self, group: TenantGroup) -> None:
        for number in group.watched_ports:
            self.watched[number] -= 1
            if not self.watched[number]:
                del self.watched[number]

    def _check_ways(self, made: TenantGroup) -> None:
        """Raises Refused where groups name or watch themselves in the end, too many others, or too far away."""
        after = {**self.groups, made.group_id: made}
        if made.named:
            _check_chains(made.group_id, {number: group.named for number, group in after.items()})
        watching = {number: group.watched_groups for number, group in after.items() if group.watched_groups}
        if watching:
            concerned = _check_chains(made.group_id, watching)
            known: dict[int, int] = {}
            if max(_looks(number, after, known) for number in concerned) > MOST_LOOKS:
                raise refuse(of13.OFPGMFC_CHAINING_UNSUPPORTED, f"liveness of more than {MOST_LOOKS} buckets")

    def _places(self, shared: Iterable[int]) -> dict[int, int]:
        indexes = (0, *shared)
        self._need_places(len(indexes))
        return {index: self._place() for index in indexes}

    def _place(self) -> int:
        while self._next in self._used:
            self._next = self._next % self._last_index + 1
        place = self._next
        self._used.add(place)
        self._next = self._next % self._last_index + 1
        return place


def check(mod: GroupMod, below: Below = Below()) -> None:
    """Raises Refused for what is wrong whatever groups there are; in the order of Open vSwitch 3.1."""
    buckets = walk_buckets(mod.buckets)
    sound = set[bytes]()
    for each in buckets:
        if each.actions not in sound:
            _check_actions(each.actions, mod.type, below)
            sound.add(each.actions)
        if FIRST_BAD_PORT <= each.watch_port < FIRST_RESERVED_PORT:
            raise refuse(of13.OFPGMFC_BAD_WATCH, "no such port")
    if mod.command == _DELETE and buckets:
        raise refuse(of13.OFPGMFC_INVALID_GROUP, "buckets in a deletion")
    if mod.type > _FAST_FAILOVER or mod.type == _SELECT and not below.selects and mod.command != _DELETE:
        raise refuse(of13.OFPGMFC_BAD_TYPE, "group type not offered")
    if mod.type == of13.OFPGT_INDIRECT and mod.command != _DELETE and len(buckets) != 1:
        raise refuse(of13.OFPGMFC_INVALID_GROUP, "an indirect group has one bucket")
    if mod.command != _DELETE and not fits_group_replies(
            actions.canonical_buckets(mod.buckets), len(buckets)):
        raise refuse(of13.OFPGMFC_OUT_OF_BUCKETS, "no message can tell of the group")
    if mod.command > _DELETE:
        raise refuse(of13.OFPGMFC_BAD_COMMAND, "unknown command")
    for each in buckets:
        watches = each.watch_port != of13.OFPP_ANY or each.watch_group != of13.OFPG_ANY
        if each.weight and mod.type != _SELECT:
            raise refuse(of13.OFPGMFC_INVALID_GROUP, "a weight in a group that does not select")
        if mod.type == _FAST_FAILOVER and not watches:
            raise refuse(of13.OFPGMFC_INVALID_GROUP, "a bucket of a fast failover group watches nothing")
        if mod.type not in (_SELECT, _FAST_FAILOVER) and watches:
            raise refuse(of13.OFPGMFC_WATCH_UNSUPPORTED, "liveness in a group whose buckets are all used")


def _check_actions(data: bytes, group_type: int, below: Below) -> None:
    check_each(data)  # a group that they name may be any
    below.check_bucket(data, group_type)
    if actions.tracks(data):
        raise Refused(of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_TYPE, "connections are tracked by entries only")
    if actions.resubmits_here(data):
        raise Refused(of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_ARGUMENT, "a bucket stands in no table")


def _check_chains(group_id: int, following: Mapping[int, Iterable[int]]) -> set[int]:
    """All from which chains lead to a group, itself included. Raises Refused where those through it are too long, or
    lead back to it."""
    leading: dict[int, set[int]] = {}
    for number, others in following.items():
        for other in others:
            leading.setdefault(other, set()).add(number)
    before, steps_before = _chain(group_id, leading)
    if _chain(group_id, following)[1] + steps_before >= LONGEST_CHAIN:
        raise refuse(of13.OFPGMFC_CHAINING_UNSUPPORTED, f"chains of more than {LONGEST_CHAIN} groups")
    return {group_id} | before


def _chain(group_id: int, following: Mapping[int, Iterable[int]]) -> tuple[set[int], int]:
    """What chains lead to from a group on, and the steps of the longest. Raises Refused where one leads back to it."""
    steps, found, level = 0, set[int](), set(following.get(group_id, ()))
    while level and steps < LONGEST_CHAIN:
        if group_id in level:
            raise refuse(of13.OFPGMFC_LOOP, "the group leads back to itself")
        steps += 1
        found |= level
        level = {other for each in level for other in following.get(each, ())}
    return found, steps


def _looks(group_id: int, groups: Mapping[int, TenantGroup], known: dict[int, int]) -> int:
    """How many buckets a switch looks at where nothing is alive, along chains that were checked."""
    if group_id not in known:
        group = groups.get(group_id)
        known[group_id] = 0 if group is None else count_buckets(group.buckets) + sum(
            _looks(other, groups, known) for other in group.watched_groups)
    return known[group_id]
