"""What the operator wants to exist: tenants, their logical switches, logical ports and where these are attached.

The same values come from the configuration file and from the HTTP API; `parse` reads one from a plain object and
lists every mistake, schema.plain writes it back. Knows nothing of what exists: whether a datapath, a port or another
client's logical switch is there is for the hypervisor to say.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, Final, Literal, TypeAlias, TypeVar, cast

import msgspec

from hvproxy.errors import ConfigError
from hvproxy.model.address import ACTIVE, FORMS, PASSIVE, Address
from hvproxy.model.hosts import HostAddress, Mac
from hvproxy.model.layout import TABLES
from hvproxy.model.schema import NOT_YET, NUMBER_OR_NAME, DpidKey, Path, Reading, format_dpid, format_path, read

LAST_LPORT: Final = 0xFEFF
"""OpenFlow 1.0 numbers ports up to 0xff00 - 1, and a logical switch may have tenants of either version."""
LOCAL: Final = 0xFFFFFFFE
"""OFPP_LOCAL: a logical switch's own port, as Open vSwitch's internal one."""
MOST_ENTRIES: Final = 1_000_000
"""Per logical table that holds any, as Open vSwitch tells."""
LAST_PORT: Final = 0xFFFFFF00
"""OFPP_MAX of OF 1.3.5 section 7.2.1."""
LAST_SPEED: Final = 0xFFFFFFFF // 1000
"""In Mb/s: OpenFlow tells kb/s in 32 bits."""
_PORT_NAME_BYTES: Final = 15
"""OFP_MAX_PORT_NAME_LEN less the closing NUL (OF 1.3.5 section 7.2.1)."""

Protocol: TypeAlias = Literal["OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15"]
SUPPORTED_PROTOCOLS: Final = ("OpenFlow13",)
NEEDS_DATABASE: Final = "needs a database in switches.ovsdb"
"""What is wrong with what only works with one."""
Name: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$(?!\n)",
        extra={"rule": "a name has 1 to 63 letters, digits, '.', '_' and '-', and begins with a letter or digit"},
    ),
]
PortName: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[!-~]+$(?!\n)",
        extra={"rule": "a port name has printable ASCII characters and no space", "max_bytes": _PORT_NAME_BYTES},
    ),
]
Description: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[ -~]{0,255}$(?!\n)", extra={"rule": "a description has up to 255 printable ASCII characters"}
    ),
]
PortRef: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=LAST_PORT)] | PortName
"""A physical port, by number or by name."""
IfaceId: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[!-~]{1,255}$(?!\n)", extra={"rule": "an iface-id has 1 to 255 printable ASCII characters, no space"}
    ),
]
PeerRef: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}/[1-9][0-9]{0,4}$(?!\n)",
        extra={"rule": "a peer is a logical switch and the number of a port of it: core/1"},
    ),
]
"""Another logical port."""
Vid: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=4094)]


LportNumber: TypeAlias = Annotated[
    int, msgspec.Meta(ge=1, le=LAST_LPORT, description=NUMBER_OR_NAME, extra={"named": {"LOCAL": LOCAL}})]
"""A logical port's number, or LOCAL."""


class TlsSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The PEM files of one side of TLS connections."""

    private_key: str
    certificate: str
    ca: str | None = None
    """What the other side's certificate must be signed by; None: any is taken."""


