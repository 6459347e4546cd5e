"""The command line: checks a configuration, starts hvproxy, and shows what a running one has.

`show` asks the HTTP API as any other client does. Exit status: 0 good, 1 failed, 2 bad usage or configuration.
"""
from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from time import sleep
from typing import Any, NoReturn
from urllib.parse import quote

import click

from hvproxy import client
from hvproxy import config as configuration
from hvproxy.errors import ConfigError
from hvproxy.model.schema import format_dpid, parse_dpid
from hvproxy.tables import (
    FABRIC, Column, controllers, counts, end, field, number, settings, table_text, tenant_entry, texts, vif,
)
from hvproxy.trace.lines import lines

DEFAULT_API = "http://127.0.0.1:8080"
_LONGEST_APPLY = 300.0
_LOOK_AGAIN = 0.5
"""Seconds between two looks at how far a drain is."""
"""Seconds that a configuration may take until the switches have confirmed it."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("hvproxy"), prog_name="hvproxy")
def main() -> None:
    """hvproxy, a network hypervisor: gives each tenant's OpenFlow controller a logical switch of its own, over
    switches that all tenants share.

    Start with `hvproxy check CONFIG`, then `hvproxy serve CONFIG`; look at what runs with `hvproxy show`.
    """


@main.command()
@click.argument("config", metavar="CONFIG")
def check(config: str) -> None:
    """Check the configuration file CONFIG and list every mistake in it.

    Opens nothing and connects nowhere. Exit status 0: good; 2: mistakes.
    """
    checked = _load(config)
    switches = [each for tenant in checked.tenants for each in tenant.logical_switches]
    ports = sum(len(each.ports) for each in switches)
    stored = checked.store.file(config)
    click.echo(
        f"{config}: good: {_count(checked.tenants, 'tenant')}, {_count(switches, 'logical switch', 'es')}, "
        f"{ports} logical port{'' if ports == 1 else 's'}, {_count(checked.fabric.links, 'configured link')}, "
        + ("nothing is stored" if stored is None else f"stored in {stored}"))


@main.command()
@click.argument("config", metavar="CONFIG")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="How an event is written to stderr: for people, or one JSON object a line.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info",
              show_default=True, help="The least important events that are written.")
def serve(config: str, log_format: str, log_level: str) -> None:
    """Run hvproxy with the configuration file CONFIG until it is told to stop (SIGINT, SIGTERM)."""
    checked = _load(config)
    from hvproxy import app  # here, as it installs the reactor, which no other command needs

    sys.exit(app.serve(checked, config, log_format=log_format, log_level=log_level))


@main.command()
@click.argument("config", metavar="FILE")
@click.option("--plan", "only_plan", is_flag=True, help="Tell what would change, and change nothing.")
@click.option("--api", default=DEFAULT_API, show_default=True, metavar="URL", envvar="HVPROXY_API", show_envvar=True,
              help="Where the running hvproxy answers.")
@click.option("--json", "as_json", is_flag=True, help="JSON as the API gives it, for programs.")
def apply(config: str, only_plan: bool, api: str, as_json: bool) -> None:
    """Make a running hvproxy have what the configuration file FILE says: the difference only.

    What the file names becomes as it says, what only an earlier one named is deleted, and what the API made stays.
    Logical switches change in place where they can. Exit status 2: the file cannot be applied; nothing has changed.
    """
    _load(config)
    document = configuration.plain_file(config)
    try:
        if only_plan:
            answer = client.ask(api, "/v1/configuration/plan", document)
        else:
            answer = client.ask(api, "/v1/configuration", document, "PUT", _LONGEST_APPLY)
    except client.Refusal as error:
        for key, what in error.mistakes:
            click.echo(f"{config}: {key}: {what}" if key else f"{config}: {what}", err=True)
        if not error.mistakes:
            click.echo(f"hvproxy: {error}", err=True)
        sys.exit(2 if error.status < 500 else 1)
    except client.Unanswered as error:
        _fail(str(error))
    try:
        text = json.dumps(answer, indent=2) if as_json else "\n".join(_told(answer, only_plan))
    except (KeyError, TypeError):
        _fail(f"{api} answered something else than changes; is it an hvproxy of this version?")
    click.echo(text)


_SIGNS = {"create": "+", "change": "~", "rebuild": "!", "delete": "-"}


def _told(answer: Mapping[str, Any], only_plan: bool) -> Iterator[str]:
    """What a configuration changes, for people."""
    for row in answer["changes"]:
        note = " (made anew: its entries are lost)" if row["action"] == "rebuild" else ""
        yield f"{_SIGNS[row['action']]} {row['kind']} {row['name']}: {row['action']}{note}"
        yield from (f"    {change}" for change in row["changes"])
    for key in answer["restart"]:
        yield f"? {key}: is taken over at the next start only"
    if not answer["changes"]:
        yield "nothing to change"
    else:
        yield f"{_count(answer['changes'], 'change')}" + (", none carried out" if only_plan else ", carried out")


def _api_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option("--api", default=DEFAULT_API, show_default=True, metavar="URL", envvar="HVPROXY_API",
                        show_envvar=True, help="Where the running hvproxy answers.")(command)


def _api_options(command: Callable[..., None]) -> Callable[..., None]:
    command = click.option("--json", "as_json", is_flag=True, help="JSON as the API gives it, for programs.")(command)
    return _api_option(command)


@main.command()
@click.argument("dpid", metavar="DPID")
@_api_options
def audit(dpid: str, api: str, as_json: bool) -> None:
    """Compare what the datapath DPID holds with what it should, and put right what differs.

    What is not hvproxy's is listed, and left alone unless switches.remove_foreign is set. Exit status 1: it differed.
    """
    path = f"/v1/datapaths/{_dpid(dpid)}/audit"
    answer = _ask(api, path, {}, refused=2)
    try:
        rows, summary = answer["drift"], f"{answer['repaired']} put right, {answer['foreign']} not hvproxy's"
    except (KeyError, TypeError):
        _fail(f"{api}{path} answered something else than an audit; is it an hvproxy of this version?")
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        columns = [field("kind"), field("logical_switch", "logical switch"), field("why"), field("what")]
        click.echo(table_text(rows, columns) if rows else "it holds what it should")
        click.echo(summary)
    if rows:
        sys.exit(1)


@main.command()
@click.argument("dpid", metavar="DPID")
@click.option("--switch", "logical_switch", metavar="LS", help="Only the ports of this logical switch leave.")
@click.option("--force", is_flag=True, help="Take down the ports that have nowhere to go.")
@click.option("--undo", is_flag=True, help="Have it used again; with --switch by that logical switch only.")
@_api_options
def drain(dpid: str, logical_switch: str | None, force: bool, undo: bool, api: str, as_json: bool) -> None:
    """Have everything leave the datapath DPID, so that it can be taken away without loss.

    Paths lead round it, and ports move that are at another place too; what stays is told. It ends when the datapath
    carries nothing, and the order holds until --undo. Exit status 1: something stays.
    """
    path = f"/v1/datapaths/{_dpid(dpid)}/drain"
    if undo:
        if force:
            raise click.UsageError("--undo and --force exclude each other")
        _ask(api, path + (f"/{quote(logical_switch, safe='')}" if logical_switch else ""), None, 2, "DELETE")
        click.echo(f"datapath {_dpid(dpid)} is used again")
        return
    row = _ask(api, path, {"logical_switch": logical_switch, "force": force}, refused=2)
    told: list[str] = []
    try:
        while True:
            for line in [] if as_json else row["text"]:
                if line not in told:
                    click.echo(line)
            told = row["text"]
            if row["state"] != "draining":
                break
            sleep(_LOOK_AGAIN)
            row = next(each for each in _get(api, path) if each["logical_switch"] == logical_switch)
    except (KeyError, TypeError):
        _fail(f"{api}{path} answered something else than a drain; is it an hvproxy of this version?")
    except StopIteration:
        _fail("the drain was undone meanwhile")
    if as_json:
        click.echo(json.dumps(row, indent=2))
    if row["state"] != "drained":
        sys.exit(1)


@main.command()
@click.argument("logical_switch", metavar="LS")
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@_api_option
def snapshot(logical_switch: str, file: Path, api: str) -> None:
    """Write what tenants have set of the logical switch LS, and what it has counted, to FILE."""
    data = _ask(api, f"{_of(logical_switch)}/snapshot", None, refused=2)
    if not isinstance(data, bytes):
        _fail(f"{api} answered something else than a snapshot; is it an hvproxy of this version?")
    part = file.with_name(file.name + ".part")
    try:
        part.write_bytes(data)
        part.replace(file)
    except OSError as error:
        _fail(f"{file} cannot be written: {error.strerror}", 2)
    click.echo(f"{file}: {len(data)} bytes; hvproxy rollback {logical_switch} {file} goes back to it")


@main.command()
@click.argument("logical_switch", metavar="LS")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@_api_option
def rollback(logical_switch: str, file: Path, api: str) -> None:
    """Make the logical switch LS what the snapshot FILE says: the difference only, all of it or nothing.

    Controllers are told of what goes as of what another controller deletes. Exit status 2: it cannot be; nothing has
    changed.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        _fail(f"{file} cannot be read: {error.strerror}", 2)
    changed = _ask(api, f"{_of(logical_switch)}/rollback", data, refused=2)
    try:
        click.echo(", ".join(f"{changed[what]} {what}" for what in ("entries", "groups", "meters", "ports"))
                   + " put right; the rest was so already")
    except (KeyError, TypeError):
        _fail(f"{api} answered something else than changes; is it an hvproxy of this version?")


