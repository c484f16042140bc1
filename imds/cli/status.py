"""``imds status``: how the daemon is."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from imds.cli.announcing import describe
from imds.cli.control_client import find_daemon
from imds.cli.options import fail, socket_option
from imds.core.errors import ImdsError

if TYPE_CHECKING:
    from pathlib import Path


@click.command("status")
@socket_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--watch", is_flag=True, help="Keep showing it, with who asked lately.")
def command(*, socket_path: Path | None, as_json: bool, watch: bool) -> None:
    """Show roles, until when they live, and what is wrong.

    \b
    imds status
    imds status --watch
    imds status --json | jq '.roles[] | {name, state, expiration}'
    """
    if watch:
        _watch(socket_path, as_json=as_json)
        return
    try:
        status = find_daemon(socket_path).call("GET", "status")
    except ImdsError as error:
        fail(error)
    if as_json:
        click.echo(json.dumps(status, indent=2))
        return
    for line in describe(status):
        click.echo(line)


def _watch(socket_path: Path | None, *, as_json: bool) -> None:
    if as_json or not sys.stdout.isatty():
        raise click.UsageError("--watch needs a terminal, and does not go with --json")
    from imds.cli.status_watching import watch  # noqa: PLC0415 - rich is wanted only here

    try:
        watch(socket_path)
    except KeyboardInterrupt:
        sys.exit(0)
    except ImdsError as error:
        fail(error)
