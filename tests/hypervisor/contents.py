"""Rules and groups for tests of the datapath, made as short as can be."""
from __future__ import annotations

from hvproxy.model.layout import GroupKind, cookie
from hvproxy.model.rules import Change, Group, Item, Meter, Rule
from hvproxy.openflow import actions, oxm
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import GroupMod, bucket
from hvproxy.openflow.instructions import Instructions, build
from hvproxy.openflow.messages import FlowMod, PacketOut
from hvproxy.openflow.meters import Band, MeterMod
from tests.hypervisor.switch import Sent


def rule(number: int, port: int = 1, table: int = 10, ls_id: int = 1, place: int | None = None) -> Rule:
    """Entry `number`, at a place of its own unless told otherwise, that outputs to `port`."""
    return Rule(table, 5, oxm.tlv(of13.OFPXMT_OFB_ETH_DST, number if place is None else place),
                build(Instructions(apply=actions.output(port))), cookie(ls_id, number))


def group(index: int, port: int = 1, kind: GroupKind = GroupKind.LPORT) -> Group:
    return Group(kind << 28 | index, of13.OFPGT_INDIRECT, bucket(actions.output(port)))


def meter(number: int, rate: int = 0, revision: int = 0) -> Meter:
    return Meter(number, of13.OFPMF_PKTPS, Band(of13.OFPMBT_DROP, rate or number, 1).encode(), revision)


def put(*contents: Item) -> Change:
    return Change([c for c in contents if isinstance(c, Group)], [c for c in contents if isinstance(c, Rule)],
                  put_meters=[c for c in contents if isinstance(c, Meter)])


def brief(log: list[Sent]) -> list[str]:
    """One word for each message, with the entry's number or the group's index."""
    words = []
    for sent in log:
        if isinstance(sent, FlowMod):
            words.append(f"add {sent.cookie & 0xff}" if sent.command == of13.OFPFC_ADD else "delete")
        elif isinstance(sent, GroupMod):
            word = {of13.OFPGC_ADD: "group", of13.OFPGC_MODIFY: "modify", of13.OFPGC_DELETE: "ungroup"}[sent.command]
            words.append(f"{word} {sent.group_id & 0xff}")
        elif isinstance(sent, MeterMod):
            word = {of13.OFPMC_ADD: "meter", of13.OFPMC_MODIFY: "remeter", of13.OFPMC_DELETE: "unmeter"}[sent.command]
            words.append(f"{word} {sent.meter_id}")
        elif isinstance(sent, PacketOut):
            words.append("packet")
        else:
            words.append(sent)
    return words
