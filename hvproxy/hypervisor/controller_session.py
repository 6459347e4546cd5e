"""One connection to a tenant's controller: its OpenFlow session, role, configuration and the order of its messages.

What follows a barrier waits until the barrier is answered, so that it cannot overtake on another switch what came
before (trap 2); echoes are answered all the same (trap 44). Knows nothing of tables or switches.

A controller that does not take its answers gets no more of them: its requests wait, then it is not read any more.
Long answers and what has waited are worked off in portions, between which others have their turns (trap 41).
"""
from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from math import inf

from hvproxy.errors import Refused
from hvproxy.hypervisor.commands import Outbox
from hvproxy.hypervisor.request_parts import RequestParts
from hvproxy.openflow import build
from hvproxy.openflow.channel import Channel
from hvproxy.openflow.constants import of13
from hvproxy.openflow.messages import AsyncConfig
from hvproxy.openflow.packet_ins import Format

HELD_MOST = 1000
"""So many messages behind a barrier, and the connection is not read any more (trap 41)."""
HELD_LEAST = 100
HELD_BYTES_MOST = 1 << 20
"""The same in bytes: a message may have 64 KiB."""
HELD_BYTES_LEAST = 1 << 17
UNSENT_MOST = 1 << 20
"""So many bytes of answers at once, and what else it has asked waits until it takes them: a request of a few bytes may
have an answer of megabytes (trap 41)."""
PORTION = 4096
"""So many bytes of what has waited are worked off at a time, or one message."""
DEFAULT_MASKS = AsyncConfig(0, packet_in=(0x3, 0), port_status=(0x7, 0x7), flow_removed=(0xf, 0))
"""Open vSwitch's: packets but those with an invalid TTL, ports to slaves too (OF 1.3.5 section 6.3.5)."""
BARRIER_DEADLINE = 30.0
"""Seconds after which a barrier that cannot be confirmed is answered with an error (design 6)."""


