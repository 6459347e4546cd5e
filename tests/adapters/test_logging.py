"""One line per event, of which nothing is lost and which nothing breaks in two."""
from __future__ import annotations

import io
import json
from typing import Any

import pytest
from twisted.logger import Logger, LogLevel, LogPublisher
from twisted.python.failure import Failure

from hvproxy.adapters.logging import FORMATS, observer
from hvproxy.adapters.runtime import Runtime
from hvproxy.hypervisor.commands import Log
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.hypervisor.settings import Settings


def logged(form: str, level: str = "info", **event: Any) -> str:
    """What is written of one event of our own."""
    out = io.StringIO()
    publisher = LogPublisher(observer(out, form, level))
    Logger(namespace="hvproxy.test", observer=publisher).emit(
        event.pop("at", LogLevel.info), event.pop("text", "{event}"), **event)
    return out.getvalue()


def test_a_json_line_holds_time_level_event_and_every_field() -> None:
    line = json.loads(logged("json", event="a switch came", fields={"dpid": "0000000000000001", "ports": 4}))
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "info", "event": "a switch came", "dpid": "0000000000000001", "ports": 4}


def test_a_text_line_holds_the_same() -> None:
    text = logged("text", event="a switch came", fields={"dpid": "0000000000000001", "ports": 4})
    assert text.endswith("info     a switch came  dpid=0000000000000001 ports=4\n")


@pytest.mark.parametrize("form", FORMATS)
def test_fields_may_come_as_keywords_too(form: str) -> None:
    assert "192.0.2.7" in logged(form, text="cannot listen", address="192.0.2.7")


@pytest.mark.parametrize("form", FORMATS)
def test_one_event_is_one_line_whatever_its_fields_hold(form: str) -> None:
    text = logged(form, event="closed\nforged line", fields={"reason": "a\nb\r\nc", "peer": b"\x00\n"})
    assert text.count("\n") == 1 and text.endswith("\n") and "\r" not in text


@pytest.mark.parametrize("form", FORMATS)
def test_braces_in_an_event_are_no_formatting(form: str) -> None:
    assert "{reason} {0} {" in logged(form, event="{reason} {0} {")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(("level", "shown"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_what_is_below_the_level_is_left_out(form: str, level: str, shown: int) -> None:
    levels = (LogLevel.debug, LogLevel.info, LogLevel.warn, LogLevel.error)
    assert sum(bool(logged(form, level, at=at, event="x")) for at in levels) == shown


@pytest.mark.parametrize("form", FORMATS)
def test_a_failure_shows_its_traceback_indented_in_text_and_as_a_field_in_json(form: str) -> None:
    try:
        raise ValueError("the cause")
    except ValueError:
        text = logged(form, at=LogLevel.critical, text="a fault", log_failure=Failure())
    first, *others = text.splitlines()
    assert "a fault" in first and "the cause" in text and "Traceback" in text
    assert all(line.startswith("    ") for line in others)
    assert form == "text" or "the cause" in json.loads(text)["traceback"]


@pytest.mark.parametrize("form", FORMATS)
def test_chatter_of_the_library_is_left_out_but_not_its_errors(form: str) -> None:
    out = io.StringIO()
    emit = observer(out, form, "debug")
    for is_error in (0, 1):
        emit({"log_namespace": "log_legacy", "log_level": LogLevel.info, "log_time": 1.0, "isError": is_error,
              "log_format": "{log_text}", "log_text": f"legacy {is_error}"})
    assert "legacy 1" in out.getvalue() and "legacy 0" not in out.getvalue()


def test_a_field_that_json_does_not_know_is_written_as_text() -> None:
    line = json.loads(logged("json", event="x", fields={"peers": {1, }, "error": ValueError("why")}))
    assert (line["peers"], line["error"]) == ("{1}", "why")


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_every_level_the_core_logs_at_reaches_the_line(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from twisted.internet.task import Clock
    out = io.StringIO()
    hv = Hypervisor(Settings(), 0.0)
    runtime = Runtime(hv, Clock())
    runtime.sockets = object()  # type: ignore[assignment]
    monkeypatch.setattr(Runtime, "log", Logger(observer=LogPublisher(observer(out, "json", "debug"))))
    hv.out.log(level, "told by the core", dpid="1")
    assert isinstance(hv.out.drain()[-1], Log)
    hv.out.log(level, "told by the core", dpid="1")
    runtime.flush()
    line = json.loads(out.getvalue())
    expected = {"warning": "warn"}.get(level, level)
    assert (line["event"], line["dpid"], line["level"]) == ("told by the core", "1", expected)
