"""An emulated OpenFlow 1.3 fabric: switches, links, tunnels and hosts in one asyncio process.

    fabric      switches, links, hosts, taps; the only module but underlay that knows more than one switch
    underlay    the IP network that tunnels cross
    host        an end station: ARP, ping, raw frames
    topology    leaf_spine(), the fabric that demonstrations and scale runs use
    switch      one switch: its ports, tables, groups and controllers, held together
    session     one control connection: dialling, HELLO, framing, role; handlers: what each message does
    statistics  multipart requests and the replies to them
    pipeline    what one packet goes through: tables, action set, groups, ports
    tables      flow tables; groups: group table; meters: meter table; ports: ports and their counters
    decode      actions, instructions and buckets, checked as Open vSwitch 3.1 checks them
    lacks       what a restricted switch cannot do
    oxm         match fields on the wire; frames: Ethernet frames as match fields; edits: changes to a frame
    wire        small builders of OpenFlow messages
    vswitch     a switch as its database describes it: makes the tunnel ports that are inserted there
    database    that database: rows, transactions, monitors; ovsdb: serves it

It behaves as Open vSwitch 3.1 does, which tests/system/test_emulator_against_ovs.py compares, and shares no
code with hvproxy: what both misunderstand in the same way no test would find.
"""
from __future__ import annotations

from tools.emulator.fabric import Fabric
from tools.emulator.host import Host
from tools.emulator.switch import Switch
from tools.emulator.topology import leaf_spine

__all__ = ["Fabric", "Host", "Switch", "leaf_spine"]