class ControllerSession:
    """The state that OpenFlow keeps per controller connection (OF 1.3.5 section 6.3)."""

    def __init__(self, conn: int, now: float, out: Outbox, *, peer: str, passive: bool,
                 tally: list[int]) -> None:
        self.conn = conn
        self.peer = peer
        self.passive = passive
        """It came to our listener: Open vSwitch sends such a "service" connection nothing it has not asked for until
        it sets miss_send_len or its async masks."""
        self.channel = Channel(frozenset({4}), now, from_switch=False)
        self.channel.barred = self.barred
        self.role: int = of13.OFPCR_ROLE_EQUAL
        self.miss_send_len = 0 if passive else 128
        self.masks = DEFAULT_MASKS
        """Which asynchronous messages go to it."""
        self.requests_heard = (0, 0)
        """Which requests of other controllers go to it, as master or equal and as slave (overheard)."""
        self.packet_in_format = Format.STANDARD
        self.controller_id = 0
        """Only packets that are sent to the controllers of that id go to it (Nicira's extension)."""
        self.congested = False
        """It does not take what is sent: packet-ins are dropped until it does."""
        self.touched: set[int] = set()
        """Datapaths that messages since the last barrier have changed."""
        self.parts = RequestParts()
        self.unsettled = False
        """A message since the last barrier has changed what the fabric carries."""
        self.taken_back = 0
        """The revision of what was taken back last, because a datapath refused what a message of it had caused."""
        self._tally = tally
        """Messages sent, by type."""
        self._out = out
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._barrier: tuple[bytes, float] | None = None
        self._questions = 0
        """Requests that are not answered yet, or not to the end."""
        self._answers: deque[Iterator[bytes]] = deque()
        self._once_answered: list[Callable[[float], None]] = []
        self._goes_on = False
        """It has been asked for, and does not have to be again."""
        self._paused = False
        self._unsent = 0
        """Bytes sent since the connection was last known to take all of them."""
        self.flush()

    @property
    def open(self) -> bool:
        return self.channel.open

    def barred(self) -> Refused | None:
        """Why it may not change anything (OF 1.3.5 section 6.3.4), if so."""
        if self.role != of13.OFPCR_ROLE_SLAVE:
            return None
        return Refused(of13.OFPET_BAD_REQUEST, of13.OFPBRC_IS_SLAVE, "a slave may not change anything")

    @property
    def is_slave(self) -> bool:
        return bool(self.role == of13.OFPCR_ROLE_SLAVE)

    def wants_packet(self, reason: int) -> bool:
        """Whether packet-ins of that reason (OFPR_*) go to it."""
        return self._wants(self.masks.packet_in, reason)

    def wants_port_status(self, reason: int) -> bool:
        """The same of a port's news (OFPPR_*)."""
        return self._wants(self.masks.port_status, reason)

    def wants_flow_removed(self, reason: int) -> bool:
        """The same of an entry's end (OFPRR_*)."""
        return self._wants(self.masks.flow_removed, reason)

    def wants_requests(self, reason: int) -> bool:
        """The same of other controllers' requests."""
        return self._wants(self.requests_heard, reason)

    def _wants(self, masks: tuple[int, int], reason: int) -> bool:
        """`masks` are those as master or equal and as slave (OF 1.3.5 section 6.3.5)."""
        return self.open and bool(masks[self.is_slave] >> reason & 1) and not (self.passive and not self.miss_send_len)

    def send(self, message: bytes) -> None:
        """Queue one message to the controller."""
        self._tally[message[1]] += 1
        self._unsent += len(message)
        self._out.send(self.conn, message)

    def refuse(self, request: bytes, refused: Refused) -> None:
        """Answer `request` with an error that carries its xid and bytes (OF 1.3.5 section 7.4.4)."""
        self.send(build.refusal(request, refused))

    def flush(self) -> None:
        """Hand over what the channel itself has to say."""
        for data in self.channel.send:
            self.send(data)
        self.channel.send.clear()
        if self.channel.closed is not None:
            self._out.close(self.conn, self.channel.closed)

    def receive(self, data: bytes, now: float, take: Callable[[bytes, float], None]) -> None:
        """Bytes from the controller, or none (commands.GoOn); every message whose turn it is goes to `take`."""
        self._goes_on = False
        if not self.congested:
            self._unsent = 0
        self._go_on(now, take)
        for message in self.channel.each(data, now):
            if self.channel.send:
                self.flush()  # errors and echoes in the order of what they answer
            if not self._waits and not self._held:
                take(message, now)
            else:
                self._held.append(message)
                self._held_bytes += len(message)
        if (len(self._held) > HELD_MOST or self._held_bytes > HELD_BYTES_MOST) and not self._paused:
            self._paused = True
            self._out.pause(self.conn)
        self.flush()

    def block(self, request: bytes, now: float) -> None:
        """A barrier has been asked for and cannot be answered yet."""
        self._barrier = (request, now + BARRIER_DEADLINE)

    def unblock(self, now: float, take: Callable[[bytes, float], None]) -> None:
        """The barrier is answered: what waited behind it goes on, up to the next barrier."""
        self._barrier = None
        if not self.congested:
            self._unsent = 0  # packet-ins sent meanwhile are taken, or nobody would say when they are
        self._go_on(now, take)

    def relieve(self, now: float, take: Callable[[bytes, float], None]) -> None:
        """The connection has taken all that was sent: what waited for that goes on."""
        self.congested = False
        self._unsent = 0
        self._go_on(now, take)

    def question(self) -> None:
        """A request has come that `answer` will answer, perhaps after others have been asked."""
        self._questions += 1

    def unquestioned(self) -> None:
        """The request was refused instead."""
        self._questions -= 1

    def answer(self, messages: Iterator[bytes]) -> None:
        """Answer a `question`; the messages are made as the controller takes them."""
        self._answers.append(messages)
        self._say()
        self._plan()

    def once_answered(self, done: Callable[[float], None], now: float) -> None:
        """Call `done` when every question is answered to the end: a barrier must not overtake an answer."""
        if self._questions:
            self._once_answered.append(done)
        else:
            done(now)

    @property
    def busy(self) -> bool:
        """It waits for us and not we for it: what it has asked is not worked off, and it is not read meanwhile."""
        return not self.congested and (self._paused or bool(self._answers))

    @property
    def _waits(self) -> bool:
        return self._barrier is not None or self._unsent > UNSENT_MOST or bool(self._answers)

    def _go_on(self, now: float, take: Callable[[bytes, float], None]) -> None:
        self._say()
        if not self._questions:
            waiting, self._once_answered = self._once_answered, []
            for done in waiting:
                done(now)
        portion = PORTION
        while self._held and not self._waits and portion > 0:
            message = self._held.popleft()
            self._held_bytes -= len(message)
            portion -= len(message)
            take(message, now)
        if self._paused and len(self._held) < HELD_LEAST and self._held_bytes < HELD_BYTES_LEAST:
            self._paused = False
            self._out.resume(self.conn)
        self._plan()

    def _say(self) -> None:
        """One message of the answers that are due, the whole of the last ones where they are short."""
        portion = PORTION
        while self._answers and portion > 0 and self._unsent <= UNSENT_MOST:
            message = next(self._answers[0], None)
            if message is None:
                self._answers.popleft()
                self._questions -= 1
            else:
                portion -= len(message)
                self.send(message)

    def _plan(self) -> None:
        """Ask to be called again if there is something to do that waits for nothing but its turn."""
        full = self.congested and self._unsent > UNSENT_MOST
        if not self._goes_on and not full and (
                self._answers or self._held and self._barrier is None
                or self._once_answered and not self._questions):
            self._goes_on = True
            self._out.go_on(self.conn)

    @property
    def overdue(self) -> bytes | None:
        """The barrier that waits, if any."""
        return None if self._barrier is None else self._barrier[0]

    @property
    def barrier_deadline(self) -> float:
        return inf if self._barrier is None else self._barrier[1]
