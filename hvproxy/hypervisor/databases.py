"""The databases of the switches below: what each of them says, and what all say together about where VIFs are.

What a database said stays for the grace after its session has ended. Of VIFs with one iface-id those come first that
are not marked inactive, and of these the one that counts already, until it goes; then the one that was there first.
Those that were there when hvproxy began were there at the same time: of these the one that counted before a restart,
or else the one with the smallest datapath id and port, so it does not matter which database answers first. Therefore
none counts before every database has answered or is given up.
Knows logical switches not at all: who waits for a VIF is the owner's to say.
"""
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final, Protocol

from hvproxy.hypervisor.commands import Outbox
from hvproxy.hypervisor.switches import Switches
from hvproxy.model.hosts import Mac
from hvproxy.model.view import Dpid, PortNo
from hvproxy.ovsdb.session import Session
from hvproxy.ovsdb.vswitch import DATABASE, TABLES, Observation, SeenBridge, SeenVif, Setting, correction, observe

Place = tuple[Dpid, PortNo]
Key = tuple[str, Dpid, PortNo]
LOOK_DELAY: Final = 0.02
"""Seconds in which updates are gathered before they are looked at."""
LOOK_DELAY_PER_ROW: Final = 2e-5
"""The same for each row that will be looked at: a database that never stops changing gets a fraction of the time."""
REMEMBERED: Final = 4096
"""Warnings remembered, so as not to be repeated."""
WRONG: Final = "a bridge is not set as hvproxy needs it"
DUPLICATE: Final = (
    "two VIFs with one iface-id: the one that was there first counts; "
    "remove the other, or mark it with iface-status=inactive")
FAULTY: Final = "a database session ended by a fault"


class DatabasesOwner(Protocol):
    """Who hears where VIFs are, and that anything else is as it was not."""

    def vifs_moved(self, iface_ids: Collection[str], now: float) -> None: ...
    def waits_for(self, iface_ids: Collection[str]) -> bool: ...
    def databases_changed(self, now: float) -> None: ...


@dataclass(slots=True)
class Database:
    """One database, connected or not."""

    address: str
    until: float
    """When what it said counts no more, unless it has told it anew."""
    conn: int | None = None
    session: Session | None = None
    seen: Observation = Observation()
    answered: bool = False
    """It has told its contents, or was given up once."""
    due: float = inf
    """When its rows are looked at."""
    before: tuple[SeenVif, ...] = ()
    """Where VIFs were when this session began: they count while Open vSwitch has not said where they are now, for a
    database that was started anew has forgotten the datapath ids."""
    before_until: float = 0.0
    corrected: set[tuple[str, str]] = field(default_factory=set)
    """(bridge, setting) that were set in this session, once each: who sets them back has a reason."""
    unread_since: float | None = None
    """Since when what it has said waits to be worked on: so long it is not silent."""
    fault: str | None = None
    """What ended the last session, while there is no other that has answered."""

    @property
    def connected(self) -> bool:
        return self.session is not None and self.session.complete

    @property
    def state(self) -> str:
        """For people: lost, while what it said still counts."""
        if self.connected:
            return "connected"
        return "lost" if self.answered and self.until < inf else "connecting"

    @property
    def deadline(self) -> float:
        if self.unread_since is not None:
            return self.due
        return min(self.until, self.due, inf if self.session is None else self.session.deadline)


