"""``imds doctor``: what keeps this user's clients from the daemon's credentials, and the exact fix of each."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from imds.cli.checks import findings
from imds.cli.checks.contact import reach
from imds.cli.checks.finding import ERROR
from imds.cli.checks.situation import Situation
from imds.cli.options import config_option, socket_option
from imds.host import places

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imds.cli.checks.finding import Finding


@click.command("doctor")
@config_option
@socket_option
@click.option("--roles", "try_roles", is_flag=True, help="Without a daemon: assume each role once; AWS is asked.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(*, config_file: Path | None, socket_path: Path | None, try_roles: bool, as_json: bool) -> None:
    """Find what keeps your clients from these credentials, and say how to mend it.

    Looks at this shell's variables, ~/.aws, the addresses of this host and the daemon. The exit status is 1 where
    something is wrong, else 0.

    \b
    imds doctor
    imds doctor --json | jq -r '.[].fix'
    """
    contact = reach([socket_path] if socket_path is not None else places.control_sockets(os.environ))
    roles: list[dict[str, Any]] = []
    wrong: list[tuple[str, Finding]] = []
    skew = None
    if config_file is not None or not (contact.is_there or contact.closed):
        from imds.cli.checks.trial import configuration, trial  # noqa: PLC0415 - slow, and wanted only here

        config, wrong = configuration(config_file)
        if try_roles and config is not None and not contact.is_there:
            roles, skew = trial(config)
    situation = Situation(environment=os.environ, uid=os.getuid(), contact=contact, roles=roles, skew=skew)
    found = [*wrong, *findings(situation)]
    if as_json:
        click.echo(json.dumps([{"id": name, **asdict(finding)} for name, finding in found], indent=2))
    else:
        for line in _lines(found, situation, tried=bool(roles)):
            click.echo(line)
    raise SystemExit(1 if found else 0)


def _lines(found: list[tuple[str, Finding]], situation: Situation, *, tried: bool) -> Iterator[str]:
    for name, finding in found:
        first, *rest = finding.fix.splitlines()
        yield f"{finding.severity}: {finding.what}  [{name}]"
        yield f"  where  {finding.where}"
        yield f"  fix    {first}"
        yield from (f"         {line}" for line in rest)
        yield ""
    errors = sum(finding.severity == ERROR for _, finding in found)
    if found:
        yield f"{_count(errors, 'error')}, {_count(len(found) - errors, 'warning')}"
    else:
        yield f"nothing keeps your clients from these credentials: {_served(situation)}"
    if situation.contact.closed is not None and situation.contact.status is None:
        yield f"the daemon at {situation.contact.closed} tells only others how it is: sudo imds doctor asks it"
    elif not situation.contact.is_there and situation.answer is not None and situation.answer.server == "EC2ws":
        yield "an imds answers, whose control socket is not where this command looks: name it with --socket"
    elif not situation.contact.is_there and not tried:
        yield "no role was tried: imds doctor --roles does, and asks AWS"


def _served(situation: Situation) -> str:
    where = "by the container endpoint" if situation.by_container else f"at {situation.target.shown}"
    role = situation.contact.says("default_role")
    return f"they look {where}" + (f" and find role {role}" if role else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
