from __future__ import annotations

from pathlib import Path

import pytest

from hvproxy.config import (
    ApiConfig, Config, FabricConfig, LinkEnd, LinkSpec, Secret, StoreUrl, SwitchesConfig, VlanRange, load, parse
)
from hvproxy.errors import ConfigError
from hvproxy.model.address import Address, DatabaseAddress
from hvproxy.model.intent import AttachSpec, TlsSpec

EXAMPLE = Path(__file__).parents[1] / "conf" / "example.yaml"


def mistakes(text: str) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return caught.value.mistakes


def test_an_empty_file_is_all_defaults() -> None:
    assert parse("") == Config(
        switches=SwitchesConfig(
            listen=(Address("ptcp", "0.0.0.0", 6633),), protocols=("OpenFlow13",), grace=10.0, tls=None),
        fabric=FabricConfig(
            encapsulation="auto", discovery=True, links=(), vlan_range=VlanRange(2, 4094), secret=None),
        api=ApiConfig(listen=Address("ptcp", "127.0.0.1", 8080), tls=None),
        store=StoreUrl("sqlite", "hvproxy.db"), durability="barrier", tenants=())


def test_endpoints_of_tunnels_are_addresses_of_hosts_one_for_a_datapath() -> None:
    def endpoints(*rows: str) -> str:
        return ("switches: {ovsdb: ['unix:/db']}\nfabric:\n  encapsulation: geneve\n  tunnel_endpoints:\n"
                + "".join(f"    - {row}\n" for row in rows))

    config = parse(endpoints("{datapath: 0x1, address: 192.0.2.1}", "{datapath: 0x2, address: '2001:DB8:0::1'}"))
    assert config.fabric.encapsulation == "geneve"
    assert [(each.datapath, str(each.address)) for each in config.fabric.tunnel_endpoints] == [
        (1, "192.0.2.1"), (2, "2001:db8::1")]
    assert mistakes(endpoints("{datapath: 0x1, address: here}", "{datapath: 0x1, address: 127.0.0.1}")) == [
        ("fabric.tunnel_endpoints[0].address", "'here' is not an IP address"),
        ("fabric.tunnel_endpoints[1].address", "'127.0.0.1' is not the address of a host that others can reach")]
    assert mistakes(endpoints("{datapath: 0x1, address: 192.0.2.1}", "{datapath: 0x1, address: 192.0.2.1}")) == [
        ("fabric.tunnel_endpoints[1].datapath",
         "datapath 0000000000000001 is used already by fabric.tunnel_endpoints[0].datapath"),
        ("fabric.tunnel_endpoints[1].address",
         "tunnel endpoint 192.0.2.1 is used already by fabric.tunnel_endpoints[0].address")]


def test_every_key_is_read() -> None:
    config = parse("""
switches:
  listen: ["pssl:6640:127.0.0.1", "ptcp:6633:[::1]"]
  protocols: [OpenFlow13]
  grace: 2.5
  tls: {private_key: key, certificate: cert}
  ovsdb: ["unix:/run/db.sock", "tcp:127.0.0.1", "ssl:db.example:7000"]
  configure_bridges: true
fabric:
  encapsulation: vlan
  discovery: false
  links: ["0x1:5 - 0x2:s2-eth5"]
  vlan_range: 100-199
  secret: sixteen letters!
api:
  listen: "ptcp:0:127.0.0.1"
store: "sqlite:/var/lib/hvproxy/a:b.db"
durability: relaxed
tenants:
  - name: red
    logical_switches: [{name: core, datapath_id: 0x00000000000000a1}]
""")
    assert config.switches == SwitchesConfig(
        listen=(Address("pssl", "127.0.0.1", 6640), Address("ptcp", "::1", 6633)), grace=2.5,
        tls=TlsSpec(private_key="key", certificate="cert"), configure_bridges=True,
        ovsdb=(DatabaseAddress("unix", path="/run/db.sock"), DatabaseAddress("tcp", "127.0.0.1", 6640),
               DatabaseAddress("ssl", "db.example", 7000)))
    assert config.fabric == FabricConfig(
        encapsulation="vlan", discovery=False, links=(LinkSpec(LinkEnd(1, 5), LinkEnd(2, "s2-eth5")),),
        vlan_range=VlanRange(100, 199), secret=Secret("sixteen letters!"))
    assert config.api.listen == Address("ptcp", "127.0.0.1", 0)
    [tenant] = config.tenants
    assert [(each.name, each.tenant, each.datapath_id) for each in tenant.logical_switches] == [("core", "red", 0xA1)]


