"""Random OpenFlow 1.3 scripts for comparing switches: seeded, valid and invalid, from small pools of values.

Small pools make entries overlap, replace and cover each other, which is where switches differ. What a script may
contain is said by features, so that what one of the switches cannot do yet, or does otherwise on purpose, can be left
out. A script comes in bursts of one sort, which the world does in one round each.
"""
from __future__ import annotations

from collections.abc import Callable

from tests.oracle.deviations import answered_alike
from tests.oracle.extensions import some_extensions
from tests.oracle.faulty import some_faults
from tests.oracle.frames import ADDRESSES, MACS, SIX, VIDS, Dice, frame
from tests.oracle.hosts import some_drops, some_hosts
from tests.oracle.matches import own_priority, some_match
from tests.oracle.offers import some_offers
from tests.oracle.operations import CARRIER, EXPIRE, PORTS, SELECT_GROUPS, Step, multipart, sent
from tests.oracle.ports_and_meters import (
    EVERY_METER, metered, some_configuration, some_meter_mod, some_meter_question, some_port_mod, some_queue_question,
    some_table_mod)
from tests.oracle.refusals import invalid_messages
from tests.oracle.sessions import sent_by, some_masks, some_niciras, some_oddities, some_roles
from tests.oracle.tracking import some_connections, some_pupils
from tests.oracle.watching import some_bundles, some_monitors
from tests.tools.controller import (
    ALL, CONTROLLER, FLOOD, IN_PORT, TABLE, apply, bucket, clear, flow_mod, flow_request, goto, group, group_mod, match,
    metadata, output, packet_out, set_field, simple, write)
from tools.emulator import oxm, wire

TABLES = (0, 1, 2, 10)
GROUPS = tuple(range(1, 9))
TELLING_GROUPS = GROUPS[:2]
"""Those that may send to the controller, by an output or where a TTL ends. No action set leads there, and no table-miss
entry that does so itself: which entry Open vSwitch names then, and why, it cannot tell of a logical switch (see
README)."""
QUIET_GROUPS = GROUPS[2:]
ANY, NORMAL = 0xffffffff, 0xfffffffa
GROUP, POP_MPLS = b"\0\x16", b"\0\x14"
"""How such actions begin."""
FEATURES = {
    "flows": "flow-mods: all commands, flags, cookies, filters, several tables",
    "groups": "ALL and INDIRECT groups",
    "chains": "groups in the buckets of groups, there or not",
    "traffic": "frames and packet-outs",
    "queries": "multipart requests for counters and contents",
    "refusals": "messages that are wrong in one way each",
    "timeouts": "entries that expire within seconds",
    "carriers": "ports that lose their link",
    "failover": "FAST_FAILOVER groups",
    "select": "SELECT groups whose buckets do the same: which one a hash picks is every switch's own affair",
    "tags": "a tag pushed onto anything; then nothing behind a tag is changed, of which Open vSwitch 3.1 changes wrong "
            "bytes",
    "otherwise": "messages that a logical switch refuses in another way on purpose",
    "malformed": "frames whose type promises more than they hold, or with an IPv6 routing header",
    "resets": "flow-mods with RESET_COUNTS",
    "local": "the LOCAL port",
    "meters": "meters that let all ordinary frames through",
    "port-mods": "configuration of ports",
    "normal": "output to NORMAL of multicast, which floods whatever was learnt",
    "hosts": "hosts that output to NORMAL learns",
    "drops": "meters that drop what is larger than their burst",
    "settings": "configuration of tables and of the treatment of fragments; queues",
    "metadata": "all 64 bits of the metadata, and actions that set it",
    "controllers": "messages of a second controller too",
    "roles": "role requests of both controllers, what they do as slaves and what they are told",
    "masks": "masks of asynchronous messages",
    "nicira": "Nicira's messages: roles, masks, formats of packet-ins, ids, what is refused; not the emulated switch",
    "bundles": "bundles of messages, right and wrong; not the emulated switch",
    "monitors": "flow monitors, and what both controllers change then; not the emulated switch",
    "extensions": "fields and actions of Open vSwitch's own; not the emulated switch",
    "learning": "entries that learn; not the emulated switch",
    "connections": "entries that track connections: from then on one edge of a logical switch decides about all its "
                   "frames, so every other script without the emulated switch has none; not the emulated switch",
    "offers": "requests that say what tables shall be able to do, all wrong; not the emulated switch",
    "faults": "any message with any part of it wrong; not the emulated switch",
    "oddities": "echoes, HELLO in mid-session, types that are no request, unknown experimenters",
}
DEFAULT = frozenset((
    "flows", "groups", "chains", "traffic", "queries", "refusals", "timeouts", "carriers", "failover", "select",
    "resets", "controllers", "roles", "masks", "nicira", "bundles", "monitors", "extensions", "learning",
    "offers", "oddities", "local", "meters", "hosts", "drops", "normal", "port-mods", "settings", "malformed",
    "connections", "faults"))
