"""The command line: `hvproxy serve`, `check` and `show`. Exit status 0 good, 1 failed, 2 bad usage or configuration."""
from __future__ import annotations

import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from hvproxy.config import Config, load
from hvproxy.errors import ConfigError

DEFAULT_API = "http://127.0.0.1:8080"
api_option = click.option("--api", default=DEFAULT_API, show_default=True, metavar="URL", envvar="HVPROXY_API",
                          help="Where hvproxy's API is.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(metadata.version("hvproxy"), prog_name="hvproxy")
def main() -> None:
    """A network hypervisor: logical OpenFlow switches for unmodified controllers over shared physical switches."""


def read(path: str) -> Config:
    """The configuration; prints every mistake and ends with status 2 when there are any."""
    try:
        return load(path)
    except ConfigError as error:
        for key, what in error.mistakes:
            click.echo(f"{path}: {key}: {what}" if key else f"{path}: {what}", err=True)
        sys.exit(2)


@main.command()
@click.argument("config")
def check(config: str) -> None:
    """Check a configuration file and list every mistake in it."""
    found = read(config)
    switches = [ls for tenant in found.tenants for ls in tenant.logical_switches]
    click.echo(f"{config}: good: {len(found.tenants)} tenants, {len(switches)} logical switches, "
               f"{sum(len(ls.ports) for ls in switches)} ports")


@main.command()
@click.argument("config")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="Lines for people or for machines.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info",
              show_default=True, help="The least important events to tell.")
def serve(config: str, log_format: str, log_level: str) -> None:
    """Serve the logical switches of a configuration file until interrupted."""
    found = read(config)
    from hvproxy import app

    sys.exit(app.serve(found, log_format=log_format, log_level=log_level))


@main.group()
def show() -> None:
    """Show what a running hvproxy knows."""


def get(api: str, path: str) -> Any:
    """GET from the API; ends with status 1 and what to do next when that fails."""
    try:
        with urllib.request.urlopen(api.rstrip("/") + path, timeout=10) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        try:
            why = json.load(error)["error"]
        except (ValueError, KeyError, TypeError):
            why = f"HTTP status {error.code}"
        raise click.ClickException(why) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise click.ClickException(
            f"no API at {api}: {reason}. Is hvproxy running? Name its api.listen address with --api URL.") from error


def present(rows: Any, as_json: bool, columns: Sequence[tuple[str, str]]) -> None:
    """Print rows as JSON or as a table of these (heading, key) columns."""
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table(*(heading for heading, _ in columns))
    for row in rows:
        table.add_row(*(cell(row, key) for _, key in columns))
    console = Console()
    if not console.is_terminal:
        console.width = 400
    console.print(table)


def cell(row: Any, key: str) -> str:
    """One value as text; `a.b` goes into objects."""
    for part in key.split("."):
        row = row.get(part) if isinstance(row, dict) else None
    if row is None:
        return "-"
    if isinstance(row, list):
        return ", ".join(str(item.get("address", item)) if isinstance(item, dict) else str(item) for item in row)
    if isinstance(row, dict):
        return ", ".join(f"{k}={v}" for k, v in row.items())
    return str(row)


@show.command()
@api_option
@json_option
def switches(api: str, as_json: bool) -> None:
    """The physical switches."""
    present(get(api, "/v1/datapaths"), as_json, (
        ("DPID", "dpid"), ("state", "state"), ("role", "role"), ("address", "address"),
        ("description", "description"), ("ports", "ports"), ("rules", "rules"), ("groups", "groups")))


@show.command()
@api_option
@json_option
def links(api: str, as_json: bool) -> None:
    """The links of the fabric."""
    present(get(api, "/v1/links"), as_json, (
        ("from", "a.dpid"), ("port", "a.port"), ("to", "b.dpid"), ("port", "b.port"), ("source", "source"),
        ("state", "state")))


@show.command("logical-switches")
@api_option
@json_option
def logical_switches(api: str, as_json: bool) -> None:
    """The logical switches."""
    present(get(api, "/v1/logical-switches"), as_json, (
        ("name", "name"), ("tenant", "tenant"), ("datapath id", "datapath_id"), ("controllers", "controllers")))


def of_logical_switch(name: str, what: str) -> str:
    return f"/v1/logical-switches/{urllib.parse.quote(name, safe='')}/{what}"


@show.command()
@click.argument("logical_switch")
@api_option
@json_option
def ports(logical_switch: str, api: str, as_json: bool) -> None:
    """The ports of a logical switch."""
    present(get(api, of_logical_switch(logical_switch, "ports")), as_json, (
        ("number", "number"), ("name", "name"), ("address", "hw_addr"), ("state", "state"), ("attached to", "attach")))


@show.command()
@click.argument("logical_switch")
@api_option
@json_option
def flows(logical_switch: str, api: str, as_json: bool) -> None:
    """The entries of a logical switch, with their counters."""
    present(get(api, of_logical_switch(logical_switch, "flows")), as_json, (
        ("table", "table_id"), ("priority", "priority"), ("match", "match"), ("instructions", "instructions"),
        ("packets", "packets"), ("bytes", "bytes"), ("seconds", "duration"), ("cookie", "cookie")))


@show.command()
@click.argument("dpid")
@api_option
@json_option
def rules(dpid: str, api: str, as_json: bool) -> None:
    """The rules of a physical switch: whose each one is, and why it is there."""
    present(get(api, f"/v1/datapaths/{urllib.parse.quote(dpid, safe='')}/rules"), as_json, (
        ("table", "table"), ("priority", "priority"), ("match", "match"), ("instructions", "instructions"),
        ("logical switch", "logical_switch"), ("why", "why")))
