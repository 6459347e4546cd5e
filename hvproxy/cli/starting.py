"""The commands that need no running hvproxy: check a configuration, and serve it."""
from __future__ import annotations

import sys

import click

from hvproxy.cli.asking import count, load


@click.command()
@click.argument("config", metavar="CONFIG")
def check(config: str) -> None:
    """Check the configuration file CONFIG and list every mistake in it.

    Opens nothing and connects nowhere. Exit status 0: good; 2: mistakes.
    """
    checked = load(config)
    switches = [each for tenant in checked.tenants for each in tenant.logical_switches]
    ports = sum(len(each.ports) for each in switches)
    stored = checked.store.file(config)
    click.echo(
        f"{config}: good: {count(checked.tenants, 'tenant')}, {count(switches, 'logical switch', 'es')}, "
        f"{ports} logical port{'' if ports == 1 else 's'}, {count(checked.fabric.links, 'configured link')}, "
        + ("nothing is stored" if stored is None else f"stored in {stored}"))


@click.command()
@click.argument("config", metavar="CONFIG")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="How an event is written to stderr: for people, or one JSON object a line.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info",
              show_default=True, help="The least important events that are written.")
def serve(config: str, log_format: str, log_level: str) -> None:
    """Run hvproxy with the configuration file CONFIG until it is told to stop (SIGINT, SIGTERM)."""
    checked = load(config)
    from hvproxy import app  # here, as it installs the reactor, which no other command needs

    sys.exit(app.serve(checked, config, log_format=log_format, log_level=log_level))
