"""Dialogues: bytes and time in, messages and bytes out."""
from collections.abc import Callable
from math import inf

import pytest

from hvproxy.openflow import build
from hvproxy.openflow.channel import TRANSITIONS, Channel, Input, State, common_version
from tests.openflow.samples import CONTROLLER, SWITCH, header

V13 = frozenset({4})


def hello(version: int, elements: bytes = b"") -> bytes:
    return header(0, elements, version=version)


def bitmap(*versions: int) -> bytes:
    return b"\0\1\0\x08" + sum(1 << version for version in versions).to_bytes(4, "big")


def error(xid: int, kind: int, code: int, data: bytes, version: int = 4) -> bytes:
    body = kind.to_bytes(2, "big") + code.to_bytes(2, "big") + data
    return bytes((version, 1)) + (8 + len(body)).to_bytes(2, "big") + xid.to_bytes(4, "big") + body


def waiting(from_switch: bool = False) -> Channel:
    channel = Channel(V13, 100.0, from_switch=from_switch)
    channel.send.clear()
    return channel


def opened(from_switch: bool = False) -> Channel:
    channel = waiting(from_switch)
    assert channel.receive(hello(4, bitmap(4)), 100.0) == []
    return channel


def ended(from_switch: bool = False) -> Channel:
    channel = opened(from_switch)
    channel.leave("test")
    return channel


# HELLO

def test_our_hello_is_sent_at_once_with_the_version_bitmap():
    assert Channel(V13, 0.0, from_switch=False).send == [bytes.fromhex("0400001000000000" "0001000800000010")]


@pytest.mark.parametrize("versions", [frozenset(), frozenset({1}), frozenset({4, 6})])
def test_only_versions_that_the_guard_proves_can_be_offered(versions):
    with pytest.raises(ValueError):
        Channel(versions, 0.0, from_switch=False)


@pytest.mark.parametrize("idle, dead", [(0, 1), (5, 5), (9, 3)])
def test_idle_comes_before_dead(idle, dead):
    with pytest.raises(ValueError):
        Channel(V13, 0.0, from_switch=False, idle=idle, dead=dead)


HELLOS: list[tuple[str, bytes, int | None, int | None]] = [
    # name, their HELLO, agreed when we speak 1.3, agreed when we speak 1.0 to 1.5
    ("1.0 without bitmap", hello(1), None, 1),
    ("1.2 without bitmap", hello(3), None, 3),
    ("1.3 without bitmap", hello(4), 4, 4),
    ("1.5 without bitmap", hello(6), 4, 6),
    ("a version of the future without bitmap", hello(0x63), 4, 6),
    ("1.0 in the bitmap", hello(1, bitmap(1)), None, 1),
    ("1.3 in the bitmap", hello(4, bitmap(4)), 4, 4),
    ("1.0 to 1.5 in the bitmap", hello(6, bitmap(1, 2, 3, 4, 5, 6)), 4, 6),
    ("1.0 and 1.3 in the bitmap", hello(4, bitmap(1, 4)), 4, 4),
    ("1.2 only in the bitmap", hello(3, bitmap(3)), None, 3),
    ("1.5 only in the bitmap", hello(6, bitmap(6)), None, 6),
    ("1.0 and 1.5 in the bitmap", hello(6, bitmap(1, 6)), None, 6),
    ("empty bitmap", hello(4, bitmap()), None, None),
    ("bitmap element without words", hello(4, b"\0\1\0\4\0\0\0\0"), None, None),
    ("bitmap of two words", hello(4, b"\0\1\0\x0c\0\0\0\x10\0\0\0\1\0\0\0\0"), 4, 4),
    ("bitmap of two words without padding", hello(4, b"\0\1\0\x0c\0\0\0\x10\0\0\0\1"), 4, 4),
    ("version 33 only in the bitmap", hello(4, b"\0\1\0\x0c\0\0\0\0\0\0\0\2\0\0\0\0"), None, None),
    ("an unknown element, then the bitmap", hello(6, b"\x12\x34\0\5a\0\0\0" + bitmap(4)), 4, 4),
    ("an unknown element only", hello(4, b"\x12\x34\0\x08abcd"), 4, 4),
    ("element of length zero", hello(4, b"\0\1\0\0\0\0\0\x10"), 4, 4),
    ("element of length zero of an old version", hello(1, b"\0\1\0\0\0\0\0\x10"), None, 1),
    ("element longer than the message", hello(4, b"\0\1\0\x40\0\0\0\x10"), 4, 4),
    ("a body of text", hello(4, b"hello there"), 4, 4),
    ("header alone", hello(4), 4, 4),
    ("the longest there can be", hello(4, b"\x12\x34\0\x08abcd" * 8190), 4, 4),
    ("version 0", hello(0), None, None),
]


