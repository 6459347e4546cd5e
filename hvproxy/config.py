"""The configuration file: its keys, their defaults, and everything that can be wrong with them.

`load` reads a file, `parse` a text; both raise ConfigError with every mistake. Opens no other file and no connection:
whether a certificate exists or a switch answers shows when hvproxy starts.
"""
from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path as FilePath
from typing import Annotated, ClassVar, Literal

import msgspec

from hvproxy.document import decode
from hvproxy.errors import ConfigError
from hvproxy.model.address import Address, DatabaseAddress
from hvproxy.model.intent import (
    LAST_PORT, NEEDS_DATABASE, SUPPORTED_PROTOCOLS, AttachSpec, Once, PortRef, Protocol, TenantSpec, TlsSpec,
    attach_text, check, owned,
)
from hvproxy.model.schema import NOT_YET, DpidKey, Path, Reading, format_dpid, format_path, parse_dpid, read

_LINK = re.compile(r"\s*([^\s:]+):(\S+)\s+-\s+([^\s:]+):(\S+)\s*")
_VLAN_RANGE = re.compile(r"\s*([0-9]{1,4})\s*-\s*([0-9]{1,4})\s*")
_PORT_NAME = re.compile(r"[!-~]{1,15}")
MAX_FILE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LinkEnd:
    """A fabric port, by number or by name."""

    datapath: int
    port: PortRef

    @classmethod
    def parse(cls, dpid: str, port: str) -> LinkEnd:
        """Raises ValueError with what is wrong."""
        if port.isascii() and port.isdigit():
            if not 1 <= int(port[:11]) <= LAST_PORT:
                raise ValueError(f"{port!r} is not a port number from 1 to {LAST_PORT}")
            return cls(parse_dpid(dpid), int(port))
        if not _PORT_NAME.fullmatch(port):
            raise ValueError(f"{port!r} is not a port name of up to 15 printable ASCII characters")
        return cls(parse_dpid(dpid), port)

    def __str__(self) -> str:
        return f"0x{self.datapath:x}:{self.port}"


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """A link that the operator vouches for."""

    a: LinkEnd
    b: LinkEnd

    @classmethod
    def parse(cls, text: str) -> LinkSpec:
        """Raises ValueError with what is wrong."""
        parts = _LINK.fullmatch(text)
        if parts is None:
            raise ValueError(f"{text!r} is not a link; write it as \"0x1:5 - 0x2:5\" (DPID:PORT - DPID:PORT)")
        link = cls(LinkEnd.parse(parts[1], parts[2]), LinkEnd.parse(parts[3], parts[4]))
        if link.a.datapath == link.b.datapath:
            raise ValueError(f"{text!r}: both ends are on datapath {format_dpid(link.a.datapath)}")
        return link

    def __str__(self) -> str:
        return f"{self.a} - {self.b}"


@dataclass(frozen=True, slots=True)
class VlanRange:
    """The VIDs that may serve as labels in the fabric."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> VlanRange:
        """Raises ValueError with what is wrong."""
        parts = _VLAN_RANGE.fullmatch(text)
        if parts is None or not 1 <= int(parts[1]) <= int(parts[2]) <= 4094:
            raise ValueError(f"{text!r} is not a range of VLAN ids; write FIRST-LAST within 1-4094")
        return cls(int(parts[1]), int(parts[2]))

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """Where state is kept."""

    kind: str
    path: str = ""
    """Of the database of kind "sqlite"."""

    @classmethod
    def parse(cls, text: str) -> StoreUrl:
        """Raises ValueError with what is wrong."""
        kind, _, path = text.partition(":")
        if text == "memory:":
            return cls(kind)
        if kind == "sqlite" and path and "\0" not in path:
            return cls(kind, path)
        if text.startswith("etcd:"):
            raise ValueError(f"{kind}: {NOT_YET}; supported: memory:, sqlite:PATH")
        raise ValueError(f"{text!r} is not a store; write memory: or sqlite:PATH")

    def file(self, config: str | FilePath) -> FilePath | None:
        """The database, if there is one: a relative path begins at the folder of the configuration file."""
        return FilePath(config).parent / self.path if self.path else None

    def __str__(self) -> str:
        return f"{self.kind}:{self.path}"


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that is not to be shown: neither logs nor dumps get it by accident."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Secret:
        """Raises ValueError with what is wrong."""
        if len(text) < 16:
            raise ValueError("is too short; write at least 16 characters")
        return cls(text)

    def __str__(self) -> str:
        return "(hidden)"

    def __repr__(self) -> str:
        return "Secret((hidden))"


class SwitchesConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where physical switches connect."""

    listen: tuple[Address, ...] = (Address("ptcp", "0.0.0.0", 6633),)
    protocols: tuple[Protocol, ...] = SUPPORTED_PROTOCOLS
    grace: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 10.0
    """Seconds for which a lost control connection changes nothing upward."""
    tls: TlsSpec | None = None
    ovsdb: tuple[DatabaseAddress, ...] = ()
    """The databases of those that are Open vSwitch: where VIFs are, and how bridges are set."""
    configure_bridges: bool = False
    """Set bridges as hvproxy needs them, in their databases; otherwise it only warns."""
    audit: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 300.0
    """Seconds between two comparisons of what switches hold with what they should; 0: only when asked."""
    remove_foreign: bool = False
    """Take away rules, groups and meters that are not hvproxy's; otherwise they are only reported."""


