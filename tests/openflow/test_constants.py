from hvproxy.openflow import constants
from hvproxy.openflow.constants import of13


def test_our_plain_values_are_those_of_openflow():
    assert constants.OFP_VERSION == of13.OFP_VERSION
    assert constants.NO_BUFFER == of13.OFP_NO_BUFFER
    assert constants.HEADER.size == constants.HEADER_SIZE == of13.OFP_HEADER_SIZE
    assert constants.NICIRA_ID == 0x2320
    assert constants.ONF_ID == int.from_bytes(b"ONF\0", "big")


def test_the_header_is_read_in_the_order_of_openflow():
    assert constants.HEADER.unpack(bytes.fromhex("040e003800000007")) == (4, of13.OFPT_FLOW_MOD, 56, 7)
