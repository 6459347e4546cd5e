"""The commands about one logical switch as a whole: snapshot, rollback, clone, trace."""
from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from hvproxy.cli.asking import api_option, api_options, ask, fail, path_of
from hvproxy.trace.lines import lines


@click.command()
@click.argument("logical_switch", metavar="LS")
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@api_option
def snapshot(logical_switch: str, file: Path, api: str) -> None:
    """Write what tenants have set of the logical switch LS, and what it has counted, to FILE."""
    data = ask(api, f"{path_of(logical_switch)}/snapshot", None, refused=2)
    if not isinstance(data, bytes):
        fail(f"{api} answered something else than a snapshot; is it an hvproxy of this version?")
    part = file.with_name(file.name + ".part")
    try:
        part.write_bytes(data)
        part.replace(file)
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}", 2)
    click.echo(f"{file}: {len(data)} bytes; hvproxy rollback {logical_switch} {file} goes back to it")


@click.command()
@click.argument("logical_switch", metavar="LS")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@api_option
def rollback(logical_switch: str, file: Path, api: str) -> None:
    """Make the logical switch LS what the snapshot FILE says: the difference only, all of it or nothing.

    Controllers are told of what goes as of what another controller deletes. Exit status 2: it cannot be; nothing has
    changed.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}", 2)
    changed = ask(api, f"{path_of(logical_switch)}/rollback", data, refused=2)
    try:
        click.echo(", ".join(f"{changed[what]} {what}" for what in ("entries", "groups", "meters", "ports"))
                   + " put right; the rest was so already")
    except (KeyError, TypeError):
        fail(f"{api} answered something else than changes; is it an hvproxy of this version?")


@click.command()
@click.argument("logical_switch", metavar="LS")
@click.argument("new", metavar="NEW")
@click.option("--datapath-id", metavar="ID", help="The new one's; by default the next that is free.")
@click.option("--tenant", metavar="NAME", help="Whose the new one is; by default that of LS.")
@api_option
def clone(logical_switch: str, new: str, datapath_id: str | None, tenant: str | None, api: str) -> None:
    """Make another logical switch NEW with the tables and ports of LS, attached to nothing, its counters at zero."""
    said = {"name": new, "datapath_id": datapath_id, "tenant": tenant}
    made = ask(api, f"{path_of(logical_switch)}/clone", {k: v for k, v in said.items() if v is not None}, refused=2)
    try:
        click.echo(f"{made['name']}: datapath id {made['datapath_id']}, {made['entries']} entries; "
                   "attach its ports and name its controllers with PUT, or in the configuration")
    except (KeyError, TypeError):
        fail(f"{api} answered something else than a logical switch; is it an hvproxy of this version?")


@click.command()
@click.argument("logical_switch", metavar="SWITCH")
@click.argument("port", metavar="PORT")
@click.argument("frame", metavar="FRAME")
@api_options
def trace(logical_switch: str, port: str, frame: str, api: str, as_json: bool) -> None:
    """Tell what the logical switch SWITCH does with FRAME at its port PORT, and how the fabric carries it out.

    FRAME is hexadecimal digits, or fields as Open vSwitch writes them: tcp,dl_dst=02:00:00:00:00:02,tp_dst=80. What is
    not said is zero. Nothing is sent and nothing is changed. Exit status 1: the fabric does not do what the
    logical switch does; 2: there is no such switch or port, or FRAME describes no frame.
    """
    answer = ask(api, f"{path_of(logical_switch)}/trace", {"port": port, "frame": frame}, refused=2)
    try:
        text = json.dumps(answer, indent=2) if as_json else "\n".join(lines(answer))
        differs = answer["agree"] is False
    except (KeyError, TypeError):
        fail(f"{api} answered something else than a trace; is it an hvproxy of this version?")
    click.echo(text)
    if differs:
        sys.exit(1)
