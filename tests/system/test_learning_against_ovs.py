"""Actions learn, bundle and bundle_load: a logical switch over two bridges does with frames what one plain bridge does.

What plain Open vSwitch learns at once a logical switch learns some milliseconds later, so what is told is waited for.
"""
from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from hvproxy.openflow import build
from tests.openflow.learn_cases import CASES, bundle
from tests.system.network import wait_until
from tests.system.ovs import PrivateOvs, require
from tests.system.private_ovs import Session
from tests.system.side_by_side import LOGICAL, MARK, PLAIN, SideBySide
from tests.system.test_extensions_against_ovs import A, B, LISTEN_PORT, Pair, frame

LEARN = "learn(table=2,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])"
FLOODING = f"table=0,actions={LEARN},resubmit(,2)", "table=2,priority=0,actions=flood"
FLOW_MOD = 14
TIMEOUT = 8
"""Seconds: much longer than a machine may have no time to teach."""


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    require()
    with PrivateOvs() as ovs:
        yield Pair(ovs)


def alike(pair: Pair, table: int, found: str = "") -> str:
    """What both soon tell of a table, with that in it, and the switches do."""
    def told(which: str) -> list[str]:
        return sorted(pair.ofctl(which, "dump-flows", f"table={table}").splitlines())

    wait_until(lambda: found in str(told("plain")) and told("logical") == told("plain"),
               f"both tell {found!r} of table {table}")
    # What the switches have counted is asked for behind the rules of all that was told: they have these by now.
    told("logical")
    return "\n".join(told("plain"))


def test_wrong_actions_are_refused_alike_and_right_ones_told_alike(pair: Pair) -> None:
    pair.both("del-flows")
    sessions = [Session(pair.ovs.management("plain")), Session(pair.ovs.connection(LISTEN_PORT))]
    for name, (action, code) in CASES.items():
        message = build.flow_mod(0, 0, table_id=0, priority=5, match_tlvs=b"", cookie=0,
                                 instructions=_apply(action))[8:]
        assert [session.refusal(FLOW_MOD, message) for session in sessions] == [code, code], name
        pair.both("dump-flows")
    for session in sessions:
        session.close()


def test_a_frame_back_to_what_was_learnt_goes_to_its_port_only(pair: Pair) -> None:
    pair.flows(*FLOODING)
    assert set(pair.agree(1, frame(B, A))) == {2, 3, 4}
    assert "dl_dst=02:00:00:00:00:01 actions=output:1" in alike(pair, 2, "output:1")
    assert set(pair.agree(3, frame(A, B))) == {1}
    alike(pair, 2, "output:3")
    assert set(pair.agree(2, frame(B, A))) == {3}  # it has moved
    alike(pair, 2, "output:2")
    assert set(pair.agree(4, frame(A))) == {2}


def test_what_is_deleted_is_learnt_again(pair: Pair) -> None:
    pair.flows(*FLOODING)
    for _ in range(2):
        pair.agree(1, frame(B, A))
        alike(pair, 2, "output:1")
        pair.both("del-flows", "table=2,dl_dst=02:00:00:00:00:01")
        assert "output:1" not in alike(pair, 2)
        pair.ovs.forget_flows()


def test_an_entry_has_all_that_learn_says(pair: Pair) -> None:
    pair.flows("table=0,ip,actions=learn(table=3,priority=7,idle_timeout=60,hard_timeout=90,cookie=0x5,send_flow_rem,"
               "NXM_OF_VLAN_TCI[0..11],eth_type=0x800,NXM_OF_IP_DST[]=NXM_OF_IP_SRC[],NXM_OF_IN_PORT[],"
               "NXM_NX_REG1[4..19]=NXM_OF_ETH_SRC[0..15],load:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15],"
               "load:0x123456789abcdef0123->NXM_NX_XXREG1[0..79],load:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],"
               "output:NXM_OF_IN_PORT[])")
    pair.agree(3, frame(B, A, tag=b"\x81\x00\x00\x07"))
    told = alike(pair, 3, "output:3")
    assert "idle_timeout=60, hard_timeout=90, send_flow_rem priority=7" in told and "in_port=3" in told


def test_it_learns_what_the_packet_is_at_that_point(pair: Pair) -> None:
    pair.flows("table=0,in_port=2,actions=load:9->NXM_NX_REG2[],goto_table:1",
               f"table=1,ip,actions={LEARN},set_field:0e:00:00:00:00:09->eth_src,"
               "learn(table=2,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:NXM_NX_REG2[]->NXM_NX_REG3[]),output:3")
    assert set(pair.agree(2, frame(B, A))) == {3}
    told = alike(pair, 2, "REG3")
    assert "dl_dst=0e:00:00:00:00:09 actions=load:0x9->NXM_NX_REG3" in told and "output:2" in told


def test_a_packet_out_teaches(pair: Pair) -> None:
    pair.flows("table=2,priority=0,actions=drop")
    pair.agree_on_packet_out(2, f"{LEARN},output:1")
    alike(pair, 2, "output:2")