"""What a logical switch does as the bridge does, and mostly the emulated switch too."""
EMULATED_FEATURES = frozenset(FEATURES) - {
    "malformed", "nicira", "bundles", "monitors", "extensions", "learning", "connections", "offers", "faults"}
"""What the emulated switch does as the bridge does."""
LASTING = frozenset({"connections"})
"""What a logical switch does otherwise ever after, so that what comes without it wants a new one."""


def inner_actions(rng: Dice, fields: dict[str, int | tuple[int, int]], in_bucket: bool) -> list[bytes]:
    """Actions on what is behind the Ethernet header."""
    choices: list[bytes] = []
    eth = fields.get("ETH_TYPE")
    if eth in (0x0800, 0x86dd):
        choices += [simple(24), simple(23, rng.choice((1, 9)) << 8), set_field(oxm.IP_DSCP, 12)]
        if fields.get("VLAN_VID") == 0 and not in_bucket:
            choices.append(simple(19, 0x8847))
        choices += [set_field(oxm.IP_ECN, 1)]
    if eth == 0x0800:
        choices += [set_field(oxm.IPV4_SRC, rng.choice(ADDRESSES)), set_field(oxm.IPV4_DST, rng.choice(ADDRESSES))]
    if eth == 0x86dd:
        choices += [set_field(oxm.IPV6_DST, rng.choice(SIX)), set_field(oxm.IPV6_FLABEL, 77)]
    if eth == 0x0806:
        choices += [set_field(oxm.ARP_SPA, ADDRESSES[2]), set_field(oxm.ARP_OP, 2), set_field(oxm.ARP_THA, MACS[2])]
    if eth == 0x8847:
        choices += [simple(20, 0x0800), set_field(oxm.MPLS_LABEL, 99), simple(16), simple(15, 7 << 8)]
    for protocol, names in ((6, "TCP"), (17, "UDP"), (132, "SCTP")):
        if fields.get("IP_PROTO") == protocol:
            choices += [set_field(getattr(oxm, f"{names}_SRC"), 4321), set_field(getattr(oxm, f"{names}_DST"), 80)]
    if fields.get("IP_PROTO") == 1:
        choices += [set_field(oxm.ICMPV4_CODE, 3)]
    if "ND_TARGET" in fields:
        choices += [set_field(oxm.ND_SLL, MACS[2]), set_field(oxm.ND_TARGET, SIX[1])]
    return choices


def pushes_tag(action: bytes) -> bool:
    """A push-vlan action."""
    return action[:2] == b"\0\x11"


def no_group_uncovered(actions: list[bytes]) -> list[bytes]:
    """Without what takes an MPLS label off in front of a group of the same list: that group counts fewer bytes of a
    logical switch (see README's line about lists that take off the last label)."""
    groups = [place for place, action in enumerate(actions) if action[:2] == GROUP]
    return [action for place, action in enumerate(actions) if action[:2] != POP_MPLS or place > max(groups, default=-1)]


