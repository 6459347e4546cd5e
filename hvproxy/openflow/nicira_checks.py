"""Which of Open vSwitch's own actions are taken, and with which errors the others are refused.

Refused although Open vSwitch takes them, with the error of one that does not know them: learn with a limit,
fin_timeout, sample, clone, output to a register, resubmit with another port, and whatever else is not in `_KNOWN`.
A packet-in of a reason for which no controller can have a mask stops Open vSwitch 3.1, and every tenant on it.

Lengths of whole actions were proven by `guard`; each action's own length is judged here. Must not know any table.
"""
from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final, NoReturn

from hvproxy.errors import Refused
from hvproxy.openflow import nicira, nicira_bundle, nicira_ct, nicira_learn
from hvproxy.openflow.constants import NICIRA_ID, ONF_ID, of13
from hvproxy.openflow.nicira import (
    CONJUNCTION, CONTROLLER, DEC_TTL_IDS, FIXED_SIZES, LOAD, MOVE, MULTIPATH, NOTE, POP, PUSH, RESUBMIT, RESUBMIT_TABLE,
    SAME_PORT, has_size,
)
from hvproxy.openflow.nicira_bundle import BUNDLE, BUNDLE_LOAD
from hvproxy.openflow.nicira_ct import CT, CT_CLEAR, NAT
from hvproxy.openflow.nicira_learn import LEARN
from hvproxy.openflow.nicira_parts import (
    BAD_CONJUNCTION, METADATA, NOT_ZERO, Part, check_named, check_part, check_settable, error, refuse, target,
)
from hvproxy.openflow.oxm_fields import IP_ETH_TYPES, TENANT_BITS, Headers

_COPY_FIELD: Final = 3200
"""The only action of the ONF that Open vSwitch has."""
_HEAD: Final = Struct("!HHIH")
_KNOWN: Final = frozenset((*FIXED_SIZES, NOTE, DEC_TTL_IDS, LEARN, BUNDLE, BUNDLE_LOAD, CT))
_WITHIN: Final = frozenset((LOAD, MOVE, NAT))
"""What an action ct may hold."""
_IN_SET: Final = frozenset((LOAD, MOVE, RESUBMIT, RESUBMIT_TABLE, DEC_TTL_IDS, CT_CLEAR))
"""What an action set may hold."""
_CHOICE: Final = Struct("!10xHH2xHH")
"""What a multipath hashes, with what basis, how it chooses, and the last link."""
_HASH_FIELDS, _ALGORITHMS = 6, 4
"""How many ways of hashing and of choosing a link a multipath knows."""
_ZONE_BITS: Final = 16
_REASONS: Final = 32
"""How many reasons of packet-ins a mask has room for."""
_SHORT: Final = Struct("!10xH")
"""The port of a resubmit, and how many ids follow."""


def check(action: bytes, *, in_set: bool = False, within: bool = False, committed: bool = False) -> None:
    """Raises Refused for an action that is wrong in itself, but for actions in it. `within`: it stands in an action ct,
    which has its connection `committed`."""
    experimenter = int.from_bytes(action[4:8], "big")
    if experimenter == ONF_ID and int.from_bytes(action[8:10], "big") != _COPY_FIELD:
        refuse(of13.OFPBAC_BAD_EXP_TYPE, "unknown action of the ONF")
    if experimenter != NICIRA_ID:  # which may be shorter than ours
        refuse(of13.OFPBAC_BAD_EXPERIMENTER, "experimenter action")
    _, length, _, kind = _HEAD.unpack_from(action)
    if kind == NAT and not within and has_size(kind, length):
        refuse(of13.OFPBAC_BAD_SET_ARGUMENT, "nat outside ct")
    if kind not in _KNOWN and kind != NAT:
        refuse(of13.OFPBAC_BAD_EXP_TYPE, f"action {kind} of Open vSwitch is not offered")
    if kind == MOVE and length < FIXED_SIZES[MOVE]:
        raise Refused(of13.OFPET_BAD_MATCH, of13.OFPBMC_BAD_LEN, "move without its fields")
    if not has_size(kind, length):
        refuse(of13.OFPBAC_BAD_LEN, "action of another length than its type has")
    for place, header in enumerate(nicira.headers(kind, action)):
        if kind in (LOAD, MULTIPATH, CT):
            check_settable(header)
        else:
            check_named(header, last=place > 0)
    one = _CHECKS.get(kind)
    if within and kind in _WITHIN:
        _check_within(kind, action, committed)
        return
    if one is not None:
        one(action)
    if within:
        refuse(of13.OFPBAC_BAD_ARGUMENT, "ct executes what it may not")
    if in_set and kind not in _IN_SET:
        refuse(of13.OFPBAC_BAD_TYPE, f"action {kind} of Open vSwitch in an action set")
    if in_set and nicira.names_no_table(action):
        refuse(of13.OFPBAC_BAD_ARGUMENT, "resubmit to the current table, where there is none")


