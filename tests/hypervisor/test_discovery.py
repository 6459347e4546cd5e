"""Discovery: what a cabling of ports makes of the frames, and what a liar can make of them."""
from __future__ import annotations

import pytest
from ryu.lib.packet import lldp, packet

from hvproxy.hypervisor.discovery import FRAME_SIZE, Discovery, End
from hvproxy.model.view import Link

SECRET = b"k" * 32
A1, A2, B1, B2, C1 = (1, 1), (1, 2), (2, 1), (2, 2), (3, 1)
ALL = [A1, A2, B1, B2, C1]


class Cabling:
    """Carries each frame of a round to the ports its sender's wire leads to."""

    def __init__(self, discovery: Discovery, *cables: tuple[End, End]) -> None:
        self.discovery = discovery
        self.wires = {half for one, other in cables for half in ((one, other), (other, one))}
        self.now = 0.0
        self.links = discovery.links
        """As they were after the last round."""

    def round(self) -> bool:
        """Run one round; True when it changed the links."""
        for dpid, port, frame in self.discovery.probe(self.now, ALL):
            for sender, receiver in sorted(self.wires):
                if sender == (dpid, port):
                    self.discovery.arrived(*receiver, frame)
        self.now += 1.0
        before, self.links = self.links, self.discovery.links
        return self.links != before


def started() -> Discovery:
    discovery = Discovery(SECRET)
    discovery.probe(0.0, [])
    return discovery


def test_frame_is_an_lldp_frame_others_can_read() -> None:
    ethernet, parsed = packet.Packet(Discovery(SECRET).frame(0xA1, 7, 1)).protocols
    assert ethernet.ethertype == 0x88CC
    assert [type(tlv) for tlv in parsed.tlvs] == [
        lldp.ChassisID, lldp.PortID, lldp.TTL, lldp.OrganizationallySpecific, lldp.End]
    assert parsed.tlvs[0].chassis_id == b"dpid:00000000000000a1"
    assert parsed.tlvs[1].port_id == b"00000007"
    assert parsed.tlvs[2].ttl == 4


def test_destination_is_locally_administered_multicast_and_source_unicast() -> None:
    for seed in range(50):
        discovery = Discovery(bytes([seed]) * 32)
        assert discovery.destination[0] & 3 == 3
        assert discovery.frame(1, 1, 1)[6] & 3 == 2


def test_link_needs_both_directions() -> None:
    discovery = started()
    assert discovery.arrived(*B1, discovery.frame(*A1, 1)).accepted
    assert discovery.links == frozenset()
    verdict = discovery.arrived(*A1, discovery.frame(*B1, 1))
    assert verdict.accepted and verdict.sender == B1
    assert discovery.links == {Link(1, 1, 2, 1)}


def test_probe_sends_once_per_round_out_of_every_port() -> None:
    discovery = Discovery(SECRET, interval=2.0)
    assert [(dpid, port) for dpid, port, _ in discovery.probe(10.0, ALL)] == ALL
    assert discovery.deadline == 12.0
    assert discovery.probe(11.9, ALL) == []
    assert len(discovery.probe(12.0, ALL)) == len(ALL)
    assert discovery.round == 2


@pytest.mark.parametrize("position", range(FRAME_SIZE - 2))
def test_any_altered_byte_is_refused(position: int) -> None:
    discovery = started()
    frame = bytearray(discovery.frame(*A1, 1))
    frame[position] ^= 0x01
    verdict = discovery.arrived(*B1, bytes(frame))
    assert (verdict.accepted, verdict.reason) == (False, "foreign" if position < 6 else "forged")


@pytest.mark.parametrize("frame", [b"", b"\xff" * 60, bytes(1500)])
def test_other_frames_are_foreign(frame: bytes) -> None:
    assert started().arrived(*B1, frame).reason == "foreign"


def test_truncated_frame_is_foreign() -> None:
    discovery = started()
    assert discovery.arrived(*B1, discovery.frame(*A1, 1)[:-1]).reason == "foreign"


def test_padding_behind_the_frame_is_ignored() -> None:
    discovery = started()
    assert discovery.arrived(*B1, discovery.frame(*A1, 1) + bytes(4)).accepted


def test_frame_signed_with_another_secret_is_refused() -> None:
    discovery, other = started(), Discovery(b"o" * 32)
    assert discovery.arrived(*B1, other.frame(*A1, 1)).reason == "foreign"
    readdressed = discovery.destination + other.frame(*A1, 1)[6:]
    assert discovery.arrived(*B1, readdressed).reason == "forged"


def test_replay_is_accepted_within_the_lifetime_and_refused_after() -> None:
    discovery = Discovery(SECRET, lifetime=3)
    stored = discovery.probe(0.0, [A1])[0][2]
    for now in (1.0, 2.0, 3.0):
        discovery.probe(now, [])
        assert discovery.arrived(*B1, stored).accepted
    discovery.probe(4.0, [])
    assert discovery.arrived(*B1, stored).reason == "expired"


def test_replay_does_not_prolong_a_link() -> None:
    discovery = Discovery(SECRET, lifetime=3)
    cabling = Cabling(discovery, (A1, B1))
    stored = discovery.frame(*A1, 1)
    cabling.round()
    cabling.wires.discard((A1, B1))
    for _ in range(3):
        cabling.round()
        discovery.arrived(*B1, stored)
    assert discovery.links
    cabling.round()
    assert not discovery.links


def test_frame_of_a_round_to_come_is_refused() -> None:
    discovery = started()
    assert discovery.arrived(*B1, discovery.frame(*A1, 2)).reason == "expired"


