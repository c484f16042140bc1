"""What a lease is asked for with, and how it is told."""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from imds.core.durations import parse_duration
from imds.core.leases import MAX_TTL, MIN_TTL, SCOPE
from imds.host.scopes import scope_prefix


def seconds(_ctx: click.Context, _param: click.Parameter, text: str | None) -> int | None:
    """Return a lease's time (``90s``, ``30m``, ``1h30m``) in seconds."""
    if text is None:
        return None
    span = parse_duration(text)
    if span is None or not MIN_TTL <= span <= MAX_TTL:
        raise click.BadParameter(f"{text!r} is not a duration between 1m and 12h, such as 30m")
    return int(span.total_seconds())


read_only_option = click.option("--read-only", is_flag=True, help="Narrowed by AWS's ReadOnlyAccess.")
policy_option = click.option(
    "--policy",
    "policy_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Narrowed by this session policy, an IAM policy as JSON.",
)
reason_option = click.option("--reason", default="", help="For the record, and for the session where the role says so.")
scope_option = click.option("--no-scope", is_flag=True, help="Do not run the command in a systemd scope of its own.")


def asked_for(role: str | None, *, ttl: int, read_only: bool, policy_file: Path | None, reason: str) -> dict[str, Any]:
    """Return what the daemon is asked for."""
    try:
        policy = policy_file.read_text(encoding="utf-8") if policy_file is not None else None
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--policy: {policy_file} cannot be read: {error}") from error
    return {"role": role, "ttl": ttl, "read_only": read_only, "policy": policy, "reason": reason}


def in_scope(child: list[str], given: dict[str, Any], *, no_scope: bool) -> list[str]:
    """Return a command as it is run: in a scope of the lease, where systemd allows.

    A command that is not there is left as it is: what starts it says so as a shell does.
    """
    unit = SCOPE.format(id=given["id"])
    prefix = None if no_scope else scope_prefix(unit, uid=os.getuid(), environment=os.environ)
    if shutil.which(child[0]) is None:
        return child
    if prefix is None:
        if given.get("ruled"):
            why = "--no-scope was given" if no_scope else "there is no systemd that could give it one"
            click.echo(f"imds: warning: the command is in no scope ({why}): no rule with lease sees it", err=True)
        return child
    return [*prefix, *child]


def told(given: dict[str, Any]) -> str:
    """Return in one line what was leased."""
    end = datetime.fromisoformat(given["ends"]).astimezone()
    narrowed = f", {given['narrowed']}" if given["narrowed"] else ""
    return f"lease {given['id']} of role {given['role']}{narrowed}, until {end:%H:%M:%S} (imds revoke {given['id']})"
