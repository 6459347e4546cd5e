"""OpenFlow messages in words, for the people who read a failing script."""
from __future__ import annotations

from struct import error as StructError

from hvproxy.errors import HvproxyError
from hvproxy.openflow import guard, text
from hvproxy.openflow.messages import decode_flow_mod, decode_group_mod, decode_packet_out
from tools.emulator import wire

FLOW_COMMANDS = ("add", "modify", "modify strictly", "delete", "delete strictly")
GROUP_COMMANDS = ("add", "modify", "delete")
UNSET = 0xffffffff


def described(kind: int, body: bytes) -> str:
    """What a message says; of a malformed one only the type."""
    name = text.message_type(kind)
    message = wire.message(kind, 0, body)
    try:
        guard.check(message, from_switch=False)
        return f"{name} {_details(kind, message)}".rstrip()
    except (HvproxyError, IndexError, StructError):
        return f"{name}, malformed"


def _details(kind: int, message: bytes) -> str:
    if kind == wire.FLOW_MOD:
        return _flow_mod(message)
    if kind == wire.GROUP_MOD:
        mod = decode_group_mod(message)
        buckets = "".join(f" [{bucket}]" for bucket in text.bucket_texts(mod.buckets))
        return f"{_named(GROUP_COMMANDS, mod.command)} {text.group_type(mod.type)} {mod.group_id:#x}{buckets}"
    if kind == wire.PACKET_OUT:
        out = decode_packet_out(message)
        return f"in_port={text.port_text(out.in_port)} {text.actions_text(out.actions)} with {out.data.hex()}"
    if kind == wire.MULTIPART_REQUEST:
        return str(int.from_bytes(message[8:10], "big"))
    return message[8:].hex()


def _flow_mod(message: bytes) -> str:
    mod = decode_flow_mod(message)
    said = [_named(FLOW_COMMANDS, mod.command), f"table={mod.table_id}", f"priority={mod.priority}"]
    said += [f"{name}={value:#x}" for name, value, usual in (
        ("cookie", mod.cookie, 0), ("cookie_mask", mod.cookie_mask, 0), ("idle", mod.idle_timeout, 0),
        ("hard", mod.hard_timeout, 0), ("flags", mod.flags, 0), ("out_port", mod.out_port, UNSET),
        ("out_group", mod.out_group, UNSET), ("buffer", mod.buffer_id, UNSET)) if value != usual]
    said.append(text.match_text(mod.match[4:]) or "every packet")
    return f"{' '.join(said)} actions={text.instructions_text(mod.instructions)}"


def _named(names: tuple[str, ...], number: int) -> str:
    return names[number] if number < len(names) else f"command {number}"