def test_the_example_is_good() -> None:
    config = load(EXAMPLE)
    assert [tenant.name for tenant in config.tenants] == ["red", "blue"]
    assert len(config.fabric.links) == 4


def test_a_secret_is_not_shown() -> None:
    config = parse("fabric: {secret: sixteen letters!}")
    assert config.fabric.secret is not None and config.fabric.secret.text == "sixteen letters!"
    assert "sixteen" not in repr(config) + str(config.fabric.secret)


@pytest.mark.parametrize(("text", "path", "what"), [
    ("[1]", "", "expected an object with keys, got a list"),
    ("switch: {}", "switch", "unknown key; did you mean switches?"),
    ("workers: 2", "workers", "not supported yet"),
    ("switches: {listen: 'ptcp:1'}", "switches.listen", "expected a list, got 'ptcp:1'"),
    ("switches: {listen: ['tcp:h']}", "switches.listen[0]",
     "tcp:h:6653 cannot be listened on; write one of ptcp:[PORT][:HOST], pssl:[PORT][:HOST]"),
    ("switches: {listen: ['pssl:1']}", "switches.listen[0]",
     "pssl:1:0.0.0.0 needs tls: {private_key, certificate, ca} beside listen"),
    ("switches: {listen: ['ptcp:1', 'ptcp:1:127.0.0.1']}", "switches.listen[1]",
     "ptcp:1:127.0.0.1 is taken already by ptcp:1:0.0.0.0 of switches.listen[0]"),
    ("switches: {protocols: [OpenFlow15]}", "switches.protocols[0]",
     "OpenFlow15: not supported yet; supported: OpenFlow13"),
    ("switches: {protocols: []}", "switches.protocols", "names no protocol"),
    ("switches: {grace: -1}", "switches.grace", "expected float >= 0.0, got -1"),
    ("switches: {grace: soon}", "switches.grace", "expected float, got str"),
    ("fabric: {encapsulation: gre}", "fabric.encapsulation",
     "gre needs a database in switches.ovsdb, to make tunnels: none is named"),
    ("fabric: {tunnel_endpoints: [{datapath: 0x1, address: 192.0.2.1}]}", "fabric.tunnel_endpoints",
     "needs a database in switches.ovsdb, to make tunnels: none is named"),
    ("fabric: {encapsulation: qinq}", "fabric.encapsulation",
     "'qinq' is not one of auto, vlan, gre, vxlan, geneve"),
    ("fabric: {bfd_interval: 0.009}", "fabric.bfd_interval", "expected float >= 0.01, got 0.009"),
    ("fabric: {bfd_interval: 11}", "fabric.bfd_interval", "expected float <= 10.0, got 11"),
    ("fabric: {discovery: maybe}", "fabric.discovery", "expected bool, got str"),
    ("fabric: {secret: short}", "fabric.secret", "is too short; write at least 16 characters"),
    ("fabric: {vlan_range: 1-4095}", "fabric.vlan_range",
     "'1-4095' is not a range of VLAN ids; write FIRST-LAST within 1-4094"),
    ("fabric: {vlan_range: 9-8}", "fabric.vlan_range",
     "'9-8' is not a range of VLAN ids; write FIRST-LAST within 1-4094"),
    ("fabric: {vlan_range: [2, 9]}", "fabric.vlan_range", "expected str, got array"),
    ("fabric: {links: ['0x1:5-0x2:5']}", "fabric.links[0]",
     "'0x1:5-0x2:5' is not a link; write it as \"0x1:5 - 0x2:5\" (DPID:PORT - DPID:PORT)"),
    ("fabric: {links: ['0x1:0 - 0x2:5']}", "fabric.links[0]", "'0' is not a port number from 1 to 4294967040"),
    ("fabric: {links: ['1:5 - 0x2:5']}", "fabric.links[0]",
     "'1' is not a datapath id; write 0x and up to 16 hexadecimal digits, not all zero"),
    ("fabric: {links: ['0x1:a - 0x2:abcdefghijklmnop']}", "fabric.links[0]",
     "'abcdefghijklmnop' is not a port name of up to 15 printable ASCII characters"),
    ("fabric: {links: ['0x1:5 - 0x1:6']}", "fabric.links[0]",
     "'0x1:5 - 0x1:6': both ends are on datapath 0000000000000001"),
    ("fabric: {links: ['0x1:5 - 0x2:5', '0x3:5 - 0x01:5']}", "fabric.links[1]",
     "link end 0x1:5 is used already by fabric.links[0]"),
    ("api: {listen: ['ptcp:1']}", "api.listen", "expected str, got array"),
    ("api: {listen: 'unix:/x'}", "api.listen",
     "unix:/x cannot be listened on; write one of ptcp:[PORT][:HOST], pssl:[PORT][:HOST]"),
    ("api: {listen: 'pssl:1'}", "api.listen", "pssl:1:0.0.0.0 needs tls: {private_key, certificate, ca} beside listen"),
    ("api: {listen: 'ptcp:6633'}", "switches.listen",
     "ptcp:6633:0.0.0.0 is taken already by ptcp:6633:0.0.0.0 of api.listen"),
    ("store: 'etcd:127.0.0.1:2379'", "store", "etcd: not supported yet; supported: memory:, sqlite:PATH"),
    ("store: ram", "store", "'ram' is not a store; write memory: or sqlite:PATH"),
    ("store: 'sqlite:'", "store", "'sqlite:' is not a store; write memory: or sqlite:PATH"),
    ("store: 'memory:x'", "store", "'memory:x' is not a store; write memory: or sqlite:PATH"),
    ("durability: none", "durability", "'none' is not one of barrier, relaxed"),
    ("tenants: [{name: a}, {name: a}]", "tenants[1].name", "tenant name 'a' is used already by tenants[0].name"),
    ("api: {}\napi: {}", "api", "line 2: the key stands already on line 1"),
    ("a: b: c", "line 1, column 5", "not YAML: mapping values are not allowed in this context"),
])
def test_a_mistake_is_told_with_its_path(text: str, path: str, what: str) -> None:
    assert mistakes(text) == [(path, what)]


