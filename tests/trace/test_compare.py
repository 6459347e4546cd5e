"""Frames are described in the words that make them, and what became of one is told."""
from __future__ import annotations

import pytest

from hvproxy.trace import edits
from hvproxy.trace import frame as f
from hvproxy.trace.compare import changes, summary
from hvproxy.trace.compose import PROTOCOLS, compose
from hvproxy.trace.frame import Frame


@pytest.mark.parametrize("text", [
    *PROTOCOLS, "tcp,dl_vlan=5,dl_vlan_pcp=3,nw_dst=10.0.0.2,tp_dst=80,nw_ttl=9", "dl_src=2:0:0:0:0:1",
    "icmp6,icmp_type=135,nd_target=fe80::1,nd_sll=2:0:0:0:0:7", "mpls,mpls_label=4", "dl_type=0x88cc,dl_vlan=0"])
def test_what_is_said_of_a_frame_makes_it_again(text: str) -> None:
    data = compose(text)
    assert compose(summary(data)) == data


def test_a_frame_is_told_with_its_protocol() -> None:
    assert summary(compose("arp,nw_src=10.0.0.1")).startswith("arp,dl_dst=00:00:00:00:00:00,")
    assert "nw_src=10.0.0.1,nw_dst=0.0.0.0,tcp_src=0,tcp_dst=80,nw_ttl=64" in summary(
        compose("tcp,nw_src=10.0.0.1,tp_dst=80"))
    assert summary(compose("ip,nw_proto=47")).startswith("ip,") and "nw_proto=47" in summary(compose("ip,nw_proto=47"))


def test_every_kind_of_change_is_told() -> None:
    before = compose("tcp,dl_dst=2:0:0:0:0:2,dl_vlan=20")
    frame = Frame(before, 1)
    edits.pop_vlan(frame)
    edits.set_field(frame, f.ETH_DST, 3)
    edits.set_ttl(frame, 63)
    assert changes(before, frame.data) == [
        "dl_dst=00:00:00:00:00:03 (was 02:00:00:00:00:02)", "dl_vlan=20 removed", "dl_vlan_pcp=0 removed",
        "nw_ttl=63 (was 64)"]
    assert {"dl_vlan=20 added", "dl_vlan_pcp=0 added"} <= set(changes(frame.data, before))


def test_no_change_is_none_and_other_bytes_are_not_passed_over() -> None:
    data = compose("arp")
    assert changes(data, data) == []
    assert changes(data, data[:-1] + b"\x01") == ["bytes outside of all fields changed"]