@main.command()
@click.argument("logical_switch", metavar="LS")
@click.argument("new", metavar="NEW")
@click.option("--datapath-id", metavar="ID", help="The new one's; by default the next that is free.")
@click.option("--tenant", metavar="NAME", help="Whose the new one is; by default that of LS.")
@_api_option
def clone(logical_switch: str, new: str, datapath_id: str | None, tenant: str | None, api: str) -> None:
    """Make another logical switch NEW with the tables and ports of LS, attached to nothing, its counters at zero."""
    said = {"name": new, "datapath_id": datapath_id, "tenant": tenant}
    made = _ask(api, f"{_of(logical_switch)}/clone", {k: v for k, v in said.items() if v is not None}, refused=2)
    try:
        click.echo(f"{made['name']}: datapath id {made['datapath_id']}, {made['entries']} entries; "
                   "attach its ports and name its controllers with PUT, or in the configuration")
    except (KeyError, TypeError):
        _fail(f"{api} answered something else than a logical switch; is it an hvproxy of this version?")


def _of(logical_switch: str) -> str:
    return f"/v1/logical-switches/{quote(logical_switch, safe='')}"


def _dpid(text: str) -> str:
    try:
        return format_dpid(parse_dpid(text))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="DPID") from error


@main.group()
def show() -> None:
    """Show what a running hvproxy has; tables for people, --json for programs."""


