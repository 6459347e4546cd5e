from __future__ import annotations

import pytest
from msgspec import Struct

from hvproxy.errors import ConfigError
from hvproxy.model.address import Address
from hvproxy.model.hosts import HostAddress, Mac
from hvproxy.model.intent import (
    LOCAL, AttachSpec, LogicalSwitchSpec, PortSpec, TenantSpec, TlsSpec, attach_text, parse
)
from hvproxy.model.schema import plain

WEB = {"number": 1, "name": "web", "attach": {"datapath": "0x1", "port": 1}}
RED = {"name": "red", "tenant": "red", "datapath_id": "0xa1"}


def mistakes(kind: type[Struct], document: object) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        parse(kind, document)
    return caught.value.mistakes


def test_a_tenant_is_read_with_all_it_has() -> None:
    tenant = parse(TenantSpec, {"name": "red", "logical_switches": [{
        "name": "core", "datapath_id": 0xA1, "controllers": ["tcp:10.0.0.1", "unix:/run/c"], "listen": ["pssl:16653"],
        "protocols": ["OpenFlow13"], "tls": {"private_key": "k", "certificate": "c", "ca": "a"}, "tables": 3,
        "description": "the core", "less_broadcast": True, "nat": True, "ports": [
            WEB | {"macs": ["02:00:00:00:00:01"], "addresses": ["10.0.0.1", "2001:db8::1"]},
            {"number": 0xFEFF, "name": "db", "attach": {"datapath": 3, "port": "s3-eth1", "vlan": 20}},
            {"number": 3, "name": "spare"},
        ],
    }]})
    assert tenant == TenantSpec(name="red", logical_switches=(LogicalSwitchSpec(
        name="core", tenant="red", datapath_id=0xA1,
        controllers=(Address("tcp", "10.0.0.1", 6653), Address("unix", path="/run/c")),
        listen=(Address("pssl", "0.0.0.0", 16653),), protocols=("OpenFlow13",),
        tls=TlsSpec(private_key="k", certificate="c", ca="a"), tables=3, description="the core",
        less_broadcast=True, nat=True, ports=(
            PortSpec(number=1, name="web", attach=AttachSpec(datapath=1, port=1), macs=(Mac(0x020000000001),),
                     addresses=(HostAddress(4, 0x0A000001), HostAddress.parse("2001:db8::1"))),
            PortSpec(number=0xFEFF, name="db", attach=AttachSpec(datapath=3, port="s3-eth1", vlan=20)),
            PortSpec(number=3, name="spare"),
        )),))
    assert parse(TenantSpec, plain(tenant)) == tenant


def test_defaults_are_openflow_13_eight_tables_and_nothing_else() -> None:
    assert parse(LogicalSwitchSpec, RED) == LogicalSwitchSpec(
        name="red", tenant="red", datapath_id=0xA1, controllers=(), listen=(), protocols=("OpenFlow13",), tls=None,
        tables=8, description="", ports=())


def test_specs_are_values() -> None:
    assert {parse(TenantSpec, {"name": "a"}), parse(TenantSpec, {"name": "a"})} == {TenantSpec(name="a")}


def test_a_logical_switch_by_itself_must_say_or_be_told_its_tenant() -> None:
    homeless = {"name": "red", "datapath_id": 1}
    assert mistakes(LogicalSwitchSpec, homeless) == [("tenant", "is missing")]
    assert parse(LogicalSwitchSpec, homeless, tenant="blue").tenant == "blue"
    assert parse(LogicalSwitchSpec, RED, tenant="blue").tenant == "red"