@pytest.mark.parametrize("name, theirs, agreed, among_all", HELLOS)
def test_versions_are_agreed_as_openflow_says(name, theirs, agreed, among_all):
    assert common_version(V13, theirs) == agreed
    assert common_version(frozenset({1, 2, 3, 4, 5, 6}), theirs) == among_all
    channel = waiting()
    assert channel.receive(theirs, 100.0) == []
    assert channel.version == agreed
    assert channel.open is (agreed is not None)


def test_no_common_version_is_said_in_words_before_closing():
    channel = waiting()
    channel.receive(hello(1), 100.0)
    assert channel.send == [error(0, 0, 0, b"only OpenFlow13 is spoken here", version=1)]
    assert channel.closed == "no common version: the peer's HELLO is of version 1"


@pytest.mark.parametrize("data", [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03",
    b"\4\x0e", bytes(range(1, 200)),
])
def test_another_protocol_is_closed_without_waiting_for_the_rest(data):
    channel = waiting()
    assert channel.receive(data, 100.0) == []
    assert channel.closed is not None
    assert channel.send == []


@pytest.mark.parametrize("length", [0, 4, 7])
def test_a_hello_shorter_than_its_header_closes(length):
    channel = waiting()
    channel.receive(header(0, b"", length=length), 100.0)
    assert channel.closed == f"header says a length of {length}"


def test_a_session_needs_a_hello_first():
    channel = waiting(from_switch=True)
    assert channel.receive(SWITCH["features reply"], 100.0) == []
    assert channel.closed == "first message is FEATURES_REPLY, not HELLO"


def test_a_hello_may_come_in_pieces_and_with_what_follows():
    channel = waiting()
    stream = hello(4, bitmap(4)) + CONTROLLER["barrier request"]
    out = [channel.receive(bytes((byte,)), 100.0) for byte in stream]
    assert [message for messages in out for message in messages] == [CONTROLLER["barrier request"]]


def test_nothing_behind_a_failed_hello_comes_through():
    channel = waiting()
    assert channel.receive(hello(1) + CONTROLLER["barrier request"] + CONTROLLER["echo request"], 100.0) == []
    assert len(channel.send) == 1


# An open session

@pytest.mark.parametrize("from_switch, samples", [(False, CONTROLLER), (True, SWITCH)])
def test_every_message_comes_through_in_order_but_hello_and_echo(from_switch, samples):
    channel = opened(from_switch)
    names = [name for name in samples if name not in ("hello", "echo request", "echo reply")]
    assert channel.receive(b"".join(samples.values()), 101.0) == [samples[name] for name in names]
    assert channel.open


def test_an_echo_is_answered_at_once_with_its_payload():
    channel = opened()
    assert channel.receive(header(2, b"payload"), 100.0) == []
    assert channel.send == [header(3, b"payload")]


def test_a_refused_message_is_answered_with_its_xid_and_all_its_bytes():
    channel = opened()
    bad = header(14, bytes(100))
    good = CONTROLLER["barrier request"]
    assert channel.receive(bad + good, 100.0) == [good]
    assert channel.send == [error(7, 1, 6, bad)]
    assert channel.open


def test_a_short_refused_message_is_embedded_whole():
    channel = opened()
    channel.receive(header(20, b"x"), 100.0)
    assert channel.send == [error(7, 1, 6, header(20, b"x"))]


@pytest.mark.parametrize(("version", "answered"), [(0, 1), (1, 1), (2, 2), (6, 6), (7, 1), (0x99, 1)])
def test_another_version_in_an_open_session_is_refused_in_that_version(version, answered):
    channel = opened()
    message = header(20, b"", version=version)
    assert channel.receive(message, 100.0) == []
    assert channel.send == [error(7, 1, 0, message, answered)]
    assert channel.open


