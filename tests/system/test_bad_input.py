"""Peers that break the protocol, at a real hvproxy: each gets the error due or is closed, and nobody else notices."""
from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from struct import pack

import pytest

from tests.openflow import test_guard_multipart, test_guard_parts
from tests.openflow.pieces import BRC_LEN, BRC_MULTIPART, BRC_TYPE, BRC_VERSION, tl, verdict
from tests.openflow.samples import CONTROLLER, SWITCH, header, multipart
from tests.system.served import Peer, Served, until
from tools.emulator import Switch, wire

HELLO_FAILED = (0, 0)
NOTHING_ELSE = b"\x04\x02\xff\xff\0\0\0\1"
"""The header of the longest message, of which no more will come."""

CLOSED_AT_ONCE = {
    "4 KiB of garbage": random.Random(7).randbytes(4096),
    "4 KiB of zeros": bytes(4096),
    "4 KiB of ones": b"\xff" * 4096,
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: hvproxy\r\n\r\n",
    "a TLS greeting": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "a header of length 0": b"\x04\0\0\0\0\0\0\1",
    "a header of length 4": b"\x04\0\0\4\0\0\0\1",
    "an echo request first": header(2, b""),
    "a flow-mod first": CONTROLLER["flow mod"],
    "a packet-in first": SWITCH["packet in"],
    "an experimenter message of the greatest length first": header(4, bytes(65527)),
}
NO_COMMON_VERSION = {
    "HELLO of version 1": b"\x01\0\0\x08\0\0\0\1",
    "HELLO of version 0": b"\0\0\0\x08\0\0\0\1",
    "HELLO with a bitmap without version 4": b"\x06\0\0\x10\0\0\0\1\0\1\0\x08\0\0\0\x42",
    "HELLO with an empty bitmap": b"\x04\0\0\x0c\0\0\0\1\0\1\0\4",
}
UNDERSTOOD = {
    "HELLO of version 99 without a bitmap": b"\x63\0\0\x08\0\0\0\1",
    "HELLO with an element of length 0": header(0, tl(1, bytes(4), 0)),
    "HELLO with an element too long": header(0, tl(1, bytes(4), 200)),
    "HELLO with an unknown element": header(0, tl(9, bytes(4))),
}
LEFT_ALONE = {
    "half a HELLO": wire.hello(1)[:5],
    "the header of a HELLO of 65535": b"\x04\0\xff\xff\0\0\0\1",
    "nothing": b"",
}
REFUSED: dict[str, tuple[bytes, tuple[int, int]]] = {
    "unknown type 200": (header(200, b""), BRC_TYPE),
    "unknown type 30": (header(30, b"12345678"), BRC_TYPE),
    "unknown type of the greatest length": (header(99, bytes(65527)), BRC_TYPE),
    "a message of a switch": (SWITCH["packet in"], BRC_TYPE),
    "version 1": (header(5, b"", version=1), BRC_VERSION),
    "version 5": (header(14, bytes(48), version=5), BRC_VERSION),
    "version 0": (header(14, bytes(48), version=0), BRC_VERSION),
    "unknown multipart": (multipart(99, b"", reply=False), BRC_MULTIPART),
    "flow-mod of 12 bytes": (header(14, bytes(4)), BRC_LEN),
    "packet-out of 9 bytes": (header(13, b"\0"), BRC_LEN),
    "barrier request with a body": (header(20, bytes(8)), BRC_LEN),
}
for name, message, expected in test_guard_parts.CASES + test_guard_multipart.CASES:
    if expected is not None:
        # A further HELLO is none that a switch expects, whatever is in it.
        REFUSED[name] = (message, BRC_TYPE if message[1] == wire.HELLO else expected)
for name, sample in CONTROLLER.items():
    for cut in (8, len(sample) - 1, len(sample) - 4):
        truncated = header(sample[1], sample[8:max(8, cut)])
        refusal = verdict(truncated)
        if refusal is not None and sample[1] != 1:
            REFUSED[f"{name}, {len(truncated)} bytes of it"] = (truncated, refusal)


def bad_for_a_switch() -> dict[str, bytes]:
    """Messages after which a switch cannot be trusted."""
    found = {name: message for name, message, passes in test_guard_multipart.SWITCH_CASES if not passes}
    for name, sample in SWITCH.items():
        for cut in (8, len(sample) - 1):
            truncated = header(sample[1], sample[8:max(8, cut)])
            if verdict(truncated, from_switch=True) is not None:
                found[f"{name}, {len(truncated)} bytes of it"] = truncated
    found["an unknown type"] = header(77, b"")
    found["a controller's message"] = CONTROLLER["flow mod"]
    found["another version"] = header(10, bytes(24), version=1)
    found["a header of length 0"] = b"\x04\x0a\0\0\0\0\0\1"
    found["a header of length 7"] = b"\x04\x0a\0\7\0\0\0\1"
    return found