@pytest.mark.parametrize(("change", "path", "what"), [
    ({"name": ""}, "name",
     "a name has 1 to 63 letters, digits, '.', '_' and '-', and begins with a letter or digit, got ''"),
    ({"name": "a/b"}, "name",
     "a name has 1 to 63 letters, digits, '.', '_' and '-', and begins with a letter or digit, got 'a/b'"),
    ({"name": "a\n"}, "name",
     "a name has 1 to 63 letters, digits, '.', '_' and '-', and begins with a letter or digit, got 'a\\n'"),
    ({"datapath_id": 0}, "datapath_id", "expected int >= 1, got 0"),
    ({"controllers": ["ptcp:6653"]}, "controllers[0]",
     "ptcp:6653:0.0.0.0 cannot be dialled; write one of tcp:HOST[:PORT], ssl:HOST[:PORT], unix:PATH"),
    ({"controllers": ["tcp:h", "tcp:h:6653"]}, "controllers[1]", "tcp:h:6653 is used already by controllers[0]"),
    ({"controllers": ["ssl:h"]}, "controllers[0]",
     "ssl:h:6653 needs tls: {private_key, certificate, ca} beside controllers"),
    ({"listen": ["pssl:1"]}, "listen[0]", "pssl:1:0.0.0.0 needs tls: {private_key, certificate, ca} beside listen"),
    ({"listen": ["tcp:h"]}, "listen[0]",
     "tcp:h:6653 cannot be listened on; write one of ptcp:[PORT][:HOST], pssl:[PORT][:HOST]"),
    ({"listen": ["ptcp:1:127.0.0.1", "ptcp:1"]}, "listen[1]",
     "ptcp:1:0.0.0.0 is taken already by ptcp:1:127.0.0.1 of listen[0]"),
    ({"tls": {}}, "tls.private_key", "is missing"),
    ({"protocols": []}, "protocols", "names no protocol"),
    ({"protocols": ["OpenFlow13", "OpenFlow10"]}, "protocols[1]",
     "OpenFlow10: not supported yet; supported: OpenFlow13"),
    ({"protocols": ["1.3"]}, "protocols[0]",
     "'1.3' is not one of OpenFlow10, OpenFlow11, OpenFlow12, OpenFlow13, OpenFlow14, OpenFlow15"),
    ({"table_size": 0}, "table_size", "expected int >= 1, got 0"),
    ({"table_size": 1000001}, "table_size", "expected int <= 1000000, got 1000001"),
    ({"buffers": -1}, "buffers", "expected int >= 0, got -1"),
    ({"buffers": 1025}, "buffers", "expected int <= 1024, got 1025"),
    ({"tables": 0}, "tables", "expected int >= 1, got 0"),
    ({"tables": 255}, "tables", "expected int <= 254, got 255"),
    ({"durability": "disk"}, "durability", "not supported yet"),
    ({"description": "a\tb"}, "description", "a description has up to 255 printable ASCII characters, got 'a\\tb'"),
    ({"ports": [WEB, WEB | {"name": "b", "attach": None}]}, "ports[1].number",
     "port number 1 is used already by ports[0].number"),
    ({"ports": [WEB, WEB | {"number": 2, "attach": None}]}, "ports[1].name",
     "port name 'web' is used already by ports[0].name"),
    ({"ports": [WEB, WEB | {"number": 2, "name": "b"}]}, "ports[1].attach",
     "VIF (datapath 0000000000000001, port 1) is used already by ports[0].attach"),
])
def test_a_logical_switch_with_a_mistake_is_refused(change: dict[str, object], path: str, what: str) -> None:
    found = mistakes(LogicalSwitchSpec, RED | change)
    assert found[0] == (path, what)
    assert len(found) == (2 if change == {"tls": {}} else 1)


def test_a_missing_certificate_does_not_hide_behind_a_missing_key() -> None:
    assert mistakes(LogicalSwitchSpec, RED | {"tls": {}}) == [
        ("tls.private_key", "is missing"), ("tls.certificate", "is missing")]


