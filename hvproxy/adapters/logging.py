"""One structured line per event to stderr, for people (text) or machines (json).

Peers choose part of what is logged, so in text nothing but a traceback, indented, may begin a line of its own.
"""
from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from textwrap import indent
from typing import Any, TextIO

from twisted.logger import FilteringLogObserver, ILogObserver, LogLevel, LogLevelFilterPredicate, formatEvent
from zope.interface import provider

FORMATS = ("text", "json")
_LEVELS = {"warning": "warn"}


def observer(out: TextIO, form: str, level: str) -> Callable[[dict[str, Any]], None]:
    """A log observer for the command line's --log-format and --log-level."""
    write = _json if form == "json" else _text

    @provider(ILogObserver)
    def emit(event: dict[str, Any]) -> None:
        if event.get("log_namespace") == "log_legacy" and not event.get("isError"):
            return  # Twisted's own "Factory starting": our events say it better
        out.write(write(event) + "\n")
        out.flush()

    lowest = LogLevel.lookupByName(_LEVELS.get(level, level))
    return FilteringLogObserver(emit, [LogLevelFilterPredicate(defaultLogLevel=lowest)])


def _fields(event: dict[str, Any]) -> dict[str, object]:
    fields = {key: value for key, value in event.items()
              if not key.startswith("log_") and key not in ("fields", "event", "isError", "time", "system")}
    fields.update(event.get("fields", {}))
    return fields


def _traceback(event: dict[str, Any]) -> str:
    return event["log_failure"].getTraceback().strip() if "log_failure" in event else ""


def _visible(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _when(event: dict[str, Any]) -> str:
    return datetime.fromtimestamp(event["log_time"], UTC).isoformat(timespec="milliseconds")


def _text(event: dict[str, Any]) -> str:
    fields = " ".join(f"{key}={_visible(str(value))}" for key, value in _fields(event).items())
    line = f"{_when(event)} {event['log_level'].name:<8} {_visible(formatEvent(event))}"
    return line + (f"  {fields}" if fields else "") + indent(f"\n{_traceback(event)}".rstrip(), "    ")


def _json(event: dict[str, Any]) -> str:
    line = {"time": _when(event), "level": event["log_level"].name, "event": formatEvent(event), **_fields(event)}
    if "log_failure" in event:
        line["traceback"] = _traceback(event)
    return json.dumps(line, default=str)