class AttachSpec(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A VIF as the operator names it: by its datapath and port, which may go by its name, or by its iface-id, wherever
    the switches' databases say that is; with a datapath, there rather than elsewhere while it is at several places. Or,
    instead of a VIF, another logical port."""

    datapath: DpidKey | None = None
    port: PortRef | None = None
    vlan: Vid | None = None
    """None: every frame that no sibling VIF with a VLAN claims."""
    iface_id: IfaceId | None = None
    """external_ids:iface-id of an Interface in the database of an Open vSwitch."""
    peer: PeerRef | None = None
    """LOGICAL-SWITCH/PORT: a logical port that names this one in the same way. They are wired together."""

    @property
    def place(self) -> tuple[int, int | str] | None:
        """The datapath and port; None when it is named by its iface-id, or is no VIF."""
        return None if self.datapath is None or self.port is None else (self.datapath, self.port)

    @property
    def vif(self) -> AttachSpec:
        """What is the same for all that name the same VIF."""
        return self if self.iface_id is None else AttachSpec(iface_id=self.iface_id, vlan=self.vlan)


class PortSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A logical port."""

    number: LportNumber
    name: PortName
    attach: AttachSpec | None = None
    """None: unbound; the tenant sees the port down."""
    speed: Annotated[int, msgspec.Meta(ge=1, le=LAST_SPEED, description="Mb/s")] | None = None
    """What the tenant is told as the port's speed, in Mb/s, wherever it is; None: that of the physical port."""
    macs: tuple[Mac, ...] | None = None
    """Of the hosts there: floods of frames for them come nowhere else, in a logical switch with less_broadcast."""
    addresses: tuple[HostAddress, ...] | None = None
    """Of the hosts there: requests for their MACs come nowhere else."""


class LogicalSwitchSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What one tenant's controllers see as a switch."""

    LATER: ClassVar[frozenset[str]] = frozenset({"durability"})

    name: Name
    """Unique over all tenants."""
    tenant: Name = ""
    """Within a tenant's own object it need not be said."""
    datapath_id: DpidKey
    controllers: tuple[Address, ...] = ()
    """Dialled, with back-off."""
    listen: tuple[Address, ...] = ()
    """Where controllers and tools may connect to."""
    protocols: tuple[Protocol, ...] = SUPPORTED_PROTOCOLS
    tls: TlsSpec | None = None
    tables: Annotated[int, msgspec.Meta(ge=1, le=TABLES)] = 8
    """How many logical tables it has; those from layout.HOLDING_TABLES on hold no entries. Not as many as Open vSwitch
    by default: other switches have fewer, and a controller that asks for their features is told of all."""
    table_size: Annotated[int, msgspec.Meta(ge=1, le=MOST_ENTRIES)] | None = None
    """How many entries each table holds, by default MOST_ENTRIES; one more is refused as by a switch whose table is
    full."""
    buffers: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    """How many packets it keeps for controllers that ask for the beginning only; none by default, as Open vSwitch."""
    less_broadcast: bool = False
    """Floods for hosts that ports are known to have come to these ports only."""
    nat: bool = False
    """Its controllers may have addresses of connections translated, by which they can stop Open vSwitch 3.1."""
    description: Description = ""
    """What controllers read as its datapath description (OF 1.3.5 section 7.3.5.1)."""
    ports: tuple[PortSpec, ...] = ()

    @property
    def most_entries(self) -> int:
        """How many entries each table holds."""
        return MOST_ENTRIES if self.table_size is None else self.table_size


class TenantSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Whose logical switches these are."""

    name: Name
    logical_switches: tuple[LogicalSwitchSpec, ...] = ()


T = TypeVar("T")
Spec = TypeVar("Spec", bound=msgspec.Struct)


def parse(kind: type[Spec], document: object, tenant: str = "") -> Spec:
    """Read a plain object; raises ConfigError with every mistake in it.

    `tenant` is whose a logical switch is when its object does not say so.
    """
    reading = read(kind, document)
    check(reading)
    if kind is LogicalSwitchSpec and isinstance(document, Mapping) and "tenant" not in document and not tenant:
        reading.fault(("tenant",), "is missing")
    if reading.value is None or reading.faults:
        raise ConfigError(reading.mistakes())
    value: object = reading.value
    if isinstance(value, LogicalSwitchSpec) and not value.tenant:
        value = msgspec.structs.replace(value, tenant=tenant)
    elif isinstance(value, TenantSpec):
        value = owned(value)
    return cast(Spec, value)


def owned(tenant: TenantSpec) -> TenantSpec:
    """`tenant` with each of its logical switches knowing it."""
    switches = tuple(msgspec.structs.replace(each, tenant=tenant.name) for each in tenant.logical_switches)
    return msgspec.structs.replace(tenant, logical_switches=switches)


def check(reading: Reading[T]) -> None:
    """Note the faults that no single leaf shows: duplicates, listeners in each other's way, what is not built yet."""
    once = Once(reading.fault)
    listeners: list[tuple[Path, Address]] = []
    for path, value in list(reading.found.items()):
        match path:
            case (*scope, "listen") | (*scope, "listen", int()) if isinstance(value, Address):
                _check_address(reading, path, value, "listen", (*scope, "tls") in reading.places)
                _check_listener(reading, path, value, listeners)
            case ("switches", "ovsdb", int()) if isinstance(value, Address):
                _check_address(reading, path, value, "ovsdb", ("switches", "tls") in reading.places)
                once.say(path, ("switches", "ovsdb"), value, str(value))
            case (*scope, "controllers", int()) if isinstance(value, Address):
                _check_address(reading, path, value, "controllers", (*scope, "tls") in reading.places)
                once.say(path, (*scope, "controllers"), value, str(value))
            case (*_, "protocols"):
                if value == ():
                    reading.fault(path, "names no protocol")
            case (*_, "protocols", int()):
                if value not in SUPPORTED_PROTOCOLS:
                    reading.fault(path, f"{value}: {NOT_YET}; supported: {', '.join(SUPPORTED_PROTOCOLS)}")
            case ("tenants", int(), "name"):
                once.say(path, ("tenant",), value, f"tenant name {value!r}")
            case (*_, "logical_switches", int(), "name"):
                once.say(path, ("logical switch",), value, f"logical switch name {value!r}")
            case (*scope, "logical_switches", int(), "tenant"):
                if (owner := reading.found.get((*scope, "name"))) not in (None, value):
                    reading.fault(path, f"{value!r} is not the tenant it stands under, {owner!r}")
            case (*_, "logical_switches", int(), "datapath_id") if isinstance(value, int):
                once.say(path, ("datapath_id",), value, f"datapath id {format_dpid(value)}")
            case (*scope, "ports", int(), ("number" | "name") as key):
                once.say(path, (*scope, key), value, f"port {key} {'LOCAL' if value == LOCAL else repr(value)}")
            case (*_, "attach") if isinstance(value, AttachSpec) and value.peer:
                once.say((*path, "peer"), ("attach",), value, attach_text(value))
            case (*_, "attach") if isinstance(value, AttachSpec) and (value.place or value.iface_id):
                once.say(path, ("attach",), value.vif, f"VIF ({attach_text(value)})")
    for path in list(reading.places):
        if path[-1:] == ("attach",):
            _check_attach(reading, path)


def _check_attach(reading: Reading[T], path: Path) -> None:
    """A VIF is named either way, and not by both, and not where a peer is."""
    if reading.found.get(path, path) is None:
        return
    said = {key for key in ("datapath", "port", "vlan", "iface_id", "peer") if (*path, key) in reading.places}
    for key in ("datapath", "port", "vlan", "iface_id"):
        if "peer" in said and key in said:
            reading.fault((*path, key), "excludes peer: write one of both")
    for key in ("datapath", "port"):
        if "peer" not in said and "iface_id" in said and key in said:
            if key == "port":
                reading.fault((*path, key), "excludes iface_id: write one of both")
        elif not said & {"iface_id", "peer", key} and (said or path in reading.found):
            reading.fault((*path, key), "is missing")


def attach_text(attach: AttachSpec) -> str:
    """A VIF, or a peer, for people."""
    if attach.peer is not None:
        return f"peer {attach.peer}"
    vlan = "" if attach.vlan is None else f", vlan {attach.vlan}"
    if attach.place is None:
        return f"iface-id {attach.iface_id}{vlan}"
    return f"datapath {format_dpid(attach.place[0])}, port {attach.port}{vlan}"


class Once:
    """Notes a fault for each value that may stand only once in a scope and stands there again."""

    def __init__(self, fault: Callable[[Path, str], None]) -> None:
        self._fault = fault
        self._first: dict[tuple[Path, object], Path] = {}

    def say(self, path: Path, scope: Path, value: object, named: str) -> None:
        """`value` stands at `path`."""
        first = self._first.setdefault((scope, value), path)
        if first is not path:
            self._fault(path, f"{named} is used already by {format_path(first)}")


def _check_address(reading: Reading[T], path: Path, address: Address, key: str, has_tls: bool) -> None:
    kinds = PASSIVE if key == "listen" else ACTIVE
    if address.kind not in kinds:
        verb = "listened on" if key == "listen" else "dialled"
        reading.fault(path, f"{address} cannot be {verb}; write one of {', '.join(FORMS[kind] for kind in kinds)}")
    elif address.is_tls and not has_tls:
        reading.fault(path, f"{address} needs tls: {{private_key, certificate, ca}} beside {key}")


def _check_listener(reading: Reading[T], path: Path, address: Address, listeners: list[tuple[Path, Address]]) -> None:
    for other, listener in listeners:
        if address.collides(listener):
            reading.fault(path, f"{address} is taken already by {listener} of {format_path(other)}")
            break
    listeners.append((path, address))
