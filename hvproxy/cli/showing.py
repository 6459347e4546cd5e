"""`hvproxy show …`: what a running hvproxy has, as tables for people or JSON for programs."""
from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from hvproxy.cli.asking import api_options, dpid_of, fail, get, path_of, show_rows
from hvproxy.tables import (
    FABRIC, controllers, counts, end, field, number, settings, table_text, tenant_entry, texts, vif,
)


@click.group()
def show() -> None:
    """Show what a running hvproxy has; tables for people, --json for programs."""


@show.command()
@api_options
def switches(api: str, as_json: bool) -> None:
    """The datapaths: their connections, and how many rules each holds."""
    show_rows(api, "/v1/datapaths", as_json, "datapaths", [
        field("dpid"), field("state"), field("role"), field("address"), field("ports"), field("rules"),
        field("groups"), field("description"), ("wrong settings", settings),
        ("missing", lambda row: "; ".join(row.get("missing") or ()) or None),
    ])


@show.command()
@api_options
def databases(api: str, as_json: bool) -> None:
    """The databases of the switches, and how many bridges and VIFs they tell of."""
    show_rows(api, "/v1/databases", as_json, "databases", [
        field("address"), field("state"), ("bridges", lambda row: number(row.get("bridges"))),
        ("VIFs", lambda row: number(row.get("vifs"))), field("fault"),
    ])


@show.command()
@api_options
def links(api: str, as_json: bool) -> None:
    """The links between datapaths."""
    show_rows(api, "/v1/links", as_json, "links", [
        ("a", lambda row: end(row.get("a"))), ("b", lambda row: end(row.get("b"))), field("kind"),
        field("source"), field("state"), field("speed", "Mb/s"),
    ])


@show.command()
@click.option("--from", "source", metavar="DPID", help="With --to: the path between two datapaths.")
@click.option("--to", "destination", metavar="DPID", help="Where the path leads.")
@api_options
def fabric(source: str | None, destination: str | None, api: str, as_json: bool) -> None:
    """What lies between the ends of logical switches: edges, links, tunnels and labels; or the path of a pair.

    The path is what frames take while nothing fails, with the port that each datapath falls back upon.
    """
    if (source is None) != (destination is None):
        raise click.UsageError("--from and --to go together: a path has two ends")
    if source is not None and destination is not None:
        show_rows(api, f"/v1/fabric/paths/{dpid_of(source)}/{dpid_of(destination)}", as_json, "links on the way", [
            ("from", lambda row: end(row.get("from"))), ("to", lambda row: end(row.get("to"))), field("kind"),
            field("backup_port")])
        return
    answer = get(api, "/v1/fabric")
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    if not isinstance(answer, Mapping):
        fail(f"{api}/v1/fabric answered something else than an object; is {api} an hvproxy of this version?")
    click.echo("\n\n".join(f"{name}\n{table_text(rows, columns)}" for name, columns in FABRIC.items()
                           if (rows := answer.get(name))))


@show.command("logical-switches")
@api_options
def logical_switches(api: str, as_json: bool) -> None:
    """The tenants' logical switches and their controllers."""
    show_rows(api, "/v1/logical-switches", as_json, "logical switches", [
        field("name"), field("tenant"), field("datapath_id", "datapath id"),
        ("controllers", controllers), ("ports", lambda row: number(row.get("ports"))), field("entries"),
    ])


@show.command()
@click.argument("logical_switch", metavar="LS")
@api_options
def ports(logical_switch: str, api: str, as_json: bool) -> None:
    """The logical ports of the logical switch LS and the VIFs they are bound to."""
    show_rows(api, f"{path_of(logical_switch)}/ports", as_json, "ports", [
        field("number"), field("name"), field("hw_addr", "address"), field("state"),
        ("config", texts("config", ", ")), ("attached to", lambda row: vif(row.get("attach"))),
        field("mtu", "MTU"), field("why_down", "why it is down"), field("mtu_advice", "MTU too small below"),
    ])


@show.command()
@click.argument("logical_switch", metavar="LS")
@api_options
def flows(logical_switch: str, api: str, as_json: bool) -> None:
    """The entries that tenants installed in the logical tables of the logical switch LS."""
    show_rows(api, f"{path_of(logical_switch)}/flows", as_json, "entries", [
        field("table_id", "table"), field("priority"), field("match"), field("instructions"), field("packets"),
        field("bytes"), field("duration"), field("cookie"),
    ])


@show.command()
@click.argument("logical_switch", metavar="LS")
@api_options
def groups(logical_switch: str, api: str, as_json: bool) -> None:
    """The groups that tenants installed in the logical switch LS, and the datapaths that hold them."""
    show_rows(api, f"{path_of(logical_switch)}/groups", as_json, "groups", [
        field("group_id", "group"), field("type"), ("buckets", texts("buckets")), field("references"),
        field("packets"), field("bytes"), ("of buckets", counts("bucket_counts")), field("duration"),
        ("datapaths", texts("datapaths", ", ")),
    ])


@show.command()
@click.argument("logical_switch", metavar="LS")
@api_options
def meters(logical_switch: str, api: str, as_json: bool) -> None:
    """The meters that tenants installed in the logical switch LS, and the datapaths that hold them."""
    show_rows(api, f"{path_of(logical_switch)}/meters", as_json, "meters", [
        field("meter_id", "meter"), field("unit"), ("bands", texts("bands")), field("references"),
        field("packets"), field("bytes"), ("of bands", counts("band_counts")), field("duration"),
        ("datapaths", texts("datapaths", ", ")),
    ])


@show.command()
@click.argument("dpid", metavar="DPID")
@click.option("--switch", "logical_switch", metavar="LS", help="Only what serves this logical switch.")
@click.option("--table", type=click.IntRange(0, 254), metavar="T", help="Only the rules of this physical table.")
@click.option("--groups", "only_groups", is_flag=True, help="The groups only; with --json this is how to get them.")
@api_options
def rules(
    dpid: str, logical_switch: str | None, table: int | None, only_groups: bool, api: str, as_json: bool,
) -> None:
    """The rules and groups hvproxy installed in the datapath DPID (0x1, or its 16 digits), and why each is there.

    With --json the rules alone, or with --groups the groups.
    """
    if only_groups and table is not None:
        raise click.UsageError("--groups and --table exclude each other: groups are in no table")
    path = f"/v1/datapaths/{dpid_of(dpid)}"

    def wanted(row: Mapping[str, Any]) -> bool:
        return (logical_switch in (None, row.get("logical_switch"))) and table in (None, row.get("table"))

    if not only_groups:
        show_rows(api, f"{path}/rules", as_json, "rules", [
            field("table"), field("priority"), field("match"), field("instructions"), field("tenant"),
            field("logical_switch", "logical switch"), ("entry", tenant_entry), field("packets"), field("bytes"),
            ("names", texts("names")), field("why"),
        ], wanted)
    if only_groups or not as_json and table is None:
        if not only_groups:
            click.echo()
        show_rows(api, f"{path}/groups", as_json, "groups", [
            field("group_id", "group"), field("type"), ("buckets", texts("buckets")),
            field("tenant"), field("logical_switch", "logical switch"), field("packets"), field("bytes"),
            ("names", texts("names")), field("why"),
        ], wanted)