def errors(answers: list[bytes] | None) -> list[tuple[int, int]] | None:
    """(type, code) of each error; None if the connection was closed."""
    if answers is None:
        return None
    return [(int.from_bytes(a[8:10], "big"), int.from_bytes(a[10:12], "big")) for a in answers if a[1] == wire.ERROR]


def with_hvproxy(scenario: Callable[[Served], Awaitable[None]]) -> None:
    async def main() -> None:
        async with Served() as served:
            await scenario(served)
    asyncio.run(main())


@pytest.mark.parametrize("side", ["switch_port", "red_port", "other_port"])
def test_bad_greetings_are_refused_or_left_alone(side: str) -> None:
    async def scenario(served: Served) -> None:
        port = getattr(served, side)

        async def greet(data: bytes) -> Peer:
            peer = await Peer.connect(port, hello=False)
            peer.write(data)
            return peer

        async def all_of_them() -> None:
            silent = [await greet(data) for data in LEFT_ALONE.values()]
            for name, data in CLOSED_AT_ONCE.items():
                peer = await greet(data)
                assert [m[1] for m in await peer.rest()] in ([wire.HELLO], []), name
                peer.close()
            for name, data in NO_COMMON_VERSION.items():
                peer = await greet(data)
                hello, refusal = await peer.rest()
                assert hello[1] == wire.HELLO and errors([refusal]) == [HELLO_FAILED], name
                peer.close()
            for name, data in UNDERSTOOD.items():
                peer = await greet(data)
                answers = await peer.answers(b"")
                assert answers is not None and errors(answers) == [], name
                peer.close()
            for peer in silent:
                peer.write(b"")
                hello = await peer.message()
                assert hello is not None and hello[1] == wire.HELLO
                peer.close()

        await served.good.during(all_of_them())
    with_hvproxy(scenario)


def test_every_bad_message_of_a_controller_gets_its_error_and_the_session_goes_on() -> None:
    async def scenario(served: Served) -> None:
        async def all_of_them(port: int) -> None:
            peer = await Peer.connect(port)
            for name, (message, expected) in REFUSED.items():
                answers = await peer.answers(message)
                assert errors(answers) == [expected], name
                assert answers is not None and answers[0][4:8] == message[4:8], name
                assert answers[0][12:] and message.startswith(answers[0][12:76]), name
            peer.close()

        await served.good.during(asyncio.gather(all_of_them(served.red_port), all_of_them(served.other_port)))
    with_hvproxy(scenario)


@pytest.mark.parametrize("length", [0, 1, 4, 7])
def test_a_header_shorter_than_itself_ends_the_session_of_a_controller(length: int) -> None:
    async def scenario(served: Served) -> None:
        async def send() -> None:
            peer = await Peer.connect(served.red_port)
            assert await peer.answers(header(2, b"", length=length) + bytes(16)) is None
        await served.good.during(send())
    with_hvproxy(scenario)


def test_every_bad_message_of_a_switch_ends_its_session_only() -> None:
    async def scenario(served: Served) -> None:
        async def all_of_them() -> None:
            for name, message in bad_for_a_switch().items():
                peer = await Peer.connect(served.switch_port)
                peer.write(message)
                try:
                    await peer.rest()
                except TimeoutError:
                    pytest.fail(f"not closed after: {name}")
                peer.close()
        await served.good.during(all_of_them())
    with_hvproxy(scenario)


def test_a_switch_that_turns_bad_when_it_is_in_use_is_closed_and_taken_back() -> None:
    async def scenario(served: Served) -> None:
        bad = Switch(0x666)
        bad.add_port(1).carrier = True
        link = bad.connect(f"tcp:127.0.0.1:{served.switch_port}")

        async def all_of_them() -> None:
            bad_messages = bad_for_a_switch()
            for name, message in {**SWITCH, **bad_messages}.items():
                await until(lambda: bad.connected and bad.tables.count, f"in use before: {name}")
                session = link.session
                assert session is not None and session._transport is not None
                session._transport.write(message)
                if name in bad_messages:
                    await until(lambda: link.session is not session, f"closed after: {name}")
        await served.good.during(all_of_them())
        await bad.close()
    with_hvproxy(scenario)


