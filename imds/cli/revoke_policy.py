"""``imds revoke-policy``: what AWS itself has to do to end the sessions of a role."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from imds.cli.control_client import NoDaemonError, find_daemon
from imds.cli.ending import put_policy
from imds.cli.options import config_option, fail, load_config, socket_option
from imds.core.errors import ImdsError
from imds.core.narrowing import NAME_OF_REVOKING, revoking_policy

if TYPE_CHECKING:
    from pathlib import Path


@click.command("revoke-policy")
@click.argument("role")
@click.option("--json", "as_json", is_flag=True, help="The policy alone, for programs.")
@config_option
@socket_option
def command(*, role: str, as_json: bool, config_file: Path | None, socket_path: Path | None) -> None:
    """Print the policy that ends every session of ROLE that is older than now.

    Keys that were given work until their end, whatever this daemon forgets; only a policy on the role ends them
    before. This is the one that the IAM console's "Revoke active sessions" writes. It ends everybody's sessions of the
    role; imds revoke and imds deactivate print one for a single session.

    \b
    imds revoke-policy admin
    imds revoke-policy admin --json > policy.json
    """
    try:
        arn = _role_arn(role, config_file, socket_path)
    except ImdsError as error:
        fail(error)
    policy = revoking_policy(datetime.now(UTC))
    if as_json:
        click.echo(json.dumps(policy, indent=2))
        return
    click.echo(put_policy(arn, NAME_OF_REVOKING, policy))
    click.echo("imds: who may still have the role gets a new session, at once or at the next refresh", err=True)


def _role_arn(role: str, config_file: Path | None, socket_path: Path | None) -> str:
    """Return the ARN of a role, as the running daemon or the configuration says.

    Raises:
        ImdsError: there is no such role, or none that is assumed.
    """
    try:
        if config_file is not None:
            raise NoDaemonError("it is not asked")  # noqa: TRY301 - as if there were none
        roles = {one["name"]: one["role_arn"] for one in find_daemon(socket_path).call("GET", "status")["roles"]}
    except NoDaemonError:
        config = load_config(config_file)
        roles = {name: one.session.role_arn if one.session else None for name, one in config.roles.items()}
    if role not in roles:
        raise ImdsError(f"no role {role}; there are: {', '.join(roles)}")
    arn: str | None = roles[role]
    if arn is None:
        raise ImdsError(f"role {role} is no role that is assumed: there is nothing to put a policy on")
    return arn