def decrements(action: bytes) -> bool:
    """Whether it tells the controller of a packet that has come to the end of its life, as of an output there."""
    return action[:2] in (b"\0\x18", b"\0\x10")


def set_queue(queue: int) -> bytes:
    """A set-queue action."""
    return b"\x00\x15\x00\x08" + queue.to_bytes(4, "big")


def some_actions(rng: Dice, fields: dict[str, int | tuple[int, int]], in_bucket: bool = False,
                 groups: tuple[int, ...] = GROUPS, telling: bool = True) -> list[bytes]:
    """Actions that mostly suit the match."""
    choices: list[bytes] = [
        set_field(oxm.ETH_DST, rng.choice(MACS)), set_field(oxm.ETH_SRC, MACS[1]), set_queue(1)]
    if "metadata" in rng.features:
        choices.append(set_field(oxm.METADATA, 0x1011))
    if "tags" in rng.features or (fields.get("VLAN_VID") == 0 and not in_bucket):
        choices.append(simple(17, rng.choice((0x8100, 0x88a8))))
    if "VLAN_VID" in fields and fields["VLAN_VID"] != 0:
        choices += [simple(18), set_field(oxm.VLAN_VID, 0x1000 | rng.choice(VIDS)), set_field(oxm.VLAN_PCP, 3)]
    if "tags" not in rng.features:
        choices += [action for action in inner_actions(rng, fields, in_bucket) if telling or not decrements(action)]
    outputs = [output(rng.choice(rng.ports)), output(rng.choice(rng.ports)),
               output(rng.choice((ALL, FLOOD, IN_PORT, 77))),
               *([output(CONTROLLER, rng.choice((0, 20, 0xffff)))] if telling else [])]
    if groups:
        outputs += [group(rng.choice(groups)), group(rng.choice(groups))]
        outputs += [group(rng.choice(SELECT_GROUPS))] if "select" in rng.features else []
    actions = [rng.choice(choices) for _ in range(rng.choice((0, 0, 1, 1, 2, 3)))]
    if "tags" not in rng.features:
        actions = [action for place, action in enumerate(actions)
                   if not pushes_tag(action) or not any(map(pushes_tag, actions[:place]))]
    if in_bucket:
        return no_group_uncovered([*actions, rng.choice(outputs)] if rng.random() < 0.95 else actions)
    mixed: list[bytes] = []
    for action in actions:
        mixed.append(action)
        if rng.random() < 0.3:
            mixed.append(rng.choice(outputs))
    if rng.random() < 0.9:
        mixed.append(rng.choice(outputs))
    return no_group_uncovered(mixed)


def some_instructions(rng: Dice, fields: dict[str, int | tuple[int, int]], table: int) -> bytes:
    """Instructions that mostly suit the match and the table.

    They name no group twice: Open vSwitch 3.1 aborts when a group is deleted that an entry names twice.
    """
    parts: list[bytes] = []
    if rng.random() < 0.7:
        parts.append(apply(*some_actions(rng, fields, groups=GROUPS if fields else QUIET_GROUPS)))
    if rng.random() < 0.1:
        parts.append(clear())
    if "meters" in rng.features and rng.random() < 0.2:
        parts.append(metered(rng))
    if rng.random() < 0.25:
        free = "otherwise" in rng.features
        actions = some_actions(rng, fields, groups=GROUPS if free else QUIET_GROUPS, telling=free)
        # The set is carried out when a later table may have pushed a tag.
        parts.append(write(*(each for each in actions if "tags" in rng.features or not pushes_tag(each))))
    if rng.random() < 0.3:
        whole = (1 << 64) - 1 if "metadata" in rng.features else 0xffffffff
        parts.append(metadata(*rng.choice(((0x1000, 0xff00), (0x10, 0xff), (0x1011, whole), (0, 0xf0)))))
    later = [number for number in TABLES if number > table]
    if later and rng.random() < 0.6:
        parts.append(goto(rng.choice(later)))
    rng.shuffle(parts)
    whole = b"".join(parts)
    if any(whole.count(group(number)) > 1 for number in (*GROUPS, *SELECT_GROUPS)):
        return some_instructions(rng, fields, table)
    return whole


