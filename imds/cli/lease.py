"""``imds lease``, ``imds leases`` and ``imds revoke``: a role for one consumer, for a while."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

from imds.cli.announcing import describe_lease
from imds.cli.client_environment import changes
from imds.cli.control_client import find_daemon
from imds.cli.ending import ended_lines
from imds.cli.holding import PATIENCE
from imds.cli.lease_options import (
    asked_for,
    policy_option,
    read_only_option,
    reason_option,
    scope_option,
    seconds,
    told,
)
from imds.cli.options import fail, socket_option
from imds.cli.print_environment import SHELLS, lines
from imds.cli.run_command import CommandAfterDashes, with_lease
from imds.core.errors import ImdsError

if TYPE_CHECKING:
    from pathlib import Path


class _LeaseCommand(CommandAfterDashes):
    needs_command = False


@click.command("lease", cls=_LeaseCommand)
@click.argument("role", required=False)
@click.option(
    "--ttl", callback=seconds, metavar="SPAN", default="30m", show_default=True, help="How long it lives, 1m to 12h."
)
@read_only_option
@policy_option
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="A session tag; needs control of the daemon.")
@reason_option
@click.option(
    "--instance", metavar="NAME", help="For callers that see this instance, such as a container; needs control."
)
@click.option("--shell", type=click.Choice(SHELLS), default="bash", show_default=True, help="Whose variables.")
@click.option("--json", "as_json", is_flag=True, help="For programs; the token is in it.")
@scope_option
@socket_option
def lease(  # noqa: PLR0913 - the options of one command
    *,
    role: str | None,
    ttl: int,
    read_only: bool,
    policy_file: Path | None,
    tags: tuple[str, ...],
    reason: str,
    instance: str | None,
    shell: str,
    as_json: bool,
    no_scope: bool,
    socket_path: Path | None,
    child: list[str] | None = None,
) -> None:
    """Give one consumer ROLE for a while, in a session of its own that may be smaller.

    With a command, runs it as imds exec does; the lease ends with it. Without, prints the variables that a shell, a
    script or a container needs. Nothing is given once the time is over, or after imds revoke.

    \b
    imds lease viewer --read-only --ttl 1h -- claude
    eval "$(imds lease app --policy one-bucket.json --reason INC-1234)"
    imds lease shop --instance shop --shell dotenv > shop.env
    """
    body = asked_for(role, ttl=ttl, read_only=read_only, policy_file=policy_file, reason=reason)
    body |= {"tags": _tags(tags), "instance": instance}
    if child is not None and (as_json or instance is not None):
        raise click.UsageError("--json and --instance do not go with a command, which runs here and now")
    try:
        daemon = find_daemon(socket_path)
        if child is not None:
            raise SystemExit(with_lease(daemon, body, child, no_scope=no_scope))
        given = daemon.call("POST", "leases", body, timeout=PATIENCE)
    except ImdsError as error:
        fail(error)
    if as_json:
        click.echo(json.dumps(given, indent=2))
        return
    click.echo(f"imds: {told(given)}", err=True)
    wanted = changes(os.environ, url=given["url"], token=given["token"], region=given["region"])
    for note in wanted.notes:
        click.echo(f"imds: {note}", err=True)
    for line in lines(shell, wanted.removing, wanted.setting):
        click.echo(line)


def _tags(written: tuple[str, ...]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for tag in written:
        key, equals, value = tag.partition("=")
        if not equals or not key or key in tags:
            raise click.UsageError(f"--tag: {tag!r} is not KEY=VALUE, or stands twice")
        tags[key] = value
    return tags


@click.command("leases")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@socket_option
def leases(*, as_json: bool, socket_path: Path | None) -> None:
    """List the live leases: your own, or all of them with control of the daemon.

    \b
    imds leases
    imds leases --json | jq -r '.[] | select(.role == "app") | .id' | xargs -n1 imds revoke
    """
    try:
        found = find_daemon(socket_path).call("GET", "leases")["leases"]
    except ImdsError as error:
        fail(error)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for one in found:
        click.echo(describe_lease(one))
    if not found:
        click.echo("imds: no live leases", err=True)


@click.command("revoke")
@click.argument("lease_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@socket_option
def revoke(*, lease_id: str, as_json: bool, socket_path: Path | None) -> None:
    """End a lease at once: nothing more is given.

    Keys that it was given already work until their own end; what is printed says until when, and which policy on the
    role ends them before. It may be asked for again until then.

    \b
    imds revoke 0f3a9c21b7d4
    imds revoke 0f3a9c21b7d4 --json | jq .policy
    """
    try:
        ended = find_daemon(socket_path).call("DELETE", f"leases/{lease_id}")
    except ImdsError as error:
        fail(error)
    if as_json:
        click.echo(json.dumps(ended, indent=2))
        return
    for line in ended_lines(ended, what="lease"):
        click.echo(line)
