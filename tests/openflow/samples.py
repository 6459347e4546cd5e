"""Valid messages of every OpenFlow 1.3 type, made with ryu's classes, which no module under test had a hand in.

`CONTROLLER` and `SWITCH` map a name to the bytes of one message; between them every type, every kind of multipart
and every nested structure occurs.
"""
from __future__ import annotations

from ryu.ofproto import ofproto_v1_3 as of13
from ryu.ofproto import ofproto_v1_3_parser as ofp
from ryu.ofproto.ofproto_protocol import ProtocolDesc

DATAPATH = ProtocolDesc(of13.OFP_VERSION)
MAC = "02:00:00:00:00:01"


def header(kind: int, body: bytes, version: int = 4, length: int | None = None) -> bytes:
    """A message by hand, for what ryu cannot or will not write."""
    size = 8 + len(body) if length is None else length
    return bytes((version, kind)) + size.to_bytes(2, "big") + b"\0\0\0\x07" + body


def wire(message: object) -> bytes:
    message.xid = 7
    message.serialize()
    return bytes(message.buf)


def match() -> ofp.OFPMatch:
    return ofp.OFPMatch(in_port=3, eth_type=0x0800, ip_proto=6, ipv4_src=("10.0.0.0", "255.0.0.0"), tcp_dst=80,
                        metadata=(5, 0xff), eth_dst=(MAC, "ff:ff:ff:00:00:00"))


def actions() -> list[ofp.OFPAction]:
    return [
        ofp.OFPActionSetField(eth_src=MAC), ofp.OFPActionPushVlan(0x8100), ofp.OFPActionSetField(vlan_vid=0x1005),
        ofp.OFPActionPopVlan(), ofp.OFPActionPushMpls(0x8847), ofp.OFPActionSetMplsTtl(9), ofp.OFPActionDecMplsTtl(),
        ofp.OFPActionPopMpls(0x0800), ofp.OFPActionSetQueue(2), ofp.OFPActionGroup(5), ofp.OFPActionSetNwTtl(9),
        ofp.OFPActionDecNwTtl(), ofp.OFPActionSetField(ipv6_src="fe80::1"), ofp.OFPActionOutput(4, 128),
    ]


def instructions() -> list[ofp.OFPInstruction]:
    return [
        ofp.OFPInstructionMeter(1),
        ofp.OFPInstructionActions(of13.OFPIT_APPLY_ACTIONS, actions()),
        ofp.OFPInstructionActions(of13.OFPIT_CLEAR_ACTIONS, []),
        ofp.OFPInstructionActions(of13.OFPIT_WRITE_ACTIONS, [ofp.OFPActionOutput(1)]),
        ofp.OFPInstructionWriteMetadata(1, 0xff),
        ofp.OFPInstructionGotoTable(9),
    ]


def buckets() -> list[ofp.OFPBucket]:
    return [ofp.OFPBucket(weight=1, watch_port=2, watch_group=of13.OFPG_ANY, actions=actions()[:3]),
            ofp.OFPBucket(weight=0, watch_port=of13.OFPP_ANY, watch_group=of13.OFPG_ANY, actions=[])]


def bands() -> list[ofp.OFPMeterBandHeader]:
    return [ofp.OFPMeterBandDrop(100, 10), ofp.OFPMeterBandDscpRemark(200, 20, 1)]


def table_features() -> ofp.OFPTableFeaturesStats:
    oxms = [ofp.OFPOxmId("in_port"), ofp.OFPOxmId("eth_dst", hasmask=True)]
    acts = [ofp.OFPActionId(of13.OFPAT_OUTPUT), ofp.OFPActionId(of13.OFPAT_GROUP)]
    properties: list[object] = [
        ofp.OFPTableFeaturePropInstructions(type_=of13.OFPTFPT_INSTRUCTIONS, instruction_ids=[
            ofp.OFPInstructionId(of13.OFPIT_GOTO_TABLE), ofp.OFPInstructionId(of13.OFPIT_APPLY_ACTIONS)]),
        ofp.OFPTableFeaturePropNextTables(type_=of13.OFPTFPT_NEXT_TABLES, table_ids=[1, 2, 3]),
        ofp.OFPTableFeaturePropActions(type_=of13.OFPTFPT_WRITE_ACTIONS, action_ids=acts),
        ofp.OFPTableFeaturePropActions(type_=of13.OFPTFPT_APPLY_ACTIONS, action_ids=acts),
        ofp.OFPTableFeaturePropActions(type_=of13.OFPTFPT_APPLY_ACTIONS_MISS, action_ids=acts[:1]),
        ofp.OFPTableFeaturePropOxm(type_=of13.OFPTFPT_MATCH, oxm_ids=oxms),
        ofp.OFPTableFeaturePropOxm(type_=of13.OFPTFPT_WILDCARDS, oxm_ids=oxms[:1]),
        ofp.OFPTableFeaturePropOxm(type_=of13.OFPTFPT_WRITE_SETFIELD, oxm_ids=oxms[:1]),
        ofp.OFPTableFeaturePropOxm(type_=of13.OFPTFPT_APPLY_SETFIELD, oxm_ids=oxms[:1]),
    ]
    return ofp.OFPTableFeaturesStats(table_id=1, name=b"t", metadata_match=1, metadata_write=1, config=0,
                                     max_entries=9, properties=properties, length=0)


