"""What is stored, record by record: keys, layouts and versions; how a record is sealed, and how its damage is found.

A record is a seal, of fixed layout, before a body in MessagePack. The checksum covers the key too, so a record that
stands under another's key is found. Times are seconds of the day's clock (Unix time): they mean the same after a
restart. Knows what a field is called and how wide it is, and not what it does.

One object, one record: what an operation changes is what it writes, whatever the size of the tables.
"""
from __future__ import annotations

import struct
from typing import Any, ClassVar, Final, TypeAlias, TypeVar
from zlib import crc32

import msgspec
from construct import Int8ub, Int32ub, Struct

from hvproxy.errors import DamagedRecord

VERSION: Final = 1
"""Of all layouts here. What a later version has written is refused, not guessed at."""
SEAL: Final = Struct("version" / Int8ub, "checksum" / Int32ub).compile()
_SEAL_SIZE: Final = SEAL.sizeof()
_PACKED: Final = struct.Struct("!BI")
"""SEAL without construct: there is one for each record."""
FORMAT: Final = "format"
"""The key of the Format record, which is there if any is."""

Count: TypeAlias = tuple[int, int]
"""(packets, bytes)"""
Place: TypeAlias = tuple[int, int]
"""A datapath, and what there: a physical group, or the how manieth meter of an id."""


class Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The body of a record: its fields in order."""


R = TypeVar("R", bound=Record)


class Format(Record, frozen=True):
    """What all other records and the rules in the switches depend on."""

    KEY: ClassVar[str] = FORMAT

    epoch: int
    """layout.EPOCH."""
    logical_switch_bits: int
    lport_bits: int
    discovery_address: bytes | None
    """Where discovery frames go to, which a rule of every switch matches."""


class Tenant(Record, frozen=True):
    """tenant/NAME"""

    named: bool
    """The configuration file names it."""


class Named(Record, frozen=True):
    """file/NAME: a logical switch as the configuration file described it when it was read last."""

    spec: bytes
    """JSON."""


class LogicalSwitchRecord(Record, frozen=True):
    """ls/NAME"""

    ls_id: int
    spec: bytes
    """JSON, without ports."""


class State(Record, frozen=True):
    """ls/NAME/state: what tenants have set of a logical switch as a whole, and what its tables have counted."""

    block: int
    """The block of entry numbers that the newest is of."""
    last_index: int
    """The index of the port that was made last."""
    frag_flags: int
    resubmits: bool
    normal: bool
    """Something outputs to NORMAL."""
    generation_id: int | None
    table_names: dict[int, str]
    gone: list[tuple[int, dict[int, int]]]
    """Per table, of entries that are gone: packets that matched, and how many of them went on to which table."""
    entered_gone: int
    told: list[int]
    """Per table the lookups told last."""
    turned: list[int] = []
    """The edges whose floods come under the second of their two labels."""
    tracks: bool = False
    """Some entry has tracked connections."""
    zones: dict[int, int] = {}
    """The tenant's zone -> that of the datapaths."""
    home: int | None = None
    """The datapath that decides about all frames."""
    resumes: bool = False
    """Frames that enter elsewhere go there."""


class Port(Record, frozen=True):
    """ls/NAME/port/NUMBER"""

    spec: bytes
    """JSON."""
    index: int
    config: int
    created: float
    vif: tuple[int, int, int | None] | None
    """The datapath, port and VLAN where it was last."""
    placed: bool
    up: bool
    closed: bool
    totals: list[int]
    """In the order of port_counters.COUNTERS."""
    shown: dict[str, tuple[tuple[int, int, int | None] | bool | None, int]]
    """Counter -> the source read last, a VIF, the port's own rules (true) or none, and what it showed."""
    former: tuple[int, int, int | None] | None = None
    """Where it is moving from."""
    turned: bool = False
    """Which of its two labels names it."""
    former_shown: dict[str, tuple[tuple[int, int, int | None] | bool | None, int]] = {}
    """As `shown`, of the place it is moving from."""


class EntryRecord(Record, frozen=True):
    """ls/NAME/entry/NUMBER"""

    table_id: int
    priority: int
    cookie: int
    idle_timeout: int
    hard_timeout: int
    flags: int
    created: float
    modified: float
    used: float
    match: bytes
    """TLVs as they are told."""
    instructions: bytes
    """As on the wire."""


