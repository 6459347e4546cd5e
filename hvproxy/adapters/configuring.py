"""Brings a changed configuration about while hvproxy runs: the difference only, one change at a time.

What the file says of listeners, the store and the fabric's labels cannot change in a running program; such keys are
named, and keep what they were until the next start. Reads no file: what is wanted comes as a Config.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
from twisted.internet.defer import DeferredLock

from hvproxy.adapters.carrying import Carrying, unhindered
from hvproxy.config import Config, FabricConfig
from hvproxy.hypervisor import configured, reconfigure
from hvproxy.hypervisor.links import NamedLink
from hvproxy.hypervisor.report import Row

CHANGES_AT_ONCE = frozenset({"tenants", reconfigure.LINKS, reconfigure.BFD_INTERVAL})


def named_links(fabric: FabricConfig) -> tuple[NamedLink, ...]:
    """The configured links as the core sees them."""
    return tuple(NamedLink((link.a.datapath, link.a.port), (link.b.datapath, link.b.port)) for link in fabric.links)


def wanted(config: Config) -> reconfigure.Wanted:
    """The part of a configuration that can change while hvproxy runs, as the core sees it."""
    return reconfigure.Wanted(config.tenants, named_links(config.fabric), config.fabric.bfd_interval)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a configuration changes or has changed."""

    changes: list[Row]
    restart: list[str]
    """The keys whose new values take a restart."""

    def plain(self) -> dict[str, object]:
        return {"changes": self.changes, "restart": self.restart}


class Configuring:
    """Knows the configuration that was applied last."""

    def __init__(self, carrying: Carrying, applied: Config) -> None:
        self._carrying = carrying
        self._applied = applied
        self._turn = DeferredLock()

    def plan(self, config: Config) -> Outcome:
        """What applying it would change. Raises ModelError where it cannot be."""
        return self._outcome(config, self._difference(config))

    async def apply(self, config: Config) -> Outcome:
        """Make it so; returns when the switches have confirmed what was taken away. Raises ModelError with everything
        as it was."""
        await self._turn.acquire()
        try:
            return await unhindered(self._apply(config))
        finally:
            self._turn.release()

    async def _apply(self, config: Config) -> Outcome:
        difference = self._difference(config)
        outcome = self._outcome(config, difference)
        carrying, hv = self._carrying, self._carrying.hv
        carrying.carry_out(lambda now: reconfigure.begin(hv, difference, now))
        await carrying.replace(difference.switches)
        carrying.carry_out(lambda now: reconfigure.end(hv, difference))
        carrying.carry_out(lambda now: configured.applied(hv, wanted(config)))
        # What takes a restart is still to come: it must be named again the next time.
        self._applied = msgspec.structs.replace(
            self._applied, tenants=config.tenants,
            fabric=msgspec.structs.replace(self._applied.fabric, links=config.fabric.links,
                                           bfd_interval=config.fabric.bfd_interval))
        return outcome

    def _difference(self, config: Config) -> reconfigure.Difference:
        new = wanted(config)
        places = [place for place, _ in new.logical_switches]
        self._carrying.check([spec for _, spec in new.logical_switches], places.__getitem__)
        return reconfigure.difference(self._carrying.hv, wanted(self._applied), new)

    def _outcome(self, config: Config, difference: reconfigure.Difference) -> Outcome:
        return Outcome(reconfigure.rows(self._carrying.hv, difference), sorted(_changed(self._applied, config)))


def _changed(old: msgspec.Struct, new: msgspec.Struct, prefix: str = "") -> Iterator[str]:
    """The keys that take a restart and differ."""
    for name in old.__struct_fields__:
        before, after, path = getattr(old, name), getattr(new, name), f"{prefix}{name}"
        if before == after or path in CHANGES_AT_ONCE:
            continue
        if not prefix and isinstance(before, msgspec.Struct) and isinstance(after, msgspec.Struct):
            yield from _changed(before, after, f"{path}.")
        else:
            yield path
