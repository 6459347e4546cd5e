"""One OpenFlow session over one connection: HELLO, keepalive, and what to do with bytes that fail the guard.

Pure: bytes and the time come in, messages and bytes to send come out; the caller owns the connection and the clock.
Must not know what the messages of an open session mean, beyond ECHO, which it answers itself at once so that
nothing that waits behind a barrier can delay the keepalive.

Theory of operation: every event is first turned into an Input, the table TRANSITIONS says the state that follows,
and an input the table does not list in a state cannot happen. Our own HELLO, ECHO_REQUEST and hello error carry
xid 0, which `xids` never hands out, so an answer to them is never taken for that of a request.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from math import inf
from struct import Struct
from typing import Final

from hvproxy.errors import MalformedMessage, Refused
from hvproxy.openflow import build, guard
from hvproxy.openflow.constants import HEADER_SIZE, OFP_VERSION, VERSION_NAMES, of13
from hvproxy.openflow.framing import Framer

_TYPE_LENGTH: Final = Struct("!HH").unpack_from
_U32: Final = Struct("!I").unpack_from
_TYPES: Final[dict[int, str]] = {
    value: name[5:] for name, value in vars(of13).items() if name.startswith("OFPT_") and isinstance(value, int)
}
_SPOKEN: Final = frozenset({OFP_VERSION})
"""Versions the guard can prove."""


class State(Enum):
    """Where a session stands."""

    HELLO_WAIT = "hello-wait"
    OPEN = "open"
    CLOSED = "closed"


class Input(Enum):
    """What can happen to a session."""

    AGREED = "a HELLO with a common version"
    INCOMPATIBLE = "a HELLO without one"
    HELLO = "a further HELLO"
    ECHO_REQUEST = "an echo request"
    ECHO_REPLY = "an echo reply"
    MESSAGE = "any other message, proven"
    REFUSED = "a message of a controller that fails the guard"
    UNTRUSTED = "a message of a switch that fails the guard"
    STRANGE = "anything else than a HELLO where only that may come"
    MALFORMED = "bytes that are no messages"
    IDLE = "nothing heard for a while"
    DEAD = "nothing heard for too long"
    LEFT = "our side ends it"


TRANSITIONS: Final[dict[tuple[State, Input], State]] = {
    (State.HELLO_WAIT, Input.AGREED): State.OPEN,
    (State.HELLO_WAIT, Input.INCOMPATIBLE): State.CLOSED,
    (State.HELLO_WAIT, Input.STRANGE): State.CLOSED,
    (State.HELLO_WAIT, Input.MALFORMED): State.CLOSED,
    (State.HELLO_WAIT, Input.DEAD): State.CLOSED,
    (State.HELLO_WAIT, Input.LEFT): State.CLOSED,
    (State.OPEN, Input.HELLO): State.OPEN,
    (State.OPEN, Input.ECHO_REQUEST): State.OPEN,
    (State.OPEN, Input.ECHO_REPLY): State.OPEN,
    (State.OPEN, Input.MESSAGE): State.OPEN,
    (State.OPEN, Input.REFUSED): State.OPEN,
    (State.OPEN, Input.UNTRUSTED): State.CLOSED,
    (State.OPEN, Input.MALFORMED): State.CLOSED,
    (State.OPEN, Input.IDLE): State.OPEN,
    (State.OPEN, Input.DEAD): State.CLOSED,
    (State.OPEN, Input.LEFT): State.CLOSED,
}


class Channel:
    """The session of one connection; `now` is any clock that does not go back."""

    def __init__(self, versions: frozenset[int], now: float, *, from_switch: bool, idle: float = 15.0,
                 dead: float = 45.0) -> None:
        if not versions or not versions <= _SPOKEN:
            raise ValueError(f"versions {sorted(versions)}: only {sorted(_SPOKEN)} can be spoken")
        if not 0 < idle < dead:
            raise ValueError("a session must be idle before it is dead")
        self.send: list[bytes] = [build.hello(0, versions)]
        """Bytes to be written, in order; the caller takes them out."""
        self.closed: str | None = None
        """Why the session has ended: write `send`, then close the connection."""
        self.version: int | None = None
        """The version agreed on."""
        self.state = State.HELLO_WAIT
        self.barred: Callable[[], Refused | None] = lambda: None
        """Why the peer may not change anything, which counts for more than what is wrong with a part of a message."""
        self._versions = versions
        self._from_switch = from_switch
        self._idle = idle
        self._dead = dead
        self._heard = now
        self._probed = False
        self._framer = Framer()

    @property
    def open(self) -> bool:
        """True once the versions are agreed and until the session ends."""
        return self.state is State.OPEN

    @property
    def heard(self) -> float:
        """When the last whole message came, or what stands for it."""
        return self._heard

    def ask(self) -> None:
        """Have the peer say that it is there: `heard` tells whether it has."""
        self.send.append(build.echo_request(0))

    @property
    def deadline(self) -> float:
        """When `tick` must be called next if nothing is received before."""
        if self.state is State.CLOSED:
            return inf
        silent = self._dead if self._probed or self.state is State.HELLO_WAIT else self._idle
        return self._heard + silent

    def receive(self, data: bytes, now: float) -> list[bytes]:
        """Take bytes of the peer; return its messages, all lengths proven, without HELLO and ECHO."""
        return list(self.each(data, now))

    def each(self, data: bytes, now: float) -> Iterator[bytes]:
        """As `receive`, one by one: what `send` holds at each message was caused by what came before it."""
        try:
            for message in self._framer.feed(data):
                if self._take(message, now):
                    yield message
            if self.closed is None:
                self._framer.feed(b"")  # raises now if what is left can never become a message
                start = self._framer.start
                if self.state is State.HELLO_WAIT and len(start) > 1 and start[1] != of13.OFPT_HELLO:
                    self._close(Input.STRANGE, "not OpenFlow: " + repr(start)[1:])
        except MalformedMessage as error:
            if self.closed is None:
                self._close(Input.MALFORMED, str(error))

    def tick(self, now: float) -> None:
        """Probe a silent peer, give up a dead one."""
        if self.closed is not None or now < self.deadline:
            return
        if now >= self._heard + self._dead:
            waiting = "no HELLO" if self.state is State.HELLO_WAIT else "silent"
            self._close(Input.DEAD, f"{waiting} for {self._dead:g} s")
        else:
            self._step(Input.IDLE)
            self._probed = True
            self.ask()

    def excuse(self, now: float) -> None:
        """The peer is not heard because it is not read, for our reasons: its silence begins now at the earliest."""
        self._heard = now
        self._probed = False

    def leave(self, reason: str) -> None:
        """End the session from our side; a session that has ended keeps its first reason."""
        if self.closed is None:
            self._close(Input.LEFT, reason)

    def _take(self, message: bytes, now: float) -> bool:
        """True when the message is for the caller. Only whole messages count as a sign of life: a peer that sends a
        byte now and then is dead."""
        if self.state is State.HELLO_WAIT:
            self._first(message, now)
            return False
        if self.state is not State.OPEN:
            return False
        self._heard = now
        self._probed = False
        return self._next(message)

    def _first(self, message: bytes, now: float) -> None:
        version, kind = message[:2]
        if kind != of13.OFPT_HELLO:
            self._close(Input.STRANGE, f"first message is {_TYPES.get(kind, kind)}, not HELLO")
            return
        self.version = common_version(self._versions, message)
        if self.version is None:
            ours = ", ".join(VERSION_NAMES[known] for known in sorted(self._versions))
            text = f"only {ours} is spoken here".encode()
            # In a version that the peer can read: an error looks the same in all of them.
            readable = min(version, max(self._versions))
            self.send.append(build.error(0, of13.OFPET_HELLO_FAILED, of13.OFPHFC_INCOMPATIBLE, text, readable))
            self._close(Input.INCOMPATIBLE, f"no common version: the peer's HELLO is of version {version}")
            return
        self._step(Input.AGREED)
        self._heard = now

    def _next(self, message: bytes) -> bool:
        """True when the message of an open session is for the caller."""
        kind = message[1]
        if kind == of13.OFPT_HELLO and not self._from_switch:
            self._step(Input.HELLO)
            # Whatever is in it, as Open vSwitch does.
            code = of13.OFPBRC_BAD_TYPE if message[0] else of13.OFPBRC_BAD_VERSION
            self.send.append(build.refusal(message, Refused(of13.OFPET_BAD_REQUEST, code, "a further HELLO")))
            return False
        try:
            guard.check(message, self._from_switch)
        except Refused as refused:
            self._refuse(message, guard.begins_whole(message) and self.barred() or refused)
            return False
        if kind > of13.OFPT_ECHO_REPLY:
            return True  # Input.MESSAGE leaves the state as it is: most messages need no look at the table
        if kind == of13.OFPT_ECHO_REQUEST:
            self._step(Input.ECHO_REQUEST)
            self.send.append(build.echo_reply(message))
        elif kind == of13.OFPT_ECHO_REPLY:
            self._step(Input.ECHO_REPLY)
        elif kind == of13.OFPT_HELLO:
            self._step(Input.HELLO)
        else:
            self._step(Input.MESSAGE)
            return True
        return False

    def _refuse(self, message: bytes, refused: Refused) -> None:
        if self._from_switch:
            self._close(Input.UNTRUSTED, f"message of type {_TYPES.get(message[1], message[1])}: {refused}")
            return
        self._step(Input.REFUSED)
        self.send.append(build.refusal(message, refused))

    def _step(self, event: Input) -> None:
        self.state = TRANSITIONS[self.state, event]

    def _close(self, event: Input, reason: str) -> None:
        self._step(event)
        self.closed = reason


def common_version(ours: frozenset[int], message: bytes) -> int | None:
    """The version a session with the sender of this HELLO uses, or None (OF 1.3.5 section 6.3.1).

    With a bitmap: the highest in both. Without: the lower of the two highest, if we speak it. A body that is not made
    of well-formed elements counts as none, for a HELLO of an older version may carry anything.
    """
    theirs = _bitmap(message)
    if theirs is not None:
        return max(ours & theirs, default=None)
    version = min(max(ours), message[0])
    return version if version in ours else None


def _bitmap(message: bytes) -> frozenset[int] | None:
    """The versions in the first version bitmap of a HELLO; None if there is none."""
    try:
        guard.check(message, False)
    except Refused:
        return None
    at = HEADER_SIZE
    while at < len(message):
        kind, length = _TYPE_LENGTH(message, at)
        if kind == of13.OFPHET_VERSIONBITMAP:
            words = [_U32(message, word)[0] for word in range(at + 4, at + length, 4)]
            bits = sum(word << 32 * index for index, word in enumerate(words))
            return frozenset(bit for bit in range(256) if bits >> bit & 1)
        at += length + 7 & ~7
    return None