@show.command()
@_api_options
def switches(api: str, as_json: bool) -> None:
    """The datapaths: their connections, and how many rules each holds."""
    _show(api, "/v1/datapaths", as_json, "datapaths", [
        field("dpid"), field("state"), field("role"), field("address"), field("ports"), field("rules"),
        field("groups"), field("description"), ("wrong settings", settings),
        ("missing", lambda row: "; ".join(row.get("missing") or ()) or None),
    ])


@show.command()
@_api_options
def databases(api: str, as_json: bool) -> None:
    """The databases of the switches, and how many bridges and VIFs they tell of."""
    _show(api, "/v1/databases", as_json, "databases", [
        field("address"), field("state"), ("bridges", lambda row: number(row.get("bridges"))),
        ("VIFs", lambda row: number(row.get("vifs"))), field("fault"),
    ])


@show.command()
@_api_options
def links(api: str, as_json: bool) -> None:
    """The links between datapaths."""
    _show(api, "/v1/links", as_json, "links", [
        ("a", lambda row: end(row.get("a"))), ("b", lambda row: end(row.get("b"))), field("kind"),
        field("source"), field("state"),
    ])


@show.command()
@click.option("--from", "source", metavar="DPID", help="With --to: the path between two datapaths.")
@click.option("--to", "destination", metavar="DPID", help="Where the path leads.")
@_api_options
def fabric(source: str | None, destination: str | None, api: str, as_json: bool) -> None:
    """What lies between the ends of logical switches: edges, links, tunnels and labels; or the path of a pair.

    The path is what frames take while nothing fails, with the port that each datapath falls back upon.
    """
    if (source is None) != (destination is None):
        raise click.UsageError("--from and --to go together: a path has two ends")
    if source is not None and destination is not None:
        _show(api, f"/v1/fabric/paths/{_dpid(source)}/{_dpid(destination)}", as_json, "links on the way", [
            ("from", lambda row: end(row.get("from"))), ("to", lambda row: end(row.get("to"))), field("kind"),
            field("backup_port")])
        return
    answer = _get(api, "/v1/fabric")
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    if not isinstance(answer, Mapping):
        _fail(f"{api}/v1/fabric answered something else than an object; is {api} an hvproxy of this version?")
    click.echo("\n\n".join(f"{name}\n{table_text(rows, columns)}" for name, columns in FABRIC.items()
                           if (rows := answer.get(name))))