def test_hard_timeouts_begin_anew_while_frames_teach(pair: Pair) -> None:
    pair.flows(LEARN.replace("table=2", f"table=2,hard_timeout={TIMEOUT}").join(("table=0,actions=", ",output:4")))
    pair.agree(1, frame(B, A))
    alike(pair, 2, "output:1")
    ends = time.monotonic() + TIMEOUT + 2
    while time.monotonic() < ends:
        pair.agree(1, frame(B, A))
        assert "output:1" in alike(pair, 2)
    wait_until(lambda: all("output:1" not in pair.ofctl(which, "dump-flows", "table=2")
                           for which in ("plain", "logical")), "what nobody teaches any more is gone")


def test_what_was_learnt_goes_with_the_last_that_learns_it(pair: Pair) -> None:
    deleting = LEARN.replace("table=2", "table=2,cookie=0x77,delete_learned")
    pair.flows(f"table=0,priority=2,ip,actions={deleting},output:4", f"table=0,priority=1,actions={deleting},output:3")
    pair.agree(1, frame(B, A))
    alike(pair, 2, "cookie=0x77")
    pair.both("del-flows", "--strict", "table=0,priority=2,ip")
    alike(pair, 2, "cookie=0x77")
    pair.both("mod-flows", "--strict", "table=0,priority=1,actions=drop")
    assert "cookie" not in alike(pair, 2)


@pytest.mark.parametrize("fields", ["eth_src", "symmetric_l4", "symmetric_l3l4", "symmetric_l3l4+udp", "nw_src",
                                    "nw_dst"])
def test_a_bundle_chooses_the_same_port(pair: Pair, fields: str) -> None:
    pair.flows(f"actions=bundle({fields},3,hrw,ofport,members:2,4,3,99)")
    chosen = set[int]()
    for last in range(6):
        source = b"\x02\0\0\0\1" + bytes((last,))
        chosen |= set(pair.agree(1, frame(B, source)))
    assert chosen <= {2, 3, 4} and (fields != "eth_src" or len(chosen) > 1)


def test_a_bundle_load_writes_the_chosen_port(pair: Pair) -> None:
    pair.flows("table=0,actions=bundle_load(eth_src,0,hrw,ofport,NXM_NX_REG0[],members:2,3,4),"
               "bundle_load(eth_src,0,active_backup,ofport,NXM_NX_REG1[3..18],members:99,2),"
               "bundle_load(eth_src,0,active_backup,ofport,NXM_NX_REG2[0..15],members:99),goto_table:1",
               "table=1,reg0=2,reg1=16,reg2=65535,actions=output:2", "table=1,reg0=3,reg1=16,actions=output:3",
               "table=1,reg0=4,reg1=16,actions=output:4")
    for last in range(4):
        assert len(pair.agree(1, frame(B, b"\x02\0\0\0\1" + bytes((last,))))) == 1


def test_a_bundle_does_not_send_back(pair: Pair) -> None:
    pair.flows("priority=2,ip,actions=bundle(eth_src,0,active_backup,ofport,members:99,3,4)",
               "priority=1,arp,actions=bundle(eth_src,0,hrw,ofport,members:99,3)")
    assert set(pair.agree(1, frame())) == {3}
    assert set(pair.agree(3, frame())) == set()
    assert set(pair.agree_on_packet_out(1, "bundle(eth_src,0,hrw,ofport,members:2,3,4)")) < {2, 3, 4}


@pytest.mark.parametrize("algorithm", [0, 1])
def test_a_bundle_takes_live_ports_only(algorithm: int) -> None:
    require()
    with SideBySide() as both:
        entry = build.flow_mod(0, 0, table_id=0, priority=5, match_tlvs=b"", cookie=0, instructions=_apply(
            bundle(2, 3, algorithm=algorithm)))[8:]

        def reached(side: str) -> set[int]:
            """Where frames come out, as soon as any do: a switch knows of a dead port a little later."""
            found: set[int] = set()

            def came() -> bool:
                both.ovs.forget_flows()
                both.send(side, 1, B + MARK + b"\x88\xb5" + bytes(46))
                both.ovs.carry_on()
                found.update(port for port, _ in both.out(side))
                return bool(found)

            both.out(side)
            wait_until(came, f"frames come out of {side}")
            return found

        for side in (PLAIN, LOGICAL):
            assert both.sessions[side].refusal(FLOW_MOD, entry) is None
        for down in (None, 2, 3):
            for port in (2, 3):
                for side in (PLAIN, LOGICAL):
                    both.set_carrier(side, port, port != down)
            wait_until(lambda: _up(both) == {1, 2, 3} - {down}, "the port is seen down")
            chosen = [reached(side) for side in (PLAIN, LOGICAL)]
            assert chosen[0] == chosen[1] and len(chosen[0]) == 1 and down not in chosen[0]


def _apply(action: bytes) -> bytes:
    return b"\0\4" + (8 + len(action)).to_bytes(2, "big") + bytes(4) + action


def _up(both: SideBySide) -> set[int]:
    rows = both.get("/v1/logical-switches/red/ports")
    assert isinstance(rows, list)
    return {row["number"] for row in rows if row["state"] == "up"}
