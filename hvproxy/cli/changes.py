"""The commands that change what a running hvproxy or a datapath has: apply, audit, drain."""
from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from time import sleep
from typing import Any
from urllib.parse import quote

import click

from hvproxy import client
from hvproxy import config as configuration
from hvproxy.cli.asking import api_options, ask, count, dpid_of, fail, get, load
from hvproxy.tables import field, table_text

_LONGEST_APPLY = 300.0
"""Seconds that a configuration may take until the switches have confirmed it."""
_LOOK_AGAIN = 0.5
"""Seconds between two looks at how far a drain is."""


@click.command()
@click.argument("config", metavar="FILE")
@click.option("--plan", "only_plan", is_flag=True, help="Tell what would change, and change nothing.")
@api_options
def apply(config: str, only_plan: bool, api: str, as_json: bool) -> None:
    """Make a running hvproxy have what the configuration file FILE says: the difference only.

    What the file names becomes as it says, what only an earlier one named is deleted, and what the API made stays.
    Logical switches change in place where they can. Exit status 2: the file cannot be applied; nothing has changed.
    """
    load(config)
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
        fail(str(error))
    try:
        text = json.dumps(answer, indent=2) if as_json else "\n".join(_told(answer, only_plan))
    except (KeyError, TypeError):
        fail(f"{api} answered something else than changes; is it an hvproxy of this version?")
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
        yield f"{count(answer['changes'], 'change')}" + (", none carried out" if only_plan else ", carried out")


@click.command()
@click.argument("dpid", metavar="DPID")
@api_options
def audit(dpid: str, api: str, as_json: bool) -> None:
    """Compare what the datapath DPID holds with what it should, and put right what differs.

    What is not hvproxy's is listed, and left alone unless switches.remove_foreign is set. Exit status 1: it differed.
    """
    path = f"/v1/datapaths/{dpid_of(dpid)}/audit"
    answer = ask(api, path, {}, refused=2)
    try:
        rows, summary = answer["drift"], f"{answer['repaired']} put right, {answer['foreign']} not hvproxy's"
    except (KeyError, TypeError):
        fail(f"{api}{path} answered something else than an audit; is it an hvproxy of this version?")
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        columns = [field("kind"), field("logical_switch", "logical switch"), field("why"), field("what")]
        click.echo(table_text(rows, columns) if rows else "it holds what it should")
        click.echo(summary)
    if rows:
        sys.exit(1)


@click.command()
@click.argument("dpid", metavar="DPID")
@click.option("--switch", "logical_switch", metavar="LS", help="Only the ports of this logical switch leave.")
@click.option("--force", is_flag=True, help="Take down the ports that have nowhere to go.")
@click.option("--undo", is_flag=True, help="Have it used again; with --switch by that logical switch only.")
@api_options
def drain(dpid: str, logical_switch: str | None, force: bool, undo: bool, api: str, as_json: bool) -> None:
    """Have everything leave the datapath DPID, so that it can be taken away without loss.

    Paths lead round it, and ports move that are at another place too; what stays is told. It ends when the datapath
    carries nothing, and the order holds until --undo. Exit status 1: something stays.
    """
    path = f"/v1/datapaths/{dpid_of(dpid)}/drain"
    if undo:
        if force:
            raise click.UsageError("--undo and --force exclude each other")
        ask(api, path + (f"/{quote(logical_switch, safe='')}" if logical_switch else ""), None, 2, "DELETE")
        click.echo(f"datapath {dpid_of(dpid)} is used again")
        return
    row = ask(api, path, {"logical_switch": logical_switch, "force": force}, refused=2)
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
            row = next(each for each in get(api, path) if each["logical_switch"] == logical_switch)
    except (KeyError, TypeError):
        fail(f"{api}{path} answered something else than a drain; is it an hvproxy of this version?")
    except StopIteration:
        fail("the drain was undone meanwhile")
    if as_json:
        click.echo(json.dumps(row, indent=2))
    if row["state"] != "drained":
        sys.exit(1)