@dataclass(frozen=True, slots=True)
class TunnelAddress:
    """Where tunnels end: an IP address of a host."""

    text: str
    """In its shortest form."""

    @classmethod
    def parse(cls, text: str) -> TunnelAddress:
        """Raises ValueError with what is wrong."""
        try:
            address = ip_address(text)
        except ValueError:
            raise ValueError(f"{text!r} is not an IP address") from None
        if address.is_multicast or address.is_unspecified or address.is_loopback:
            raise ValueError(f"{text!r} is not the address of a host that others can reach")
        return cls(str(address))

    def __str__(self) -> str:
        return self.text


class TunnelEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where the tunnels of a physical switch end, whatever its database says."""

    datapath: DpidKey
    address: TunnelAddress


class FabricConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How frames get from edge to edge."""

    encapsulation: Literal["auto", "vlan", "gre", "vxlan", "geneve"] = "auto"
    discovery: bool = True
    """Find links by authenticated LLDP."""
    links: tuple[LinkSpec, ...] = ()
    """Links that need no finding, instead or as well."""
    vlan_range: VlanRange = VlanRange(2, 4094)
    tunnel_endpoints: tuple[TunnelEndpoint, ...] = ()
    """Besides those that the databases tell (external_ids:hv-tunnel-ip of Open_vSwitch or of a bridge)."""
    bfd_interval: Annotated[float, msgspec.Meta(ge=0.01, le=10)] = 0.1
    """Seconds between two frames by which the ends of a tunnel see that it lets frames through; after three that are
    missing it is down. Below 0.01 Open vSwitch takes tunnels for dead that are not."""
    secret: Secret | None = None
    """What discovery frames are authenticated with; None: a fresh one at each start."""


class ApiConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The HTTP API."""

    listen: Address = Address("ptcp", "127.0.0.1", 8080)
    tls: TlsSpec | None = None


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the configuration file says."""

    LATER: ClassVar[frozenset[str]] = frozenset({"workers"})

    switches: SwitchesConfig = SwitchesConfig()
    fabric: FabricConfig = FabricConfig()
    api: ApiConfig = ApiConfig()
    store: StoreUrl = StoreUrl("sqlite", "hvproxy.db")
    durability: Literal["barrier", "relaxed"] = "barrier"
    """Whether a barrier reply says that everything before it is stored."""
    tenants: tuple[TenantSpec, ...] = ()


_DEFAULT_LISTENERS: dict[Path, object] = {
    ("switches", "listen"): SwitchesConfig().listen[0],
    ("api", "listen"): ApiConfig().listen,
}
"""What is listened on unless the file says otherwise; it must not be in a tenant's way either."""


def load(path: str | FilePath) -> Config:
    """Read a configuration file."""
    return parse(_bytes_of(path))


def plain_file(path: str | FilePath) -> object:
    """The plain object that a configuration file says, unchecked but for being one: what the HTTP API takes."""
    value = decode(_bytes_of(path)).value
    return {} if value is None else value


def _bytes_of(path: str | FilePath) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError([("", f"cannot be read: {error.strerror}")]) from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError([("", f"is larger than {MAX_FILE_BYTES // 2**20} MiB")])
    return data


def parse(data: bytes | str) -> Config:
    """Read a configuration from the text of its file."""
    document = decode(data)
    return read_object({} if document.value is None else document.value, document.faults)


