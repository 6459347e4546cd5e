"""Controllers that ask for it hear of the group-mods and meter-mods of others, as the switch has understood them."""
from __future__ import annotations

import pytest

from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.experimenters import Nicira, Onf, kind_of, nicira
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.messages import AsyncConfig
from tests.harness import Controller
from tests.hypervisor.worlds import meter_mod, red

BEHIND_HEADER = 16
GROUP = build.group_mod(7, of13.OFPGC_ADD, of13.OFPGT_ALL, 9, bucket(actions.output(2)))


def asks(controller: Controller, master: int, slave: int = 0) -> None:
    masks = ((11, master), (10, slave))
    controller.send(nicira(1, Nicira.SET_ASYNC_CONFIG2, b"".join(
        number.to_bytes(2, "big") + b"\0\x08" + mask.to_bytes(4, "big") for number, mask in masks)))


def heard(controller: Controller) -> list[bytes]:
    controller.world.run()
    came, controller.messages = controller.messages, []
    found = [message for message in came if message[1] == of13.OFPT_EXPERIMENTER]
    assert all(message[4:8] == bytes(4) and kind_of(message)[1] == Onf.REQUEST_FORWARD for message in found)
    return [message[BEHIND_HEADER:] for message in found]


@pytest.mark.parametrize("message, told, bit", [
    (GROUP, GROUP, 1), (build.group_mod(3, of13.OFPGC_DELETE, of13.OFPGT_INDIRECT, 77),) * 2 + (1,),
    (meter_mod(5, 100, xid=4), meter_mod(5, 100, burst=100, xid=4), 2),
    (meter_mod(5, 100, command=of13.OFPMC_DELETE, xid=4), build.meter_mod(4, of13.OFPMC_DELETE, 0, 5), 2),
])
def test_others_hear_what_was_carried_out_if_they_ask_for_it(message: bytes, told: bytes, bit: int) -> None:
    world, sender = red()
    asking, other, quiet = (Controller(world, "red") for _ in range(3))
    for controller, mask in ((sender, 3), (asking, bit), (other, 3 - bit)):
        asks(controller, mask)
    sender.send(message)
    assert heard(asking) == [told]
    assert not heard(sender) and not heard(other) and not heard(quiet)


def test_what_is_refused_is_not_heard_and_a_slave_has_a_mask_of_its_own() -> None:
    world, sender = red()
    asking = Controller(world, "red")
    asks(asking, 3)
    assert sender.refused(build.group_mod(3, of13.OFPGC_MODIFY, 0, 77)) is not None
    assert heard(asking) == []
    asking.send(build.role_request(1, of13.OFPCR_ROLE_SLAVE, 1))
    sender.send(GROUP)
    assert heard(asking) == []
    asks(asking, 0, 3)
    sender.send(build.group_mod(8, of13.OFPGC_DELETE, 0, 9))
    assert heard(asking) == [build.group_mod(8, of13.OFPGC_DELETE, 0, 9)]


@pytest.mark.parametrize("masks", [
    build.set_async(AsyncConfig(2, (7, 0), (7, 7), (15, 0))),
    nicira(2, Nicira.SET_ASYNC_CONFIG, build.set_async(AsyncConfig(2, (7, 0), (7, 7), (15, 0)))[8:]),
])
def test_masks_that_cannot_name_requests_of_others_end_it(masks: bytes) -> None:
    world, sender = red()
    asking = Controller(world, "red")
    asks(asking, 3, 3)
    asking.send(masks)
    sender.send(GROUP)
    assert heard(asking) == []