class RetiredRule(Record, frozen=True):
    """ls/NAME/retired/SERIAL: a rule on an edge that its entry has left, until its last count is stored."""

    number: int
    """The entry's."""
    dpid: int
    table: int
    priority: int
    match: bytes
    """Canonical TLVs, as on the datapath."""


class EntryCount(Record, frozen=True):
    """ls/NAME/count/NUMBER: what was counted under that number."""

    base: Count
    last: dict[int, Count]
    """By datapath."""
    carried: list[int]
    """Other numbers that count for this one."""
    used: float
    table_id: int
    goto: int
    """NO_TABLE: nowhere. With the table, what counts it once its entry is gone."""


NO_TABLE: Final = 255
"""For counts that are no entry's, and for entries that send packets on to no table."""


class GroupRecord(Record, frozen=True):
    """ls/NAME/group/ID"""

    type: int
    buckets: bytes
    indexes: dict[int, int]
    serial: int
    created: float | None
    """None: it is not there, and this stands in for it."""


class SumRecord(Record, frozen=True):
    """What counters keep of one number."""

    base: Count
    last: list[tuple[Place, Count]]


class GroupCount(Record, frozen=True):
    """ls/NAME/groupcount/ID"""

    whole: SumRecord
    buckets: dict[int, SumRecord]


class MeterRecord(Record, frozen=True):
    """ls/NAME/meter/ID"""

    place: int
    flags: int
    bands: bytes
    created: float
    revision: int
    demand: dict[int, int]
    turns: dict[int, int]
    whole: SumRecord
    bands_counted: dict[int, SumRecord]


class HostRecord(Record, frozen=True):
    """ls/NAME/host/NUMBER: where NORMAL has seen an address."""

    address: int
    vlan: int
    port: int
    used: float


class RollbackRecord(Record, frozen=True):
    """ls/NAME/rollback/0: a rollback is under way, and a restart carries it on."""

    snapshot: bytes
    """As a file (model.snapshot)."""
    counts: bool
    """What comes back goes on counting."""


class LabelRecord(Record, frozen=True):
    """label/KIND/LOGICAL_SWITCH/NUMBER, key/KIND/LOGICAL_SWITCH/NUMBER for the key of tunnels"""

    label: int


class Block(Record, frozen=True):
    """block/FIRST_LABEL: the labels from that one on are lent to this datapath, for what leads to it."""

    owner: int


class Rest(Record, frozen=True):
    """rest/LABEL: it must not be used before that time."""

    until: float


class DatapathRecord(Record, frozen=True):
    """datapath/DPID"""

    destination: int | None
    """What names it in uplink groups and metadata."""
    extended: bool | None
    """It is Open vSwitch."""
    endpoint: str | None = None
    """Where its tunnels end."""


class LinkRecord(Record, frozen=True):
    """link/DPID:PORT-DPID:PORT: a link that was in use."""

    a_dpid: int
    a_port: int
    b_dpid: int
    b_port: int
    carriage: int
    """view.Carriage."""
    speed: int = 0
    """In Mb/s; 0: neither end told."""


class DrainRecord(Record, frozen=True):
    """drain/DPID/LOGICAL_SWITCH, or drain/DPID/ for all: these leave that switch."""

    force: bool


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODERS: dict[type[Record], msgspec.msgpack.Decoder[Any]] = {}


def encode(key: str, record: Record) -> bytes:
    """The record as it is stored under `key`."""
    body = _ENCODER.encode(record)
    return _sealed(key, body) + body


def decode(key: str, kind: type[R], data: bytes) -> R:
    """Read what was stored under `key`. Raises DamagedRecord."""
    if len(data) < _SEAL_SIZE:
        raise DamagedRecord(key, f"{len(data)} bytes are no record")
    body = data[_SEAL_SIZE:]
    if not data.startswith(_sealed(key, body)):
        version = SEAL.parse(data).version
        raise DamagedRecord(key, "its checksum is wrong" if version == VERSION else
                            f"is of version {version}; this hvproxy reads version {VERSION}")
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.msgpack.Decoder(kind)
    try:
        record: R = decoder.decode(body)
    except msgspec.DecodeError as error:
        raise DamagedRecord(key, f"is no {kind.__name__}: {error}") from error
    return record


def _sealed(key: str, body: bytes) -> bytes:
    """The seal of what this hvproxy writes."""
    return _PACKED.pack(VERSION, checksum(key, body))


def checksum(key: str, body: bytes) -> int:
    """What the seal of a body under a key says."""
    return crc32(body, crc32(key.encode()))