@pytest.mark.parametrize("from_switch", [False, True])
@pytest.mark.parametrize("version", [1, 5, 7, 0x99])
def test_an_echo_of_another_version_is_answered_in_that_version(version, from_switch):
    channel = opened(from_switch=from_switch)
    assert channel.receive(header(2, b"abc", version=version) + header(3, b"", version=version), 100.0) == []
    assert channel.send == [header(3, b"abc", version=version)]
    assert channel.open


@pytest.mark.parametrize("version", [1, 4, 5])
def test_a_controllers_error_is_refused_as_what_only_a_switch_sends(version):
    channel = opened()
    message = header(1, b"\0\1\0\1", version=version)
    assert channel.receive(message, 100.0) == []
    assert channel.send == [header(1, b"\0\1\0\1" + message, version=version)]
    assert channel.open


def test_a_switch_that_fails_the_guard_is_left_without_an_answer():
    channel = opened(from_switch=True)
    good = SWITCH["barrier reply"]
    assert channel.receive(good + header(10, bytes(3)) + good, 100.0) == [good]
    assert channel.send == []
    assert channel.closed == "message of type PACKET_IN: packet-in length"


def test_what_came_before_a_malformed_message_comes_through():
    channel = opened()
    good = CONTROLLER["barrier request"]
    assert channel.receive(good + b"\4\x0e\0\0\0\0\0\0", 100.0) == [good]
    assert channel.closed == "header says a length of 0"


# Keepalive

def test_a_silent_peer_is_probed_once_and_then_left():
    channel = Channel(V13, 100.0, from_switch=True, idle=15.0, dead=45.0)
    channel.receive(hello(4), 110.0)
    channel.send.clear()
    assert channel.deadline == 125.0
    channel.tick(124.9)
    assert channel.send == []
    channel.tick(125.0)
    assert channel.send == [build.echo_request(0)]
    assert channel.deadline == 155.0
    channel.tick(140.0)
    assert len(channel.send) == 1
    channel.tick(155.0)
    assert channel.closed == "silent for 45 s"
    assert channel.deadline == inf


@pytest.mark.parametrize("sign_of_life", ["echo reply", "barrier request", "hello", "echo request"])
def test_any_message_ends_the_silence(sign_of_life):
    channel = opened()
    channel.tick(115.0)
    channel.receive(CONTROLLER[sign_of_life], 120.0)
    assert channel.deadline == 135.0
    channel.send.clear()
    channel.tick(135.0)
    assert channel.send == [build.echo_request(0)]


def test_bytes_that_make_no_message_do_not_end_the_silence():
    channel = opened()
    channel.tick(115.0)
    for second in range(116, 145):
        channel.receive(CONTROLLER["flow mod"][second - 116:second - 115], float(second))
    channel.tick(145.0)
    assert channel.closed == "silent for 45 s"


def test_a_peer_that_never_says_hello_is_left():
    channel = waiting()
    assert channel.deadline == 145.0
    channel.receive(b"\4\0", 140.0)
    channel.tick(144.9)
    assert channel.closed is None
    channel.tick(145.0)
    assert channel.closed == "no HELLO for 45 s"
    assert channel.send == []


def test_a_late_tick_leaves_a_dead_peer_without_probing():
    channel = opened()
    channel.tick(1000.0)
    assert channel.send == []
    assert channel.closed == "silent for 45 s"


def test_the_first_reason_stays():
    channel = opened()
    channel.leave("first")
    channel.leave("second")
    assert channel.closed == "first"


# Every state with everything that can happen to it

def received(data: bytes) -> Callable[[Channel], list[bytes]]:
    return lambda channel: channel.receive(data, 101.0)


def ticked(now: float) -> Callable[[Channel], list[bytes]]:
    def event(channel: Channel) -> list[bytes]:
        channel.tick(now)
        return []
    return event


def left(channel: Channel) -> list[bytes]:
    channel.leave("test")
    return []


GOOD_HELLO, OLD_HELLO = hello(4, bitmap(4)), hello(1)
FAILING = header(9, b"")
MESSAGE = {False: CONTROLLER["barrier request"], True: SWITCH["barrier reply"]}


