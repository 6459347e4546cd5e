import pytest
from hypothesis import given, strategies as st

from hvproxy.errors import MalformedMessage
from hvproxy.openflow.framing import Framer
from tests.openflow.samples import header

MESSAGES = [header(2, b""), header(14, bytes(40)), header(10, bytes(1000)), header(2, b"x", version=1)]


def test_whole_messages_come_out_as_they_went_in():
    assert Framer().feed(b"".join(MESSAGES)) == MESSAGES


@given(st.lists(st.sampled_from(MESSAGES), max_size=8), st.data())
def test_any_cutting_of_the_stream_gives_the_same_messages(messages, data):
    stream = b"".join(messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    framer, out = Framer(), []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)]):
        out += framer.feed(stream[start:stop])
    assert out == messages
    assert framer.start == b""


def test_byte_by_byte_each_message_comes_with_its_last_byte():
    framer = Framer()
    message = MESSAGES[1]
    assert [framer.feed(bytes((byte,))) for byte in message] == [[]] * (len(message) - 1) + [[message]]


def test_the_longest_message_passes_and_is_all_that_is_kept():
    framer = Framer()
    longest = header(2, bytes(0xffff - 8))
    assert framer.feed(longest[:-1]) == []
    assert framer.feed(longest[-1:] + b"\4") == [longest]
    assert framer.start == b"\4"


@pytest.mark.parametrize("length", range(8))
def test_a_length_below_the_header_is_malformed(length):
    with pytest.raises(MalformedMessage):
        Framer().feed(header(2, b"", length=length))


def test_a_length_below_the_header_is_seen_with_four_bytes():
    with pytest.raises(MalformedMessage):
        Framer().feed(b"\4\2\0\7")


def test_messages_before_a_malformed_one_come_out_first():
    framer = Framer()
    assert framer.feed(MESSAGES[1] + header(2, b"", length=4)) == [MESSAGES[1]]
    with pytest.raises(MalformedMessage):
        framer.feed(b"")
    with pytest.raises(MalformedMessage):
        framer.feed(MESSAGES[0])


def test_the_start_of_an_unfinished_message_can_be_seen():
    framer = Framer()
    framer.feed(MESSAGES[0] + b"GET / HTTP/1.1")
    assert framer.start == b"GET / HT"