@pytest.mark.parametrize("receiver", [A1, A2])
def test_frame_that_returns_to_its_datapath_is_no_link(receiver: End) -> None:
    discovery = started()
    verdict = discovery.arrived(*receiver, discovery.frame(*A1, 1))
    assert (verdict.reason, verdict.sender) == ("self", A1)
    assert discovery.arrived(*A1, discovery.frame(*receiver, 1)).reason == "self"
    assert not discovery.links


def test_link_expires_when_one_direction_falls_silent() -> None:
    cabling = Cabling(Discovery(SECRET, lifetime=3), (A1, B1))
    assert cabling.round()
    cabling.wires.discard((B1, A1))
    assert [cabling.round() for _ in range(4)] == [False, False, False, True]
    assert not cabling.discovery.links


def test_links_survive_a_pause_in_which_no_round_was_sent() -> None:
    cabling = Cabling(Discovery(SECRET), (A1, B1))
    cabling.round()
    cabling.now += 3600.0
    assert not cabling.round()
    assert cabling.discovery.links == {Link(1, 1, 2, 1)}


def test_port_down_ends_its_link_at_once() -> None:
    cabling = Cabling(Discovery(SECRET), (A1, B1), (A2, B2))
    cabling.round()
    cabling.discovery.forget(*A1)
    assert cabling.discovery.links == {Link(1, 2, 2, 2)}


def test_port_that_comes_back_needs_both_directions_again() -> None:
    discovery = started()
    discovery.arrived(*B1, discovery.frame(*A1, 1))
    discovery.arrived(*A1, discovery.frame(*B1, 1))
    discovery.forget(*A1)
    discovery.arrived(*A1, discovery.frame(*B1, 1))
    assert not discovery.links


def test_datapath_that_leaves_takes_all_its_links() -> None:
    cabling = Cabling(Discovery(SECRET), (A1, B1), (B2, C1))
    cabling.round()
    cabling.discovery.forget(1)
    assert cabling.discovery.links == {Link(2, 2, 3, 1)}


def test_parallel_links_are_all_found() -> None:
    cabling = Cabling(Discovery(SECRET), (A1, B1), (A2, B2))
    cabling.round()
    assert cabling.discovery.links == {Link(1, 1, 2, 1), Link(1, 2, 2, 2)}


def test_cable_moved_unseen_makes_the_new_link_in_its_second_round_and_never_both() -> None:
    cabling = Cabling(Discovery(SECRET), (A1, B1))
    cabling.round()
    cabling.wires = {(A1, C1), (C1, A1)}
    cabling.round()
    assert cabling.discovery.links == frozenset() and cabling.discovery.ambiguous == {A1}
    cabling.round()
    assert cabling.discovery.links == {Link(1, 1, 3, 1)} and cabling.discovery.ambiguous == frozenset()


def test_hub_between_three_ports_makes_no_link_and_is_reported() -> None:
    cabling = Cabling(Discovery(SECRET), (A1, B1), (B1, C1), (A1, C1))
    for _ in range(5):
        cabling.round()
        assert cabling.discovery.links == frozenset()
        assert cabling.discovery.ambiguous == {A1, B1, C1}


def test_hub_stays_reported_in_the_middle_of_a_round() -> None:
    discovery = Discovery(SECRET)
    cabling = Cabling(discovery, (A1, B1), (B1, C1), (A1, C1))
    cabling.round()
    discovery.probe(cabling.now, [])
    for receiver, sender in ((A1, B1), (B1, A1)):
        discovery.arrived(*receiver, discovery.frame(*sender, 2))
    assert discovery.links == frozenset() and discovery.ambiguous == {A1, B1, C1}


def test_chain_of_one_way_wires_is_no_link() -> None:
    discovery = Discovery(SECRET)
    cabling = Cabling(discovery)
    cabling.wires = {(A1, B1), (B1, C1), (C1, A1)}
    cabling.round()
    assert discovery.links == frozenset()


def test_a_link_is_heard_in_a_round_when_both_its_ends_are() -> None:
    cabling = Cabling(Discovery(SECRET), (A1, B1))
    link = Link(*A1, *B1)
    assert not cabling.discovery.hears(link)
    cabling.round()
    assert cabling.discovery.hears(link)
    cabling.wires = {(A1, B1)}
    cabling.round()
    assert cabling.discovery.links == {link} and not cabling.discovery.hears(link)


def test_a_question_says_who_asked_and_is_no_proof_of_a_link() -> None:
    discovery = started()
    asked = discovery.question(*A1, 2, 7)
    assert discovery.answered(asked) == (A1, 7)
    assert asked[:6] != discovery.destination and asked[6:12] != discovery.question(*A1, 3, 7)[6:12]
    assert discovery.arrived(*B1, asked).reason == "foreign"
    assert Discovery(SECRET, address=discovery.destination).question(*A1, 2, 7)[:12] == asked[:12]


@pytest.mark.parametrize("position", range(FRAME_SIZE - 2))
def test_an_altered_question_is_none(position: int) -> None:
    discovery = started()
    asked = bytearray(discovery.question(*A1, 2, 7))
    asked[position] ^= 0x01
    assert discovery.answered(bytes(asked)) is None


def test_what_is_no_question_of_ours_is_none() -> None:
    discovery = started()
    assert discovery.answered(b"") is None
    assert discovery.answered(discovery.frame(*A1, 1)) is None
    other = Discovery(b"o" * 32, address=discovery.destination)
    assert discovery.answered(other.question(*A1, 2, 7)) is None