class Databases:
    """All of them."""

    def __init__(self, owner: DatabasesOwner, switches: Switches, out: Outbox, grace: float, addresses: Iterable[str],
                 configure: bool, now: float) -> None:
        self.all = {address: Database(address, now + grace) for address in addresses}
        self.places: dict[str, tuple[Place, ...]] = {}
        """Where the VIF of an iface-id may be, the one that counts first; one that is marked inactive is here only if
        all are."""
        self.there: dict[str, frozenset[Place]] = {}
        """Where there is one with an iface-id, marked or not. Changed by `_are_there` only."""
        self._there_on: dict[Dpid, dict[PortNo, list[str]]] = {}
        """The same by place."""
        self.macs: dict[Key, Mac] = {}
        """What the workloads of VIFs are said to use, where that is the MAC of a host."""
        self._owner = owner
        self._switches = switches
        self._out = out
        self._grace = grace
        self._configure = configure
        self._conns: dict[int, Database] = {}
        self._first_seen: dict[Key, int] = {}
        """Each VIF that is there -> which choice was the first to find it."""
        self._choices = 0
        self._before: list[SeenVif] = []
        """Where VIFs were before a restart."""
        self._rivals: dict[str, frozenset[Key]] = {}
        """Iface-ids of several VIFs that are not marked inactive."""
        self._told: set[tuple[str, str, str]] = set()
        """(database, bridge, setting) that were said to be wrong."""

    @property
    def known(self) -> bool:
        """Every database has answered, or is given up."""
        return all(database.answered for database in self.all.values())

    def remember(self, iface_id: str, place: Place, *former: Place) -> None:
        """Where a VIF was before a restart: there it is until the databases have told. `former` it moves from."""
        if self.all:
            self.places[iface_id] = (place,)
            self._are_there({**self.there, iface_id: self.there.get(iface_id, frozenset()) | {place, *former}})
            self._before.append(SeenVif(iface_id, *place))

    def there_on(self, dpid: Dpid) -> Mapping[PortNo, Collection[str]]:
        """The iface-ids of what is there on a datapath, by port."""
        return self._there_on.get(dpid, {})

    def _are_there(self, there: dict[str, frozenset[Place]]) -> None:
        self.there, self._there_on = there, {}
        for iface_id, places in there.items():
            for dpid, port_no in places:
                self._there_on.setdefault(dpid, {}).setdefault(port_no, []).append(iface_id)

    # Connections

    def listening(self, now: float) -> None:
        """Databases are dialled from now on: each that is awaited has its whole grace from here."""
        for database in self.all.values():
            if database.session is None:
                database.until = now + self._grace

    def connected(self, conn: int, address: str, now: float) -> None:
        database = self._conns[conn] = self.all[address]
        database.conn, database.session, database.unread_since = conn, Session(DATABASE, TABLES, now), None
        database.corrected.clear()
        self.flush(database, now)

    def owns(self, conn: int) -> bool:
        return conn in self._conns

    def received(self, conn: int, data: bytes, now: float) -> None:
        """Bytes from a database."""
        database = self._conns[conn]
        session = database.session
        if session is None:
            return  # it is being closed
        session.receive(data, now)
        if session.changed:
            session.changed = False
            database.due = min(database.due, now + LOOK_DELAY + session.replica.rows * LOOK_DELAY_PER_ROW)
        self.flush(database, now)

    def unread(self, conn: int, waits: bool, now: float) -> None:
        """What a database has said waits to be worked on, or does no more: that time does not count as its silence."""
        database = self._conns[conn]
        if database.conn != conn:
            return  # it is being closed
        if waits:
            database.unread_since = now
        elif database.unread_since is not None:
            self._excuse(database, now - database.unread_since)
            database.unread_since = None

    def lost(self, conn: int, now: float) -> None:
        """A connection is gone."""
        database = self._conns.pop(conn)
        if database.session is not None:
            self._ended(database, now)

    def flush(self, database: Database, now: float) -> None:
        """Write what the session has to say, and end it where it says so."""
        session, conn = database.session, database.conn
        assert session is not None and conn is not None
        for data in session.send:
            self._out.send(conn, data)
        session.send.clear()
        if session.closed is not None:
            if database.fault != session.closed:
                database.fault = session.closed
                self._out.log("error", FAULTY, database=database.address, reason=session.closed)
            self._switches.count_alarm(FAULTY)
            self._out.close(conn, session.closed)
            self._ended(database, now)

    def _ended(self, database: Database, now: float) -> None:
        """Its session is over; what it said last counts for the grace."""
        if database.connected and database.until == inf:
            self._out.log("warning", "database lost", database=database.address)
            database.until = now + self._grace
        database.session, database.conn, database.due, database.unread_since = None, None, inf, None

    # Time

    @property
    def deadline(self) -> float:
        return min((database.deadline for database in self.all.values()), default=inf)

    def stood_still(self, seconds: float) -> None:
        """Nothing of what databases said was read for so long, nor could they be reached."""
        for database in self.all.values():
            if database.unread_since is None:  # else it is excused all of it when it is worked on
                self._excuse(database, seconds)

    def _excuse(self, database: Database, seconds: float) -> None:
        database.until += seconds
        database.before_until += seconds
        if database.session is not None:
            database.session.deadline += seconds

    def tick(self, now: float) -> None:
        """Keep sessions alive, look at what has changed, give up what stays away."""
        for database in self.all.values():
            waits = database.unread_since is not None
            if database.session is not None and now >= database.session.deadline and not waits:
                database.session.tick(now)
                self.flush(database, now)
            if now >= database.due:
                self._look(database, now)
            if now >= database.until and not waits:
                self._give_up(database, now)

    def _look(self, database: Database, now: float) -> None:
        assert database.session is not None
        database.due = inf
        seen = observe(database.session.replica.tables)
        if database.until < inf:
            self._out.log("info", "database ready", database=database.address, bridges=len(seen.bridges),
                          vifs=len(seen.vifs))
            database.until, database.fault = inf, None
            database.before = database.seen.vifs if database.answered else tuple(self._before)
            database.before_until = now + self._grace
        if database.before:
            told = {vif.iface_id for vif in seen.vifs}
            kept = [vif for vif in database.before if vif.iface_id in seen.pending - told]
            if kept and now < database.before_until:
                seen = replace(seen, vifs=tuple(sorted((*seen.vifs, *kept), key=_key)))
                database.due = database.before_until
            else:
                database.before = ()
        self._said(database, seen, now)
        self._check(database, now)

    def _give_up(self, database: Database, now: float) -> None:
        self._out.log("warning", "database absent", database=database.address, vifs=len(database.seen.vifs))
        database.until = inf
        self._said(database, Observation(), now)

    def _said(self, database: Database, seen: Observation, now: float) -> None:
        same = database.answered and [(_key(vif), vif.active, vif.mac) for vif in database.seen.vifs] == [
            (_key(vif), vif.active, vif.mac) for vif in seen.vifs]
        database.seen, database.answered = seen, True
        if not same and self.known:
            self._choose(now)
        self._owner.databases_changed(now)

    # VIFs

    def _choose(self, now: float) -> None:
        """Order the VIFs of each iface-id, and say of which ones that changes."""
        found: dict[str, dict[Key, SeenVif]] = {}
        for vif in (vif for database in self.all.values() for vif in database.seen.vifs):
            found.setdefault(vif.iface_id, {}).setdefault(_key(vif), vif)  # two of the databases may be one
        self._first_seen = {key: self._first_seen.get(key, self._choices) for vifs in found.values() for key in vifs}
        self._choices += 1
        before, self.places = (self.places, self.there), {}
        self._are_there({iface_id: frozenset(key[1:] for key in vifs) for iface_id, vifs in found.items()})
        rivals, self._rivals = self._rivals, {}
        for iface_id, vifs in found.items():
            counted = before[0].get(iface_id, ())[:1]
            active = [key for key in vifs if vifs[key].active]
            order = sorted(active or vifs, key=lambda key: (key[1:] not in counted, self._first_seen[key], key))
            self.places[iface_id] = tuple(key[1:] for key in order)
            if len(active) > 1:
                self._rivals[iface_id] = frozenset(active)
                if not self._rivals[iface_id] <= rivals.get(iface_id, frozenset()):
                    first, second = (_text(key) for key in order[:2])
                    self._switches.alarm(DUPLICATE, iface_id=iface_id, at=first, and_at=second)
        moved = {iface_id for iface_id in self.there.keys() | before[1].keys()
                 if (before[0].get(iface_id), before[1].get(iface_id)) != (
                     self.places.get(iface_id), self.there.get(iface_id))}
        macs, self.macs = self.macs, {key: mac for vifs in found.values() for key, vif in vifs.items()
                                      if (mac := _mac(vif)) is not None}
        moved.update(key[0] for key, _ in macs.items() ^ self.macs.items())
        if moved:
            self._owner.vifs_moved(moved, now)

    # Settings

    def is_ours(self, bridge: SeenBridge) -> bool:
        """Whether hvproxy works with a bridge: as a datapath, or for a VIF that somebody waits for."""
        return bridge.dpid in self._switches.datapaths or self._owner.waits_for(bridge.iface_ids)

    def check(self, now: float) -> None:
        """Look at the settings of all bridges: others may be ours now."""
        for database in self.all.values():
            self._check(database, now)

    def _check(self, database: Database, now: float) -> None:
        if not database.connected:
            return
        for bridge in database.seen.bridges:
            for setting in bridge.wrong if self.is_ours(bridge) else ():
                self._tell(database, bridge, setting)
                if self._configure and (bridge.name, setting.name) not in database.corrected:
                    self._correct(database, bridge, setting)
        self.flush(database, now)

    def _tell(self, database: Database, bridge: SeenBridge, setting: Setting) -> None:
        key = (database.address, bridge.name, setting.name)
        if key in self._told:
            return
        if len(self._told) >= REMEMBERED:
            self._told.clear()
        self._told.add(key)
        self._switches.count_alarm(WRONG)
        self._out.log("warning", WRONG, database=database.address, bridge=bridge.name, setting=setting.name,
                      has=setting.has, needs=setting.needs)

    def _correct(self, database: Database, bridge: SeenBridge, setting: Setting) -> None:
        assert database.session is not None
        fields = {"database": database.address, "bridge": bridge.name, "setting": setting.name}
        database.corrected.add((bridge.name, setting.name))

        def done(refusal: str | None, now: float) -> None:
            if refusal is None:
                self._out.log("info", "a bridge was set as hvproxy needs it", **fields)
            else:
                self._out.log("error", "a database refused to set a bridge", **fields, reason=refusal)

        database.session.transact(correction(bridge, setting), done)


def _key(vif: SeenVif) -> Key:
    return vif.iface_id, vif.dpid, vif.port_no


def _mac(vif: SeenVif) -> Mac | None:
    try:
        return None if vif.mac is None else Mac.parse(vif.mac)
    except ValueError:
        return None


def _text(key: Key) -> str:
    return f"{key[1]:016x}:{key[2]}"
