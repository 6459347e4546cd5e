"""Where a connection goes to or is awaited, written as Open vSwitch writes it (ovs-vswitchd.conf.db(5), Controller).

Knows text only: opening, listening and looking up host names are the adapters' work.
"""
from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

DEFAULT_PORT = 6653
"""The port IANA gave OpenFlow; Open vSwitch's default."""

DATABASE_PORT = 6640
"""The port IANA gave the Open vSwitch database protocol."""

ACTIVE = ("tcp", "ssl", "unix")
PASSIVE = ("ptcp", "pssl")
FORMS = {
    "tcp": "tcp:HOST[:PORT]",
    "ssl": "ssl:HOST[:PORT]",
    "unix": "unix:PATH",
    "ptcp": "ptcp:[PORT][:HOST]",
    "pssl": "pssl:[PORT][:HOST]",
}
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*\.?")
_ALL_IPV4 = "0.0.0.0"
_ALL_IPV6 = "::"


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """One address; `str()` gives it back in full: ptcp: becomes ptcp:6653:0.0.0.0."""

    kind: str
    """tcp, ssl, unix (we dial) or ptcp, pssl (we listen)."""
    host: str = ""
    """A host name or an IP address without brackets; empty with unix. Listeners: an IP address."""
    port: int = 0
    """0 with unix; with a listener the system picks a free one."""
    path: str = ""
    """Of the socket, with unix."""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Raises ValueError with what is wrong, in words for the operator."""
        kind, colon, rest = text.partition(":")
        if not colon or kind not in FORMS:
            raise ValueError(f"{text!r} is not an address; write one of {', '.join(FORMS.values())}")
        if kind == "unix":
            if not rest or "\0" in rest:
                raise ValueError(f"{text!r} names no socket; write {FORMS[kind]}")
            return cls(kind, path=rest)
        host, port = _passive(rest) if kind in PASSIVE else _active(rest)
        if not host:
            raise ValueError(f"{text!r} names no host; write {FORMS[kind]}")
        number = _port(text, port, lowest=int(kind in ACTIVE)) if port else cls.default_port()
        return cls(kind, _host(text, host, passive=kind in PASSIVE), number)

    @classmethod
    def default_port(cls) -> int:
        """The port of an address that names none."""
        return DEFAULT_PORT

    @property
    def is_passive(self) -> bool:
        return self.kind in PASSIVE

    @property
    def is_tls(self) -> bool:
        return self.kind in ("ssl", "pssl")

    def collides(self, other: Address) -> bool:
        """True when both are listeners and the system would not let both listen."""
        if not (self.is_passive and other.is_passive and self.port == other.port and self.port):
            return False
        if (":" in self.host) != (":" in other.host):
            return False
        return self.host == other.host or bool({_ALL_IPV4, _ALL_IPV6} & {self.host, other.host})

    def __str__(self) -> str:
        if self.kind == "unix":
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}:{self.port}:{host}" if self.is_passive else f"{self.kind}:{host}:{self.port}"


@dataclass(frozen=True, slots=True, order=True)
class DatabaseAddress(Address):
    """The address of a switch's database."""

    @classmethod
    def default_port(cls) -> int:
        return DATABASE_PORT


def _active(rest: str) -> tuple[str, str]:
    """HOST[:PORT]; an IPv6 host stands in brackets."""
    if rest.startswith("["):
        host, bracket, port = rest.partition("]")
        return host + bracket, port.removeprefix(":")
    host, _, port = rest.partition(":")
    return host, port


def _passive(rest: str) -> tuple[str, str]:
    """[PORT][:HOST]"""
    port, _, host = rest.partition(":")
    return host or _ALL_IPV4, port


def _host(text: str, host: str, passive: bool) -> str:
    try:
        if host.startswith("[") and host.endswith("]"):
            return str(IPv6Address(host[1:-1]))
        if passive or host.replace(".", "").isdigit():
            return str(IPv4Address(host))
    except AddressValueError as error:
        raise ValueError(f"{text!r}: {host!r} is not an IP address") from error
    if not _HOST_NAME.fullmatch(host):
        raise ValueError(f"{text!r}: {host!r} is not a host name; an IPv6 address stands in brackets")
    return host


def _port(text: str, port: str, lowest: int) -> int:
    if not (port.isascii() and port.isdigit() and lowest <= int(port[:6]) <= 0xFFFF and len(port) <= 6):
        raise ValueError(f"{text!r}: {port!r} is not a port number from {lowest} to 65535")
    return int(port)
