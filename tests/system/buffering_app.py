"""A test controller for ryu: a learning switch that asks for the beginning of packets only. Knows nothing of hvproxy.

It never sends a packet back, but names the buffer: in packet-outs that flood, and in flow-mods for what it has learnt.
It ends itself when a packet is not buffered, or when it is told an error.
"""
import os

from ryu.base import app_manager
from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, HANDSHAKE_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from ryu.lib.mac import haddr_to_str
from ryu.ofproto import ofproto_v1_3

BEGINNING = 14


class Buffering(app_manager.RyuApp):
    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.learnt = {}

    @set_ev_cls(ofp_event.EventOFPErrorMsg, [HANDSHAKE_DISPATCHER, CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def error(self, ev):
        os._exit(2)

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def features(self, ev):
        dp = ev.msg.datapath
        of, parser = dp.ofproto, dp.ofproto_parser
        if ev.msg.n_buffers != 8:
            os._exit(3)
        up = parser.OFPInstructionActions(of.OFPIT_APPLY_ACTIONS,
                                          [parser.OFPActionOutput(of.OFPP_CONTROLLER, BEGINNING)])
        dp.send_msg(parser.OFPFlowMod(dp, priority=0, match=parser.OFPMatch(), instructions=[up]))

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, ev):
        message, dp = ev.msg, ev.msg.datapath
        of, parser = dp.ofproto, dp.ofproto_parser
        if message.buffer_id == of.OFP_NO_BUFFER or len(message.data) != BEGINNING or message.total_len <= BEGINNING:
            os._exit(4)
        in_port = message.match["in_port"]
        to, source = haddr_to_str(message.data[:6]), haddr_to_str(message.data[6:12])
        self.learnt[source] = in_port
        if to not in self.learnt:
            dp.send_msg(parser.OFPPacketOut(dp, message.buffer_id, in_port, [parser.OFPActionOutput(of.OFPP_FLOOD)]))
            return
        forward = parser.OFPInstructionActions(of.OFPIT_APPLY_ACTIONS, [parser.OFPActionOutput(self.learnt[to])])
        dp.send_msg(parser.OFPFlowMod(
            dp, priority=1, buffer_id=message.buffer_id, instructions=[forward],
            match=parser.OFPMatch(in_port=in_port, eth_dst=to, eth_src=source)))
