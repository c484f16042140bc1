"""``imds reload``: let the daemon read its configuration again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from imds.cli.control_client import ControlError, find_daemon
from imds.cli.options import EX_CONFIG, fail, socket_option
from imds.core.errors import ImdsError

if TYPE_CHECKING:
    from pathlib import Path


@click.command("reload")
@socket_option
def command(*, socket_path: Path | None) -> None:
    """Let the daemon read its configuration again.

    A wrong configuration changes nothing. Unchanged roles keep their sessions; what failed is tried again.

    \b
    imds reload
    """
    try:
        answer = find_daemon(socket_path).call("POST", "reload")
    except ControlError as error:
        fail(f"{error}\nnothing has changed", status=EX_CONFIG)
    except ImdsError as error:
        fail(error)
    click.echo("configuration read again")
    if answer["restart_for"]:
        click.echo(f"imds: restart the daemon for: {', '.join(answer['restart_for'])}", err=True)