def some_flow_mod(rng: Dice) -> Step:
    """A flow-mod, usually valid."""
    fields, table = some_match(rng), rng.choice(TABLES)
    command = rng.choice((0, 0, 0, 0, 0, 0, 1, 2, 3, 4))
    cookie, mask = rng.choice((0, 0x11, 0x12, 0x21)), 0
    if command and rng.random() < 0.3:
        mask = rng.choice((0xf0, 0xff, (1 << 64) - 1))
    out_port = rng.choice(rng.ports) if command > 2 and rng.random() < 0.3 else ANY
    out_group = rng.choice(GROUPS) if command > 2 and rng.random() < 0.2 else ANY
    if command > 2 and rng.random() < 0.3:
        table = 0xff
    flags = rng.choice((0, 0, 0, 1, 1, *((4, 5) if "resets" in rng.features else (0, 1))))
    priority = own_priority(rng, fields)
    if rng.random() < 0.3:
        priority, flags = 100, flags | 2
    body = flow_mod(match(**fields), some_instructions(rng, fields, table), command=command, table=table,
                    priority=priority, cookie=cookie, mask=mask, flags=flags, out_port=out_port,
                    out_group=out_group, hard=rng.choice((0, 0, 300)))
    return Step("flow-mod", wire.FLOW_MOD, body)


def some_normal(rng: Dice) -> Step:
    """An entry that outputs multicast to NORMAL. What unicast does depends on what was learnt, and when."""
    fields: dict[str, int | tuple[int, int]] = {"ETH_DST": rng.choice(((1 << 40, 1 << 40), (1 << 48) - 1))}
    if rng.random() < 0.5:
        fields["IN_PORT"] = rng.choice(rng.ports)
    if rng.random() < 0.3:
        fields["VLAN_VID"] = rng.choice((0, 0x1005))
    first = [simple(18)] if fields.get("VLAN_VID") else rng.choice(([], [set_field(oxm.ETH_SRC, MACS[1])]))
    last = rng.choice(([], [output(rng.choice(rng.ports))]))
    return Step("flow-mod", wire.FLOW_MOD, flow_mod(
        match(**fields), apply(*first, output(NORMAL), *last), table=rng.choice(TABLES),
        priority=own_priority(rng, fields), cookie=0x13))


def some_group_mod(rng: Dice) -> Step:
    """A group-mod, usually valid; its buckets refer to groups of higher number only."""
    number = rng.choice(GROUPS)
    kind = rng.choice((0, 0, 2, 2, *([3] if "failover" in rng.features else [])))
    command = rng.choice((0, 0, 0, 1, 1, 2))
    if "select" in rng.features and rng.random() < 0.2:
        return some_select_group(rng, command)
    if command == 2:
        return Step("group-mod", wire.GROUP_MOD, group_mod(2, kind, number if rng.random() < 0.95 else 0xfffffffc))
    fields = some_match(rng)
    higher = tuple(other for other in GROUPS if other > number) if "chains" in rng.features else ()
    buckets = []
    for _ in range(1 if kind == 2 and rng.random() < 0.95 else rng.choice((0, 1, 2, 3))):
        actions = some_actions(rng, fields, True, higher, number in TELLING_GROUPS)
        watch = {"watch_port": rng.choice((*rng.ports, 77))} if kind == 3 else {}
        if kind == 3 and rng.random() < 0.2 and number < GROUPS[-1]:
            watch = {"watch_group": rng.randrange(number + 1, GROUPS[-1] + 1)}
        if rng.random() < 0.03:
            watch = {"weight": 1}
        buckets.append(bucket(*actions, **watch))
    return Step("group-mod", wire.GROUP_MOD, group_mod(command, kind, number, *buckets))