def check_order(action: bytes, headers: Headers) -> bool:
    """Whether the action does not fit what is known of the packet, softly; raises Refused for a hard misfit."""
    kind = _HEAD.unpack_from(action)[3]
    if kind == DEC_TTL_IDS:
        return headers.eth_type not in IP_ETH_TYPES
    if kind == LEARN:
        nicira_learn.check_order(action, headers)
    if kind in (BUNDLE, BUNDLE_LOAD):
        nicira_bundle.check_order(action, headers)
    if kind == CT:
        nicira_ct.check_order(action, headers)
    if kind == NAT:
        nicira_ct.check_nat_order(action, headers)
    for header in nicira.headers(kind, action):
        field = target(header).field
        if field is not None and not field.allows(headers):
            refuse(of13.OFPBAC_MATCH_INCONSISTENT, f"{field.name} where the packet may not have it")
    return False


def _check_within(kind: int, action: bytes, committed: bool) -> None:
    """The action may stand in an action ct."""
    if kind == NAT:
        nicira_ct.check_nat(action, committed)
        return
    written = nicira.load_of(action)[0] if kind == LOAD else nicira.move_of(action)[1]
    if kind == MOVE:
        check_part(nicira.move_of(action)[0], written=False)
    tracked = target(written.header).field in nicira_ct.WRITABLE
    check_part(written, written=not tracked)
    if not tracked or not committed:
        refuse(of13.OFPBAC_BAD_ARGUMENT, "ct executes what it may not, or without commit")
    if kind == LOAD and nicira.load_of(action)[1] >> written.bits:
        refuse(of13.OFPBAC_BAD_ARGUMENT, "a value of more bits than are loaded")


def _check_load(action: bytes) -> None:
    (header, first, bits), value = nicira.load_of(action)
    if target(header).field is METADATA and first < TENANT_BITS and first + bits <= 64 and not (
            value >> TENANT_BITS - first):
        bits = min(bits, TENANT_BITS - first)  # the upper bits are 0 to the tenant, and stay so
    check_part(Part(header, first, bits), written=True)
    if value >> bits:
        refuse(of13.OFPBAC_BAD_ARGUMENT, "a value of more bits than are loaded")


def _check_move(action: bytes) -> None:
    source, destination = nicira.move_of(action)
    check_part(source, written=False)
    check_part(destination, written=True)
    if any(action[FIXED_SIZES[MOVE]:]):
        error(NOT_ZERO, "bytes behind a move")


def _check_resubmit(action: bytes) -> None:
    if _SHORT.unpack_from(action)[0] != SAME_PORT:
        refuse(of13.OFPBAC_BAD_ARGUMENT, "resubmit with another port is not offered")
    if _HEAD.unpack_from(action)[3] == RESUBMIT_TABLE and any(action[13:]):
        refuse(of13.OFPBAC_BAD_ARGUMENT, "padding of a resubmit is not zero")


def _check_multipath(action: bytes) -> None:
    fields, _, algorithm, most = _CHOICE.unpack_from(action)
    written = nicira.multipath_of(action)
    check_part(written, written=True)
    if fields >= _HASH_FIELDS or algorithm >= _ALGORITHMS or most >> written.bits:
        refuse(of13.OFPBAC_BAD_ARGUMENT, "multipath")


def _check_stack(action: bytes) -> None:
    if any(action[18:]):
        error(NOT_ZERO, "padding of a stack action is not zero")
    check_part(nicira.stack_of(action), written=_HEAD.unpack_from(action)[3] == POP)


def _check_conjunction(action: bytes) -> None:
    _, clause, clauses = nicira.conjunction_of(action)
    if not 2 <= clauses <= 64 or clause >= clauses:
        bad_conjunction()


def _check_controller(action: bytes) -> None:
    if action[14] >= _REASONS:
        refuse(of13.OFPBAC_BAD_ARGUMENT, "a reason that no mask has room for")


def _check_ids(action: bytes) -> None:
    if any(action[12:16]):
        error(NOT_ZERO, "padding of a decrement is not zero")
    if 16 + 2 * _SHORT.unpack_from(action)[0] > len(action):
        refuse(of13.OFPBAC_BAD_LEN, "controller ids cut short")


def _check_ct(action: bytes) -> None:
    place = nicira_ct.zone(action)
    if nicira_ct.zone_source(action) and (place & 0x3f) + 1 != _ZONE_BITS:
        refuse(of13.OFPBAC_BAD_SET_LEN, "a zone has 16 bits")
    nicira_ct.check(action)


def bad_conjunction() -> NoReturn:
    """A conjunction that is none, or beside other actions."""
    error(BAD_CONJUNCTION, "conjunction")


_CHECKS: Final[dict[int, Callable[[bytes], None]]] = {
    LOAD: _check_load, MOVE: _check_move, RESUBMIT: _check_resubmit, RESUBMIT_TABLE: _check_resubmit,
    MULTIPATH: _check_multipath, PUSH: _check_stack, POP: _check_stack, CONJUNCTION: _check_conjunction,
    CONTROLLER: _check_controller, DEC_TTL_IDS: _check_ids, LEARN: nicira_learn.check, BUNDLE: nicira_bundle.check,
    BUNDLE_LOAD: nicira_bundle.check, CT: _check_ct,
}