TENANTS = """
switches: {listen: ["ptcp:6633:127.0.0.1"]}
fabric: {links: ["0x1:5 - 0x2:s2-eth5"]}
tenants:
  - name: red
    logical_switches:
      - name: red
        datapath_id: 0xa1
        listen: ["ptcp:16653", "ptcp:8080"]
        ports:
          - {number: 1, name: a, attach: {datapath: 0x1, port: 1}}
          - {number: 2, name: b, attach: {datapath: 0x1, port: 5}}
          - {number: 3, name: c, attach: {datapath: 0x2, port: s2-eth5, vlan: 3}}
          - {number: 4, name: d, attach: {datapath: 0x2, port: 5}}
          - {number: 0, name: e}
  - name: blue
    logical_switches:
      - name: red
        datapath_id: "00000000000000a1"
        listen: ["ptcp:16653:127.0.0.1", "ptcp:6633"]
        ports:
          - {number: 1, name: a, attach: {datapath: 0x1, port: 1}}
          - {number: 2, name: b, attach: {datapath: 0x1, port: 1, vlan: 7}}
          - {number: 3, name: c, attach: {datapath: 0x1, port: 1, vlan: 7}}
"""


def wired(*peers: str, tenants: str = "") -> str:
    """Logical switches a, b and so on, each with a port 1 that names that peer; all of red's, or of tenants by their
    first letters."""
    rows = ["tenants:"]
    for number, (name, peer) in enumerate(zip("abc", peers, strict=False)):
        if number == 0 or tenants:
            rows.append(f"- name: {tenants[number] if tenants else 'red'}\n  logical_switches:")
        rows.append(f"  - {{name: {name}, datapath_id: {number + 1}, "
                    f"ports: [{{number: 1, name: up, attach: {{peer: {peer}}}}}]}}")
    return "\n".join(rows)