def test_half_a_message_at_the_end_of_a_connection_is_nothing() -> None:
    async def scenario(served: Served) -> None:
        async def send() -> None:
            for port in (served.switch_port, served.red_port):
                for data in (wire.hello(2)[:7], CONTROLLER["flow mod"][:50], NOTHING_ELSE + bytes(60000)):
                    peer = await Peer.connect(port)
                    peer.write(data)
                    await peer.drain()
                    peer.close()
        await served.good.during(send())
    with_hvproxy(scenario)


def sockets_of(pid: int) -> int:
    found = 0
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since the folder was read
            found += os.readlink(each).startswith("socket:")
    return found


def test_a_connection_that_is_reset_behind_what_was_sent_is_missed() -> None:
    """What came is read, and nothing is written: only the loop can tell that there is nobody any more."""
    async def scenario(served: Served) -> None:
        async def resets() -> None:
            before = sockets_of(served.process.pid)
            for _ in range(20):
                with socket.create_connection(("127.0.0.1", served.switch_port)) as peer:
                    peer.sendall(wire.hello(1))
                    assert peer.recv(1)
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
                    peer.sendall(header(3, b""))
            await until(lambda: sockets_of(served.process.pid) <= before, "the connections are missed")
        await served.good.during(resets())
    with_hvproxy(scenario)


@pytest.mark.parametrize("side", ["switch_port", "red_port"])
def test_a_flood_of_echo_requests_is_answered_to_the_last(side: str) -> None:
    async def scenario(served: Served) -> None:
        count = 30_000

        async def flood() -> None:
            peer = await Peer.connect(getattr(served, side))
            seen = 0

            async def read() -> None:
                nonlocal seen
                while seen < count:
                    message = await peer.message()
                    assert message is not None
                    if message[1] == wire.ECHO_REPLY:
                        assert int.from_bytes(message[4:8], "big") == seen
                        seen += 1

            reading = asyncio.ensure_future(read())
            for start in range(0, count, 1000):
                peer.write(b"".join(wire.message(wire.ECHO_REQUEST, xid, b"x" * 32)
                                    for xid in range(start, start + 1000)))
                await peer.drain()
            await reading
            peer.close()

        await served.good.during(flood())
    with_hvproxy(scenario)


async def pushed(peer: Peer, data: bytes, most: int) -> int:
    """Send the data again and again until it is not taken any more, at most so often; how often it was taken."""
    for times in range(most):
        peer.write(data)
        try:
            await asyncio.wait_for(peer.drain(), 1.0)
        except TimeoutError:
            return times
    return most


QUESTIONS = {
    "echoes": wire.message(wire.ECHO_REQUEST, 1, bytes(60_000)),
    "statistics": b"".join(multipart(kind, bytes(body), reply=False) for kind, body in ((0, 0), (3, 0), (12, 0)))
    * 500,
}


@pytest.mark.parametrize("what", QUESTIONS)
def test_a_controller_that_never_reads_is_not_read_either_and_costs_no_memory(what: str) -> None:
    async def scenario(served: Served) -> None:
        async def ask() -> None:
            peer = await Peer.connect(served.red_port)
            before = served.memory
            most = 256 * 1024 * 1024 // len(QUESTIONS[what])
            assert await pushed(peer, QUESTIONS[what], most) < most
            assert served.memory - before < 48 * 1024 * 1024
            peer.close()
        await served.good.during(ask())
    with_hvproxy(scenario)


def test_a_controller_that_reads_at_last_gets_every_answer_in_order() -> None:
    async def scenario(served: Served) -> None:
        async def ask() -> None:
            peer = await Peer.connect(served.red_port)
            request = b"".join(wire.message(wire.MULTIPART_REQUEST, xid, b"\0\x0c" + bytes(6)) for xid in range(1000))
            peer.write(request)
            await asyncio.sleep(0.5)
            seen: list[int] = []
            while len(seen) < 1000:
                message = await peer.message_of(wire.MULTIPART_REPLY)
                if not message[11] & 1:
                    seen.append(int.from_bytes(message[4:8], "big"))
            assert seen == list(range(1000))
            assert await peer.answers(b"") == []
            peer.close()
        await served.good.during(ask())
    with_hvproxy(scenario)


def test_a_peer_that_is_given_up_while_it_does_not_read_is_cut_off() -> None:
    async def scenario(served: Served) -> None:
        async def ask() -> None:
            peer = await Peer.connect(served.red_port)
            peers = [await Peer.connect(served.other_port) for _ in range(5)]
            for peer in peers:
                assert await pushed(peer, QUESTIONS["echoes"], 1000) < 1000
            held = served.descriptors
            await asyncio.to_thread(served.delete_other)
            await until(lambda: served.descriptors <= held - len(peers) - 1,
                        "the listener is closed and the connections are cut")
            for peer in peers:
                peer.close()
        await served.good.during(ask())
    with_hvproxy(scenario)