def read_object(value: object, faults: Iterable[tuple[Path, str]] = ()) -> Config:
    """Read a configuration from the plain object that its text says. Raises ConfigError, with `faults` too."""
    reading = read(Config, value)
    for path, what in faults:
        reading.fault(path, what)
    reading.found.update({path: value for path, value in _DEFAULT_LISTENERS.items() if path not in reading.places})
    check(reading)
    _check_fabric(reading)
    _check_databases(reading)
    _check_peers(reading)
    if reading.value is None or reading.faults:
        raise ConfigError(reading.mistakes())
    return msgspec.structs.replace(reading.value, tenants=tuple(owned(each) for each in reading.value.tenants))


def _check_fabric(reading: Reading[Config]) -> None:
    """Note what is wrong between links, and between links and VIFs."""
    once = Once(reading.fault)
    for path, value in list(reading.found.items()):
        if isinstance(value, TunnelEndpoint):
            once.say((*path, "datapath"), ("tunnel datapath",), value.datapath,
                     f"datapath {format_dpid(value.datapath)}")
            once.say((*path, "address"), ("tunnel address",), value.address, f"tunnel endpoint {value.address}")
    ends: dict[LinkEnd, Path] = {}
    for path, value in list(reading.found.items()):
        if isinstance(value, LinkSpec):
            for end in (value.a, value.b):
                ends.setdefault(end, path)
                once.say(path, ("link end",), end, f"link end {end}")
    for path, value in list(reading.found.items()):
        if isinstance(value, AttachSpec) and value.place is not None and (link := ends.get(LinkEnd(*value.place))):
            reading.fault(path, f"VIF ({attach_text(value)}) is an end of the link {format_path(link)}")


def _check_peers(reading: Reading[Config]) -> None:
    """Note the peers that are not there, are another tenant's, or do not name the port that names them."""
    switches: dict[object, Path] = {}
    ports: dict[str, Path] = {}
    for path, value in list(reading.found.items()):
        match path:
            case (*scope, "name") if scope[-2:-1] == ["logical_switches"]:
                switches[value] = tuple(scope)
            case (*scope, "ports", int() as index, "number"):
                name = reading.found.get((*scope, "name"))
                ports[f"{name}/{value}"] = (*scope, "ports", index)
    for port, path in ports.items():
        attach = reading.found.get((*path, "attach"))
        if not isinstance(attach, AttachSpec) or attach.peer is None:
            continue
        at, name = (*path, "attach", "peer"), attach.peer.partition("/")[0]
        there = ports.get(attach.peer)
        theirs = None if there is None else reading.found.get((*there, "attach"))
        if name not in switches:
            reading.fault(at, f"there is no logical switch {name}")
        elif switches[name][:2] != path[:2]:
            reading.fault(at, f"logical switch {name} is another tenant's")
        elif there is None:
            reading.fault(at, f"logical switch {name} has no port {attach.peer.partition('/')[2]}")
        elif attach.peer == port:
            reading.fault(at, f"{port} is this port itself")
        elif not isinstance(theirs, AttachSpec) or theirs.peer != port:
            reading.fault(at, f'{attach.peer} does not name this port in turn: write attach: {{peer: "{port}"}} there')


def _check_databases(reading: Reading[Config]) -> None:
    """Note what cannot be without a database. An iface-id would never be found, so it is a mistake and no warning."""
    if reading.found.get(("switches", "ovsdb"), ()) or ("switches", "ovsdb") not in reading.found and (
            ("switches", "ovsdb") in reading.places):
        return
    if (encapsulation := reading.found.get(("fabric", "encapsulation"))) in ("gre", "vxlan", "geneve"):
        reading.fault(("fabric", "encapsulation"), f"{encapsulation} {NEEDS_DATABASE}, to make tunnels: none is named")
    if reading.found.get(("fabric", "tunnel_endpoints")):
        reading.fault(("fabric", "tunnel_endpoints"), f"{NEEDS_DATABASE}, to make tunnels: none is named")
    if reading.found.get(("switches", "configure_bridges")):
        reading.fault(("switches", "configure_bridges"), f"{NEEDS_DATABASE}: none is named")
    for path, value in list(reading.found.items()):
        if isinstance(value, AttachSpec) and value.iface_id is not None:
            reading.fault((*path, "iface_id"), f"{NEEDS_DATABASE}, which could say where it is: none is named")
