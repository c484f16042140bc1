"""``imds roles``, ``imds use`` and ``imds refresh``: the roles of a running daemon."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from imds.cli.announcing import describe_role
from imds.cli.control_client import find_daemon
from imds.cli.options import fail, socket_option
from imds.core.errors import ImdsError

if TYPE_CHECKING:
    from pathlib import Path

REFRESH_TIMEOUT = 40.0
"""Seconds: AWS is asked before the daemon answers."""


@click.command("roles")
@socket_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def roles(*, socket_path: Path | None, as_json: bool) -> None:
    """List the roles, the default one marked.

    \b
    imds roles
    imds roles --json | jq -r '.[].name'
    """
    status = _call(socket_path, "GET", "status")
    if as_json:
        click.echo(json.dumps(status["roles"], indent=2))
        return
    width = max((len(role["name"]) for role in status["roles"]), default=0)
    for role in status["roles"]:
        mark = "*" if role["name"] == status["default_role"] else " "
        click.echo(
            f"{mark} {role['name']:{width}}  {role['state']:11}  {role['role_arn'] or role.get('arn') or ''}".rstrip()
        )


@click.command("use")
@click.argument("role")
@click.option("--instance", help="Of this instance; default: default.")
@socket_option
def use(*, role: str, instance: str | None, socket_path: Path | None) -> None:
    """Let clients get ROLE by default, one of those that the instance allows, until the daemon ends.

    \b
    imds use audited
    imds use viewer --instance agent
    """
    body = {"role": role} | ({"instance": instance} if instance is not None else {})
    answer = _call(socket_path, "POST", "use", body)
    click.echo(f"instance {answer['instance']} lists {answer['role']}")
    if answer["unavailable"]:
        click.echo(f"imds: warning: {answer['unavailable']}", err=True)


@click.command("refresh")
@click.argument("role", required=False)
@socket_option
def refresh(*, role: str | None, socket_path: Path | None) -> None:
    """Renew the session of ROLE, or of all roles, now.

    A session that is live stays until a new one has come. The exit status is 1 where one has not.

    \b
    imds refresh
    imds refresh app
    """
    answer = _call(socket_path, "POST", "refresh", {"role": role}, timeout=REFRESH_TIMEOUT)
    width = max((len(one["name"]) for one in answer["roles"]), default=0)
    for one in answer["roles"]:
        click.echo(f"{one['name']:{width}}  {describe_role(one)}")
    if any(one["failure"] is not None for one in answer["roles"]):
        sys.exit(1)


def _call(
    socket_path: Path | None, method: str, verb: str, body: dict[str, Any] | None = None, *, timeout: float = 10.0
) -> dict[str, Any]:
    try:
        return find_daemon(socket_path).call(method, verb, body, timeout=timeout)
    except ImdsError as error:
        fail(error)
