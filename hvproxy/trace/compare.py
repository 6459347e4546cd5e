"""What a frame is, and what two frames differ in, in the words that compose takes.

Must not know what changed it.
"""
from __future__ import annotations

from typing import Final

from hvproxy.openflow.oxm import tlv
from hvproxy.openflow.text import match_text
from hvproxy.trace import edits
from hvproxy.trace import frame as f
from hvproxy.trace.compose import PROTOCOLS
from hvproxy.trace.frame import Frame

_WORDS: Final = {headers: word for word, headers in PROTOCOLS.items()}


def summary(data: bytes) -> str:
    """The frame as a line of fields: tcp,dl_dst=…,dl_src=…,nw_src=…"""
    parts = _parts(Frame(data, 0))
    eth_type, protocol = Frame(data, 0).fields[f.ETH_TYPE], Frame(data, 0).fields.get(f.IP_PROTO)
    word = _WORDS.get((eth_type, protocol)) or _WORDS.get((eth_type, None))
    if word is None:
        return ",".join(parts.values())
    left_out = {f.ETH_TYPE, f.IP_PROTO} if (eth_type, protocol) in _WORDS else {f.ETH_TYPE}
    return ",".join([word, *(text for key, text in parts.items() if key not in left_out)])


def changes(before: bytes, after: bytes) -> list[str]:
    """What became of a frame: dl_vlan=20 removed, nw_ttl=63 (was 64); nothing when it is the same."""
    was, now = _parts(Frame(before, 0)), _parts(Frame(after, 0))
    found = []
    for key in dict.fromkeys((*was, *now)):
        if key not in now:
            found.append(f"{was[key]} removed")
        elif key not in was:
            found.append(f"{now[key]} added")
        elif was[key] != now[key]:
            found.append(f"{now[key]} (was {was[key].partition('=')[2]})")
    if not found and before != after:
        found.append("bytes outside of all fields changed")
    return found


def _parts(frame: Frame) -> dict[object, str]:
    """Every field that is there, as text."""
    parts: dict[object, str] = {
        number: match_text(tlv(number, value)) for number, value in sorted(frame.fields.items())
        if number != f.IN_PORT and number not in f.PIPELINE and (value or number != f.VLAN_VID)}
    for name, ttl in (("nw_ttl", edits.ttl(frame)), ("mpls_ttl", edits.mpls_ttl(frame))):
        if ttl is not None:
            parts[name] = f"{name}={ttl}"
    return parts