def test_ports_that_name_each_other_are_wired() -> None:
    (tenant,) = parse(wired("b/1", "a/1")).tenants
    assert [ls.ports[0].attach for ls in tenant.logical_switches] == [AttachSpec(peer="b/1"), AttachSpec(peer="a/1")]


NAMED_BACK = "does not name this port in turn: write attach: {peer:"


@pytest.mark.parametrize(("text", "faults"), [
    (wired("b/1"), [(0, 0, "there is no logical switch b")]),
    (wired("b/2", "a/1"), [(0, 0, "logical switch b has no port 2"), (0, 1, f'a/1 {NAMED_BACK} "b/1"}} there')]),
    (wired("a/1"), [(0, 0, "a/1 is this port itself")]),
    (wired("b/1", "a/1", tenants="rb"), [(0, 0, "logical switch b is another tenant's"),
                                         (1, 0, "logical switch a is another tenant's")]),
    (wired("b/1", "a/1", "b/1"), [
        (0, 2, f'b/1 {NAMED_BACK} "c/1"}} there'),
        (0, 2, "peer b/1 is used already by tenants[0].logical_switches[0].ports[0].attach.peer")]),
])
def test_a_peer_that_is_not_there_or_does_not_name_its_peer_is_a_mistake(
    text: str, faults: list[tuple[int, int, str]]
) -> None:
    assert sorted(mistakes(text)) == [
        (f"tenants[{tenant}].logical_switches[{number}].ports[0].attach.peer", what)
        for tenant, number, what in faults]


def test_every_mistake_is_told_in_file_order() -> None:
    red, blue = "tenants[0].logical_switches[0]", "tenants[1].logical_switches[0]"
    assert mistakes(TENANTS) == [
        (f"{red}.ports[1].attach", "VIF (datapath 0000000000000001, port 5) is an end of the link fabric.links[0]"),
        (f"{red}.ports[2].attach",
         "VIF (datapath 0000000000000002, port s2-eth5, vlan 3) is an end of the link fabric.links[0]"),
        (f"{red}.ports[4].number", "expected int >= 1, got 0"),
        (f"{blue}.name", f"logical switch name 'red' is used already by {red}.name"),
        (f"{blue}.datapath_id", f"datapath id 00000000000000a1 is used already by {red}.datapath_id"),
        (f"{blue}.listen[0]", f"ptcp:16653:127.0.0.1 is taken already by ptcp:16653:0.0.0.0 of {red}.listen[0]"),
        (f"{blue}.listen[1]", "ptcp:6633:0.0.0.0 is taken already by ptcp:6633:127.0.0.1 of switches.listen[0]"),
        (f"{blue}.ports[0].attach",
         f"VIF (datapath 0000000000000001, port 1) is used already by {red}.ports[0].attach"),
        (f"{blue}.ports[2].attach",
         f"VIF (datapath 0000000000000001, port 1, vlan 7) is used already by {blue}.ports[1].attach"),
        ("api.listen", f"ptcp:8080:127.0.0.1 is taken already by ptcp:8080:0.0.0.0 of {red}.listen[1]"),
    ]


