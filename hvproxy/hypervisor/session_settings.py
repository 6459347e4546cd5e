"""What a controller sets for its own connection: miss_send_len, async masks, the format of packet-ins, its id.

Open vSwitch 3.1's behaviour over OpenFlow 1.3. Changes nothing of the logical switch and sends nothing downward.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from hvproxy.errors import Refused
from hvproxy.hypervisor.controller_session import ControllerSession
from hvproxy.openflow import build
from hvproxy.openflow.constants import NICIRA_ID, ONF_ID, of13
from hvproxy.openflow.experimenters import (
    BODY, Nicira, NiciraError, Onf, decode_async_config, decode_controller_id, decode_word, nicira_role_reply,
    properties,
)
from hvproxy.openflow.messages import AsyncConfig, decode_async, decode_set_config, xid_of
from hvproxy.openflow.packet_ins import Format

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_switch import LogicalSwitch

Request = Callable[["LogicalSwitch", ControllerSession, bytes], None]

OFFERED: Final = AsyncConfig(0, (0x7, 0x7), (0x7, 0x7), (0x3f, 0x3f))
"""The bits of the masks that Open vSwitch keeps; others are dropped without an error."""
DEFAULT_MISS_SEND_LEN: Final = 128
"""What a connection that came to our listener gets when it sets its masks without having asked for packets before."""
_LEGAL: Final = (0x7, 0x7, 0x7, 0x7, 0x3f, 0x3f, 0x7, 0x7, 0x18, 0x18, 0x3, 0x3)
"""By property, what a mask may name: packets, ports, ends of entries; then, of which OpenFlow 1.3 tells nothing, roles
and tables; last others' requests."""
_ASYNC_INVALID: Final = 2370
_ASYNC_UNSUPPORTED: Final = 2371
"""The ONF's errors for masks that name unknown reasons, and for those of unknown messages (OF extension 237)."""


def get_config(ls: LogicalSwitch, session: ControllerSession, message: bytes) -> None:
    session.send(build.get_config_reply(xid_of(message), ls.frag_flags, session.miss_send_len))


def set_config(ls: LogicalSwitch, session: ControllerSession, message: bytes) -> bool:
    """Whether the logical switch treats fragments otherwise from now on, which is its own and not the connection's.

    REASM is taken and changes nothing, as in Open vSwitch: GET_CONFIG tells (trap 24). Nicira's fourth way shows
    tenants the ports of first fragments: that is a setting of whole datapaths, which tenants share. What a slave that
    was dialled says about fragments is passed over.
    """
    config = decode_set_config(message)
    offered = [of13.OFPC_FRAG_NORMAL, of13.OFPC_FRAG_REASM]
    if not ls.view.plain:
        offered.append(of13.OFPC_FRAG_DROP)
    if config.flags not in offered:
        raise Refused(of13.OFPET_SWITCH_CONFIG_FAILED, of13.OFPSCFC_BAD_FLAGS, "fragments are not treated so")
    session.miss_send_len = config.miss_send_len
    if config.flags in (ls.frag_flags, of13.OFPC_FRAG_REASM) or session.is_slave and not session.passive:
        return False
    ls.frag_flags = config.flags
    return True


def get_async(ls: LogicalSwitch, session: ControllerSession, message: bytes) -> None:
    masks = session.masks
    session.send(build.get_async_reply(
        AsyncConfig(xid_of(message), masks.packet_in, masks.port_status, masks.flow_removed)))


def set_async(ls: LogicalSwitch, session: ControllerSession, message: bytes) -> None:
    """Sets all masks: those it cannot name end."""
    _set_masks(session, decode_async(message), (0, 0))


def set_async_config(ls: LogicalSwitch, session: ControllerSession, message: bytes) -> None:
    """Nicira's, of the same form."""
    _set_masks(session, decode_async_config(message), (0, 0))


