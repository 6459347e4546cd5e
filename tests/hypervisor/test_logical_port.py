from hvproxy.hypervisor.logical_port import LogicalPort, hardware_address
from hvproxy.openflow.constants import of13
from hvproxy.openflow.ports import PortDesc
from tests.hypervisor.worlds import port_spec


def test_addresses_are_local_unicast_and_differ_by_switch_and_number() -> None:
    addresses = {hardware_address(name, number) for name in ("red", "white") for number in range(1, 500)}
    assert len(addresses) == 2 * 499
    assert all(len(address) == 6 and address[0] & 3 == 2 for address in addresses)


def test_the_address_does_not_depend_on_where_the_port_is() -> None:
    one = LogicalPort("red", port_spec(4, "a", 1, 2), 9, 0.0)
    other = LogicalPort("red", port_spec(4, "b", 3, 4, 5), 2, 7.0)
    assert one.hw_addr == other.hw_addr


def test_a_port_is_told_down_until_it_is_up() -> None:
    port = LogicalPort("red", port_spec(4, "eth4", 1, 2), 9, 0.0)
    assert (port.desc().number, port.desc().name, port.desc().state) == (4, "eth4", of13.OFPPS_LINK_DOWN)
    port.up = True
    assert port.desc().state == of13.OFPPS_LIVE


def test_speed_is_that_of_what_carries_it_and_all_else_its_own() -> None:
    port = LogicalPort("red", port_spec(4, "eth4", 1, 2), 9, 0.0)
    port.carrier = PortDesc(77, b"secret", "physical", config=1, state=1, curr=2, advertised=3, supported=4, peer=5,
                            curr_speed=6, max_speed=7)
    desc = port.desc()
    assert (desc.curr, desc.advertised, desc.supported, desc.peer) == (2, 3, 4, 5)
    assert (desc.curr_speed, desc.max_speed) == (6, 7)
    assert (desc.number, desc.hw_addr, desc.name, desc.config) == (4, port.hw_addr, "eth4", 0)