def test_a_file_that_cannot_be_read_is_one_mistake(tmp_path: Path) -> None:
    for path, what in ((tmp_path / "none", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert caught.value.mistakes == [("", f"cannot be read: {what}")]


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_bytes(b"#" * (16 * 2**20 + 1))
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.mistakes == [("", "is larger than 16 MiB")]


@pytest.mark.parametrize("text", ["0x1:5 - 0x2:s2-eth5"])
def test_a_link_is_written_as_it_is_read(text: str) -> None:
    assert str(LinkSpec.parse(text)) == text
    assert str(VlanRange.parse(" 2 - 4094 ")) == "2-4094"
    assert str(StoreUrl.parse("memory:")) == "memory:"


def test_the_path_of_a_store_begins_at_the_folder_of_the_configuration_file() -> None:
    assert parse("").store.file("conf/net.yaml") == Path("conf/hvproxy.db")
    assert StoreUrl.parse("sqlite:../net.db").file("/etc/hv/net.yaml") == Path("/etc/hv/../net.db")
    assert StoreUrl.parse("sqlite:/var/net.db").file("conf/net.yaml") == Path("/var/net.db")
    assert StoreUrl.parse("memory:").file("conf/net.yaml") is None


def test_the_examples_of_hvproxy_on_hvproxy_fit_each_other() -> None:
    outer, inner = (load(EXAMPLE.parent / f"{name}.yaml") for name in ("outer", "inner"))
    (operator,) = outer.tenants
    there = {(ls.datapath_id, port.number) for ls in operator.logical_switches for port in ls.ports}
    places = [port.attach.place for tenant in inner.tenants for ls in tenant.logical_switches for port in ls.ports
              if port.attach is not None]
    assert places and set(places) <= there
    needed = 10 + max(ls.tables for tenant in inner.tenants for ls in tenant.logical_switches)
    assert {ls.tables for ls in operator.logical_switches} == {needed}
    assert {str(address) for ls in operator.logical_switches for address in ls.controllers} == {
        f"tcp:{address.host}:{address.port}" for address in inner.switches.listen}


BY_IFACE_ID = """
tenants:
  - name: red
    logical_switches:
      - name: red
        datapath_id: 1
        ports: [{number: 1, name: web, attach: {iface_id: vm-1}}]
"""


def test_an_iface_id_needs_a_database_that_could_say_where_it_is() -> None:
    where = "tenants[0].logical_switches[0].ports[0].attach.iface_id"
    needs = (where, "needs a database in switches.ovsdb, which could say where it is: none is named")
    assert mistakes(BY_IFACE_ID) == mistakes("switches: {ovsdb: []}" + BY_IFACE_ID) == [needs]
    (tenant,) = parse("switches: {ovsdb: ['unix:/db']}" + BY_IFACE_ID).tenants
    assert tenant.logical_switches[0].ports[0].attach is not None
    assert [path for path, _ in mistakes("switches: {ovsdb: ['udp:1']}" + BY_IFACE_ID)] == ["switches.ovsdb[0]"]


@pytest.mark.parametrize(("switches", "path", "what"), [
    ("ovsdb: ['ptcp:6640']", "switches.ovsdb[0]",
     "ptcp:6640:0.0.0.0 cannot be dialled; write one of tcp:HOST[:PORT], ssl:HOST[:PORT], unix:PATH"),
    ("ovsdb: ['ssl:db']", "switches.ovsdb[0]",
     "ssl:db:6640 needs tls: {private_key, certificate, ca} beside ovsdb"),
    ("ovsdb: ['tcp:db', 'tcp:db:6640']", "switches.ovsdb[1]", "tcp:db:6640 is used already by switches.ovsdb[0]"),
    ("configure_bridges: true", "switches.configure_bridges", "needs a database in switches.ovsdb: none is named"),
    ("configure_bridges: 1", "switches.configure_bridges", "expected bool, got int"),
])
def test_databases_that_cannot_be_are_refused(switches: str, path: str, what: str) -> None:
    assert mistakes(f"switches: {{{switches}}}") == [(path, what)]
