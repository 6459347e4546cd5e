"""Open vSwitch's action ct, which tracks connections: which are taken, with which errors, and what executes them.

A connection is known to the datapath that tracked it, in a *zone*: connections of different zones have nothing to do
with each other. To a tenant zones are its own; what executes an action names another zone, which its caller says.

What stands in an exec(...) are actions too: their lengths are proven here, behind those of the whole action, which
`guard` has proven. Refused although Open vSwitch takes it: a zone from a field, which cannot be translated, and
helpers (alg). Must not know any table, nor who has which zone.
"""
from __future__ import annotations

from ipaddress import ip_address
from struct import Struct
from typing import Final, NoReturn

from hvproxy.errors import Refused
from hvproxy.openflow import guard_parts
from hvproxy.openflow.constants import NICIRA_ID, of13
from hvproxy.openflow.oxm_fields import BY_NUMBER, CT_LABEL, CT_MARK, ETH_TYPE_IPV4, ETH_TYPE_IPV6, Headers

CT, NAT, CT_CLEAR = 35, 36, 43
COMMIT, FORCE = 1, 2
NO_TABLE: Final = 255
SIZE: Final = 24
"""Of the action without those within it."""
_CT: Final = Struct("!HHIHHIHB3xH")
_HEAD: Final = Struct("!HHIH")
_NAT: Final = Struct("!10x2xHH")
_NAT_HEAD: Final = Struct("!HHIH2xHH")
_SOURCE, _DESTINATION, _PERSISTENT, _HASH, _RANDOM = 1, 2, 4, 8, 16
_NAT_FLAGS: Final = _SOURCE | _DESTINATION | _PERSISTENT | _HASH | _RANDOM
_RANGES: Final = ((1, 2, 4), (4, 8, 16), (16, 32, 2))
"""(bit of the least, bit of the greatest, bytes of each) of IPv4 and IPv6 addresses and of ports."""
_PORTS: Final = 2
"""The place of these in `_RANGES`."""
WRITABLE: Final = (BY_NUMBER[CT_MARK], BY_NUMBER[CT_LABEL])
"""The fields that actions within write, and no others do."""


def is_ct(action: bytes) -> bool:
    """Whether an action of OFPAT_EXPERIMENTER tracks a connection."""
    return len(action) >= SIZE and _HEAD.unpack_from(action)[2:] == (NICIRA_ID, CT)


def may_translate(nat: bytes) -> bool:
    """Whether a translation of addresses is another than what the packet's connection has already."""
    flags, present = _NAT.unpack_from(nat)
    return bool(flags or present)


def text(action: bytes, inner: str) -> str:
    """The action in words that ovs-ofctl takes, with those for the actions in it."""
    flags, _, place, number, _ = _CT.unpack_from(action)[4:]
    words = [word for bit, word in ((COMMIT, "commit"), (FORCE, "force")) if flags & bit]
    words += [f"table={number}"] * (number != NO_TABLE) + [f"zone={place}"] * (place != 0)
    return f"ct({','.join([*words, inner] if inner else words)})"


def nat_text(action: bytes) -> str:
    """A translation of addresses in such words."""
    flags, present = _NAT.unpack_from(action)
    at, found = 16, []
    for least, most, size in _RANGES:
        bounds = []
        for bit in (least, most):
            if present & bit:
                bounds.append(_address(action[at:at + size]))
                at += size
        found.append("-".join(bounds))
    addresses, ports = found[0] or found[1], found[_PORTS]
    if ports and found[1]:
        addresses = f"[{addresses.replace('-', ']-[')}]"
    where = f"={addresses}" + (f":{ports}" if ports else "") if addresses else ""
    words = [f"{'src' if flags & _SOURCE else 'dst'}{where}"] if flags & (_SOURCE | _DESTINATION) else []
    words += [word for bit, word in ((_PERSISTENT, "persistent"), (_HASH, "hash"), (_RANDOM, "random")) if flags & bit]
    return f"nat({','.join(words)})" if words else "nat"


def _address(data: bytes) -> str:
    return str(int.from_bytes(data, "big")) if len(data) == 2 else str(ip_address(data))


def zone(action: bytes) -> int:
    """The zone that an action names which was accepted."""
    return int(_CT.unpack_from(action)[6])


def zone_source(action: bytes) -> int:
    """The header of the field that the zone is read from, 0 where the action names it."""
    return int(_CT.unpack_from(action)[5])


def table(action: bytes) -> int | None:
    """The table in which a copy of the packet is looked up with what is known of its connection; None: in none."""
    number = int(_CT.unpack_from(action)[7])
    return None if number == NO_TABLE else number