@show.command("logical-switches")
@_api_options
def logical_switches(api: str, as_json: bool) -> None:
    """The tenants' logical switches and their controllers."""
    _show(api, "/v1/logical-switches", as_json, "logical switches", [
        field("name"), field("tenant"), field("datapath_id", "datapath id"),
        ("controllers", controllers), ("ports", lambda row: number(row.get("ports"))), field("entries"),
    ])


@show.command()
@click.argument("logical_switch", metavar="LS")
@_api_options
def ports(logical_switch: str, api: str, as_json: bool) -> None:
    """The logical ports of the logical switch LS and the VIFs they are bound to."""
    _show(api, f"/v1/logical-switches/{quote(logical_switch, safe='')}/ports", as_json, "ports", [
        field("number"), field("name"), field("hw_addr", "address"), field("state"),
        ("config", texts("config", ", ")), ("attached to", lambda row: vif(row.get("attach"))),
        field("mtu", "MTU"), field("why_down", "why it is down"), field("mtu_advice", "MTU too small below"),
    ])


@show.command()
@click.argument("logical_switch", metavar="LS")
@_api_options
def flows(logical_switch: str, api: str, as_json: bool) -> None:
    """The entries that tenants installed in the logical tables of the logical switch LS."""
    _show(api, f"/v1/logical-switches/{quote(logical_switch, safe='')}/flows", as_json, "entries", [
        field("table_id", "table"), field("priority"), field("match"), field("instructions"), field("packets"),
        field("bytes"), field("duration"), field("cookie"),
    ])


@show.command()
@click.argument("logical_switch", metavar="LS")
@_api_options
def groups(logical_switch: str, api: str, as_json: bool) -> None:
    """The groups that tenants installed in the logical switch LS, and the datapaths that hold them."""
    _show(api, f"/v1/logical-switches/{quote(logical_switch, safe='')}/groups", as_json, "groups", [
        field("group_id", "group"), field("type"), ("buckets", texts("buckets")), field("references"),
        field("packets"), field("bytes"), ("of buckets", counts("bucket_counts")), field("duration"),
        ("datapaths", texts("datapaths", ", ")),
    ])


@show.command()
@click.argument("logical_switch", metavar="LS")
@_api_options
def meters(logical_switch: str, api: str, as_json: bool) -> None:
    """The meters that tenants installed in the logical switch LS, and the datapaths that hold them."""
    _show(api, f"/v1/logical-switches/{quote(logical_switch, safe='')}/meters", as_json, "meters", [
        field("meter_id", "meter"), field("unit"), ("bands", texts("bands")), field("references"),
        field("packets"), field("bytes"), ("of bands", counts("band_counts")), field("duration"),
        ("datapaths", texts("datapaths", ", ")),
    ])


