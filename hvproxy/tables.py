"""The tables that the command line shows: which columns a row of the API has, and how a value is put.

Knows rows as plain objects, and asks nobody.
"""
from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 400
"""Columns of a table that goes to no terminal: wide enough that grep finds a row on one line."""
Column: TypeAlias = tuple[str, Callable[[Mapping[str, Any]], object]]


def table_text(rows: list[Mapping[str, Any]], columns: list[Column]) -> str:
    """The table as it goes out: as wide as the terminal, or on one line a row."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, _ in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(value(row))) for _, value in columns))
    console = Console()
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def field(name: str, header: str = "") -> Column:
    """A column of one key."""
    return header or name.replace("_", " "), lambda row: row.get(name)


def cell(value: object) -> str:
    """What stands in one place of a table."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1f}"
    return str(value) if isinstance(value, (str, int)) else json.dumps(value, separators=(",", ":"))


def end(there: object) -> object:
    """An end of a link."""
    return f"{there.get('dpid')}:{there.get('port')}" if isinstance(there, Mapping) else there


def controllers(row: Mapping[str, Any]) -> object:
    """The sessions there are; failing that, the addresses that are configured."""
    state = row.get("state")
    found = state.get("controllers") if isinstance(state, Mapping) else row.get("controllers")
    if not isinstance(found, list):
        return found
    shown = []
    for each in found:
        said = [str(each[key]) for key in ("state", "role") if each.get(key)] if isinstance(each, Mapping) else []
        address = str(each.get("address")) if isinstance(each, Mapping) else str(each)
        shown.append(f"{address} ({', '.join(said)})" if said else address)
    return ", ".join(shown) or None


def number(things: object) -> object:
    """How many, if they are told one by one."""
    return len(things) if isinstance(things, list) else things


def texts(name: str, between: str = "; ") -> Callable[[Mapping[str, Any]], object]:
    """All of a list of texts."""
    return lambda row: between.join(row.get(name) or ()) or None


def counts(name: str) -> Callable[[Mapping[str, Any]], object]:
    """Packets and bytes of each part."""
    return lambda row: "; ".join(f"{each['packets']}/{each['bytes']}" for each in row.get(name) or ()) or None


def tenant_entry(row: Mapping[str, Any]) -> object:
    """The tenant's entry as its tenant knows it."""
    if row.get("tenant_table") is None:
        return row.get("entry")
    return (f"table {row['tenant_table']} priority {row.get('tenant_priority')} "
            f"{row.get('tenant_match') or 'every frame'} cookie {row.get('tenant_cookie')}")


def settings(row: Mapping[str, Any]) -> object:
    """Of its bridge, as its database tells them."""
    return ", ".join(row.get("settings") or ()) or None


def vif(attach: object) -> object:
    """Where a port is attached."""
    if isinstance(attach, Mapping) and "peer" in attach:
        return f"peer {attach['peer']}"
    if not isinstance(attach, Mapping) or not attach.keys() & {"datapath", "iface_id"}:
        return attach
    vlan = attach.get("vlan")
    place = f"iface-id {attach['iface_id']}" if "iface_id" in attach else f"{attach['datapath']}:{attach.get('port')}"
    return place + (f" vlan {vlan}" if vlan is not None else "")


FABRIC: dict[str, list[Column]] = {
    "edges": [field("dpid"), field("endpoint"), ("logical switches", texts("logical_switches", ", "))],
    "overlapping": [field("address"), ("datapaths", texts("dpids", ", "))],
    "links": [("a", lambda row: end(row.get("a"))), ("b", lambda row: end(row.get("b"))), field("kind"),
              field("source"), field("state"), field("speed", "Mb/s")],
    "tunnels": [
        ("between", texts("dpids", " and ")), field("kind"), field("state"),
        ("ports", lambda row: "; ".join(f"{each.get('name')} ({each.get('address')})" + (
            f": {each['error']}" if each.get("error") else "") for each in row.get("ends") or ()) or None)],
    "labels": [field("kind"), field("used"), field("free")],
}
"""What `hvproxy show fabric` shows, in this order: the key of the answer -> its columns."""
