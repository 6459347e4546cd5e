"""Assembles the program from a configuration and runs it: the one place that knows core and adapters both."""
from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet import asyncioreactor, defer
from twisted.internet.error import CannotListenError
from twisted.logger import Logger, globalLogBeginner

from hvproxy.config import Config, StoreUrl, load
from hvproxy.errors import ConfigError, DamagedRecord, ModelError, StoreError
from hvproxy.hypervisor import configured
from hvproxy.hypervisor.settings import Settings
from hvproxy.hypervisor.journal import Durability
from hvproxy.hypervisor.restore import restored

if TYPE_CHECKING:
    from hvproxy.adapters.sockets import Sockets
    from hvproxy.adapters.store import Store
    from hvproxy.adapters.store.committer import Committer

BUG = "a fault in hvproxy itself; please report it"
log = Logger()


def settings_of(config: Config, secret: bytes, wall: float) -> Settings:
    """What the core must know of the configuration; `wall` is what its clock lacks of the day's time."""
    from hvproxy.adapters.configuring import named_links  # here, as it needs the reactor installed

    fabric = config.fabric
    # Fresh at every start: discovery frames of an earlier one must not prove a link.
    chosen = secret if fabric.secret is None else fabric.secret.text.encode() + secret
    return Settings(
        grace=config.switches.grace,
        first_vid=fabric.vlan_range.first,
        last_vid=fabric.vlan_range.last,
        secret=chosen if fabric.discovery else None,
        links=named_links(fabric),
        databases=tuple(map(str, config.switches.ovsdb)),
        configure_bridges=config.switches.configure_bridges,
        audit=config.switches.audit,
        remove_foreign=config.switches.remove_foreign,
        encapsulation=fabric.encapsulation,
        tunnel_endpoints={each.datapath: str(each.address) for each in fabric.tunnel_endpoints},
        bfd_interval=fabric.bfd_interval,
        durability=Durability(config.durability) if config.store.kind != "memory" else Durability.NONE,
        wall=wall,
    )


def serve(config: Config, path: str, *, log_format: str = "text", log_level: str = "info") -> int:
    """Run until SIGINT or SIGTERM; the exit status (0 good, 1 failed). SIGHUP reads the file at `path` again."""
    install_reactor()
    from twisted.internet import reactor

    from hvproxy.adapters.logging import observer

    globalLogBeginner.beginLoggingTo([observer(sys.stderr, log_format, log_level)], redirectStandardIO=False)
    failed: list[str] = []

    async def begin() -> None:
        try:
            await start(reactor, config, path)
        except CannotListenError as error:
            failed.append(f"cannot listen on {error.interface}:{error.port}: {error.socketError}; "
                          "is another hvproxy running, or is the address not this machine's?")
        except OSError as error:
            failed.append(f"cannot start: {error}")
        except (StoreError, DamagedRecord) as error:
            failed.append(f"the store cannot be used: {error}")
        except ModelError as error:
            failed.append(f"the configuration contradicts what the API has made, which the store holds: {error}")
        if failed:
            log.error("{why}", why=failed[0])
            reactor.stop()  # type: ignore[attr-defined]

    def begin_now() -> None:
        defer.ensureDeferred(begin()).addErrback(_bug, reactor, failed)

    # Entries and rules live long and refer to each other in no circles: the collector finds nothing in them, and by
    # its own measure looks through all of them again and again.
    gc.set_threshold(100_000, 50, 1000)
    reactor.callWhenRunning(begin_now)  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]
    return 1 if failed else 0


