"""What real Open vSwitch 3.1 lists of its tables holds all that hvproxy needs, and what a tenant is told of them."""
from __future__ import annotations

from hvproxy.hypervisor.lacking import missing
from hvproxy.hypervisor.table_offer import ACTIONS, features_of
from hvproxy.openflow.abilities import TablesReading
from hvproxy.openflow.multipart import Kind, decode_group_features
from hvproxy.openflow.table_features import APPLY_ACTIONS, MATCH, WILDCARDS, decode_table_features
from tests.harness import spec
from tests.system.private_ovs import PrivateOvs, require

HIDDEN_TABLE = 253


def test_a_tenant_over_open_vswitch_is_told_what_it_lists() -> None:
    require()
    with PrivateOvs() as ovs:
        session = ovs.session()
        body = session.multipart(Kind.TABLE_FEATURES)
        groups = decode_group_features(session.multipart(Kind.GROUP_FEATURES))
        session.close()
    reading = TablesReading()
    reading.take(body)
    tables = reading.done()
    assert tables.of(0) is tables.of(252) is not tables.of(HIDDEN_TABLE)
    assert missing(254, tables, groups, 244) == []
    listed = decode_table_features(body)[0]
    everything = features_of(spec("red", {}), 0, extended=True)
    told = features_of(spec("red", {}), 0, "", (tables.of(10),), extended=True)
    assert told == everything, "it can do all that is offered"
    for kind, identifiers in told.properties.items():
        assert set(identifiers) <= set(listed.properties[kind]), "under the headers that it uses itself"
    assert set(told.properties[APPLY_ACTIONS]) == set(ACTIONS) == set(listed.properties[APPLY_ACTIONS])
    assert len(told.properties[MATCH]) == len(told.properties[WILDCARDS])