def some_select_group(rng: Dice, command: int) -> Step:
    """A SELECT group whose buckets all do the same, but for those that are never chosen.

    Weights far apart: see what the others can do to Open vSwitch 3.1 in hvproxy.compiler.choice.
    """
    number, fields = rng.choice(SELECT_GROUPS), some_match(rng)
    if command == 2:
        return Step("group-mod", wire.GROUP_MOD, group_mod(2, 1, number))
    same = some_actions(rng, fields, True, (), False)
    weights = [1, 60000, *rng.choice(((), (), (7,), (60000, 2)))]
    rng.shuffle(weights)
    buckets = [bucket(*same, weight=weight) for weight in weights]
    if rng.random() < 0.3:
        buckets.insert(rng.randrange(3), bucket(*some_actions(rng, fields, True, (), False)))
    return Step("group-mod", wire.GROUP_MOD, group_mod(command, 1, number, *buckets))


def some_frame(rng: Dice) -> Step:
    """A frame into a port."""
    return sent(rng.choice(rng.ports), frame(rng))


def some_packet_out(rng: Dice) -> Step:
    """A packet-out, most into the tables."""
    actions = [output(TABLE)] if rng.random() < 0.6 else some_actions(rng, {})
    if "metadata" in rng.features and rng.random() < 0.3:
        actions.insert(0, set_field(oxm.METADATA, 0x1011))
    others = [ANY, 55] * ("otherwise" in rng.features)
    return Step("packet-out", wire.PACKET_OUT, packet_out(
        frame(rng), *actions, in_port=rng.choice((*rng.ports, CONTROLLER, CONTROLLER, *others))))


def some_query(rng: Dice) -> Step:
    """A request whose answer is compared; rarely one for port statistics, which come late."""
    kind = rng.choice((1, 1, 1, 2, 2, 3, 6, 7, 7, 13, 4 if rng.random() < 0.1 else 6))
    body = b""
    if kind in (1, 2):
        body = flow_request(match(**some_match(rng)) if rng.random() < 0.5 else match(),
                            table=rng.choice((*TABLES, 0xff, 0xff, 0xff, 77)),
                            out_port=rng.choice((ANY, ANY, 1)), out_group=rng.choice((ANY, ANY, 2)),
                            cookie=0x11, mask=rng.choice((0, 0, 0xf0, 0xff)))
    elif kind == 4:
        body = rng.choice((1, 2, 3, 5)).to_bytes(4, "big") + bytes(4)
    elif kind == 6:
        body = rng.choice((0xfffffffc, 1, 2, 77)).to_bytes(4, "big") + bytes(4)
    return multipart(kind, body)


def some_refusal(rng: Dice) -> Step:
    """A message that is wrong in one way."""
    name, kind, body = rng.choice(WRONG)
    if "otherwise" not in rng.features and not answered_alike(name):
        return some_refusal(rng)
    return Step(name, kind, body)


ENDS: tuple[dict[str, int], ...] = (
    {"hard": 2}, {"hard": 3}, {"idle": 2}, {"idle": 2, "hard": 60}, {"idle": 3, "hard": 2}, {})
"""Timeouts. No hard one soon after an idle one, which a logical switch notices up to a second late (see README)."""


def some_expiry(rng: Dice) -> list[Step]:
    """Entries with short timeouts, some traffic, and the wait until they are gone."""
    steps = []
    for _ in range(rng.choice((2, 4, 8))):
        fields = some_match(rng)
        steps.append(Step("flow-mod", wire.FLOW_MOD, flow_mod(
            match(**fields), apply(output(rng.choice(rng.ports))), priority=own_priority(rng, fields),
            flags=rng.choice((1, 1, 0)), cookie=0x31,
            **rng.choice(ENDS),
            table=rng.choice((0, 0, 1)))))
    return [*steps, *(some_frame(rng) for _ in range(rng.choice((0, 5, 10)))), Step("expire", EXPIRE)]


def some_carrier(rng: Dice) -> list[Step]:
    """A port goes down; frames; it comes up."""
    port = rng.choice(PORTS)
    down, up = (Step("carrier", CARRIER, port=port, up=up) for up in (False, True))
    return [down, *(some_frame(rng) for _ in range(5)), multipart(13), up, *(some_frame(rng) for _ in range(5))]


