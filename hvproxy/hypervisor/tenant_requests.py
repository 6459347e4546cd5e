"""What a controller may ask of its logical switch, and what carries it out, by type of message and its sender's role.

A request that changes something is carried out here by what the logical switch can do; one that only asks is for
queries. Whatever is refused is answered with the error. Keeps nothing: all state is the logical switch's and the
session's. How messages come, and when it is the turn of one, the session knows.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from hvproxy.errors import Refused
from hvproxy.hypervisor import (
    barriers, commits, overheard, packets, port_config, port_counters, queries, resets, session_settings, zones,
)
from hvproxy.hypervisor.controller_session import ControllerSession
from hvproxy.hypervisor.flow_mods import names_buffer
from hvproxy.hypervisor.origin import Origin
from hvproxy.openflow.constants import NICIRA_ID, ONF_ID, of13
from hvproxy.openflow.experimenters import Nicira, Onf, kind_of
from hvproxy.openflow.groups import action_lists
from hvproxy.openflow.messages import decode_flow_mod, decode_group_mod, decode_port_mod, type_of
from hvproxy.openflow.meters import decode_meter_mod

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_switch import LogicalSwitch

Request: TypeAlias = Callable[["LogicalSwitch", ControllerSession, bytes, float], None]

FOR_MASTERS: Final = frozenset({of13.OFPT_FLOW_MOD, of13.OFPT_GROUP_MOD, of13.OFPT_PORT_MOD, of13.OFPT_TABLE_MOD,
                                of13.OFPT_METER_MOD, of13.OFPT_PACKET_OUT})
"""What a slave may not send (OF 1.3.5 section 6.3.4)."""
BUNDLE_MESSAGES: Final = frozenset({(ONF_ID, int(Onf.BUNDLE_CONTROL)), (ONF_ID, int(Onf.BUNDLE_ADD))})


def take(ls: LogicalSwitch, session: ControllerSession, message: bytes, now: float) -> None:
    """A message whose turn it is."""
    kind = type_of(message)
    ls.received[kind] += 1
    try:
        if kind in FOR_MASTERS and (barred := session.barred()) is not None:
            raise barred
        request = _REQUESTS.get(kind)
        if kind == of13.OFPT_PACKET_OUT and (session.unsettled or ls.tracking.is_changing):
            barriers.behind_settings(ls, session, message, now)
        elif request is not None:
            request(ls, session, message, now)
        else:
            queries.answer(ls, session, kind, message, now)
    except Refused as refused:
        session.refuse(message, refused)


def carry_out(ls: LogicalSwitch, session: ControllerSession, message: bytes, now: float) -> None:
    """Any message that changes something, whoever brings it. Raises Refused."""
    _REQUESTS[type_of(message)](ls, session, message, now)


def _flow_mod(ls: LogicalSwitch, session: ControllerSession, message: bytes, now: float) -> None:
    mod = decode_flow_mod(message)
    edits = ls.change_entries(mod, now)
    ls.prepare_entries(edits, now)
    origin = Origin(ls, session, message, edits)
    ls.monitors.report(edits, session, message)
    changes = ls.edited(edits, now)
    ls.send(changes, now, origin)
    resets.confirm(ls, origin, [changes], now)
    if names_buffer(mod):
        ls.release(session, message, now)


def _group_mod(ls: LogicalSwitch, session: ControllerSession, message: bytes, now: float) -> None:
    mod = decode_group_mod(message)
    before, deleted = ls.change_groups(mod, now)
    for data in action_lists(mod.buckets):
        ls.prepare(data, now)
    origin = Origin(ls, session, message, group=(mod, before))
    overheard.carried_out(ls.sessions.values(), session, message)
    if deleted:
        ls.delete_groups(deleted, now, origin)
        return
    ls.see_edges()
    appeared = ls.groups.referring([mod.group_id]) if before is None else []
    ls.send_groups([mod.group_id, *appeared], now, origin)


def _meter_mod(ls: LogicalSwitch, session: ControllerSession, message: bytes, now: float) -> None:
    mod = decode_meter_mod(message)
    replaced, deleted = ls.change_meters(mod, now)
    overheard.carried_out(ls.sessions.values(), session, message)
    if mod.command == of13.OFPMC_DELETE:
        ls.delete_meters(deleted, now, Origin(ls, session, message, meter=(mod, None, 0)))
        return
    origin = Origin(ls, session, message, meter=(mod, replaced, ls.meters.meters[mod.meter_id].revision))
    if replaced is None:
        ls.see_edges()
    ls.send_meters([mod.meter_id], now, origin)


def _port_mod(ls: LogicalSwitch, session: ControllerSession, message: bytes, now: float) -> None:
    mod = decode_port_mod(message)
    before = ls.ports[mod.port_no].config if mod.port_no in ls.ports else 0
    if not port_config.apply(ls, session.conn, mod):
        return
    session.unsettled = True
    down = ls.ports[mod.port_no].config & of13.OFPPC_PORT_DOWN
    if down and not before & of13.OFPPC_PORT_DOWN:
        port_counters.close(ls, mod.port_no, now)
    ls.down.configured(ls, [mod.port_no] if before & of13.OFPPC_PORT_DOWN and not down else [], now)


def _set_config(ls: LogicalSwitch, session: ControllerSession, message: bytes, now: float) -> None:
    if session_settings.set_config(ls, session, message):
        ls.ledger.state()
        session.unsettled = True
        ls.down.configured(ls, [], now)


def _packet_out(ls: LogicalSwitch, session: ControllerSession, message: bytes, now: float) -> None:
    dpid = packets.packet_out(ls, Origin(ls, session, message), message, now)
    if dpid is not None:
        session.touched.add(dpid)


def _role(ls: LogicalSwitch, session: ControllerSession, message: bytes, now: float) -> None:
    generation = ls.roles.generation_id
    ls.roles.request(session, ls.sessions.values(), message)
    if ls.roles.generation_id != generation:
        ls.ledger.state()


def _setting(setting: session_settings.Request) -> Request:
    return lambda ls, session, message, now: setting(ls, session, message)


def _experimenter(ls: LogicalSwitch, session: ControllerSession, message: bytes, now: float) -> None:
    experimenter, exp_type = kind_of(message)
    if (experimenter, exp_type) in BUNDLE_MESSAGES:
        _bundle_message(ls, session, exp_type, message, now)
    elif (experimenter, exp_type) == (NICIRA_ID, Nicira.CT_FLUSH_ZONE):
        zones.flush(ls, message, now)
    else:
        session_settings.EXPERIMENTERS[experimenter][exp_type](ls, session, message)


def _bundle_message(ls: LogicalSwitch, session: ControllerSession, exp_type: int, message: bytes, now: float) -> None:
    barred = session.barred()
    if barred is not None:
        raise barred
    if exp_type == Onf.BUNDLE_ADD:
        ls.bundles.add(session, message, now)
        return
    bundle = ls.bundles.control(session, message, now)
    if bundle is not None:
        commits.carry_out(Origin(ls, session, message), bundle, now)


_REQUESTS: Final[dict[int, Request]] = {
    of13.OFPT_FLOW_MOD: _flow_mod,
    of13.OFPT_GROUP_MOD: _group_mod,
    of13.OFPT_PORT_MOD: _port_mod,
    of13.OFPT_METER_MOD: _meter_mod,
    of13.OFPT_PACKET_OUT: _packet_out,
    of13.OFPT_BARRIER_REQUEST: barriers.barrier,
    of13.OFPT_ROLE_REQUEST: _role,
    of13.OFPT_GET_CONFIG_REQUEST: _setting(session_settings.get_config),
    of13.OFPT_SET_CONFIG: _set_config,
    of13.OFPT_GET_ASYNC_REQUEST: _setting(session_settings.get_async),
    of13.OFPT_SET_ASYNC: _setting(session_settings.set_async),
    of13.OFPT_EXPERIMENTER: _experimenter,
}
"""All but the questions."""