@pytest.mark.parametrize(("change", "path", "what"), [
    ({"number": 0}, "number", "expected int >= 1, got 0"),
    ({"number": 0xFF00}, "number", "expected int <= 65279, got 65280"),
    ({"name": "a" * 16}, "name", "'aaaaaaaaaaaaaaaa' is longer than 15 bytes"),
    ({"name": "a b"}, "name", "a port name has printable ASCII characters and no space, got 'a b'"),
    ({"attach": {"port": 1}}, "attach.datapath", "is missing"),
    ({"attach": {"datapath": 1}}, "attach.port", "is missing"),
    ({"attach": {"datapath": 1, "port": 0}}, "attach.port", "expected int >= 1, got 0"),
    ({"attach": {"datapath": 1, "port": 0xFFFFFF01}}, "attach.port", "expected int <= 4294967040, got 4294967041"),
    ({"attach": {"datapath": 1, "port": 1, "vlan": 0}}, "attach.vlan", "expected int >= 1, got 0"),
    ({"attach": {"datapath": 1, "port": 1, "vlan": 4095}}, "attach.vlan", "expected int <= 4094, got 4095"),
    ({"attach": {"iface_id": "a b"}}, "attach.iface_id",
     "an iface-id has 1 to 255 printable ASCII characters, no space, got 'a b'"),
    ({"attach": {"iface_id": "6f9d", "port": 1}}, "attach.port", "excludes iface_id: write one of both"),
    ({"attach": {"peer": "core"}}, "attach.peer",
     "a peer is a logical switch and the number of a port of it: core/1, got 'core'"),
    ({"attach": {"peer": "core/01"}}, "attach.peer",
     "a peer is a logical switch and the number of a port of it: core/1, got 'core/01'"),
    ({"attach": {"peer": "core/1", "vlan": 5}}, "attach.vlan", "excludes peer: write one of both"),
    ({"attach": {"peer": "core/1", "iface_id": "6f9d"}}, "attach.iface_id", "excludes peer: write one of both"),
    ({"macs": ["01:00:5e:00:00:01"]}, "macs[0]",
     "'01:00:5e:00:00:01' is not the MAC address of a host; write 02:00:00:00:00:01"),
    ({"addresses": ["10.0.0.1", "10.0.0.0/8"]}, "addresses[1]",
     "'10.0.0.0/8' is not the IP address of a host; write 192.0.2.1 or 2001:db8::1"),
    ({"attach": {"datapath": 1, "port": 1, "tag": 5}}, "attach.tag", "unknown key"),
])
def test_a_port_with_a_mistake_is_refused(change: dict[str, object], path: str, what: str) -> None:
    assert mistakes(PortSpec, WEB | change) == [(path, what)]


def test_a_port_with_and_without_a_vlan_are_different_vifs() -> None:
    def port(number: int, **attach: object) -> dict[str, object]:
        return {"number": number, "name": f"p{number}", "attach": {"datapath": 1, **attach}}

    ports = [port(1, port=1), port(2, port=1, vlan=5), port(3, port=1, vlan=6), port(4, port="1x"), port(5, port=2)]
    assert len(parse(LogicalSwitchSpec, RED | {"ports": ports}).ports) == 5
    assert mistakes(LogicalSwitchSpec, RED | {"ports": [*ports, port(6, port=1, vlan=5)]}) == [
        ("ports[5].attach", "VIF (datapath 0000000000000001, port 1, vlan 5) is used already by ports[1].attach")]


def test_a_tenants_logical_switches_are_checked_against_each_other() -> None:
    twice = [{"name": "a", "datapath_id": 1, "ports": [WEB]}, {"name": "a", "datapath_id": "0x1", "ports": [WEB]}]
    assert mistakes(TenantSpec, {"name": "red", "logical_switches": twice}) == [
        ("logical_switches[1].name", "logical switch name 'a' is used already by logical_switches[0].name"),
        ("logical_switches[1].datapath_id",
         "datapath id 0000000000000001 is used already by logical_switches[0].datapath_id"),
        ("logical_switches[1].ports[0].attach",
         "VIF (datapath 0000000000000001, port 1) is used already by logical_switches[0].ports[0].attach"),
    ]


