"""A trace as the HTTP API tells it, as text for people. Knows its form, not where it comes from."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The text, line by line. Raises KeyError or TypeError when `found` is no trace."""
    name = found["logical_switch"]
    yield f"{found['fields']} at port {found['port']} ({found['name']}) of {name}"
    yield from (f"note: {note}" for note in found["notes"])
    yield f"\nlogical switch {name}"
    yield from _step_lines(found["logical"]["steps"])
    yield from _result_lines(found["logical"])
    for crossed in found["beyond"]:
        yield f"\nlogical switch {crossed['logical_switch']}, in at port {crossed['port']} ({crossed['name']})"
        yield from _step_lines(crossed["steps"])
        yield from _result_lines(crossed)
    physical = found["physical"]
    if physical is not None:
        for hop in physical["hops"]:
            under = "" if hop["label"] is None else f", under {hop['label']['means']}"
            yield f"\ndatapath {hop['datapath']}, in at port {hop['in_port']} ({hop['in_port_name']}){under}"
            yield from _step_lines(hop["steps"])
            yield from (f"  => {sent['text']}" for sent in hop["sent"])
        yield "\nfabric"
        yield from _result_lines(physical)
        verdict = "the fabric does what the logical switch does" if found["agree"] else (
            "THE FABRIC DOES NOT DO WHAT THE LOGICAL SWITCH DOES")
        yield f"\n{verdict}"
        yield from (f"  {difference}" for difference in found["differences"])


def _step_lines(steps: list[Mapping[str, Any]]) -> Iterator[str]:
    return ("  " * (step["depth"] + 1) + step["text"] for step in steps)


def _result_lines(result: Mapping[str, Any]) -> Iterator[str]:
    for out in result["out"]:
        yield f"  => out of port {out['port']} ({out['name']}): {', '.join(out['changes']) or 'unchanged'}"
        yield f"     {out['frame']}"
    for told in result["packet_ins"]:
        yield f"  => packet-in: table {told['table']}, cookie {told['cookie']}"
        yield f"     {told['frame']}"
    if not result["out"] and not result["packet_ins"]:
        yield "  => nowhere"