WRONG = invalid_messages()
SETTINGS: dict[str, tuple[Callable[[Dice], Step], ...]] = {
    "flows": (some_flow_mod, some_flow_mod), "normal": (some_normal,), "groups": (some_group_mod,),
    "refusals": (some_refusal,),
    "meters": (some_meter_mod,), "settings": (some_table_mod, some_configuration, some_queue_question),
}
"""Feature -> what goes into a burst of messages."""


def features_of(seed: int, features: frozenset[str]) -> frozenset[str]:
    """The features of that script: every other one is such that the emulated switch can do it, and of the rest every
    other one leaves nothing of a logical switch in another state for good."""
    if seed % 2:
        return features & EMULATED_FEATURES
    return features if seed % 4 == 0 else features - LASTING or features


ORDINARY = (some_flow_mod, some_flow_mod, some_group_mod, some_packet_out, some_frame, some_frame, some_query)
"""What shows what is set for a session."""
SPECIAL: dict[str, Callable[[Dice, tuple[Callable[[Dice], Step], ...]], list[Step]]] = {
    "roles": some_roles, "masks": some_masks, "nicira": some_niciras, "oddities": some_oddities,
    "bundles": some_bundles, "monitors": some_monitors, "extensions": some_extensions,
    "learning": some_pupils, "connections": some_connections, "offers": some_offers, "hosts": some_hosts,
    "drops": some_drops, "faults": some_faults,
}
"""What has bursts of its own."""
RARE: dict[str, Callable[[Dice], list[Step]]] = {"timeouts": some_expiry, "carriers": some_carrier}
"""What takes seconds, and is done a few times in a long script."""


def random_script(seed: int, length: int, features: frozenset[str] = DEFAULT) -> list[Step]:
    """A script that first fills tables and then goes on doing everything."""
    rng = Dice(f"{seed} {length} {' '.join(sorted(features))}", features)
    if seed % 2:
        rng.features = features - {"tags"}
    steps = [some_group_mod(rng) for _ in range(12)] + [some_flow_mod(rng) for _ in range(30)]
    settings = [maker for feature, makers in SETTINGS.items() if feature in features for maker in makers]
    bursts: list[Callable[[], list[Step]]] = []

    def burst(makers: list[Callable[[Dice], Step]], most: int) -> None:
        bursts.append(lambda: [rng.choice(makers)(rng) for _ in range(rng.randrange(1, most))])

    burst(settings or [some_packet_out], 25)
    if "traffic" in features:
        burst([some_frame], 40)
        bursts.append(lambda: [*bursts[0](), *(some_packet_out(rng) for _ in range(rng.randrange(1, 15)))])
    if "queries" in features:
        burst([some_query, *([some_meter_question] if "meters" in features else [])], 6)
    if "port-mods" in features:
        burst([some_port_mod], 4)
    special = [maker for feature, maker in SPECIAL.items() if feature in features]
    rare = [maker for feature, maker in RARE.items() if feature in features]
    bursts += [lambda: rng.choice(special)(rng, ORDINARY)] * (1 + len(bursts) // 2 if special else 0)
    while len(steps) < length:
        burst = rng.choice(rare)(rng) if rare and rng.random() < 0.01 else rng.choice(bursts)()
        other = "controllers" in features and rng.random() < 0.3
        steps += [sent_by(step, 1 - step.by) for step in burst] if other else burst
    return steps + EVERYTHING_ASKED


ALL_GROUPS = (0xfffffffc).to_bytes(4, "big") + bytes(4)
EVERYTHING_ASKED = [multipart(kind, body) for kind, body in (
    (1, flow_request()), (2, flow_request()), (3, b""), (4, ANY.to_bytes(4, "big") + bytes(4)), (6, ALL_GROUPS),
    (7, b""), (9, EVERY_METER), (10, EVERY_METER), (11, b""), (13, b""))]
"""Requests for all that a switch tells about itself and is compared."""
