"""One step of a script, and scripts as text: a line an operation, to be read by people and replayed.

    message 14 00ab…     # flow-mod add table=0 …      an OpenFlow message to every switch
    other 14 00ab…       # flow-mod add table=0 …      the same, from the other controller
    frame 2 0200…                                       a frame into a port
    carrier 3 down                                      the far end of a port's wire goes down or up
    expire                                              wait until all short timeouts are over
"""
from __future__ import annotations

from typing import NamedTuple

from tests.oracle.readable import described
from tools.emulator import wire

FRAME, CARRIER, EXPIRE = -1, -2, -3
"""What is no message, in the place of a message type."""
BUNDLE_ADD = bytes.fromhex("4f4e4600000008fd")
"""How a message begins that puts another one, 16 bytes on, into a bundle."""
SENDERS = ("message", "other")
"""The word for a message, by the controller that sends it."""
PORTS = (1, 2, 3, 4, 5)
LOCAL = 0xfffffffe
SELECT_GROUPS = (100, 101)
"""Never of another type."""
OWN_ADDRESS = bytes.fromhex("02fffffffffe")
"""In a port-mod, stands for the hardware address that the port has on each switch."""


class Step(NamedTuple):
    """One operation: a message to the switch, or something that happens at its ports."""

    what: str
    kind: int
    body: bytes = b""
    port: int = 0
    up: bool = False
    by: int = 0
    """Which controller sends the message."""

    def line(self) -> str:
        """It as a line of a script."""
        if self.kind == FRAME:
            return f"frame {self.port} {self.body.hex()}"
        if self.kind == CARRIER:
            return f"carrier {self.port} {'up' if self.up else 'down'}"
        if self.kind == EXPIRE:
            return "expire"
        return f"{SENDERS[self.by]} {self.kind} {self.body.hex() or '-'}  # {self.what}: " + described(
            self.kind, self.body)

    def message(self, xid: int) -> bytes:
        """Its body in a message of that xid, which a message inside it has too unless it says otherwise."""
        if self.kind == wire.EXPERIMENTER and self.body[:8] == BUNDLE_ADD and self.body[20:24] == bytes(4):
            return self.body[:20] + xid.to_bytes(4, "big") + self.body[24:]
        return self.body


def sent(port: int, data: bytes) -> Step:
    """A frame into a port."""
    return Step("frame", FRAME, data, port)


def multipart(kind: int, body: bytes = b"") -> Step:
    """A multipart request."""
    return Step(f"multipart {kind}", wire.MULTIPART_REQUEST, kind.to_bytes(2, "big") + bytes(6) + body)


def written(steps: list[Step]) -> str:
    """A script as text."""
    return "".join(f"{step.line()}\n" for step in steps)


def read(text: str) -> list[Step]:
    """A script from text; ValueError for a line that is none."""
    steps = []
    for line in text.splitlines():
        told, _, remark = line.partition("#")
        words = told.split()
        if not words:
            continue
        if words[0] == "frame" and len(words) == 3:
            steps.append(sent(int(words[1]), bytes.fromhex(words[2])))
        elif words[0] == "carrier" and len(words) == 3 and words[2] in ("up", "down"):
            steps.append(Step("carrier", CARRIER, port=int(words[1]), up=words[2] == "up"))
        elif words == ["expire"]:
            steps.append(Step("expire", EXPIRE))
        elif words[0] in SENDERS and len(words) == 3:
            steps.append(Step(remark.partition(":")[0].strip(), int(words[1]), bytes.fromhex(words[2].strip("-")),
                              by=SENDERS.index(words[0])))
        else:
            raise ValueError(f"not a step: {line}")
    return steps