def table_features_body(*, twice: bool = False) -> bytes:
    """ryu's request writer puts the records; its header is cut off, and the lengths of fields, which it leaves 0, are
    put in."""
    records = [table_features()] * (2 if twice else 1)
    return wire(ofp.OFPTableFeaturesStatsRequest(DATAPATH, 0, records))[16:].replace(
        b"\x80\0\0\0", b"\x80\0\0\4").replace(b"\x80\0\7\0", b"\x80\0\7\x0c")


def multipart(kind: int, body: bytes, *, reply: bool) -> bytes:
    return header(19 if reply else 18, kind.to_bytes(2, "big") + bytes(6) + body)


def _flow_mod() -> bytes:
    return wire(ofp.OFPFlowMod(DATAPATH, match=match(), instructions=instructions()))


def match_bytes() -> bytes:
    body = bytearray()
    match().serialize(body, 0)
    return bytes(body)


def flow_record() -> bytes:
    return _lengthened(48, 0, _flow_mod()[48:])


def bucket_bytes() -> bytes:
    return wire(ofp.OFPGroupMod(DATAPATH, group_id=1, buckets=buckets()))[16:]


def band_bytes() -> bytes:
    return wire(ofp.OFPMeterMod(DATAPATH, flags=of13.OFPMF_KBPS, meter_id=1, bands=bands()))[16:]


def _hello() -> bytes:
    return wire(ofp.OFPHello(DATAPATH, elements=[ofp.OFPHelloElemVersionBitmap(versions=[1, 4])]))


def _lengthened(size: int, offset: int, tail: bytes) -> bytes:
    """A record of `size` bytes and a tail, which states its length at `offset`."""
    record = bytearray(size) + tail
    record[offset:offset + 2] = len(record).to_bytes(2, "big")
    return bytes(record)


PORT = bytes.fromhex("0000000100000000020000000001") + bytes(2) + b"p1".ljust(16, b"\0") + bytes(32)
MATCH = match_bytes()
QUEUE_PROPERTIES = bytes.fromhex("0001001000000000" "00c8000000000000" "0002001000000000" "0190000000000000")