def test_a_logical_switch_cannot_stand_under_one_tenant_and_name_another() -> None:
    assert mistakes(TenantSpec, {"name": "blue", "logical_switches": [RED]}) == [
        ("logical_switches[0].tenant", "'red' is not the tenant it stands under, 'blue'")]


def test_duplicates_are_found_beside_other_mistakes() -> None:
    assert mistakes(LogicalSwitchSpec, RED | {"ports": [WEB | {"mtu": 9000}, WEB | {"name": "b", "attach": None}]}) == [
        ("ports[0].mtu", "unknown key"),
        ("ports[1].number", "port number 1 is used already by ports[0].number"),
    ]


def test_a_vif_is_shown_with_its_vlan() -> None:
    assert attach_text(AttachSpec(datapath=0x1F, port="eth1", vlan=7)) == (
        "datapath 000000000000001f, port eth1, vlan 7")


def test_a_local_port_is_written_by_its_name() -> None:
    spec = parse(PortSpec, {"number": "LOCAL", "name": "own", "attach": {"datapath": 1, "port": 1}})
    assert spec.number == LOCAL == 0xFFFFFFFE
    assert plain(spec) == {"number": "LOCAL", "name": "own",
                           "attach": {"datapath": "0000000000000001", "port": 1}}
    assert parse(PortSpec, plain(spec)) == spec
    for wrong in (LOCAL, 0xFF00, "local", "1"):
        (path, _), = mistakes(PortSpec, {"number": wrong, "name": "own"})
        assert path == "number"
    assert mistakes(PortSpec, {"number": "FLOOD", "name": "own"}) == [
        ("number", "expected a number or LOCAL, got 'FLOOD'")]
    ports = [{"number": "LOCAL", "name": "a"}, {"number": "LOCAL", "name": "b"}]
    assert mistakes(LogicalSwitchSpec, {**RED, "ports": ports}) == [
        ("ports[1].number", "port number LOCAL is used already by ports[0].number")]


def test_a_vif_may_be_named_by_its_iface_id() -> None:
    port = parse(PortSpec, {"number": 1, "name": "web", "attach": {"iface_id": "6f9d", "vlan": 7}})
    assert port.attach == AttachSpec(iface_id="6f9d", vlan=7) and port.attach.place is None
    assert plain(port) == {"number": 1, "name": "web", "attach": {"iface_id": "6f9d", "vlan": 7}}
    assert attach_text(port.attach) == "iface-id 6f9d, vlan 7"
    preferred = parse(PortSpec, WEB | {"attach": {"iface_id": "6f9d", "datapath": 2}}).attach
    assert preferred == AttachSpec(iface_id="6f9d", datapath=2) and preferred.place is None
    assert preferred.vif == AttachSpec(iface_id="6f9d")
    assert AttachSpec(datapath=1, port="eth1").place == (1, "eth1")


def test_an_iface_id_stands_once_with_each_vlan() -> None:
    ports = [{"number": number, "name": f"p{number}", "attach": {"iface_id": "x", **vlan}}
             for number, vlan in enumerate(({}, {"vlan": 5}, {"datapath": 1}), 1)]
    assert mistakes(LogicalSwitchSpec, RED | {"ports": ports}) == [
        ("ports[2].attach", "VIF (iface-id x) is used already by ports[0].attach")]


def test_every_missing_part_of_a_vif_is_named() -> None:
    for attach in ({}, {"vlan": 0}, {"vlan": 5}):
        found = mistakes(PortSpec, WEB | {"attach": attach})
        parts = [each for each in found if each[1] == "is missing"]
        assert parts == [("attach.datapath", "is missing"), ("attach.port", "is missing")]
    assert parse(PortSpec, WEB | {"attach": None}).attach is None
    assert mistakes(PortSpec, WEB | {"attach": 5}) == [("attach", "expected an object with keys, got 5")]
