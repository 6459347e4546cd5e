"""What the commands have in common: where the API is, how it is asked, and how an answer is told.

Nothing here knows what any answer means.
"""
from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn
from urllib.parse import quote

import click

from hvproxy import client
from hvproxy import config as configuration
from hvproxy.errors import ConfigError
from hvproxy.model.schema import format_dpid, parse_dpid
from hvproxy.tables import Column, table_text

DEFAULT_API = "http://127.0.0.1:8080"


def api_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option("--api", default=DEFAULT_API, show_default=True, metavar="URL", envvar="HVPROXY_API",
                        show_envvar=True, help="Where the running hvproxy answers.")(command)


def api_options(command: Callable[..., None]) -> Callable[..., None]:
    command = click.option("--json", "as_json", is_flag=True, help="JSON as the API gives it, for programs.")(command)
    return api_option(command)


def load(path: str) -> configuration.Config:
    try:
        return configuration.load(path)
    except ConfigError as error:
        for key, what in error.mistakes:
            click.echo(f"{path}: {key}: {what}" if key else f"{path}: {what}", err=True)
        sys.exit(2)


def count(things: tuple[object, ...] | list[Any], noun: str, plural: str = "s") -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else plural}"


def path_of(logical_switch: str) -> str:
    return f"/v1/logical-switches/{quote(logical_switch, safe='')}"


def dpid_of(text: str) -> str:
    try:
        return format_dpid(parse_dpid(text))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="DPID") from error


def show_rows(
    api: str, path: str, as_json: bool, title: str, columns: list[Column],
    wanted: Callable[[Mapping[str, Any]], bool] = lambda row: True,
) -> None:
    answer = get(api, path)
    if isinstance(answer, list):
        answer = [row for row in answer if not isinstance(row, Mapping) or wanted(row)]
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    if not isinstance(answer, list) or not all(isinstance(row, Mapping) for row in answer):
        fail(f"{api}{path} answered something else than a list of objects; is {api} an hvproxy of this version?")
    if not answer:
        click.echo(f"no {title}")
        return
    click.echo(table_text(answer, columns))


def get(api: str, path: str) -> Any:
    return ask(api, path, None, refused=1)


def ask(api: str, path: str, body: object, refused: int, method: str | None = None) -> Any:
    """The answer to a GET, or with a body to a POST, unless `method` says another; `refused` is the exit status when it
    is the caller's fault."""
    try:
        return client.ask(api, path, body, method)
    except client.Refusal as error:
        fail(str(error), refused if error.status < 500 else 1)
    except client.Unanswered as error:
        fail(str(error))


def fail(what: str, status: int = 1) -> NoReturn:
    click.echo(f"hvproxy: {what}", err=True)
    sys.exit(status)
