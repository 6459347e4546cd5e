"""What tenants do at random. None touches the entries and groups that carry the traffic: see LANE_TYPE."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from struct import pack

from tests.oracle.frames import Dice
from tests.oracle.operations import Step
from tests.oracle.script import PORTS, own_priority, some_group_mod, some_instructions, some_match
from tests.oracle.watching import COMMIT, OPEN, added, control
from tests.tools.controller import apply, bucket, flow_mod, goto, group, group_mod, match, output, write
from tools.emulator import wire

LANE_TYPE = 0x88b5
"""The Ethernet type of the traffic. No random match is without one where it could cover others."""
FEATURES = frozenset(("flows", "groups", "chains", "failover", "select"))
TABLES = (0, 1, 2, 10)
SHIFTING_TABLE, LAST_TABLE = 25, 30
"""Of those that a lane goes through: whose entries come and go, any of which lets it pass; and behind it."""
SHIFTED = 5
"""The lane."""
EXPIRING_TABLE = 20
"""Has entries that soon expire, which the reference does not have."""
IDLE_PORT = 5
"""The logical port without traffic, which may be closed."""
METERS = (1, 2, 3, 4)
METER_MOD = 29
ALL_GROUPS = 0xffffff00
NO_RECV, NO_FWD, NO_PACKET_IN = 4, 32, 64
REMOVAL_TOLD = 1
LONG = 30000
COMMAND_AT = 17
GROUP_ACTION = b"\0\x16\0\x08"
Message = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Operation:
    """Messages that take effect together: one message, or a bundle."""

    name: str
    messages: tuple[Message, ...]
    port: int = 0
    """Of a PORT_MOD, which names the port's own address."""
    expires: bool = False
    """It soon is as if it had not been."""

    def on(self, addresses: dict[int, bytes]) -> tuple[Message, ...]:
        """Its messages for a switch whose ports have these addresses."""
        if not self.port:
            return self.messages
        return tuple((kind, body[:8] + addresses[self.port] + body[14:]) for kind, body in self.messages)


class Operations:
    """An endless row of them, the same for the same seed."""

    def __init__(self, seed: str) -> None:
        self.rng = Dice(seed, FEATURES)
        self._serials = count(1)
        self._bundles = count(1)

    def next(self) -> Operation:
        """One more."""
        made: Callable[[], Operation] = self.rng.choices(
            (self._flow_mod, self._group_mod, self._meter_mod, self._port_mod, self._bundle, self._expiring,
             self._shift), (60, 16, 6, 4, 6, 8, 12))[0]
        return made()

    def _flow_message(self) -> Step:
        rng = self.rng
        while True:
            fields, table = some_match(rng), rng.choice(TABLES)
            command = rng.choice((0, 0, 0, 0, 0, 1, 2, 3, 4))
            if command in (0, 2, 4) and fields or "ETH_TYPE" in fields:
                break  # else it might cover what carries the traffic
        # A cookie that no other entry has tells whose removal is told; its last digits serve filters.
        cookie, mask = next(self._serials) << 8 | rng.choice((0x11, 0x12, 0x21)), 0
        if command and rng.random() < 0.3:
            cookie, mask = rng.choice((0x11, 0x21)), rng.choice((0xf, 0xff))
        instructions = some_instructions(rng, fields, table)
        if rng.random() < 0.1:
            instructions = pack("!HHI", 6, 8, rng.choice(METERS)) + instructions
        body = flow_mod(match(**fields), instructions, command=command,
                        table=0xff if command > 2 and rng.random() < 0.2 else table,
                        priority=own_priority(rng, fields), cookie=cookie, mask=mask,
                        flags=rng.choice((0, REMOVAL_TOLD)), idle=rng.choice((0, 0, LONG)),
                        hard=rng.choice((0, 0, LONG)))
        return Step("flow-mod", wire.FLOW_MOD, body)

    def _group_message(self) -> Step:
        while True:
            step = some_group_mod(self.rng)
            if int.from_bytes(step.body[4:8], "big") < ALL_GROUPS:
                return step

    def _flow_mod(self) -> Operation:
        return _single(self._flow_message())

    def _group_mod(self) -> Operation:
        return _single(self._group_message())

    def _meter_mod(self) -> Operation:
        command, number = self.rng.choice((0, 0, 1, 2)), self.rng.choice(METERS)
        band = b"" if command == 2 else pack("!HHII4x", 1, 16, self.rng.randrange(1, 5000), 0)
        return Operation("meter-mod", ((METER_MOD, pack("!HHI", command, 1, number) + band),))

    def _port_mod(self) -> Operation:
        port = self.rng.choice(PORTS)
        bits = NO_RECV | NO_FWD | NO_PACKET_IN if port == IDLE_PORT else NO_PACKET_IN
        config = self.rng.randrange(128) & bits
        return Operation("port-mod", ((wire.PORT_MOD, pack("!I4x6s2xIII4x", port, bytes(6), config, bits, 0)),), port)

    def _bundle(self) -> Operation:
        number = next(self._bundles)
        # None names a group: Open vSwitch 3.1 may abort when it takes such a bundle back. All but the first are adds:
        # its deletes sometimes do not see what the same bundle has added.
        steps: list[Step] = []
        while len(steps) < 4:
            steps += [each for each in (self._flow_message(),) if GROUP_ACTION not in each.body
                      and (not steps or each.body[COMMAND_AT] == 0)]
        parts = [control(number, OPEN, 3), *(added(number, each.kind, each.body, 3) for each in steps),
                 control(number, COMMIT, 3)]
        return Operation("bundle", tuple((part.kind, part.body) for part in parts))

    def _shift(self) -> Operation:
        """An entry that counts frames comes, goes, or is carried out by other rules."""
        command = self.rng.choice((0, 0, 2, 2, 4))
        again = write(output(LANES[SHIFTED - 1].out[0])) if self.rng.random() < 0.5 else b""
        body = flow_mod(shifting_match(), again + goto(LAST_TABLE), command=command, table=SHIFTING_TABLE,
                        priority=self.rng.choice((101, 102, 103)), cookie=next(self._serials) << 8)
        return Operation("shift", ((wire.FLOW_MOD, body),))

    def _expiring(self) -> Operation:
        number = next(self._serials)
        body = flow_mod(match(METADATA=number), apply(output(self.rng.choice(PORTS))), table=EXPIRING_TABLE,
                        cookie=number << 8, flags=REMOVAL_TOLD, hard=self.rng.choice((1, 2)))
        return Operation("expiring", ((wire.FLOW_MOD, body),), expires=True)


