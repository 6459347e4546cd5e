"""What of the fabric, and of who exists at all, must be stored: notes its records in the journal as they change.

Labels with their rest, what names each switch, what kind it is and where its tunnels end, links in use, tenants, and
what the configuration file said. Ports and rules of switches are learnt again; links and endpoints are stored because
without them paths would change until discovery and the databases have told them again. Restoring is restore's business.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping

from hvproxy.hypervisor.journal import Journal
from hvproxy.model import records
from hvproxy.model.layout import EPOCH, ContextLayout
from hvproxy.model.view import Dpid, Link


class FabricLedger:
    """The records that belong to no logical switch."""

    def __init__(self, journal: Journal, wall: float) -> None:
        """`wall` is what must be added to the core's time for the day's."""
        self._journal = journal
        self._wall = wall
        self._links: dict[Link, int] = {}
        self._datapaths: dict[Dpid, records.DatapathRecord] = {}

    def begin(self, layout: ContextLayout, discovery_address: bytes | None) -> None:
        """What all other records depend on."""
        self._put(records.FORMAT, records.Format(
            EPOCH, layout.logical_switch_bits, layout.lport_bits, discovery_address))

    def tenant(self, name: str, named: bool) -> None:
        """There is a tenant, which the configuration file names or not."""
        self._put(f"tenant/{name}", records.Tenant(named))

    def tenant_gone(self, name: str) -> None:
        self._journal.delete(f"tenant/{name}")

    def named(self, name: str, spec: bytes | None) -> None:
        """What the configuration file says of a logical switch; None: nothing."""
        if spec is None:
            self._journal.delete(f"file/{name}")
        else:
            self._put(f"file/{name}", records.Named(spec))

    def label(self, kind: str, key: tuple[str, int, int], label: int | None) -> None:
        """What a label is used for; None: nothing has one for that. `kind` is "label", or "key" of a tunnel's."""
        name = "/".join(map(str, (kind, *key)))
        if label is None:
            self._journal.delete(name)
        else:
            self._put(name, records.LabelRecord(label))

    def block(self, first: int, owner: Dpid | None) -> None:
        """Labels from this one on are lent to an edge; None: to nobody."""
        if owner is None:
            self._journal.delete(f"block/{first}")
        else:
            self._put(f"block/{first}", records.Block(owner))

    def rest(self, label: int, until: float | None) -> None:
        """A label is not used before that time; None: it can be."""
        if until is None:
            self._journal.delete(f"rest/{label}")
        else:
            self._put(f"rest/{label}", records.Rest(until + self._wall))

    def datapath(self, dpid: Dpid, destination: int | None, extended: bool | None, endpoint: str | None) -> None:
        """What is known of a switch for longer than it is connected."""
        record = records.DatapathRecord(destination, extended, endpoint)
        if self._datapaths.get(dpid, records.DatapathRecord(None, None)) != record:
            self._datapaths[dpid] = record
            self._put(f"datapath/{dpid}", record)

    def drain(self, key: tuple[Dpid, str], force: bool | None) -> None:
        """A switch is drained of a logical switch (or, "", of all); None: no longer."""
        name = f"drain/{key[0]}/{key[1]}"
        if force is None:
            self._journal.delete(name)
        else:
            self._put(name, records.DrainRecord(force))

    def links(self, links: Iterable[Link], speeds: Mapping[Link, int]) -> None:
        """These links are in use; `speeds` in Mb/s, of those that tell it."""
        now = {link: speeds.get(link, 0) for link in links}
        for link in self._links.keys() - now.keys():
            self._journal.delete(_link_key(link))
        for link in sorted(link for link, speed in now.items() if self._links.get(link) != speed):
            self._put(_link_key(link), records.LinkRecord(
                link.a_dpid, link.a_port, link.b_dpid, link.b_port, int(link.carriage), now[link]))
        self._links = now

    def _put(self, key: str, record: records.Record) -> None:
        self._journal.put(key, records.encode(key, record))


def _link_key(link: Link) -> str:
    return f"link/{link.a_dpid}:{link.a_port}-{link.b_dpid}:{link.b_port}"