def events(from_switch: bool) -> dict[str, Callable[[Channel], list[bytes]]]:
    return {
        "good hello": received(GOOD_HELLO),
        "old hello": received(OLD_HELLO),
        "echo request": received(CONTROLLER["echo request"]),
        "echo reply": received(CONTROLLER["echo reply"]),
        "message": received(MESSAGE[from_switch]),
        "failing": received(FAILING),
        "malformed": received(b"\4\0\0\0"),
        "idle": ticked(115.0),
        "dead": ticked(145.0),
        "leave": left,
    }


EVENTS = tuple(events(False))
IN: dict[tuple[State, str], tuple[Input | None, Input | None]] = {
    # (from a controller, from a switch): the input each event is in that state; None: nothing happens
    (State.HELLO_WAIT, "good hello"): (Input.AGREED,) * 2,
    (State.HELLO_WAIT, "old hello"): (Input.INCOMPATIBLE,) * 2,
    (State.HELLO_WAIT, "echo request"): (Input.STRANGE,) * 2,
    (State.HELLO_WAIT, "echo reply"): (Input.STRANGE,) * 2,
    (State.HELLO_WAIT, "message"): (Input.STRANGE,) * 2,
    (State.HELLO_WAIT, "failing"): (Input.STRANGE,) * 2,
    (State.HELLO_WAIT, "malformed"): (Input.MALFORMED,) * 2,
    (State.HELLO_WAIT, "idle"): (None,) * 2,
    (State.HELLO_WAIT, "dead"): (Input.DEAD,) * 2,
    (State.HELLO_WAIT, "leave"): (Input.LEFT,) * 2,
    (State.OPEN, "good hello"): (Input.HELLO,) * 2,
    (State.OPEN, "old hello"): (Input.HELLO,) * 2,
    (State.OPEN, "echo request"): (Input.ECHO_REQUEST,) * 2,
    (State.OPEN, "echo reply"): (Input.ECHO_REPLY,) * 2,
    (State.OPEN, "message"): (Input.MESSAGE,) * 2,
    (State.OPEN, "failing"): (Input.REFUSED, Input.UNTRUSTED),
    (State.OPEN, "malformed"): (Input.MALFORMED,) * 2,
    (State.OPEN, "idle"): (Input.IDLE,) * 2,
    (State.OPEN, "dead"): (Input.DEAD,) * 2,
    (State.OPEN, "leave"): (Input.LEFT,) * 2,
    **{(State.CLOSED, event): (None,) * 2 for event in EVENTS},
}
SENT: dict[Input, list[int]] = {
    Input.INCOMPATIBLE: [1], Input.ECHO_REQUEST: [3], Input.IDLE: [2],
}
SENT_TO_A_CONTROLLER: dict[Input, list[int]] = {**SENT, Input.HELLO: [1], Input.REFUSED: [1]}
START = {State.HELLO_WAIT: waiting, State.OPEN: opened, State.CLOSED: ended}


@pytest.mark.parametrize(("further", "code"), [(hello(4, bitmap(4)), 1), (hello(2, b"junk"), 1), (hello(0), 0)])
def test_a_further_hello_of_a_controller_is_refused_whatever_is_in_it(further, code):
    channel = opened(False)
    channel.send.clear()
    assert channel.receive(further, 100.0) == []
    error, = channel.send
    assert (error[1], error[8:12], error[12:]) == (1, bytes((0, 1, 0, code)), further)
    assert channel.open


@pytest.mark.parametrize("from_switch", [False, True])
@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", EVENTS)
def test_every_event_in_every_state_does_what_the_table_says(state, event, from_switch):
    channel = START[state](from_switch)
    channel.send.clear()
    reason = channel.closed
    messages = events(from_switch)[event](channel)
    expected = IN[state, event][from_switch]
    assert channel.state is (state if expected is None else TRANSITIONS[state, expected])
    assert messages == ([MESSAGE[from_switch]] if expected is Input.MESSAGE else [])
    assert [sent[1] for sent in channel.send] == (
        [] if expected is None else (SENT if from_switch else SENT_TO_A_CONTROLLER).get(expected, []))
    assert (channel.closed is not None) is (channel.state is State.CLOSED)
    if state is State.CLOSED:
        assert channel.closed == reason


def test_the_events_above_cover_the_whole_table():
    reached = {(state, given) for (state, _), pair in IN.items() for given in pair if given is not None}
    assert reached == set(TRANSITIONS)
    assert set(IN) == {(state, event) for state in State for event in EVENTS}
