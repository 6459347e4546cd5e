"""openflow.text against ovs-ofctl: it takes every text, and means the same by it."""
from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from hvproxy.openflow import actions
from hvproxy.openflow.instructions import Instructions, build
from hvproxy.openflow.oxm import Match, tlv
from hvproxy.openflow.oxm_fields import FIELDS, Field
from hvproxy.openflow.text import instructions_text, match_text


@pytest.fixture(autouse=True)
def ovs_ofctl() -> None:
    """Skip where there is no ovs-ofctl; on CI that is a failure."""
    if shutil.which("ovs-ofctl") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("ovs-ofctl is not installed")
        pytest.skip("ovs-ofctl is not installed")


def normalised(flows: list[str]) -> list[str]:
    """Each flow as ovs-ofctl itself writes it after reading it."""
    said = subprocess.run(["ovs-ofctl", "-O", "OpenFlow13", "parse-flows", "-"], input="\n".join(flows), text=True,
                          capture_output=True, check=True)
    return [re.sub(r".*\): ADD (table:255 )?", "", line) for line in said.stdout.splitlines() if "ADD" in line]


def prerequisites(field: Field) -> dict[int, int]:
    found = {}
    if field.eth_types:
        found[5] = min(field.eth_types)
        if field.ip_proto:
            found[10] = field.ip_proto
        if field.icmp_types:
            found[29] = min(field.icmp_types)
    if field.vlan:
        found[6] = 0x1014
    return found


def canonical(parts: dict[int, tuple[int, int | None]]) -> bytes:
    return Match.from_tlvs(b"".join(tlv(number, value, mask) for number, (value, mask) in parts.items())).tlvs


def test_it_reads_every_field_with_and_without_a_mask() -> None:
    flows, fields = [], []
    for field in FIELDS:
        needed: dict[int, tuple[int, int | None]] = {n: (v, None) for n, v in prerequisites(field).items()}
        masks = [None, field.full & ~1, field.full & 0x55] if field.maskable else [None]
        for mask in masks:
            value = 0x1005 if field.name == "vlan_vid" else 1 if mask is None else mask
            flows.append(",".join(part for part in (
                match_text(canonical({**needed, field.number: (value, mask)})), "actions=drop") if part))
            fields.append(field.name)
    read = normalised(flows)
    assert len(read) == len(flows)
    # What it writes is its own short form; read again that must mean the same as our text.
    assert normalised(read) == read
    assert len(set(read)) == len(set(flows)), "two different matches became one"


def test_it_reads_every_action_and_writes_it_alike() -> None:
    flows = []
    for field in FIELDS:
        if field.writable:
            tagged = {6: 0x1014} if field.name == "vlan_vid" else {}
            needed: dict[int, tuple[int, int | None]] = {
                n: (v, None) for n, v in (tagged | prerequisites(field)).items()}
            value = 0x1014 if field.name == "vlan_vid" else 1
            data = build(Instructions(apply=actions.set_field(tlv(field.number, value))))
            flows.append(f"{match_text(canonical(needed))},actions={instructions_text(data)}".lstrip(","))
    everything = Instructions(goto=10, metadata=(5, 0xFF), clear=True, write=actions.output(2) + actions.group(3),
                              apply=actions.push_vlan() + actions.set_vlan_vid(20) + actions.pop_vlan()
                              + actions.output(0xFFFFFFFD, 128) + actions.output(0xFFFFFFF8) + actions.output(7))
    flows.append(f"actions={instructions_text(build(everything))}")
    ours = [flow.partition("actions=")[2] for flow in flows]
    theirs = [flow.partition("actions=")[2] for flow in normalised(flows)]
    assert theirs == ours
