"""The errors hvproxy raises on purpose, split by who must act on them.

Anything else that escapes is a bug. Expected outcomes are return values.
"""
from __future__ import annotations


class HvproxyError(Exception):
    """Base of all deliberate errors."""


class ConfigError(HvproxyError):
    """The operator must correct a configuration: start refuses, reload keeps the last good one."""

    def __init__(self, mistakes: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{path}: {what}" for path, what in mistakes))
        self.mistakes = mistakes
        """(path of the key, what is wrong), every mistake found, in file order."""


class ProtocolError(HvproxyError):
    """A peer broke OpenFlow in a way that ends its session."""


class MalformedMessage(ProtocolError):
    """The byte stream cannot be cut into messages any more."""


class DatabaseError(HvproxyError):
    """A database broke its protocol or said what cannot be: its session ends, and it is dialled again."""


class DamagedRecord(HvproxyError):
    """What the store holds is not what was stored, or is of another version: the operator must say what to do."""

    def __init__(self, key: str, what: str) -> None:
        super().__init__(f"stored record {key}: {what}")
        self.key = key
        self.what = what


class StoreError(HvproxyError):
    """The store cannot do what it is asked; the text says to the operator why. What was to be stored may be or not."""


class StoreHeld(StoreError):
    """Another process may write to the store, and only one may."""


class Refused(HvproxyError):
    """A request answered with an OpenFlow error; the session goes on (OF 1.3.5 section 7.4.4)."""

    def __init__(self, error_type: int, code: int, why: str = "", experimenter: int | None = None) -> None:
        super().__init__(why or f"refused with error type {error_type} code {code}")
        self.error_type = error_type
        self.code = code
        self.experimenter = experimenter
        """Of an error that is none of OpenFlow's own: whose type `code` is (OFPET_EXPERIMENTER)."""


class ModelError(HvproxyError):
    """An API client asked for something impossible; `status` is the HTTP status that says so."""

    status = 400

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path}: {what}" if path else what)
        self.path = path
        self.what = what


class NotFound(ModelError):
    """What was named does not exist."""

    status = 404


class Conflict(ModelError):
    """It contradicts what exists already: a name, a number, a datapath id or a VIF in use."""

    status = 409


class NotStored(ModelError):
    """What was ordered is carried out, and is lost when hvproxy is killed before the store is well again."""

    status = 503


class Exhausted(ModelError):
    """Identifiers (labels, contexts, ports) have run out."""

    status = 507
