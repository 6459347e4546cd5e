"""Group-mods and meter-mods of one controller that the others of its logical switch hear of (the ONF's extension).

A controller asks for it with a mask of Nicira's SET_ASYNC_CONFIG2. It gets the message as the switch has understood it,
with the xid of who sent it, once it is carried out.
"""
from __future__ import annotations

from collections.abc import Iterable

from hvproxy.hypervisor.controller_session import ControllerSession
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.experimenters import request_forward
from hvproxy.openflow.messages import decode_group_mod, type_of, xid_of
from hvproxy.openflow.meters import Band, decode_meter_mod, encode_bands, walk_bands

GROUP_MOD, METER_MOD = 0, 1
"""The bits of the mask."""


def carried_out(sessions: Iterable[ControllerSession], sender: ControllerSession, message: bytes) -> None:
    """A group-mod or meter-mod of `sender` has been taken: tell the others."""
    reason = GROUP_MOD if type_of(message) == of13.OFPT_GROUP_MOD else METER_MOD
    hearing = [session for session in sessions if session is not sender and session.wants_requests(reason)]
    if hearing:
        told = request_forward(_understood(message))
        for session in hearing:
            session.send(told)


def _understood(message: bytes) -> bytes:
    xid = xid_of(message)
    if type_of(message) == of13.OFPT_GROUP_MOD:
        group = decode_group_mod(message)
        return build.group_mod(xid, group.command, group.type, group.group_id, actions.canonical_buckets(group.buckets))
    meter = decode_meter_mod(message)
    if meter.command == of13.OFPMC_DELETE:
        return build.meter_mod(xid, meter.command, 0, meter.meter_id)
    bands = [Band(band.type, band.rate, band.burst or band.rate, band.rest) for band in walk_bands(meter.bands)]
    return build.meter_mod(xid, meter.command, meter.flags, meter.meter_id, encode_bands(bands))