def commits(action: bytes) -> bool:
    """Whether the connection is to be known from now on."""
    return bool(_CT.unpack_from(action)[4] & COMMIT)


def within(action: bytes) -> bytes:
    """The actions in it."""
    return action[SIZE:]


def clear() -> bytes:
    """Have nothing known of the packet's connection."""
    return _HEAD.pack(of13.OFPAT_EXPERIMENTER, 16, NICIRA_ID, CT_CLEAR) + bytes(6)


def check(action: bytes) -> None:
    """Raises Refused for an action that is wrong in itself, but for the actions within it, and proves where these end.
    """
    _, length, _, _, flags, source, place, _, alg = _CT.unpack_from(action)
    if flags & FORCE and not flags & COMMIT:
        _refuse(of13.OFPBAC_BAD_ARGUMENT, "ct with force and without commit")
    if source:
        _refuse(of13.OFPBAC_BAD_ARGUMENT, "ct with a zone from a field is not offered")
    if alg:
        _refuse(of13.OFPBAC_BAD_ARGUMENT, "ct with a helper is not offered")
    guard_parts.actions(action, SIZE, length, True)


def check_nat(action: bytes, committed: bool) -> None:
    """Raises Refused for a translation of addresses that is wrong."""
    flags, present = _NAT.unpack_from(action)
    if flags & ~_NAT_FLAGS or flags & _SOURCE and flags & _DESTINATION or flags & _HASH and flags & _RANDOM:
        _bad_nat("flags that there are not together")
    at = 16
    families = [family for family, (least, most, _) in enumerate(_RANGES) if present & (least | most)]
    if families and (families[0] == _PORTS or families[:2] == [0, 1]):
        _bad_nat("ranges of ports alone, or of two kinds of addresses")
    for least, most, size in _RANGES:
        if not present & (least | most):
            continue
        bounds = [action[at + n * size:at + (n + 1) * size] for n in range(2 if present & most else 1)]
        at += size * len(bounds)
        if not present & least or at > len(action) or not any(bounds[0]) or bounds[-1] < bounds[0]:
            _bad_nat("a range that is none")
    if not committed and (flags or families):
        _bad_nat("ct without commit translates addresses anew")


def check_order(action: bytes, headers: Headers) -> None:
    """Raises Refused where the packet may be none that belongs to a connection."""
    if headers.eth_type not in (ETH_TYPE_IPV4, ETH_TYPE_IPV6):
        _inconsistent("ct of what may be no IP packet")
    if commits(action) and headers.invalid:
        _inconsistent("ct commits what is invalid")


def check_nat_order(action: bytes, headers: Headers) -> None:
    """The same of a translation of addresses."""
    present = _NAT.unpack_from(action)[1]
    wanted = ETH_TYPE_IPV4 if present & 3 else ETH_TYPE_IPV6 if present & 12 else headers.eth_type
    if headers.eth_type != wanted:
        _inconsistent("addresses of another kind than the packet has")


def canonical(action: bytes, inner: bytes) -> bytes:
    """The action as Open vSwitch tells it, with these actions in it."""
    flags, source, place, number, alg = _CT.unpack_from(action)[4:]
    return bytes(_CT.pack(of13.OFPAT_EXPERIMENTER, SIZE + len(inner), NICIRA_ID, CT, flags, source, place, number,
                          alg)) + inner


def canonical_nat(action: bytes) -> bytes:
    """A translation of addresses as Open vSwitch tells it."""
    flags, present = _NAT.unpack_from(action)
    present &= sum(least | most for least, most, _ in _RANGES)
    used = sum(size * bool(present & bit) for *bits, size in _RANGES for bit in bits)
    ranges = action[16:16 + used]
    length = 16 + used + (-used & 7)
    return bytes(_NAT_HEAD.pack(of13.OFPAT_EXPERIMENTER, length, NICIRA_ID, NAT, flags, present)) + ranges + bytes(
        -used & 7)


def lowered(action: bytes, zone: int, table: int) -> bytes:
    """The same in a zone and with a table below."""
    return action[:16] + zone.to_bytes(2, "big") + table.to_bytes(1, "big") + action[19:]


def _bad_nat(why: str) -> NoReturn:
    _refuse(of13.OFPBAC_BAD_ARGUMENT, f"nat: {why}")


def _inconsistent(why: str) -> NoReturn:
    _refuse(of13.OFPBAC_MATCH_INCONSISTENT, why)


def _refuse(code: int, why: str) -> NoReturn:
    raise Refused(of13.OFPET_BAD_ACTION, code, why)
