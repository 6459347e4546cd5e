"""Has the core do what an operator wants, and waits until the switches have confirmed it where that is promised.

What the core cannot know is checked here: where hvproxy itself listens, and whether key files can be used.
"""
from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from OpenSSL import SSL, crypto
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from hvproxy.adapters.sockets import tls_options
from hvproxy.errors import Conflict, ModelError, NotStored
from hvproxy.hypervisor import intent, replacing, tenants
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.model.address import Address
from hvproxy.model.intent import LogicalSwitchSpec, TlsSpec

_LARGEST_KEY_FILE = 1024 * 1024
T = TypeVar("T")


class RuntimeLike(Protocol):
    """The part of runtime.Runtime that is needed here."""

    @property
    def hv(self) -> Hypervisor: ...
    def now(self) -> float: ...
    def flush(self) -> None: ...


class Carrying:
    """Carries out what the API and a changed configuration order."""

    def __init__(self, runtime: RuntimeLike, clock: IReactorTime, taken: Sequence[Address] = ()) -> None:
        self._runtime = runtime
        self._clock = clock
        self._taken = taken
        """Where hvproxy itself listens."""

    @property
    def hv(self) -> Hypervisor:
        return self._runtime.hv

    def carry_out(self, call: Callable[[float], T]) -> T:
        """Call the core, and do what it leaves to be done."""
        try:
            return call(self._runtime.now())
        finally:
            self._runtime.flush()

    async def confirmed(self, call: Callable[[Callable[[float], None], float], None]) -> None:
        """Do what calls back when the switches have confirmed it, and wait until they have."""
        confirmed: Deferred[float] = Deferred()
        self.carry_out(lambda now: call(confirmed.callback, now))
        await confirmed

    async def stored(self) -> None:
        """Wait until a restart would find everything that was ordered before. Raises NotStored where that cannot be
        said, because the store has failed."""
        stored: Deferred[float] = Deferred()
        journal = self.hv.journal
        self.carry_out(lambda now: journal.promise(journal.revision, stored.callback, lambda at: stored.errback(
            NotStored("", f"carried out, but not stored: {journal.failure}")), now))
        await stored

    async def replace(self, plan: replacing.Plan) -> None:
        """Carry out a plan."""
        for name in plan.delete:
            await self.confirmed(lambda done, now, each=name: intent.delete_logical_switch(  # type: ignore[misc]
                self.hv, each, done, now))
        if plan.delete:
            await deferLater(self._clock, 0)  # its listeners close in the reactor's next turn
        self.carry_out(lambda now: replacing.adjust(self.hv, plan.adjust, now))
        self.carry_out(lambda now: tenants.create_all(self.hv, plan, now))

    def check(self, specs: Sequence[LogicalSwitchSpec], prefix: Callable[[int], str] = lambda number: "") -> None:
        """Raises ModelError where these cannot be for a reason that the core does not know."""
        for index, spec in enumerate(specs):
            at = prefix(index)
            for number, address in enumerate(spec.listen):
                if any(address.collides(ours) for ours in self._taken):
                    raise Conflict(f"{at}listen[{number}]", f"{address} is in use by hvproxy itself")
            if spec.tls is not None:
                _check_key_files(spec.tls, f"{at}tls")


async def unhindered(job: Coroutine[Deferred[Any], Any, T]) -> T:
    """Wait for a job that goes on to its end even if nobody waits any more: half of it would be worse than all."""
    waiting: Deferred[T] = Deferred()
    ensureDeferred(job).addCallbacks(waiting.callback, waiting.errback)
    return await waiting


def _check_key_files(tls: TlsSpec, path: str) -> None:
    """Raises ModelError unless connections can be made with these files."""
    for key, name in (("private_key", tls.private_key), ("certificate", tls.certificate), ("ca", tls.ca)):
        file = Path(name or tls.certificate)
        try:
            # Reading a pipe or a device might never end.
            fit = file.is_file() and file.stat().st_size <= _LARGEST_KEY_FILE
            # OpenSSL would ask the terminal for the passphrase.
            locked = fit and key == "private_key" and b"ENCRYPTED" in file.read_bytes()
        except (OSError, ValueError) as error:
            raise ModelError(f"{path}.{key}", f"{name!r} cannot be read: {error}") from error
        if not fit or locked:
            raise ModelError(f"{path}.{key}", f"{name!r} is {'encrypted' if locked else 'not a file of keys'}")
    try:
        tls_options(tls).getContext()
    except (OSError, ValueError, SSL.Error, crypto.Error) as error:
        raise ModelError(path, f"the key files cannot be used: {error}") from error