@show.command()
@click.argument("dpid", metavar="DPID")
@click.option("--switch", "logical_switch", metavar="LS", help="Only what serves this logical switch.")
@click.option("--table", type=click.IntRange(0, 254), metavar="T", help="Only the rules of this physical table.")
@click.option("--groups", "only_groups", is_flag=True, help="The groups only; with --json this is how to get them.")
@_api_options
def rules(
    dpid: str, logical_switch: str | None, table: int | None, only_groups: bool, api: str, as_json: bool,
) -> None:
    """The rules and groups hvproxy installed in the datapath DPID (0x1, or its 16 digits), and why each is there.

    With --json the rules alone, or with --groups the groups.
    """
    if only_groups and table is not None:
        raise click.UsageError("--groups and --table exclude each other: groups are in no table")
    path = f"/v1/datapaths/{_dpid(dpid)}"

    def wanted(row: Mapping[str, Any]) -> bool:
        return (logical_switch in (None, row.get("logical_switch"))) and table in (None, row.get("table"))

    if not only_groups:
        _show(api, f"{path}/rules", as_json, "rules", [
            field("table"), field("priority"), field("match"), field("instructions"), field("tenant"),
            field("logical_switch", "logical switch"), ("entry", tenant_entry), field("packets"), field("bytes"),
            ("names", texts("names")), field("why"),
        ], wanted)
    if only_groups or not as_json and table is None:
        if not only_groups:
            click.echo()
        _show(api, f"{path}/groups", as_json, "groups", [
            field("group_id", "group"), field("type"), ("buckets", texts("buckets")),
            field("tenant"), field("logical_switch", "logical switch"), field("packets"), field("bytes"),
            ("names", texts("names")), field("why"),
        ], wanted)


@main.command()
@click.argument("logical_switch", metavar="SWITCH")
@click.argument("port", metavar="PORT")
@click.argument("frame", metavar="FRAME")
@_api_options
def trace(logical_switch: str, port: str, frame: str, api: str, as_json: bool) -> None:
    """Tell what the logical switch SWITCH does with FRAME at its port PORT, and how the fabric carries it out.

    FRAME is hexadecimal digits, or fields as Open vSwitch writes them: tcp,dl_dst=02:00:00:00:00:02,tp_dst=80. What is
    not said is zero. Nothing is sent and nothing is changed. Exit status 1: the fabric does not do what the
    logical switch does; 2: there is no such switch or port, or FRAME describes no frame.
    """
    answer = _ask(api, f"/v1/logical-switches/{quote(logical_switch, safe='')}/trace",
                  {"port": port, "frame": frame}, refused=2)
    try:
        text = json.dumps(answer, indent=2) if as_json else "\n".join(lines(answer))
        differs = answer["agree"] is False
    except (KeyError, TypeError):
        _fail(f"{api} answered something else than a trace; is it an hvproxy of this version?")
    click.echo(text)
    if differs:
        sys.exit(1)


def _load(path: str) -> configuration.Config:
    try:
        return configuration.load(path)
    except ConfigError as error:
        for key, what in error.mistakes:
            click.echo(f"{path}: {key}: {what}" if key else f"{path}: {what}", err=True)
        sys.exit(2)


def _count(things: tuple[object, ...] | list[Any], noun: str, plural: str = "s") -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else plural}"


def _show(
    api: str, path: str, as_json: bool, title: str, columns: list[Column],
    wanted: Callable[[Mapping[str, Any]], bool] = lambda row: True,
) -> None:
    answer = _get(api, path)
    if isinstance(answer, list):
        answer = [row for row in answer if not isinstance(row, Mapping) or wanted(row)]
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    if not isinstance(answer, list) or not all(isinstance(row, Mapping) for row in answer):
        _fail(f"{api}{path} answered something else than a list of objects; is {api} an hvproxy of this version?")
    if not answer:
        click.echo(f"no {title}")
        return
    click.echo(table_text(answer, columns))


def _get(api: str, path: str) -> Any:
    return _ask(api, path, None, refused=1)


def _ask(api: str, path: str, body: object, refused: int, method: str | None = None) -> Any:
    """The answer to a GET, or with a body to a POST, unless `method` says another; `refused` is the exit status when it
    is the caller's fault."""
    try:
        return client.ask(api, path, body, method)
    except client.Refusal as error:
        _fail(str(error), refused if error.status < 500 else 1)
    except client.Unanswered as error:
        _fail(str(error))


def _fail(what: str, status: int = 1) -> NoReturn:
    click.echo(f"hvproxy: {what}", err=True)
    sys.exit(status)
