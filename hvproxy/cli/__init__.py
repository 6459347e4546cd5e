"""The command line: checks a configuration, starts hvproxy, and shows and changes what a running one has.

What runs is asked through the HTTP API, as any other client does.
Exit status: 0 good, 1 failed, 2 bad usage or configuration.
"""
from __future__ import annotations

from importlib.metadata import version

import click

from hvproxy.cli.changes import apply, audit, drain
from hvproxy.cli.logical_switch import clone, rollback, snapshot, trace
from hvproxy.cli.showing import show
from hvproxy.cli.starting import check, serve


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("hvproxy"), prog_name="hvproxy")
def main() -> None:
    """hvproxy, a network hypervisor: gives each tenant's OpenFlow controller a logical switch of its own, over
    switches that all tenants share.

    Start with `hvproxy check CONFIG`, then `hvproxy serve CONFIG`; look at what runs with `hvproxy show`.
    """


for command in (apply, audit, check, clone, drain, rollback, serve, show, snapshot, trace):
    main.add_command(command)