SYMMETRIC: dict[str, bytes] = {
    "hello": _hello(),
    "echo request": wire(ofp.OFPEchoRequest(DATAPATH, b"payload")),
    "echo reply": wire(ofp.OFPEchoReply(DATAPATH, b"payload")),
}
CONTROLLER: dict[str, bytes] = {
    **SYMMETRIC,
    "features request": wire(ofp.OFPFeaturesRequest(DATAPATH)),
    "get config request": wire(ofp.OFPGetConfigRequest(DATAPATH)),
    "set config": wire(ofp.OFPSetConfig(DATAPATH, 0, 128)),
    "packet out": wire(ofp.OFPPacketOut(DATAPATH, of13.OFP_NO_BUFFER, 1, actions(), b"packet")),
    "flow mod": _flow_mod(),
    "flow mod without instructions": wire(ofp.OFPFlowMod(DATAPATH, command=of13.OFPFC_DELETE)),
    "group mod": wire(ofp.OFPGroupMod(DATAPATH, group_id=1, buckets=buckets())),
    "port mod": wire(ofp.OFPPortMod(DATAPATH, 1, MAC)),
    "table mod": wire(ofp.OFPTableMod(DATAPATH, 1, 0)),
    "barrier request": wire(ofp.OFPBarrierRequest(DATAPATH)),
    "queue get config request": wire(ofp.OFPQueueGetConfigRequest(DATAPATH, 1)),
    "role request": wire(ofp.OFPRoleRequest(DATAPATH, 1, 0)),
    "get async request": wire(ofp.OFPGetAsyncRequest(DATAPATH)),
    "set async": wire(ofp.OFPSetAsync(DATAPATH, [1, 1], [1, 1], [1, 1])),
    "meter mod": wire(ofp.OFPMeterMod(DATAPATH, flags=of13.OFPMF_KBPS, meter_id=1, bands=bands())),
    "desc request": wire(ofp.OFPDescStatsRequest(DATAPATH)),
    "flow request": wire(ofp.OFPFlowStatsRequest(DATAPATH, match=match())),
    "aggregate request": wire(ofp.OFPAggregateStatsRequest(DATAPATH, 0, 255, of13.OFPP_ANY, of13.OFPG_ANY, 0, 0,
                                                           match())),
    "table request": wire(ofp.OFPTableStatsRequest(DATAPATH)),
    "port stats request": wire(ofp.OFPPortStatsRequest(DATAPATH)),
    "queue request": wire(ofp.OFPQueueStatsRequest(DATAPATH)),
    "group request": wire(ofp.OFPGroupStatsRequest(DATAPATH)),
    "group desc request": wire(ofp.OFPGroupDescStatsRequest(DATAPATH)),
    "group features request": wire(ofp.OFPGroupFeaturesStatsRequest(DATAPATH)),
    "meter request": wire(ofp.OFPMeterStatsRequest(DATAPATH)),
    "meter config request": wire(ofp.OFPMeterConfigStatsRequest(DATAPATH)),
    "meter features request": wire(ofp.OFPMeterFeaturesStatsRequest(DATAPATH)),
    "table features request": wire(ofp.OFPTableFeaturesStatsRequest(DATAPATH)),
    "table features set": multipart(12, table_features_body(), reply=False),
    "port desc request": wire(ofp.OFPPortDescStatsRequest(DATAPATH)),
}
SWITCH: dict[str, bytes] = {
    **SYMMETRIC,
    "error": wire(ofp.OFPErrorMsg(DATAPATH, 1, 6, b"what failed")),
    "experimenter": wire(ofp.OFPExperimenter(DATAPATH, 0x2320, 9, b"body")),
    "features reply": header(6, (1).to_bytes(8, "big") + bytes(4) + b"\xfe" + bytes(11)),
    "get config reply": header(8, bytes.fromhex("00000080")),
    "packet in": header(10, bytes.fromhex("ffffffff 0004 00 05 0000000000000001") + MATCH + b"\0\0data"),
    "packet in without data": header(10, bytes(16) + bytes.fromhex("0001000c 80000004 00000001 00000000") + b"\0\0"),
    "flow removed": header(11, bytes(40) + MATCH),
    "port status": header(12, bytes(8) + PORT),
    "barrier reply": wire(ofp.OFPBarrierReply(DATAPATH)),
    "queue get config reply": header(23, bytes.fromhex("0000000100000000" "00000001000000010030000000000000")
                                     + QUEUE_PROPERTIES),
    "role reply": header(25, bytes(16)),
    "get async reply": header(27, bytes(24)),
    "desc reply": multipart(0, bytes(1056), reply=True),
    "flow reply": multipart(1, flow_record() * 2, reply=True),
    "aggregate reply": multipart(2, bytes(24), reply=True),
    "table reply": multipart(3, bytes(48), reply=True),
    "port stats reply": multipart(4, bytes(224), reply=True),
    "queue reply": multipart(5, bytes(80), reply=True),
    "group reply": multipart(6, _lengthened(40, 0, bytes(32)) + _lengthened(40, 0, b""), reply=True),
    "group desc reply": multipart(7, _lengthened(8, 0, bucket_bytes()) * 2, reply=True),
    "group features reply": multipart(8, bytes(40), reply=True),
    "meter reply": multipart(9, _lengthened(40, 4, bytes(32)) * 2, reply=True),
    "meter config reply": multipart(10, _lengthened(8, 0, band_bytes()) * 2, reply=True),
    "meter features reply": multipart(11, bytes(16), reply=True),
    "table features reply": multipart(12, table_features_body(twice=True), reply=True),
    "port desc reply": multipart(13, PORT * 2, reply=True),
    "experimenter reply": multipart(0xffff, bytes(8) + b"body", reply=True),
}