def set_async_config2(ls: LogicalSwitch, session: ControllerSession, message: bytes) -> None:
    """Nicira's, in properties: each sets one mask, and here an unknown reason is an error."""
    masks = session.masks
    now = [*masks.packet_in, *masks.port_status, *masks.flow_removed, 0, 0, 0, 0, *session.requests_heard]
    for kind, value in properties(message, BODY):
        if kind >= len(_LEGAL):
            raise Refused(of13.OFPET_EXPERIMENTER, _ASYNC_UNSUPPORTED, "mask of unknown messages", ONF_ID)
        mask = int.from_bytes(value, "big")
        if mask & ~_LEGAL[kind]:
            raise Refused(of13.OFPET_EXPERIMENTER, _ASYNC_INVALID, "mask of unknown reasons", ONF_ID)
        now[kind ^ 1] = mask  # OpenFlow 1.4 puts the slave's mask first
    _set_masks(session, AsyncConfig(0, (now[0], now[1]), (now[2], now[3]), (now[4], now[5])), (now[10], now[11]))


def _set_masks(session: ControllerSession, asked: AsyncConfig, requests_heard: tuple[int, int]) -> None:
    def kept(masks: tuple[int, int], offered: tuple[int, int]) -> tuple[int, int]:
        return masks[0] & offered[0], masks[1] & offered[1]

    session.masks = AsyncConfig(0, kept(asked.packet_in, OFFERED.packet_in),
                                kept(asked.port_status, OFFERED.port_status),
                                kept(asked.flow_removed, OFFERED.flow_removed))
    session.requests_heard = requests_heard
    if session.passive and not session.miss_send_len:
        session.miss_send_len = DEFAULT_MISS_SEND_LEN


def set_packet_in_format(ls: LogicalSwitch, session: ControllerSession, message: bytes) -> None:
    form = decode_word(message)
    if form not in tuple(Format):
        raise Refused(of13.OFPET_BAD_REQUEST, of13.OFPBRC_EPERM, f"no packet-in format {form}")
    session.packet_in_format = Format(form)


def set_controller_id(ls: LogicalSwitch, session: ControllerSession, message: bytes) -> None:
    padding, number = decode_controller_id(message)
    if any(padding):
        raise Refused(of13.OFPET_EXPERIMENTER, NiciraError.MUST_BE_ZERO, "padding is not zero", NICIRA_ID)
    session.controller_id = number


def role(ls: LogicalSwitch, session: ControllerSession, message: bytes) -> None:
    """Nicira's ROLE_REQUEST, which knows no generations."""
    told = ls.roles.request_nicira(session, ls.sessions.values(), decode_word(message))
    session.send(nicira_role_reply(xid_of(message), told))


def resume(ls: LogicalSwitch, session: ControllerSession, message: bytes) -> None:
    """No packet-in of a logical switch can be resumed: none carries a continuation."""
    raise Refused(of13.OFPET_EXPERIMENTER, NiciraError.RESUME_STALE, "nothing to resume", NICIRA_ID)


def accept(ls: LogicalSwitch, session: ControllerSession, message: bytes) -> None:
    """Asks for what is so anyway: FLOW_MOD_TABLE_ID over OpenFlow 1.3, and FLOW_AGE, which is no request."""


def cancel_monitor(ls: LogicalSwitch, session: ControllerSession, message: bytes) -> None:
    ls.monitors.cancel(session, decode_word(message))


ONF: Final[dict[int, Request]] = {Onf.FLOW_MONITOR: cancel_monitor}
NICIRA: Final[dict[int, Request]] = {
    Nicira.ROLE_REQUEST: role,
    Nicira.FLOW_MOD_TABLE_ID: accept,
    Nicira.SET_PACKET_IN_FORMAT: set_packet_in_format,
    Nicira.FLOW_AGE: accept,
    Nicira.SET_ASYNC_CONFIG: set_async_config,
    Nicira.SET_CONTROLLER_ID: set_controller_id,
    Nicira.SET_ASYNC_CONFIG2: set_async_config2,
    Nicira.RESUME: resume,
}
EXPERIMENTERS: Final = {NICIRA_ID: NICIRA, ONF_ID: ONF}
"""Messages by experimenter and type; `guard_experimenter` lets no others pass."""