async def start(reactor: Any, config: Config, path: str) -> None:
    """Build core and adapters and open the configured listeners. Raises CannotListenError, OSError, StoreError,
    DamagedRecord or ModelError."""
    from hvproxy.adapters.carrying import Carrying
    from hvproxy.adapters.configuring import Configuring, wanted
    from hvproxy.adapters.http import make_site
    from hvproxy.adapters.metrics import Metrics
    from hvproxy.adapters.ovsdb import Databases
    from hvproxy.adapters.runtime import Runtime
    from hvproxy.adapters.sockets import Sockets, server_endpoint
    from hvproxy.adapters.store.committer import Committer

    store = open_store(reactor, config.store.file(path))
    records = await load_records(store, config.store)
    now = reactor.seconds()
    gc.disable()  # what is restored lives long, see serve
    hv = restored(settings_of(config, os.urandom(32), time.time() - now), now, records)
    gc.freeze()
    gc.enable()
    runtime = Runtime(hv, reactor)
    committer = Committer(store, reactor, runtime)
    runtime.committer = committer
    sockets = Sockets(reactor, runtime)
    runtime.sockets = sockets
    metrics = Metrics(runtime)
    runtime.observe = metrics.observe_translation
    runtime.observe_barrier = metrics.observe_barrier
    committer.observe, committer.observe_failure = metrics.observe_commit, metrics.observe_failed_commit
    configured.begin(hv, wanted(config), runtime.now())
    databases = Databases(reactor, runtime, config.switches.ovsdb, config.switches.tls)
    for address in config.switches.listen:
        await sockets.listen_for_switches(address, config.switches.tls)
    api = config.api.listen
    taken = (*config.switches.listen, api)
    configuring = Configuring(Carrying(runtime, reactor, taken), config)
    site = make_site(runtime, metrics, taken, configuring=configuring)
    await server_endpoint(reactor, api, config.api.tls).listen(site)
    databases.start()
    committer.start()
    runtime.start()
    signal.signal(signal.SIGHUP, lambda number, frame: reactor.callFromThread(reload_now, configuring, path))
    log.info("serving", switches=", ".join(map(str, config.switches.listen)), api=str(api),
             logical_switches=len(hv.logical_switches))
    reactor.addSystemEventTrigger("before", "shutdown", runtime.stop)
    reactor.addSystemEventTrigger("before", "shutdown", databases.stop)
    reactor.addSystemEventTrigger("before", "shutdown",
                                  lambda: defer.ensureDeferred(stop(sockets, committer, store)))


def open_store(reactor: Any, file: Path | None) -> Store:
    """The store that keeps its records in `file`, or in memory."""
    from hvproxy.adapters.store.database import Database
    from hvproxy.adapters.store.memory import MemoryStore
    from hvproxy.adapters.store.sqlite import SqliteStore
    from hvproxy.adapters.store.worker import Worker

    if file is None:
        return MemoryStore()
    return SqliteStore(Database(file.absolute()), Worker(reactor, "store"))


async def load_records(store: Store, url: StoreUrl) -> Mapping[str, bytes]:
    """Have the store alone, and what is in it. Raises StoreError."""
    await store.lease()
    log.info("loading the store", store=str(url))
    snapshot = await store.load()
    log.info("loaded the store", store=str(url), records=len(snapshot.records), revision=snapshot.revision)
    return snapshot.records


async def stop(sockets: Sockets, committer: Committer, store: Store) -> None:
    """End the connections, then let what is on its way be stored, unless the store has failed."""
    await sockets.stop()
    await committer.idle()
    committer.stop()
    await store.close()


async def reload(configuring: Any, path: str) -> None:
    """Have a Configuring apply the configuration file anew. A bad one changes nothing, every mistake is logged."""
    try:
        config = load(path)
    except ConfigError as error:
        _not_taken(path, error.mistakes)
    else:
        await take_over(configuring, config, path)


async def take_over(configuring: Any, config: Config, path: str) -> None:
    """Have a Configuring apply a configuration, which is that of the file at `path`, and say what that changes."""
    try:
        outcome = await configuring.apply(config)
    except ModelError as error:
        _not_taken(path, [(error.path, error.what)])
        return
    for key in outcome.restart:
        log.warn("a changed key is taken over at the next start only", key=key)
    for row in outcome.changes:
        log.info("changed by the configuration", kind=row["kind"], name=row["name"], action=row["action"],
                 changes="; ".join(row["changes"]))
    log.info("configuration reloaded", file=path, changes=len(outcome.changes))


def _not_taken(path: str, mistakes: list[tuple[str, str]]) -> None:
    for key, what in mistakes:
        log.error("a mistake in the configuration", file=path, key=key, what=what)
    log.error("the configuration is not reloaded: everything stays as it is", file=path, mistakes=len(mistakes))


def reload_now(configuring: Any, path: str) -> None:
    """What SIGHUP does."""
    defer.ensureDeferred(reload(configuring, path)).addErrback(
        lambda failure: log.failure(BUG, failure))


def install_reactor() -> None:
    """Twisted on asyncio, which admits asyncio's clients, on asyncio's own loop.

    Not on uvloop, as the design says: uvloop 0.23 tells of an error on a socket once and never looks at it again, so a
    peer that sent something and then reset the connection was read and never missed.
    """
    import asyncio

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    asyncioreactor.install(loop)


def _bug(failure: Any, reactor: Any, failed: list[str]) -> None:
    failed.append(failure.getErrorMessage())
    log.failure(BUG, failure)
    reactor.stop()