def _single(step: Step) -> Operation:
    return Operation(step.what, ((step.kind, step.body),))


@dataclass(frozen=True, slots=True)
class Lane:
    """A way that traffic takes: in at a port, out of others."""

    number: int
    port: int
    out: tuple[int, ...]

    @property
    def address(self) -> int:
        """The frames' destination."""
        return 0x020000007700 + self.number

    @property
    def cookie(self) -> int:
        """Of its entry in the first table."""
        return 1 << 62 | self.number


LANES = (Lane(1, 1, (2,)), Lane(2, 1, (3,)), Lane(3, 2, (4,)), Lane(4, 3, (1, 2)), Lane(5, 4, (1,)))
LANE_GROUPS = {3: 50, 4: 51}
"""Lane -> its group."""
METERED, LANE_METER = 2, 50
"""A lane, and its meter."""


def lane_messages() -> Iterator[Message]:
    """What makes the lanes: an output, a meter and another edge, an INDIRECT group, an ALL group, an action set."""
    yield METER_MOD, pack("!HHIHHII4x", 0, 1, LANE_METER, 1, 16, 1 << 24, 0)
    yield wire.GROUP_MOD, group_mod(0, 2, LANE_GROUPS[3], bucket(output(4)))
    yield wire.GROUP_MOD, group_mod(0, 0, LANE_GROUPS[4], bucket(output(1)), bucket(output(2)))
    metered = pack("!HHI", 6, 8, LANE_METER) + apply(output(3))
    how = {1: apply(output(2)), METERED: metered, 3: goto(LAST_TABLE), 4: apply(group(51)),
           SHIFTED: write(output(1)) + goto(SHIFTING_TABLE)}
    for lane in LANES:
        matched = match(IN_PORT=lane.port, ETH_DST=lane.address, ETH_TYPE=LANE_TYPE)
        yield wire.FLOW_MOD, flow_mod(matched, how[lane.number], priority=62000, cookie=lane.cookie)
    yield wire.FLOW_MOD, flow_mod(shifting_match(), goto(LAST_TABLE), table=SHIFTING_TABLE, priority=100)
    for number, instructions in ((3, apply(group(50))), (5, b"")):
        matched = match(ETH_DST=LANES[number - 1].address, ETH_TYPE=LANE_TYPE)
        yield wire.FLOW_MOD, flow_mod(matched, instructions, table=LAST_TABLE, priority=62000, cookie=1 << 61 | number)


def shifting_match() -> bytes:
    """Of the entries of SHIFTING_TABLE."""
    return match(ETH_DST=LANES[SHIFTED - 1].address, ETH_TYPE=LANE_TYPE)
