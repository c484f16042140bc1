"""``imds mfa``: give the daemon a code that it waits for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from imds.cli.control_client import find_daemon
from imds.cli.options import fail, socket_option
from imds.core.errors import ImdsError

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT = 60.0
"""Seconds: AWS is asked before the daemon answers."""


@click.command("mfa")
@click.argument("role")
@click.argument("code", required=False)
@socket_option
def command(*, role: str, code: str | None, socket_path: Path | None) -> None:
    """Give the MFA code that a role waits for.

    One code opens every role of the same source. Without CODE it is asked for, or read from standard input. AWS takes
    a code once: after a refusal wait for the next one.

    \b
    imds mfa admin 123456
    ykman oath accounts code -s aws | imds mfa admin
    """
    if code is None:
        code = (
            click.prompt(f"MFA code for {role}", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.read()
        )
    try:
        body = {"code": code.replace(" ", "").strip()}
        opened = find_daemon(socket_path).call("POST", f"roles/{role}/mfa", body, timeout=TIMEOUT)
    except ImdsError as error:
        fail(error)
    click.echo(f"accepted, for {', '.join(opened['roles'])}")
