from hvproxy.openflow import experimenters as ex
from hvproxy.openflow.constants import NICIRA_ID, ONF_ID
from hvproxy.openflow.messages import AsyncConfig


def test_messages_carry_experimenter_and_type() -> None:
    for message, experimenter in ((ex.nicira(7, 18, b"body"), NICIRA_ID), (ex.onf(7, 18, b"body"), ONF_ID)):
        assert ex.kind_of(message) == (experimenter, 18)
        assert (message[4:8], message[ex.BODY:]) == (b"\0\0\0\7", b"body")


def test_bodies_of_niciras_messages() -> None:
    assert ex.decode_word(ex.nicira(1, ex.Nicira.ROLE_REQUEST, b"\0\0\0\2")) == 2
    assert ex.decode_controller_id(ex.nicira(1, ex.Nicira.SET_CONTROLLER_ID, b"\0\0\0\0\0\1\0\5")) == (
        b"\0\0\0\0\0\1", 5)
    masks = b"".join(n.to_bytes(4, "big") for n in range(1, 7))
    assert ex.decode_async_config(ex.nicira(1, ex.Nicira.SET_ASYNC_CONFIG, masks)) == AsyncConfig(
        0, (1, 2), (3, 4), (5, 6))


def test_properties_are_read_without_their_padding() -> None:
    data = b"head" + b"\0\1\0\6ab\0\0" + b"\0\2\0\4\0\0\0\0" + b"\0\3\0\x08abcd"
    assert ex.properties(data, 4) == [(1, b"ab"), (2, b""), (3, b"abcd")]


def test_a_role_status_is_as_open_vswitch_sends_it() -> None:
    assert ex.role_status(3, 0, 7) == bytes.fromhex(
        "04040020" "00000000" "4f4e4600" "00000777" "00000003" "00000000" "0000000000000007")


def test_niciras_role_reply() -> None:
    assert ex.nicira_role_reply(5, 1) == bytes.fromhex("04040014" "00000005" "00002320" "0000000b" "00000001")


def test_a_zone_is_forgotten_in_niciras_words() -> None:
    assert ex.forget_connections(5, 7) == bytes.fromhex(
        "04040018" "00000005" "00002320" "0000001d" "000000000000" "0007")
