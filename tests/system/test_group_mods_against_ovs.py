"""A tenant's groups and a real Open vSwitch get the same group-mods and must give the same errors and descriptions.

Not generated are groups that lead back to themselves, which a logical switch refuses for good reasons.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hvproxy.errors import Refused
from hvproxy.hypervisor.tenant_groups import TenantGroups
from hvproxy.openflow import actions, build
from hvproxy.openflow.actions import canonical_buckets
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.messages import decode_group_mod
from hvproxy.openflow.multipart import decode_group_desc
from tests.system.private_ovs import PrivateOvs, Session, require

IDS = (1, 2, 3, 4)
ANY_PORT, ANY_GROUP = of13.OFPP_ANY, of13.OFPG_ANY
WATCHED_PORTS = (*[ANY_PORT] * 4, 1, 2, 99, 0, of13.OFPP_CONTROLLER, of13.OFPP_LOCAL, 0xFEFF, 0xFF00,
                 0xFFFFFEFF, 0xFFFFFF00, 0xFFFFFFF7)
EVERYTHING = build.group_mod(1, of13.OFPGC_DELETE, 0, of13.OFPG_ALL)
GOOD_ACTIONS = (b"", actions.output(1), actions.output(2, 99), actions.output(of13.OFPP_CONTROLLER, 77),
                actions.push_vlan() + actions.set_vlan_vid(7) + actions.output(2), actions.group(0xFFFFFFFF),
                actions.output(1) + actions.group(77))
BAD_ACTIONS = (actions.output(0xFF05), actions.push_vlan(0x1234))


@st.composite
def group_mods(draw: Any) -> bytes:
    """Mostly good ones."""
    group_id = draw(st.sampled_from((*IDS * 4, of13.OFPG_MAX, of13.OFPG_MAX + 1, of13.OFPG_ALL, of13.OFPG_ANY)))
    command = draw(st.sampled_from((0, 0, 0, 1, 1, 2, 9)))
    kind = draw(st.sampled_from((0, 1, 1, 2, 3, 3, 9)))
    smaller = [number for number in IDS if number < group_id]
    buckets = []
    for _ in range(draw(st.sampled_from((1, 1, 0, 2, 3) if command < 2 else (0, 0, 0, 1)))):
        weight = draw(st.sampled_from((0, 1, 7, 0xFFFF) if kind == 1 else (0,) * 9 + (1,)))
        watch_port, watch_group = ANY_PORT, ANY_GROUP
        if kind in (1, 3) or draw(st.integers(0, 9)) == 0:
            watch_port = draw(st.sampled_from(WATCHED_PORTS))
            watch_group = draw(st.sampled_from((ANY_GROUP, 77, of13.OFPG_ALL, *smaller)))
        does = draw(st.sampled_from((*GOOD_ACTIONS * 3, *BAD_ACTIONS, *map(actions.group, smaller))))
        buckets.append(bucket(does, weight, watch_port, watch_group))
    return build.group_mod(1, command, kind, group_id, b"".join(buckets))


@pytest.fixture(scope="module")
def switch() -> Iterator[Session]:
    require()
    with PrivateOvs() as ovs:
        session = ovs.session()
        yield session
        session.close()


def judge(groups: TenantGroups, message: bytes) -> tuple[int, int] | None:
    """Carry out a group-mod; the error, if any."""
    try:
        _, deleted = groups.apply(decode_group_mod(message), (), 0.0)
    except Refused as refused:
        return refused.error_type, refused.code
    groups.remove(deleted)
    return None


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(group_mods(), min_size=1, max_size=15))
def test_group_mods_get_the_same_errors_and_leave_the_same_groups(switch: Session, messages: list[bytes]) -> None:
    groups = TenantGroups(1000)
    for message in (EVERYTHING, *messages):
        assert judge(groups, message) == switch.refusal(of13.OFPT_GROUP_MOD, message[8:])
    described = sorted((desc.group_id, desc.type, desc.buckets)
                       for desc in decode_group_desc(switch.multipart(of13.OFPMP_GROUP_DESC)))
    assert described == [(number, group.type, canonical_buckets(group.buckets))
                         for number, group in sorted(groups.groups.items())]
