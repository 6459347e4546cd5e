"""A test controller for ryu: two tables, write-actions, an ALL group and table-misses. Knows nothing of hvproxy.

Table 0 learns nothing: it writes the output for a known destination into the action set and goes to table 1; table 1
drops a forbidden UDP port by clearing the set. Broadcasts and unknown destinations go to an ALL group of all ports.
"""
from ryu.base import app_manager
from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from ryu.ofproto import ofproto_v1_3

GROUP = 1


class Pipeline(app_manager.RyuApp):
    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.ports = {}

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def features(self, ev):
        dp = ev.msg.datapath
        dp.send_msg(dp.ofproto_parser.OFPPortDescStatsRequest(dp, 0))

    @set_ev_cls(ofp_event.EventOFPPortDescStatsReply, MAIN_DISPATCHER)
    def described(self, ev):
        dp = ev.msg.datapath
        of, parser = dp.ofproto, dp.ofproto_parser
        numbers = sorted(p.port_no for p in ev.msg.body if p.port_no < of.OFPP_MAX)
        buckets = [parser.OFPBucket(watch_port=of.OFPP_ANY, watch_group=of.OFPG_ANY,
                                    actions=[parser.OFPActionOutput(n)]) for n in numbers]
        dp.send_msg(parser.OFPGroupMod(dp, of.OFPGC_ADD, of.OFPGT_ALL, GROUP, buckets))
        forward = parser.OFPInstructionGotoTable(1)
        flood = parser.OFPInstructionActions(of.OFPIT_WRITE_ACTIONS, [parser.OFPActionGroup(GROUP)])
        self.add(dp, 0, 0, parser.OFPMatch(), [flood, forward])
        for number in numbers:
            known = parser.OFPInstructionActions(of.OFPIT_WRITE_ACTIONS, [parser.OFPActionOutput(number)])
            self.add(dp, 0, 10, parser.OFPMatch(eth_dst="02:00:00:00:00:%02x" % number), [known, forward])
        self.add(dp, 1, 0, parser.OFPMatch(), [])
        self.add(dp, 1, 10, parser.OFPMatch(eth_type=0x0800, ip_proto=17, udp_dst=666),
                 [parser.OFPInstructionActions(of.OFPIT_CLEAR_ACTIONS, [])])
        dp.send_msg(parser.OFPBarrierRequest(dp))

    @staticmethod
    def add(dp, table, priority, match, instructions):
        dp.send_msg(dp.ofproto_parser.OFPFlowMod(dp, table_id=table, priority=priority, match=match,
                                                 instructions=instructions))
